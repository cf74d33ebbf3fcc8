"""What a descent leaves behind: every point, loss, gradient and state, by start, optimizer, rate and step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import escape

from ..errors import SurfaceError
from ..formulas import Formula
from ..language import say
from ..schedules import Schedule
from ..unknown import unknown
from .surface import Surface

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


RISES = 3  # steps in a row that say more than chance


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """The points that rules visit on a surface; made by `tw.descend`.

    The arrays named ``all_…`` have every axis: (starts, optimizers, rates, steps + 1, …); the ones without have lost
    those of length 1, the dimensions' too. Step 0 is the start. A path diverges when its loss is no longer a
    finite number, or when it is a million times the drawn width away; from that step on its values are NaN.

    Attributes:
        surface: of the descents.
        formulas: the rules, in the order of the second axis.
        rates: (optimizers, rates), the learning rates.
        schedule, noise, seed: as they were given.
        fairness: in words, how the rates were chosen.
        all_points: (starts, optimizers, rates, steps + 1, dimensions).
        all_losses: (starts, optimizers, rates, steps + 1), without the noise.
        all_gradients: like `all_points`; what the rule is given at each step, with the noise.
        all_looks: like `all_points`; where that gradient is taken: for lookahead rules ahead of the point.
        all_diverged: (starts, optimizers, rates) the step at which a path diverged, or −1.
        all_rates: (optimizers, rates, steps), the rate of each step under the schedule.
        all_states: optimizer → state → (starts, rates, steps + 1, dimensions), before each step.
    """

    surface: Surface
    formulas: tuple[Formula, ...]
    rates: np.ndarray
    schedule: Schedule
    noise: float
    seed: int
    fairness: str
    all_points: np.ndarray
    all_losses: np.ndarray
    all_gradients: np.ndarray
    all_looks: np.ndarray
    all_diverged: np.ndarray
    all_rates: np.ndarray
    all_states: Mapping[str, Mapping[str, np.ndarray]]

    def __repr__(self) -> str:
        starts, optimizers, rates, steps, _ = self.all_points.shape
        return f"<Path on {self.surface}: starts {starts} × optimizers {optimizers} × rates {rates}, {steps - 1} steps>"

    def _repr_html_(self) -> str:
        starts, optimizers, rates, steps, _ = self.all_points.shape
        words = say(
            "Path on {surface}: starts {starts} × optimizers {optimizers} × rates {rates}, {steps} steps",
            surface=self.surface,
            starts=starts,
            optimizers=optimizers,
            rates=rates,
            steps=steps - 1,
        )
        return f"<p>{escape(words)}</p>{self.table().to_html(index=False, na_rep='')}"

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The rules' labels, such as ``adam(beta2=0.99)``."""
        return tuple(rule.label for rule in self.formulas)

    @property
    def starts(self) -> np.ndarray:
        """(starts, dimensions)."""
        return self.all_points[:, 0, 0, 0]

    @property
    def steps(self) -> int:
        return self.all_points.shape[3] - 1

    @property
    def points(self) -> np.ndarray:
        """(starts, optimizers, rates, steps + 1, dimensions), without the axes of length 1."""
        return self.all_points.squeeze()

    @property
    def losses(self) -> np.ndarray:
        """(starts, optimizers, rates, steps + 1), without the axes of length 1."""
        return self.all_losses.squeeze()

    @property
    def gradients(self) -> np.ndarray:
        """Shaped like `points`: what the rule is given at each step."""
        return self.all_gradients.squeeze()

    @property
    def looks(self) -> np.ndarray:
        """Shaped like `points`: where that gradient is taken."""
        return self.all_looks.squeeze()

    @property
    def updates(self) -> np.ndarray:
        """Shaped like `points` with one step less: what each step adds to the point."""
        return np.diff(self.all_points, axis=3).squeeze()

    @property
    def diverged(self) -> np.ndarray:
        """(starts, optimizers, rates), without the axes of length 1: the step of divergence, or −1."""
        return self.all_diverged.squeeze()

    @property
    def rising(self) -> np.ndarray:
        """(starts, optimizers, rates): whether the loss rises with every one of at least `RISES` steps.

        Such a path diverges too, even where its numbers are still far from infinite: at a rate that is a little
        too high for x², each step overshoots by more than the one before.

        >>> import thalweg as tw
        >>> tw.descend("x^2 - 4x + 6", start=4.0, lr=[0.2, 1.0, 1.1], steps=10).rising.tolist()
        [[[False, False, True]]]
        """
        if self.steps < RISES:
            return np.zeros(self.all_diverged.shape, dtype=bool)
        return np.array((np.diff(self.all_losses) > 0).all(axis=-1))  # False from the first NaN on

    def states(self, optimizer: str) -> dict[str, np.ndarray]:
        """What a rule remembers before each step, by state: (starts, rates, steps + 1, dimensions), squeezed.

        Raises:
            SurfaceError: the path has no such optimizer.
        """
        if optimizer not in self.all_states:
            raise SurfaceError(unknown("optimizer of this path", optimizer, self.all_states))
        return {name: values.squeeze() for name, values in self.all_states[optimizer].items()}

    def picture(self, kind: str | None = None, *, title: str = "", said: str = "", **more: Any) -> go.Figure:
        """The paths drawn: a Plotly figure, which `thalweg.pictures.files.write` puts into a file.

        Args:
            kind: ``curve`` (one variable; a panel for each rate), ``levels`` (two; a panel for each rate),
                ``surface`` (a sheet in space), ``race`` (moves), ``arrows`` (what is in a step), ``lookahead``
                (where momentum leads) or ``losses``; unless given, the first of these that fits.
            title: the surface's name unless given.
            said: a sentence added to the note on rates, steps and start, such as how rates were tuned.
            more: ``at``, the steps that arrows and lookahead show.

        Raises:
            SurfaceError: an unknown kind, or one for another number of variables.

        >>> import thalweg as tw
        >>> path = tw.descend("ravine", optimizer=["sgd", "adam"], lr=0.1, steps=20)
        >>> path.picture().layout.title.subtitle.text
        'the same rates for all: rate 0.1; 20 steps from (−4.5, 1.5).'
        """
        from ..pictures.paths import path_picture

        try:
            return path_picture(self, kind, title=title, said=said, **more)
        except ValueError as error:
            raise SurfaceError(str(error)) from error

    def table(self) -> pd.DataFrame:
        """One row per path: start, optimizer, lr, end, the losses there, the step of divergence (or NA), and `rising`.

        >>> import thalweg as tw
        >>> path = tw.descend("x**2 - 4*x + 6", start=4.0, optimizer="gradient_descent", lr=[0.2, 1.1], steps=10)
        >>> path.table()[["lr", "end_x", "loss"]].round(4)
            lr    end_x      loss
        0  0.2   2.0121    2.0001
        1  1.1  14.3835  155.3504
        """
        import pandas as pd

        starts, optimizers, rates = self.all_diverged.shape
        s, o, r = (i.ravel() for i in np.indices((starts, optimizers, rates)))
        last = np.where(self.all_diverged[s, o, r] < 0, self.steps, self.all_diverged[s, o, r] - 1)
        ends = self.all_points[s, o, r, last]
        diverged = self.all_diverged[s, o, r]
        columns = {f"start_{v}": self.starts[s, k] for k, v in enumerate(self.surface.variables)}
        columns |= {"optimizer": np.array(self.optimizers, dtype=object)[o], "lr": self.rates[o, r]}
        columns |= {f"end_{v}": ends[:, k] for k, v in enumerate(self.surface.variables)}
        columns |= {"first_loss": self.all_losses[s, o, r, 0], "loss": self.all_losses[s, o, r, last]}
        columns |= {"diverged": pd.array(diverged, dtype="Int64"), "rising": self.rising[s, o, r]}
        return pd.DataFrame(columns).replace({"diverged": -1}, pd.NA)

    def steps_table(self) -> pd.DataFrame:
        """One row per step of each path: where it stands, the loss and gradient there, and what the step adds.

        Columns: the number of the start, optimizer, lr, step; each variable; loss; ``gradient_…``, what the rule is
        given, with the noise, for a look-ahead rule taken ahead of the point; ``update_…``, what is added to the
        variable; and rate, that of this step under the schedule. The last row of a path has no update. A path that
        diverges ends before that.

        >>> import thalweg as tw
        >>> path = tw.descend("x^2 - 4x + 6", start=4.0, optimizer="gradient_descent", lr=0.2, steps=2)
        >>> path.steps_table()[["step", "x", "loss", "gradient_x", "update_x"]].round(4)
           step     x    loss  gradient_x  update_x
        0     0  4.00  6.0000        4.00     -0.80
        1     1  3.20  3.4400        2.40     -0.48
        2     2  2.72  2.5184        1.44       NaN
        """
        import pandas as pd

        count = (*self.all_diverged.shape, self.steps + 1)
        s, o, r, k = (i.ravel() for i in np.indices(count))
        ends = np.where(self.all_diverged < 0, self.steps + 1, self.all_diverged)
        s, o, r, k = (i[k < ends[s, o, r]] for i in (s, o, r, k))
        updates = np.full_like(self.all_points, np.nan)
        updates[..., :-1, :] = np.diff(self.all_points, axis=3)
        rates = np.concatenate([self.all_rates, np.full((*self.rates.shape, 1), np.nan)], axis=-1)
        columns: dict[str, Any] = {"start": s, "optimizer": np.array(self.optimizers, dtype=object)[o]}
        columns |= {"lr": self.rates[o, r], "step": k}
        columns |= {v: self.all_points[s, o, r, k, d] for d, v in enumerate(self.surface.variables)}
        columns |= {"loss": self.all_losses[s, o, r, k]}
        for name, values in (("gradient", self.all_gradients), ("update", updates)):
            columns |= {f"{name}_{v}": values[s, o, r, k, d] for d, v in enumerate(self.surface.variables)}
        return pd.DataFrame(columns | {"rate": rates[o, r, k]})
