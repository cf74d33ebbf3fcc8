"""One step over many tensors: groups, missing gradients, layouts, hooks, closures, scalers."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import FormulaError, UsageError
from thalweg.kernels import numba_cpu

from .models import EACH, close, closure, network, train, weights


@tw.formula()
def heavy_ball(g, a, *, lr=0.1, beta=0.9):
    a = beta * a + g
    return tw.Update(-lr * a, a=a)


def gradients(params: list[torch.Tensor], k: int) -> None:
    for i, p in enumerate(params):
        p.grad = torch.sin(torch.arange(p.numel(), dtype=p.dtype) + i + k).reshape(p.shape)


def pair(shapes: list[tuple[int, ...]], dtype: torch.dtype = torch.float64) -> tuple[list, list]:
    def make() -> list:
        return [
            nn.Parameter(torch.linspace(-1, 1, 1 + i, dtype=dtype)[0] + torch.ones(s, dtype=dtype))
            for i, s in enumerate(shapes)
        ]

    return make(), make()


def follow(ours: Any, theirs: Any, a: list, b: list, steps: int = 4) -> None:
    for k in range(steps):
        gradients(a, k)
        gradients(b, k)
        ours.step()
        theirs.step()
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x, y, rtol=1e-12, atol=1e-14)
        assert not x.numel() or not torch.equal(x, torch.ones_like(x))


def test_groups_have_their_own_hyperparameters_and_forms() -> None:
    a, b = pair([(3,), (2, 2), (5,), (), (0,), (4, 0)])
    made = []
    for kind, p in ((tw.optim.SGD, a), (torch.optim.SGD, b)):
        groups = [
            {"params": p[:1], "lr": 0.5},
            {"params": p[1:2], "momentum": 0.9},
            {"params": p[2:3], "nesterov": True, "momentum": 0.8, "maximize": True},
        ]
        made.append(kind(groups, lr=0.1))
        made[-1].add_param_group({"params": p[3:], "weight_decay": 0.3})
    follow(*made, a, b)
    for optimizer in made:  # another form, another number and another direction take effect at once
        optimizer.param_groups[0]["momentum"] = 0.7
        optimizer.param_groups[1]["lr"] = 0.01
        optimizer.param_groups[2]["maximize"] = False
    follow(*made, a, b)


def test_a_tensor_rate_that_changes_in_place_takes_effect() -> None:
    a, b = pair([(3,)])
    rate = torch.tensor(0.1)
    ours, theirs = tw.optim.Adam(a, lr=rate), torch.optim.Adam(b, lr=float(rate))
    follow(ours, theirs, a, b)
    rate.mul_(0.5)
    theirs.param_groups[0]["lr"] = float(rate)
    follow(ours, theirs, a, b)


@pytest.mark.parametrize("name", ["Adam", "SGD", "Adagrad", "NAdam"])
def test_a_parameter_without_gradient_keeps_its_weight_and_its_step(name: str) -> None:
    a, b = pair([(3,), (4,), (2,)])
    options = {"momentum": 0.9, "dampening": 0.5} if name == "SGD" else {}
    ours, theirs = (getattr(m.optim, name)(p, lr=0.1, **options) for m, p in ((tw, a), (torch, b)))
    for k in range(7):
        for p in (a, b):
            gradients(p, k)
            for i in range(3):
                if (k + i) % 3 == 0:
                    p[i].grad = None
        ours.step()
        theirs.step()
    relative = 1e-6 if name == "NAdam" else 1e-12  # torch keeps NAdam's product in float32
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x, y, rtol=relative)
        if name != "SGD":
            assert ours.state[x]["step"] == theirs.state[y]["step"] < 7


def test_no_gradient_at_all_is_no_step() -> None:
    (w,), _ = pair([(3,)])
    optimizer = tw.optim.Adam([w])
    optimizer.step()
    assert not optimizer.state_dict()["state"]
    assert torch.equal(w, torch.ones_like(w) * w[0])


def layouts() -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    base = torch.linspace(-1, 1, 24)
    yield "transposed", base.reshape(4, 6).t(), torch.cos(base).reshape(6, 4)
    yield ("channels last", base.reshape(2, 3, 2, 2).to(memory_format=torch.channels_last), base.reshape(2, 3, 2, 2))
    yield "with gaps", base.reshape(4, 6)[:, ::2], torch.cos(base)[:12].reshape(4, 3)
    yield "gradient with gaps", base[:12].clone(), torch.cos(base)[::2]
    yield "gradient expanded", base[:12].clone(), torch.ones(1).expand(12)


@pytest.mark.parametrize(("layout", "start", "g"), list(layouts()), ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("zero", [False, True])
def test_layouts(layout: str, start: torch.Tensor, g: torch.Tensor, zero: bool) -> None:
    ends = []
    for kind, options in ((tw.optim.Adam, {"ema_decay": 0.5, "zero_grad": zero}), (torch.optim.Adam, {})):
        w = start.detach().as_strided(start.shape, start.stride()).clone(memory_format=torch.preserve_format)
        if layout == "with gaps":
            w = torch.zeros(4, 6)[:, ::2].copy_(start)
        w.requires_grad_()
        assert w.stride() == start.stride()
        optimizer = kind([w], lr=0.1, **options)
        for _ in range(3):
            w.grad = g.clone() if zero and layout == "gradient expanded" else copy.deepcopy(g)
            assert w.grad.stride() == g.stride() or zero
            optimizer.step()
        if kind is tw.optim.Adam and zero:
            assert not w.grad.any()
        ends.append(w.detach())
        assert optimizer.state[w]["exp_avg"].stride() == torch.zeros_like(w).stride()
    assert torch.allclose(*ends, rtol=1e-5, atol=1e-6)


def test_moved_weights_and_exchanged_states_are_noticed() -> None:
    a, b = pair([(3,), (4,)])
    ours, theirs = tw.optim.Adam(a, lr=0.1), torch.optim.Adam(b, lr=0.1)
    follow(ours, theirs, a, b)
    for p in (a, b):
        p[0].data = p[0].data.clone() + 1
    follow(ours, theirs, a, b)
    for optimizer, p in ((ours, a), (theirs, b)):
        optimizer.state[p[0]]["exp_avg"].data = torch.full_like(p[0], 0.2)
    follow(ours, theirs, a, b)
    for optimizer, p in ((ours, a), (theirs, b)):
        optimizer.state[p[1]]["exp_avg"] = torch.full_like(p[1], 0.3)
    follow(ours, theirs, a, b)
    for optimizer in (ours, theirs):
        optimizer.state.clear()
    follow(ours, theirs, a, b)


RELAID = {"transposed": lambda w: w.t(), "with gaps": lambda w: w.as_strided((4, 4), (8, 2))}


@pytest.mark.parametrize("relaid", RELAID)
@pytest.mark.usefixtures("doubles")
def test_weights_may_change_their_strides_where_they_lie(relaid: str) -> None:
    for name, options in EACH:
        ends = []
        for module in (tw.optim, torch.optim):
            w = nn.Parameter(torch.linspace(-1, 1, 32, dtype=torch.float64)[:16].reshape(4, 4))
            optimizer = getattr(module, name)([w], **options)
            for k in range(6):
                gradients([w], k)
                optimizer.step()
                if k % 2:
                    w.data = RELAID[relaid](w.data) if w.is_contiguous() else w.data.as_strided((4, 4), (4, 1))
            ends.append(w.detach())
        assert close(*ends, 1e-12), (name, options)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_weights_of_another_shape_in_the_same_place_are_refused(name: str) -> None:
    for module, error in ((tw.optim, UsageError), (torch.optim, RuntimeError)):
        w = nn.Parameter(torch.ones(4, 3))
        optimizer = getattr(module, name)([w])
        gradients([w], 0)
        optimizer.step()
        w.data = w.data.reshape(6, 2)
        before = w.detach().clone()
        with pytest.raises(error):
            optimizer.step()
        assert torch.equal(w, before)


def test_one_launch_for_all_groups_and_long_tensors_are_shared_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    launched, run = [], numba_cpu.Round.run
    monkeypatch.setattr(numba_cpu.Round, "run", lambda self: (launched.append(self.launches), run(self)))
    shapes = [(7,)] * 40 + [(200_001,)]
    a, b = pair(shapes)
    ours = tw.optim.AdamW([{"params": [p], "lr": 0.1 / (1 + i)} for i, p in enumerate(a)])
    theirs = torch.optim.AdamW([{"params": [p], "lr": 0.1 / (1 + i)} for i, p in enumerate(b)])
    follow(ours, theirs, a, b, steps=3)
    assert [len(jobs) for jobs in launched] == [1, 1, 1]
    assert len(launched[0][0].length) == 40 + 4
    equal = tw.optim.AdamW(a)
    gradients(a, 0)
    equal.step()
    assert len(launched[-1][0].arrays[4]) == 1  # one row for all tensors of a group


@pytest.mark.parametrize("kind", [tw.optim.SGD, torch.optim.SGD])
def test_autograd_notices_weights_that_changed_between_forward_and_backward(kind: Any) -> None:
    w = nn.Parameter(torch.ones(3))
    w.grad = torch.ones(3)
    loss = w.square().sum()
    kind([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_plan_is_kept() -> None:
    model = network()
    optimizer = tw.optim.Adam(model.parameters())
    train(model, optimizer, 2)
    kept = optimizer._plan
    optimizer.param_groups[0]["lr"] = 0.5
    train(model, optimizer, 3)
    assert optimizer._plan is kept


def test_hooks_see_each_step() -> None:
    model, seen = network(), []
    optimizer = tw.optim.Adam(model.parameters())
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.register_state_dict_post_hook(lambda o, d: seen.append("saved"))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    train(model, optimizer, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["before", "after", "saved", "loaded"]


def test_sparse_and_complex_are_refused_and_nothing_moves() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    before = table.weight.detach().clone()
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(UsageError, match=r"shape \(5, 2\) is sparse; .* use torch.optim.SparseAdam"):
        tw.optim.Adam(table.parameters()).step()
    assert torch.equal(before, table.weight)
    w = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    w.grad = torch.ones_like(w)
    with pytest.raises(UsageError, match=r"is complex; .*view_as_real"):
        tw.optim.SGD([w]).step()


@pytest.mark.parametrize("whole", [{}, {"max_norm": 0.5, "zero_grad": True}])
def test_grad_scaler(whole: dict[str, Any]) -> None:
    ends = []
    for kind in (tw.optim.Adam, torch.optim.Adam):
        model = network(torch.float32)
        optimizer = kind(model.parameters(), lr=0.01, **(whole if kind is tw.optim.Adam else {}))
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)
        for k in range(12):
            optimizer.zero_grad()
            with torch.no_grad():
                x, y = torch.sin(torch.arange(48.0) + k).reshape(8, 6), torch.ones(8, 3)
            scaler.scale((model(x) - y).square().mean()).backward()
            if k in (5, 6):
                next(model.parameters()).grad[0, 0] = float("inf")
            before = weights(model)
            if kind is torch.optim.Adam and whole:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
            assert torch.equal(before, weights(model)) is (k in (5, 6))
        assert optimizer.state[next(model.parameters())]["step"] == 10
        ends.append((weights(model), scaler.get_scale()))
    assert close(ends[0][0], ends[1][0], 1e-5)
    assert ends[0][1] == ends[1][1] == 2.0**8


def test_a_rule_of_ones_own() -> None:
    kind = tw.optim.from_formula(heavy_ball)
    ours, theirs = network(), network()
    train(ours, kind(ours.parameters(), lr=0.05), 20)
    train(theirs, torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9), 20)
    assert close(weights(ours), weights(theirs))
    optimizer = kind(ours.parameters(), beta=0.5)
    train(ours, optimizer, 2)
    copied = pickle.loads(pickle.dumps(optimizer))
    assert type(copied).__name__ == "heavy_ball"
    assert copied.param_groups[0]["beta"] == 0.5
    assert copied.state_dict()["state"][0]["a"].equal(optimizer.state_dict()["state"][0]["a"])
    changed = tw.optim.from_formula(heavy_ball.with_(beta=0.3))(ours.parameters())
    assert pickle.loads(pickle.dumps(changed)).defaults["beta"] == 0.3


def test_a_formula_that_cannot_be_found_again_says_so() -> None:
    @tw.formula()
    def inner(g, *, lr=0.1):
        return tw.Update(-lr * g)

    with pytest.raises(pickle.PicklingError, match=r"inner is not found in .*: declare the formula at the top"):
        pickle.dumps(tw.optim.from_formula(inner)(network().parameters()))


def test_options_of_a_formula_are_arguments() -> None:
    model, other = network(), network()
    train(model, tw.optim.from_formula("rmsprop")(model.parameters(), momentum=0.8, centered=True, eps=1e-3), 9)
    train(other, tw.optim.RMSprop(other.parameters(), momentum=0.8, centered=True, eps=1e-3), 9)
    assert close(weights(model), weights(other), 1e-14)
    without = tw.optim.from_formula(tw.formulas.get("rmsprop(momentum=0.8)"))(model.parameters(), momentum=None)
    train(model, without, 1)
    assert "b" not in without.state_dict()["state"][0]


def test_a_name_that_every_optimizer_needs_is_refused() -> None:
    @tw.formula()
    def clipped(g, *, lr=0.1, max_norm=1.0):
        return tw.Update(-lr * g * max_norm)

    with pytest.raises(FormulaError, match="max_norm is an argument of every optimizer"):
        tw.optim.from_formula(clipped)


def test_a_rule_that_reads_the_loss_needs_a_closure() -> None:
    model = network()
    optimizer = tw.optim.from_formula("halving")(model.parameters(), lr=0.4)
    closure(model, optimizer, 0)()
    with pytest.raises(UsageError, match="halving reads the loss: give step a closure"):
        optimizer.step()
    same = [optimizer.step(closure(model, optimizer, 0)).item() for _ in range(4)]
    falls = sum(b < a for a, b in itertools.pairwise(same))
    assert falls > 0
    scales = {float(s["scale"].flatten()[0]) for s in optimizer.state.values()}
    assert scales == {0.5**falls}


def test_a_rule_that_looks_ahead_takes_its_gradient_there() -> None:
    ahead, shifted = network(), network()
    optimizer = tw.optim.from_formula("nesterov")(ahead.parameters(), lr=0.05, lookahead=True)
    with pytest.raises(UsageError, match="takes its gradient ahead of the weights: give step a closure"):
        optimizer.step()
    velocity = [torch.zeros_like(p) for p in shifted.parameters()]
    plain = torch.optim.SGD(shifted.parameters())
    for k in range(6):
        train(ahead, optimizer, 1, start=k)
        with torch.no_grad():
            for p, v in zip(shifted.parameters(), velocity, strict=True):
                p.add_(0.9 * v)
        closure(shifted, plain, k)()
        with torch.no_grad():
            for p, v in zip(shifted.parameters(), velocity, strict=True):
                p.sub_(0.9 * v)
                v.mul_(0.9).sub_(0.05 * p.grad)
                p.add_(v)
    assert close(weights(ahead), weights(shifted))


@pytest.mark.parametrize("name", ["LAMB", "Prodigy", "Adafactor", "Muon", "SOAP"])
def test_what_is_kept_from_step_to_step_changes_nothing(name: str) -> None:
    """Against an optimizer that is made anew for every step; rates, threads and what has a gradient change."""
    shapes = [(6, 4), (4, 6), (5, 5), (6, 4)] + ([] if name == "Muon" else [(7,), ()])
    draw, threads = torch.Generator().manual_seed(0), torch.get_num_threads()
    begun = [torch.randn(shape, generator=draw) for shape in shapes]
    one, other = ([w.clone().requires_grad_() for w in begun] for _ in range(2))
    kept = getattr(tw.optim, name)(one, lr=0.01)
    state = kept.state_dict()
    try:
        for step in range(8):
            anew = getattr(tw.optim, name)(other, lr=0.01)
            anew.load_state_dict(state)
            for optimizer in (kept, anew):
                optimizer.param_groups[0]["lr"] = 0.01 * (1 + step % 3)
            for k, (a, b) in enumerate(zip(one, other, strict=True)):
                missing = k == 1 and step == 5 and name != "Prodigy"
                a.grad = None if missing else torch.randn(a.shape, generator=draw)
                b.grad = None if a.grad is None else a.grad.clone()
            torch.set_num_threads(1 + step % 2)
            kept.step()
            anew.step()
            state = copy.deepcopy(anew.state_dict())
            for a, b in zip(one, other, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0)
    finally:
        torch.set_num_threads(threads)


@tw.formula()
def remembering(g, w, a, b, before, *, lr=0.1):
    """States that take the old values of another state and of the weight, in a rule that looks at its tensor."""
    return tw.Update(-lr * g / (norm(g) + 1) + 0.1 * (b - before), a=g, b=a, before=w)  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_states_take_old_values_wherever_they_lie(dtype: torch.dtype) -> None:
    dense, gaps = torch.ones(3, 2, dtype=dtype), torch.ones(3, 4, dtype=dtype)[:, ::2]
    each = []
    for start in (dense, gaps):
        p = nn.Parameter(start)
        optimizer = tw.optim.from_formula(remembering)([p])
        for k in (1.0, 2.0, 3.0):
            before, p.grad = p.detach().clone(), torch.full_like(p, k)
            optimizer.step()
        state = optimizer.state[p]
        assert (state["a"] == 3).all()
        assert (state["b"] == 2).all()
        assert torch.equal(state["before"], before)
        each.append(p.detach().float())
    assert torch.allclose(*each)


@tw.formula()
def counting(g, t, scale, d, m, *, lr=0.1):
    """One state is known before the step, one is of the whole model, one of each weight."""
    d = d + total(g**2)  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
    return tw.Update(-lr * m / (1 + d), scale=scale + 1 / t, d=d, m=m + scale * g)


def test_a_number_of_the_model_beside_one_that_is_known_before_the_step() -> None:
    params, _ = pair([(3, 2), (4,)])
    optimizer = tw.optim.from_formula(counting)(params)
    for _ in range(2):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert [float(optimizer.state[p][name].max()) for p in params for name in ("scale", "d", "m")] == 2 * [1.5, 20, 1]
