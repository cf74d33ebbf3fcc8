"""By what a suite compares: what its studies judge by, as a number that is the lower the better and 0 at its best.

Ratios to the best of a problem need such a number. A loss or an error is one as it is; of a metric where higher is
better it is the distance to 1, where 1 is the highest value that the metric can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ..errors import PlanError
from ..language import mark, say
from ..plan.criterion import Criterion


@dataclass(frozen=True)
class Measure:
    """What stands in the tables of a suite.

    Attributes:
        end: the best value of a metric where higher is better, from which the distance is taken; else 0.
    """

    metric: str = "loss"
    end: float = 0.0

    @classmethod
    def of(cls, criterion: Criterion) -> Self:
        """
        Raises:
            PlanError: higher is better, and 1 is not known to be the highest value.
        """
        if criterion.higher and criterion.scale[1] != 1:
            raise PlanError(
                f"by_metric={criterion.by_metric!r} has no known best value to take ratios to, as a suite does; "
                "give a metric whose highest value is 1, such as accuracy, or one of which lower is better."
            )
        return cls(criterion.metric, float(criterion.higher))

    @property
    def words(self) -> str:
        """
        >>> Measure().words, Measure.of(Criterion.of("accuracy")).words
        ('loss', '(1 − accuracy)')
        """
        return say("(1 − {metric})", metric=mark(self.metric)) if self.end else say(self.metric)

    @property
    def capital(self) -> str:
        """The words at the beginning of a sentence."""
        return self.words[0].upper() + self.words[1:]
