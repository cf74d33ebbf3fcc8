"""Every class goes where torch.optim's goes, takes its arguments, and its state_dicts both ways."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.kernels import torch_ref

from ..cases import mostly_slow
from .models import ADAFACTOR, EACH, OPTIONS, OWN, OWN_BEYOND, close, network, train, weights

EVERY_TORCH = {**OPTIONS, "Adafactor": ADAFACTOR}  # Muon, which takes matrices alone, has a file of its own
EVERY = [*EVERY_TORCH, *OWN, *OWN_BEYOND]
FEW = ("SGD", "AdamW")
PAIRS = [*EACH, *(("Adafactor", options) for options in ADAFACTOR)]
SLOW = [pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS if pair[0] not in FEW]
each = pytest.mark.parametrize(("name", "options"), [*(pair for pair in PAIRS if pair[0] in FEW), *SLOW], ids=str)
torchs = pytest.mark.parametrize("name", EVERY_TORCH)


def both(name: str) -> tuple[Any, Any]:
    return getattr(tw.optim, name), getattr(torch.optim, name)


@pytest.mark.share(of=2)
@each
@pytest.mark.usefixtures("doubles")
def test_the_path_is_torchs(name: str, options: dict[str, Any]) -> None:
    ends, losses = [], []
    for kind in both(name):
        model = network()
        losses.append(train(model, kind(model.parameters(), **options), 20))
        ends.append(weights(model))
    assert close(*ends)
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert not close(weights(network()), ends[1], 1e-4), "a path that stands still proves nothing"


@each
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_state_dict_goes_on_in_the_other(name: str, options: dict[str, Any], ours_first: bool) -> None:
    first, second = both(name) if ours_first else both(name)[::-1]
    model, whole = network(), network()
    begun = first(model.parameters(), **options)
    train(model, begun, 10)
    taken_up = second(model.parameters(), lr=12.3)
    taken_up.load_state_dict(copy.deepcopy(begun.state_dict()))
    train(model, taken_up, 10, start=10)
    train(whole, second(whole.parameters(), **options), 20)
    assert close(weights(model), weights(whole))


@pytest.mark.share(of=2)
@pytest.mark.parametrize("name", mostly_slow(EVERY_TORCH, *FEW))
def test_states_have_torchs_names_shapes_and_dtypes(name: str) -> None:
    for options in EVERY_TORCH[name]:
        states = []
        for kind in both(name):
            model = network(torch.float32)
            optimizer = kind(model.parameters(), **options)
            train(model, optimizer, 2)
            states.append(optimizer.state_dict()["state"])
        ours, theirs = (
            {
                k: {n: (v.shape, v.dtype) for n, v in s.items() if v is not None and n != "mu_product"}
                for k, s in x.items()
            }
            for x in states
        )
        assert {k: s for k, s in ours.items() if s} == {k: s for k, s in theirs.items() if s}
        for kept in states[0].values():  # one number for a tensor, as in torch, and in float64
            assert "mu_product" not in kept or kept["mu_product"].shape == ()


@torchs
def test_arguments_are_torchs(name: str) -> None:
    ours, theirs = (list(inspect.signature(kind).parameters.values()) for kind in both(name))
    whole = {"max_norm", "clip_value", "ema_decay", "zero_grad", "state_dtype", "stochastic_rounding"}
    assert [(p.name, p.default, p.kind) for p in ours if p.name not in whole] == [
        (p.name, p.default, p.kind) for p in theirs
    ]
    for wrong in (
        {"lr": -1.0},
        {"eps": -1.0},
        {"weight_decay": -0.1},
        {"betas": (1.0, 0.9)},
        {"rho": 2.0},
        {"momentum": -0.5},
        {"alpha": -1.0},
        {"etas": (1.5, 1.2)},
        {"lr": torch.ones(2)},
        {"eps": (-1.0, 1e-3)},
        {"eps": (None, -1.0)},
        {"d": 0.5},
        {"beta2_decay": 0.1},
    ):
        if name == "Adafactor" and isinstance(wrong.get("eps"), float):
            continue  # of which it has two
        if isinstance(wrong.get("eps"), tuple) and name != "Adafactor":
            continue
        if "alpha" in wrong and name == "ASGD":
            continue  # which has any
        if wrong.keys() <= {p.name for p in theirs}:
            with pytest.raises(ValueError) as torch_says:
                both(name)[1](network().parameters(), **wrong)
            with pytest.raises(UsageError) as we_say:
                both(name)[0](network().parameters(), **wrong)
            assert str(we_say.value)[:12] == str(torch_says.value)[:12]


def test_what_torch_takes_is_taken() -> None:
    for kind in both("SGD"):
        kind(network().parameters(), lr=0.0, momentum=1.5, dampening=-1.0)
    for kind in both("ASGD"):
        kind(network().parameters(), alpha=3.0)
    tw.optim.Prodigy(network().parameters(), growth_rate=0.0)  # as absent


def test_what_cannot_be_meant_is_refused() -> None:
    params = list(network().parameters())
    with pytest.raises(UsageError, match="Nesterov momentum requires a momentum and zero dampening"):
        tw.optim.SGD(params, nesterov=True)
    with pytest.raises(UsageError, match=r"capturable=True is not available: leave it out, or use torch\.optim"):
        tw.optim.Adam(params, capturable=True)
    with pytest.raises(UsageError, match="differentiable=True is not available"):
        tw.optim.SGD(params, differentiable=True)
    with pytest.raises(UsageError, match="eps of adam is '1'; give a number"):
        tw.optim.from_formula("adam")(params, eps="1")
    with pytest.raises(UsageError, match=r"beta1 of adam is 2\.0; give a number of at least 0 and below 1"):
        tw.optim.from_formula("adam")(params, beta1=2.0)
    with pytest.raises(UsageError, match="max_grad_norm of lamb is 0; give a number above 0"):
        tw.optim.LAMB(params, max_grad_norm=0)
    with pytest.raises(UsageError, match=r"growth_rate of prodigy is 0\.5; give a number of at least 1"):
        tw.optim.Prodigy(params, growth_rate=0.5)
    with pytest.raises(UsageError, match="every of soap is 0; give a whole number of at least 1"):
        tw.optim.SOAP(params, every=0)
    with pytest.raises(UsageError, match="lookahead and change_of_variables are different forms"):
        tw.optim.from_formula("nesterov")(params, lookahead=True, change_of_variables=True)


NOT_NUMBERS = {
    "Prodigy(betas=0.9)": r"betas of Prodigy is 0\.9; give 2 numbers, such as \(0\.9, 0\.999\)\.",
    "Prodigy(betas=(0.9,))": r"betas of Prodigy is \(0\.9,\); give 2 numbers",
    "Adam(betas=None)": "betas of Adam is None; give 2 numbers",
    "Adan(betas=(0.9, 'x', 0.9))": r"betas of Adan is \(0\.9, 'x', 0\.9\); give 3 numbers",
    "Adafactor(eps=(1e-3, None))": r"eps of Adafactor is \(0\.001, None\); give 2 numbers, such as \(None, 0\.001\)",
    "Adafactor(lr='x')": "lr of Adafactor is 'x'; give a number",
    "SGD(momentum='x')": "momentum of SGD is 'x'; give a number",
    "Adam(lr=None)": "lr of Adam is None; give a number",
    "from_formula('lion')(lr=[1])": r"lr of lion is \[1\]; give a number",
    "AdamW(max_norm='x')": "Invalid max_norm: x; it must be above 0",
    "AdamW(ema_decay='x')": r"Invalid ema_decay: x; it must be in \[0, 1\)",
}


@pytest.mark.parametrize("call", NOT_NUMBERS)
def test_what_is_not_a_number_is_refused(call: str) -> None:
    with pytest.raises(UsageError, match=NOT_NUMBERS[call]):
        eval(f"tw.optim.{call[:-1]}, params=params)", {"tw": tw, "params": [*network().parameters()]})


def test_what_is_not_a_number_in_a_group_is_refused() -> None:
    first, *rest = network().parameters()
    with pytest.raises(UsageError, match=r"betas of Adam is 0\.9; give 2 numbers"):
        tw.optim.Adam([{"params": rest, "betas": 0.9}])
    optimizer = tw.optim.Adam(rest)
    with pytest.raises(UsageError, match="lr of Adam is 'x'; give a number"):
        optimizer.add_param_group({"params": [first], "lr": "x"})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("SOAP", "precondition_frequency", "did you mean every? Known: lr, betas, shampoo_beta, eps,"),
        ("Shampoo", "max_preconditioner_dim", "did you mean max_dim? Known: lr, momentum, weight_decay, eps, every,"),
        ("Adam", "beta", "did you mean betas? Known: lr, betas, eps, weight_decay, amsgrad, foreach,"),
        ("AdamW", "zero_grads", "did you mean zero_grad or amsgrad? Known: lr, betas,"),
        ("SGD", "closure_of", "known: lr, momentum,"),
    ],
)
def test_an_argument_that_a_class_lacks_is_refused_with_those_it_has(name: str, given: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:  # as Python's own calls do
        getattr(tw.optim, name)(network().parameters(), **{given: 1})
    assert str(caught.value).startswith(f"'{given}' is not an argument of {name}")
    assert hint in str(caught.value)


@pytest.mark.parametrize("name", ["SAM", "Lookahead", "cautious"])
def test_what_goes_around_another_says_how_it_is_made(name: str) -> None:
    with pytest.raises(AttributeError, match=f"{name} goes around another optimizer, such as adamw: write ") as caught:
        getattr(tw.optim, name)
    written = str(caught.value).partition("write ")[2].partition(" in place of")[0]
    eval(written, {"tw": tw, "params": [*network().parameters()]})


def test_a_class_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(AttributeError, match=r"'Adamw' is not an optimizer of .*: did you mean AdamW"):
        tw.optim.Adamw  # noqa: B018
    assert not hasattr(tw.optim, "__wrapped__")


@pytest.mark.parametrize("name", OWN)
def test_classes_that_torch_has_not_follow_their_formula(name: str) -> None:
    formula, options = tw.formulas.get(OWN[name]), {}
    if name == "SignSGD":
        formula, options = formula.with_(momentum=0.9), {"momentum": 0.9}
    w = nn.Parameter(torch.linspace(-1, 1, 9, dtype=torch.float64))
    optimizer = getattr(tw.optim, name)([w], lr=0.01, weight_decay=0.1, **options)
    expected = w.detach().clone()
    states = torch_ref.initial_states(formula, expected, {})
    for t in range(1, 8):
        w.grad = torch.cos(torch.arange(9.0, dtype=torch.float64) * t)
        optimizer.step()
        torch_ref.update(formula, expected, w.grad, states, t, {"lr": 0.01, "weight_decay": 0.1})
    assert close(w.detach(), expected, 1e-13)
    assert not close(w.detach(), torch.linspace(-1, 1, 9, dtype=torch.float64), 1e-3)


@pytest.mark.share(of=4)
@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_computed_in_single_and_rounded_once(name: str) -> None:
    rounded, single = (nn.Parameter(torch.linspace(-2, 2, 9).to(d)) for d in (torch.bfloat16, torch.float32))
    for w in (rounded, single):
        w.grad = torch.full((9,), 0.25, dtype=w.dtype)
        getattr(tw.optim, name)([w], lr=0.25).step()
    assert torch.equal(rounded, single.bfloat16())


@pytest.mark.share(of=4)
@pytest.mark.slow
@each
def test_half_precision_state_dicts_keep_their_dtype(name: str, options: dict[str, Any]) -> None:
    single = network(torch.float32)
    optimizer = getattr(tw.optim, name)(single.parameters(), **options)
    train(single, optimizer, 2)
    model = network(torch.bfloat16)
    taken_up = getattr(tw.optim, name)(model.parameters(), **options)
    taken_up.load_state_dict(optimizer.state_dict())
    train(model, taken_up, 1)
    for state in taken_up.state.values():
        assert {v.dtype for n, v in state.items() if n not in ("mu_product", "eta")} <= {torch.float32}


@pytest.mark.everyday(of=6)
@pytest.mark.share(of=4)
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("way", mostly_slow(["deepcopy", "pickle", "torch.save"], "torch.save"))
def test_copies_go_on_alike(name: str, way: str) -> None:
    def copied(thing: Any) -> Any:
        if way == "deepcopy":
            return copy.deepcopy(thing)
        if way == "pickle":
            return pickle.loads(pickle.dumps(thing))
        buffer = io.BytesIO()
        torch.save(thing, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=False)

    model = network()
    optimizer = getattr(tw.optim, name)(model.parameters(), ema_decay=0.9)
    train(model, optimizer, 3)
    other_model, other = copied((model, optimizer))
    assert type(other) is type(optimizer)
    train(model, optimizer, 3, start=3)
    train(other_model, other, 3, start=3)
    assert torch.equal(weights(model), weights(other_model))
    assert all(map(torch.equal, optimizer.ema_parameters(), other.ema_parameters()))


SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=25),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("tensor", [False, True])
def test_schedulers(name: str, schedule: str, tensor: bool) -> None:
    ends, options = [], {} if name == "Adam" else {"momentum": 0.9}
    for kind, lr in zip(both(name), (torch.tensor(0.02, dtype=torch.float64) if tensor else 0.02, 0.02), strict=True):
        model = network()
        optimizer = kind(model.parameters(), lr=lr, **options)
        scheduler = SCHEDULERS[schedule](optimizer)
        for k in range(20):
            train(model, optimizer, 1, start=k)
            scheduler.step()
        ends.append(weights(model))
    assert close(*ends, relative=1e-9)


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("tensor", [False, True])
def test_the_rate_of_asgd_follows_one_step_later_as_torchs(tensor: bool) -> None:
    """Warm-up, a jump, a rate given as a tensor, and states that change hands between all of these."""
    for options in OPTIONS["ASGD"]:
        ends = []
        for kinds in ([tw.optim.ASGD] * 4, [torch.optim.ASGD] * 4, [tw.optim.ASGD, torch.optim.ASGD] * 2):
            model = network()
            optimizer = kinds[0](model.parameters(), **options)
            for k in range(16):
                if k % 4 == 0:
                    saved = copy.deepcopy(optimizer.state_dict())
                    optimizer = kinds[k // 4](model.parameters(), **options)
                    optimizer.load_state_dict(saved)
                rate = 0.02 * (k + 1) if k < 5 else 0.3 / (k - 3)
                optimizer.param_groups[0]["lr"] = torch.tensor(rate) if tensor else rate
                train(model, optimizer, 1, start=k)
            ends.append(weights(model))
        assert close(ends[0], ends[1])
        assert close(ends[2], ends[1])


@pytest.mark.parametrize("name", ["AdamW", "NAdam", "RAdam"])
def test_where_a_decoupled_decay_departs_from_torchs(name: str) -> None:
    """w ← w + step: ∞ − ∞, where torch multiplies ∞ by 1 − lr·weight_decay. The formula says so."""
    ends = []
    for kind in both(name):
        w = nn.Parameter(torch.tensor([float("inf"), 1.0]))
        w.grad = torch.ones(2)
        options = {} if name == "AdamW" else {"decoupled_weight_decay": True}
        kind([w], lr=0.1, weight_decay=0.1, **options).step()
        ends.append(w.detach())
    assert ends[0][0].isnan()
    assert ends[1][0].isinf()
    assert torch.allclose(ends[0][1], ends[1][1])
    assert "becomes NaN at the next decay" in tw.formulas.get(name.lower()).departs


def test_every_class_is_documented() -> None:
    for name in tw.optim.__all__:
        assert len(inspect.getdoc(getattr(tw.optim, name)) or "") > 80, name
