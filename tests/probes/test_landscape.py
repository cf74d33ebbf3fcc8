"""Slices through a network's loss: what is known of them exactly, and that the network stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ProblemError, ThalwegError, UsageError
from thalweg.landscapes.slices import Slices, filter_normalised
from thalweg.pictures.style import WRAP
from thalweg.probes.landscape import Landscape
from thalweg.study.study import Study

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(90, 6, generator=GENERATOR, dtype=torch.float64)
TARGETS = torch.randn(90, 2, generator=GENERATOR, dtype=torch.float64)
IMAGES = torch.randn(90, 3, 6, 6, generator=GENERATOR)
CLASSES = torch.randint(4, (90,), generator=GENERATOR)


def linear() -> nn.Module:
    return nn.Linear(6, 2, dtype=torch.float64)


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(80, 4)
    )


LINE = tw.Problem(
    model=linear, train=(INPUTS, TARGETS), validation=(INPUTS, TARGETS), test=(INPUTS, TARGETS), loss="mse"
)
PICTURES = tw.Problem(model=normed, train=(IMAGES, CLASSES))


def made(model: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return model()


def trained(seed: int = 0, steps: int = 12) -> tuple[nn.Module, list[dict[str, Tensor]]]:
    """A network with norms, and the states it came by."""
    model = made(normed, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    states = [copy.deepcopy(model.state_dict())]
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(IMAGES), CLASSES).backward()
        optimizer.step()
        states.append(copy.deepcopy(model.state_dict()))
    return model, states


def mse(model: nn.Module) -> float:
    with torch.no_grad():
        return float(nn.functional.mse_loss(model(INPUTS), TARGETS))


def test_a_linear_network_has_a_quadratic_slice() -> None:
    """L(w + xd + ye) = L(w) + ∇L·(xd + ye) + ½ (xd + ye)ᵀ H (xd + ye), with H of the squared error, exactly."""
    model = made(linear, 0)
    found = tw.landscape(model, LINE, points=7, span=2.0)
    params = torch.nn.utils.parameters_to_vector(model.parameters()).detach()

    def loss(flat: Tensor) -> Tensor:
        weight, bias = flat[:12].reshape(2, 6), flat[12:]
        return (INPUTS @ weight.T + bias - TARGETS).square().mean()

    gradient = torch.autograd.functional.jacobian(loss, params)
    hessian = torch.autograd.functional.hessian(loss, params)
    assert isinstance(gradient, Tensor)
    assert isinstance(hessian, Tensor)
    ways = [torch.cat([d["weight"].flatten(), d["bias"]]) for d in found.directions]
    for row, y in enumerate(found.axes[1]):
        for column, x in enumerate(found.axes[0]):
            way = float(x) * ways[0] + float(y) * ways[1]
            expected = loss(params) + gradient @ way + way @ hessian @ way / 2
            assert found.losses[row, column] == pytest.approx(float(expected), rel=1e-10)
    assert found.ends == (pytest.approx(mse(model), rel=1e-12),)


def test_a_line_has_the_solutions_losses_at_its_ends() -> None:
    first, second = made(linear, 0), made(linear, 1)
    found = tw.landscape(first, LINE, to=second, points=9)
    (t,) = found.axes
    assert t[t == 0].size == t[t == 1].size == 1
    assert (t[0], t[-1], len(t)) == (-0.25, 1.25, 13)
    assert found.losses[t == 0] == pytest.approx(mse(first), rel=1e-12)
    assert found.losses[t == 1] == pytest.approx(mse(second), rel=1e-12)
    assert found.ends == (pytest.approx(mse(first)), pytest.approx(mse(second)))
    middle = copy.deepcopy(first)
    with torch.no_grad():
        for own, other in zip(middle.parameters(), second.parameters(), strict=True):
            own.add_(other).div_(2)
    assert found.losses[t == 0.5] == pytest.approx(mse(middle), rel=1e-12)
    assert found.barrier == 0  # a convex loss has none


def test_the_barrier() -> None:
    """Two mirror images of one solution: between them lies a network that says nothing."""

    class Product(nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self.a, self.b = (nn.Parameter(torch.tensor([sign], dtype=torch.float64)) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.a * self.b * x

    x = torch.ones(20, 1, dtype=torch.float64)
    problem = tw.Problem(model=lambda: Product(1.0), train=(x, x), loss="mse")
    found = tw.landscape(Product(1.0), problem, to=Product(-1.0).state_dict())
    t = found.axes[0]
    np.testing.assert_allclose(found.losses, ((1 - 2 * t) ** 2 - 1) ** 2, atol=1e-12)
    assert found.barrier == pytest.approx(1.0)
    assert "the barrier between the ends is 1" in found.note
    with pytest.raises(UsageError, match="a barrier lies between two solutions"):
        _ = tw.landscape(Product(1.0), problem, points=3).barrier


def test_filters_of_a_direction_have_the_norms_of_the_networks() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.BatchNorm2d(5),
        nn.ConvTranspose2d(5, 4, 2),
        nn.LayerNorm((4, 5, 5)),
        nn.Flatten(),
        nn.Linear(100, 7),
    )
    own = {n: p.detach() for n, p in model.named_parameters()}
    found = filter_normalised(model, list(own), seed=0)
    other = filter_normalised(model, list(own), seed=1)
    for name, across in {"0.weight": 0, "2.weight": 1, "5.weight": 0}.items():
        norms = [w.movedim(across, 0).flatten(1).norm(dim=1) for w in (own[name], found[name])]
        torch.testing.assert_close(*norms)
        cosine = torch.cosine_similarity(found[name].flatten(), other[name].flatten(), dim=0)
        assert abs(float(cosine)) < 0.35
    still = [n for n in own if n not in ("0.weight", "2.weight", "5.weight")]
    assert all(not found[n].any() for n in still)


def test_the_plane_of_a_path_is_scikit_learns() -> None:
    model, states = trained()
    found = tw.landscape(model, PICTURES, path=states, points=5)
    names = [n for n, _ in model.named_parameters()]
    matrix = torch.stack([torch.cat([s[n].flatten() for n in names]) for s in states]).double().numpy()
    theirs = PCA(2, svd_solver="full").fit(matrix)
    assert found.explained is not None
    assert found.path is not None
    assert found.projection_error is not None
    np.testing.assert_allclose(found.explained, theirs.explained_variance_ratio_, rtol=1e-6)
    ours = np.array([np.concatenate([d[n].double().numpy().ravel() for n in names]) for d in found.directions])
    np.testing.assert_allclose(abs(np.sum(ours * theirs.components_, axis=1)), 1, rtol=1e-6)
    np.testing.assert_allclose(ours @ ours.T, np.eye(2), atol=1e-6)
    away = matrix - matrix[-1]
    np.testing.assert_allclose(found.path, away @ ours.T, atol=1e-5)
    beside = np.linalg.norm(away - found.path @ ours, axis=1)[:-1] / np.linalg.norm(away, axis=1)[:-1]
    np.testing.assert_allclose(found.projection_error, [*beside, 0], atol=1e-5)
    assert (found.path[0] >= 0).all()
    assert found.path[-1].tolist() == [0, 0]
    for axis, values in zip(found.axes, found.path.T, strict=True):
        assert axis[0] < values.min() < values.max() < axis[-1]
    assert f"{found.explained.sum():.1%} of the path's variance" in found.note
    assert f"up to {beside.max():.0%} of their way" in found.note


def test_the_losses_on_a_path_are_those_of_its_points() -> None:
    model, states = trained()
    found = tw.landscape(model, PICTURES, path=states[:-1], points=3)  # the network itself is added
    inputs, targets = tw.prepare(PICTURES).validation
    assert found.path_losses is not None
    assert len(found.path_losses) == len(states)
    for state, value in zip(states, found.path_losses, strict=True):
        twin = normed().eval()
        twin.load_state_dict(state)
        with torch.no_grad():
            expected = float(nn.functional.cross_entropy(twin(inputs), targets))
        assert value == pytest.approx(expected, rel=1e-4)


def test_many_points_at_once_are_as_one_by_one() -> None:
    model, _ = trained()
    ready = tw.prepare(PICTURES)
    slices = Slices(model, ready.loss, *ready.validation)
    here = slices.here()
    points = [{n: t * (1 + 0.1 * k) for n, t in here.items()}.__getitem__ for k in range(11)]
    together = slices.losses(points)
    assert slices.batched
    slices.chunk = 4
    np.testing.assert_allclose(slices.losses(points), together, rtol=1e-5)
    np.testing.assert_allclose([slices._alone(point) for point in points], together, rtol=1e-4)


def test_a_model_that_cannot_be_batched_goes_point_by_point() -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = linear()

        def forward(self, x: Tensor) -> Tensor:
            out = self.layer(x)
            return out if float(out.detach().sum()) < 1e9 else -out

    torch.manual_seed(0)
    asking = Asking()
    found = tw.landscape(asking, LINE, points=3)
    plain = tw.landscape(asking.layer, LINE, points=3)
    assert (found.batched, plain.batched) == (False, True)
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-12)


@pytest.mark.parametrize("kind", ["random", "line", "path"])
def test_the_network_stays_as_it_was(kind: str) -> None:
    model, states = trained(steps=3)
    model[1].eval()  # pyright: ignore[reportIndexIssue]
    slope = [p.grad for p in model.parameters()]
    more = {"line": {"to": made(normed, 1)}, "path": {"path": states}}.get(kind, {})
    before, drawn = copy.deepcopy(model), torch.get_rng_state()
    tw.landscape(model, PICTURES, points=3, **more)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert all(p.grad is g for p, g in zip(model.parameters(), slope, strict=True))
    for (name, now), then in zip(model.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(now, then), name
    assert not any(m._forward_hooks for m in model.modules())


def test_norms_use_their_running_statistics_and_a_line_takes_them_along() -> None:
    (first, _), (second, _) = trained(0), trained(1)
    first[1].running_var.mul_(20)  # pyright: ignore[reportIndexIssue]
    found = tw.landscape(first, PICTURES, to=second, points=5)
    inputs, targets = tw.prepare(PICTURES).validation
    for place, model in ((0, first), (1, second)):
        with torch.no_grad():
            expected = float(nn.functional.cross_entropy(copy.deepcopy(model).eval()(inputs), targets))
        assert found.losses[found.axes[0] == place] == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(found.losses).all()  # beyond the ends no variance becomes negative


def test_what_does_not_train_stays() -> None:
    model = made(linear, 0)
    model.bias.requires_grad_(False)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    found = tw.landscape(model, LINE, points=3)
    assert [set(d) for d in found.directions] == [{"weight"}, {"weight"}]
    frozen = made(linear, 0).requires_grad_(False)
    np.testing.assert_allclose(tw.landscape(frozen, LINE, points=3).losses, found.losses)


def test_samples_are_drawn_and_stated() -> None:
    model = made(linear, 0)
    some, again, others = (tw.landscape(model, LINE, points=3, samples=20, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(some.losses, again.losses)
    assert some.ends != others.ends
    assert "20 of 90 validation samples at 3×3 points" in some.note
    whole = tw.landscape(model, LINE, points=3, part="train")
    assert "all 90 train samples" in whole.note
    assert whole.table().shape == (9, 3)
    assert whole.table()["loss"].tolist() == whole.losses.ravel().tolist()


def test_classes_with_weights_are_averaged_as_over_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.landscapes.slices.EVALUATION_BATCH", 7)
    loss = tw.losses.CrossEntropy(weight=torch.tensor([0.1, 1.0, 5.0, 2.0]))
    model = nn.Sequential(nn.Flatten(), made(lambda: nn.Linear(108, 4), 0))
    found = tw.landscape(model, tw.Problem(model=normed, train=(IMAGES, CLASSES), loss=loss), points=3)
    inputs, targets = tw.prepare(PICTURES).validation
    with torch.no_grad():
        assert found.losses[1, 1] == pytest.approx(float(loss(model(inputs), targets)), rel=1e-5)
        assert found.ends[0] == pytest.approx(float(loss(model(inputs), targets)), rel=1e-5)


@pytest.mark.slow
def test_members_of_a_study_are_those_of_the_study(tiny: Study) -> None:
    found = tiny.landscape(points=3)
    table = tiny.table()
    best = tiny.verdict.best
    assert found.kind == "path"
    assert found.path_losses is not None
    own = table[(table["stage"] == "confirmation") & (table["optimizer"] == best.optimizer)]
    curve = tiny.curves()
    member = own.sort_values("seed").iloc[0]["member"]
    curve = curve[(curve["member"] == member) & (curve["metric"] == "validation_loss")].sort_values("step")
    assert found.path_losses[-1] == pytest.approx(curve["value"].iloc[-1], rel=1e-5)
    steps = curve["step"].tolist()
    assert found.path_losses[steps[0]] == pytest.approx(curve["value"].iloc[0], rel=1e-5)  # every step is kept
    line = tw.landscape(tiny, to="sgd" if best.optimizer == "adam" else "adam", points=5)
    assert line.kind == "line"
    assert line.ends[0] == pytest.approx(found.path_losses[-1], rel=1e-6)
    assert line.losses[line.axes[0] == 0] == pytest.approx(line.ends[0], rel=1e-6)
    assert tw.landscape(tiny, kind="random", optimizer="sgd", points=3).name == "sgd on breast-cancer"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"problem": None}, "give problem="),
        ({"problem": "digitz"}, "did you mean digits"),
        ({"problem": "digits"}, "Linear fails on the inputs of digits"),
        ({"model": "net"}, "the model is of type str"),
        ({"kind": "pca"}, "the kind is 'pca'; give path, random or line"),
        ({"kind": "line"}, "give to=, the second one"),
        ({"kind": "path"}, "needs the path"),
        ({"kind": "random", "to": linear()}, "leave one of them out"),
        ({"to": nn.Linear(6, 3)}, r"has weight of shape \(3, 6\), and the network one of shape \(2, 6\)"),
        ({"to": nn.ReLU()}, "has no weight"),
        ({"to": 3}, "the second solution is of type int"),
        ({"path": [linear()]}, "spans fewer than two directions"),
        ({"path": [linear(), 3]}, "point 1 of the path is of type int"),
        ({"points": 2}, "points is 2; give a whole number of at least 3"),
        ({"samples": 0}, "samples is 0"),
        ({"span": 0}, "the span is 0; give a number above 0"),
        ({"part": "test"}, "the test part is for the last word alone"),
        ({"optimizer": "adam"}, "chooses a member of a study"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], sentence: str) -> None:
    arguments = {"model": made(linear, 0), "problem": LINE} | given
    with pytest.raises((UsageError, ProblemError), match=sentence):
        tw.landscape(**arguments)


def test_what_cannot_be_meant_of_a_study(tiny: Study) -> None:
    for given, sentence in (
        ({"optimizer": "lion"}, "'lion' is not among this study's optimizers"),
        ({"to": linear()}, "to= of a study is another optimizer's label"),
        ({"problem": "digits"}, "is not the one"),
    ):
        with pytest.raises(ThalwegError, match=sentence):
            tw.landscape(tiny, **given)


def test_pictures() -> None:
    model, states = trained(steps=4)
    found = tw.landscape(model, PICTURES, path=states, points=5)
    assert isinstance(found, Landscape)
    figure = found.picture()
    ground, *_ = figure.data
    np.testing.assert_allclose(ground.z, np.log10(found.losses))
    np.testing.assert_array_equal(figure.data[2].x, found.path[:, 0])  # pyright: ignore[reportOptionalSubscript]
    assert found.note in figure.layout.title.subtitle.text.replace(WRAP, " ").replace("&#x27;", "'")
    turned = found.picture(surface=True)
    np.testing.assert_allclose(turned.data[1].z, np.log10(found.path_losses))
    line = tw.landscape(model, PICTURES, to=states[0], points=5)
    np.testing.assert_array_equal(line.picture().data[0].y, line.losses)
