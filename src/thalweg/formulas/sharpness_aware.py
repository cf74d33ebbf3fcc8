"""A gradient taken where the loss is highest nearby: minima that lie flat are preferred to sharp ones."""

from __future__ import annotations

from .around import around
from .meanings import Meaning
from .operations import total
from .vocabulary import sqrt

_SMALLEST = 1e-12  # keeps a gradient of 0 from dividing


@around(
    source="Foret, Kleiner, Mobahi & Neyshabur 2021, Algorithm 1",
    year=2021,
    idea="descends the worst loss nearby",
    departs="1e-12 is added to the norm, as in the usual programs. The loss that is reported is that of the first "
    "gradient; a batch moves running statistics twice, as a closure that is called twice does.",
    meanings={"radius": Meaning("how far uphill the second gradient is taken", "[0, ∞)")},
)
def sam(update, g, *, radius=0.05):
    """A rule with the gradient that is taken uphill, at w + ρg / ‖g‖, where ‖g‖ is that of the whole model."""
    return update.with_(again=radius * g / (sqrt(total(g**2)) + _SMALLEST))
