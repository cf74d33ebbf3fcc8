"""The pictures in the order of the page, listed one by one."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..language import mark, say
from ..unknown import unknown
from . import concepts, kernels, networks, paths, samples, studies

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Picture:
    """One picture of the gallery.

    Attributes:
        name: as `thalweg picture` knows it.
        section: the part of the page it is in.
        make: gives the Plotly figure.
    """

    name: str
    section: str
    make: Callable[[], go.Figure]

    @property
    def words(self) -> str:
        """The caption: what there is to see."""
        return say(inspect.cleandoc(self.make.__doc__ or ""))

    @property
    def code(self) -> str:
        """The lines that make it: the imports they need, and the body of its function, `figure` for what it returns.

        >>> print(get("rule-table").code)
        from thalweg.gallery.computed import catalogue
        from thalweg.pictures.family import rule_table as table
        <BLANKLINE>
        figure = table(catalogue())
        """
        source = textwrap.dedent(inspect.getsource(self.make))
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef)
        used = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
        body = textwrap.dedent("\n".join(source.splitlines()[function.body[1].lineno - 1 :]))
        return "\n".join([*_imports(self.make, used), "", body.replace("return ", "figure = ", 1)])


def _imports(make: Callable[[], go.Figure], used: set[str]) -> Iterator[str]:
    """The imports of a function's file that bring a name it uses."""
    for node in ast.parse(inspect.getsource(inspect.getmodule(make) or make)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [name for name in node.names if (name.asname or name.name) in used]
            if node.names:
                yield ast.unparse(node)


_SECTIONS = {
    mark("Where losses come from"): (
        *(concepts.loss_from_likelihood, concepts.regression_losses),
        *(concepts.entropy, concepts.kullback_leibler),
    ),
    mark("The slope"): (concepts.secant_to_tangent,),
    mark("Going down"): (
        *(paths.steps_on_a_curve, paths.start_sensitivity, paths.rate_sensitivity_on_a_curve),
        *(
            paths.small_medium_large_rate,
            paths.loss_curves_of_rates,
            paths.batches_on_a_surface,
            paths.where_it_converges,
            paths.noise_and_falling_rates,
            paths.basins,
        ),
    ),
    mark("Momentum and what else is in a step"): (
        *(paths.momentum_in_a_ravine, paths.leaving_a_local_minimum, paths.nesterov_look_ahead),
        *(paths.what_is_in_a_step, paths.surface_to_turn),
    ),
    mark("Races"): (paths.race_in_a_ravine, paths.race_from_a_saddle),
    mark("Convolution"): (kernels.convolution, kernels.cross_correlation),
    mark("Samples"): (
        *(samples.cross_validation, samples.bias_variance_target, samples.bagging_and_boosting),
        *(samples.triplets, samples.mixed_images),
    ),
    mark("Training"): (
        *(studies.early_stopping, studies.rate_sensitivity),
        *(
            networks.under_and_overfitting,
            networks.bias_and_variance,
            networks.training_path,
            networks.sharp_and_flat_minima,
            samples.dropped_units,
            samples.alexnet_parameters,
        ),
    ),
    mark("The rules and their rates"): (concepts.family_tree, concepts.rule_table, concepts.schedules),
}
PICTURES: dict[str, Picture] = {
    name: Picture(name, section, make)
    for section, makers in _SECTIONS.items()
    for make in makers
    for name in [make.__name__.replace("_", "-")]
}


def names() -> list[str]:
    """All names, in the order of the page.

    >>> "entropy" in names()
    True
    """
    return list(PICTURES)


def get(name: str) -> Picture:
    """The picture of that name.

    Raises:
        UsageError: an unknown name.
    """
    key = name.strip().replace("_", "-")
    if key not in PICTURES:
        raise UsageError(unknown("picture", name, PICTURES))
    return PICTURES[key]
