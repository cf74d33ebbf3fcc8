"""The lessons of the race: each a surface, a start, rules with their rates, and what there is to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..formulas import CLASSIC
from ..language import mark, say

DEFAULT, HAND, TUNED = "default", "hand", "tuned"  # how a rate was chosen


@dataclass(frozen=True)
class Lane:
    """A rule that runs: its label, its rate and what else differs from its defaults, and changes on the way."""

    label: str
    lr: float | None = None
    chosen: str = HAND
    changes: Sequence[tuple[int, Mapping[str, float]]] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "values": {} if self.lr is None else {"lr": self.lr},
            "chosen": self.chosen,
            "changes": [{"at": at, "values": dict(values)} for at, values in self.changes],
        }


@dataclass(frozen=True)
class Lesson:
    """What a race teaches.

    Attributes:
        name: in addresses.
        title, words: what to know, what to see, what to try.
        arrows: whose arrows are shown, if any.
        at: the step at which the cursor stands; the last unless given.
    """

    name: str
    title: str
    words: str
    surface: str
    start: tuple[float, ...]
    steps: int
    lanes: Sequence[Lane]
    arrows: int | None = None
    at: int | None = None

    def to_json(self) -> dict[str, Any]:
        """In the chosen language."""
        said = {"title": say(self.title), "words": say(self.words)}
        at = self.steps if self.at is None else self.at
        return vars(self) | said | {"lanes": [lane.to_json() for lane in self.lanes], "at": at}


def _rates(label: str, *rates: float) -> list[Lane]:
    return [Lane(label, rate) for rate in rates]


LESSONS = (
    Lesson(
        "ravine",
        mark("Ravine: what momentum buys"),
        mark(
            "A valley 40 times as steep across as along. At the same rate plain descent swings from wall to wall to "
            "the end; with momentum the gradients across cancel, those along add up. Try: lower the rate until sgd "
            "stops swinging, and see how far it comes then."
        ),
        "quadratic(condition=40)",
        (1.8, 0.9),
        25,
        [Lane("sgd", 0.048), Lane("momentum(momentum=0.5)", 0.048)],
    ),
    Lesson(
        "saddle",
        mark("Saddle: why plain gradient descent gets stuck"),
        mark(
            "All start almost on the ridge, at the same rate. In the level middle gradients are tiny, and sgd lingers "
            "there. Rules that divide by the size of the gradients leave at once, because how small they are cancels. "
            "Try: drag the start away from the ridge; then sgd leaves too."
        ),
        "saddle",
        (1.5, 0.001),
        60,
        [Lane(name, 0.05) for name in ("sgd", "momentum", "rmsprop", "adam")],
    ),
    Lesson(
        "too-large",
        mark("Too large a rate"),
        mark(
            "One bowl with curvatures 1 and 10, four rates. 0.02 creeps, 0.15 swings, 0.19 swings longer, and 0.205 "
            "leaves the bowl: above 2/λ = 0.2, with λ the largest curvature, each step overshoots by more than the one "
            "before. Try: find the rate that is fastest."
        ),
        "quadratic",
        (1.8, 0.9),
        25,
        _rates("sgd", 0.02, 0.15, 0.19, 0.205),
    ),
    Lesson(
        "rate",
        mark("The rate decides: three rates on a parabola"),
        mark(
            "x² − 4x + 6 from 4: too slow at 0.01, well at 0.2, and at 1 to and fro between 4 and 0 for ever. Try: 0.5 "
            "gets there in one step. Why?"
        ),
        "x**2 - 4*x + 6",
        (4.0,),
        12,
        _rates("sgd", 0.01, 0.2, 1.0),
    ),
    Lesson(
        "start",
        mark("The start decides which minimum is found"),
        mark(
            "x·sin x from 2.5 ends at 4.91. Drag the start to the left: somewhere before 2 the path falls to 0 "
            "instead. Try: find that place; then raise the rate, and see what leaps over a hill."
        ),
        "x*sin(x)",
        (2.5,),
        20,
        _rates("sgd", 0.1),
    ),
    Lesson(
        "basins",
        mark("Four minima: where does each rule end?"),
        mark(
            "Himmelblau's function has four minima of the same depth. From (0, 0) momentum goes past the nearest one "
            "into another. Try: drag the start around; near a border between two basins a hair's breadth decides."
        ),
        "himmelblau",
        (0.0, 0.0),
        100,
        [Lane("sgd", 0.01), Lane("momentum", 0.005), Lane("adam", 0.3)],
    ),
    Lesson(
        "local-minimum",
        mark("Momentum leaves a local minimum"),
        mark(
            "Both start on the left. Plain descent stays in the first minimum, at −1.06; momentum rolls through it, "
            "over the hill, and into the deeper one at 1.97. Try: lower momentum's hyperparameter until it stays as "
            "well."
        ),
        "x^4/4 - x^3/3 - x^2 + 0.2x",
        (-2.0,),
        80,
        [Lane("sgd", 0.05), Lane("momentum", 0.05)],
    ),
    Lesson(
        "nesterov",
        mark("Nesterov looks ahead"),
        mark(
            "Both remember their last steps. Nesterov's takes the gradient where momentum leads (the dotted line), "
            "where the slope already points back; so it swings less. Try: move the cursor step by step and watch the "
            "arrows."
        ),
        "quadratic",
        (1.8, 0.9),
        40,
        [Lane("momentum(rate_inside=True)", 0.12), Lane("nesterov(lookahead=True)", 0.12)],
        arrows=1,
        at=2,
    ),
    Lesson(
        "scales",
        mark("A rate for each coordinate"),
        mark(
            "The slope at the start is five times as steep across as along. sgd goes where it is steep; rmsprop "
            "divides each coordinate by its own scale, so its first step goes as far along as across. Try: show the "
            "arrows of adam, and find what it takes from both."
        ),
        "quadratic",
        (1.8, 0.9),
        30,
        [Lane("sgd", 0.06), Lane("rmsprop", 0.05), Lane("adam", 0.3)],
        arrows=1,
        at=2,
    ),
    Lesson(
        "turned",
        mark("Turned by 45°: what scales for each coordinate cannot do"),
        mark(
            "The same valley as an axis-parallel one, turned by 45°. Rules with a rate for each coordinate see the "
            "same slope along both axes, so their advantage is gone. Try: choose quadratic(condition=20), which is not "
            "turned, and compare adagrad after 10 steps."
        ),
        "quadratic(condition=20, rotation=45)",
        (1.8, 0.9),
        60,
        [Lane("sgd", 0.09), Lane("adagrad", 0.5), Lane("rmsprop", 0.05), Lane("adam", 0.2)],
    ),
    Lesson(
        "correction",
        mark("Adam without bias correction: the first step"),
        mark(
            "Without correction the first step is (1 − β₁)/√(1 − β₂) = 3.16 times the rate, and the next ones are too "
            "large as well; with it, it is exactly the rate along each coordinate. Try: β₂ = 0.9, in the field beta2."
        ),
        "quadratic",
        (1.8, 0.9),
        20,
        [Lane("adam", 0.1), Lane("adam(bias_correction=False)", 0.1)],
        arrows=1,
        at=2,
    ),
    Lesson(
        "falling",
        mark("A rate that falls in mid-run"),
        mark(
            "Both swing at rate 0.19. One of them goes on at 0.1 from step 12 on, and its swinging ends with one step: "
            "0.1 is 1/λ across. Try: play, and move a rate while it runs; it holds from there on."
        ),
        "quadratic",
        (1.8, 0.9),
        30,
        [Lane("sgd", 0.19), Lane("sgd", 0.19, HAND, [(12, {"lr": 0.1})])],
    ),
    Lesson(
        "cliff",
        mark("A race down a ravine with a cliff, every rule tuned"),
        mark(
            "Who overshoots? Each rule has the best of the same 49 rates. Rules that accumulate gradients shoot past "
            "the minimum; rules with a rate for each coordinate go along the ravine from the first step on. Try: move "
            "the start, see the rates no longer fit, and tune all again."
        ),
        "ravine",
        (-4.5, 1.5),
        60,
        [Lane(name, None, TUNED) for name in CLASSIC],
        at=25,
    ),
)
