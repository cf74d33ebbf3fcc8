"""What a user gives as ``groups=``: all forms mean the same, and every mistake has its sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from thalweg import formulas
from thalweg.errors import PlanError
from thalweg.plan.groups import NO_DECAY, resolved
from thalweg.population.groups import Freezing, ParameterGroups


class RMSNorm(nn.Module):
    """A user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.body = nn.LSTM(4, 4)
        self.own = RMSNorm()
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embed.weight
        self.still = nn.Linear(4, 4).requires_grad_(False)


NET = Net()
TRAINING = [name for name, p in NET.named_parameters() if p.requires_grad]
RULES = [formulas.get("adamw"), formulas.get("sgd"), formulas.get("adagrad")]


def made(params: Any, lr: float) -> Optimizer:
    return torch.optim.AdamW(params, lr=lr)


def groups(given: Any, rules: Any = RULES, model: nn.Module = NET) -> ParameterGroups:
    settled = resolved(given, model, rules)
    assert settled is not None
    return settled


def test_no_decay_on_biases_and_norms() -> None:
    """Biases by their names, also those of LSTMs; norms by their class, also a user's own."""
    settled = groups(NO_DECAY)
    (group,) = settled.groups
    assert set(group.names) == {"body.bias_ih_l0", "body.bias_hh_l0", "own.scale", "head.bias"}
    assert (group.values, group.factors, settled.others) == ({"weight_decay": 0.0}, {}, 3)
    assert settled.label == NO_DECAY
    assert groups("No Decay on Norms and Biases") == settled
    assert settled.sentence == (
        "Parameter groups (no decay on biases and norms): weight_decay 0 for 4 parameters; "
        "the optimizer's own numbers for 3 parameters. They change nothing for sgd, adagrad."
    )
    tuned = resolved(NO_DECAY, NET, RULES, ["weight_decay"])
    assert tuned is not None
    assert tuned.idle == groups("head.*: rate_factor=2").idle == groups("head.*: frozen").idle == ()


def test_patterns_text_and_functions_mean_the_same(tmp_path: Path) -> None:
    table = {
        "*.bias": {"weight_decay": 0},
        "head.*": {"rate_factor": 10, "betas": (0.8, 0.9)},
        "body.*": {"frozen": True},
    }
    file = tmp_path / "mine.py"
    file.write_text(
        "def split(model):\n"
        "    tied = {'rate_factor': 10.0, 'beta1': 0.8, 'beta2': 0.9}\n"
        "    return [\n"
        "        {'params': model.head.weight, **tied},\n"
        "        {'params': [model.head.bias], **tied, 'weight_decay': 0.0},\n"
        "        {'params': model.body.parameters(), 'frozen': True},\n"
        "        {'params': [model.own.scale]},\n"
        "    ]\n"
    )
    first = groups(table)
    assert first.frozen == tuple(name for name in TRAINING if name.startswith("body."))
    assert [group.names for group in first.groups] == [("embed.weight",), ("head.bias",)], "tied: its first name"
    assert first.groups[0].factors == {"lr": 10.0}
    text = "*.bias: weight_decay=0; head.*: rate_factor=10, beta1=0.8, beta2=0.9; body.*: frozen"
    for other in (groups(text), groups(f"{file}:split")):
        assert (other.groups, other.frozen, other.others) == (first.groups, first.frozen, first.others)
    assert groups(first.label.replace("betas=(0.8, 0.9)", "beta1=0.8, beta2=0.9")).groups == first.groups
    assert groups(f"{NO_DECAY}; head.weight:frozen").frozen == ("embed.weight",)


def test_what_is_all_the_same_is_no_group() -> None:
    assert resolved(None, NET, RULES) is None
    assert resolved(lambda model: [{"params": model.parameters()}], NET, RULES) is None


def test_numbers_of_a_member() -> None:
    """Values and factors in place of the member's own; a rule goes without what it lacks."""
    settled = groups("head.bias: beta1=0.5, rate_factor=0.1, weight_decay_factor=3")
    rows = settled.rows({"lr": 2.0, "weight_decay": 0.5})
    assert rows == [{"lr": 2.0, "weight_decay": 0.5}, {"lr": 0.2, "weight_decay": 1.5}]
    assert settled.places(["own.scale", "head.bias"]).tolist() == [0, 1]
    assert groups("head.bias: lr=0.3").rows({"lr": 2.0})[1] == {"lr": 0.3}


def test_a_name_chooses_the_form_of_a_rule() -> None:
    """Of those that a tensor's shape chooses, in words and with the optimizers that have no forms."""
    rules = [formulas.get("muon"), formulas.get("adamw"), formulas.get("muon(matrix=False)")]
    settled = groups({"embed.*": {"matrix": False}}, rules)
    assert settled.idle == ("adamw", "muon(matrix=False)")
    assert "matrix off for 1 parameter; " in settled.sentence
    names = ["embed.weight", "body.weight_ih_l0"]
    assert [rule.of_shape((6, 4)).options["matrix"] for rule in settled.rules(rules[0], names)] == [False, True]
    assert [rule.equations for rule in settled.rules(rules[1], names)] == [rules[1].equations] * 2
    assert groups("embed.*: matrix=false", rules).groups == settled.groups


def test_plain_values_and_back() -> None:
    for given in (NO_DECAY, "head.bias: rate_factor=0; own.*: frozen", "embed.*: matrix=false"):
        settled = groups(given, [*RULES, formulas.get("muon")])
        assert ParameterGroups.from_json(json.loads(json.dumps(settled.to_json()))) == settled
    with pytest.raises(
        PlanError, match=r"the parameter groups name body\.bias_ih_l0, which is not a parameter of this model"
    ):
        groups(NO_DECAY).check(nn.Linear(2, 2))


def test_a_frozen_parameter_does_not_train() -> None:
    model = Freezing(Net, ("own.scale",))()
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        n for n in TRAINING if n != "own.scale"
    ]


def test_functions_that_make_optimizers_are_asked_what_they_take() -> None:
    maker = formulas.of(made)
    assert groups("head.bias: weight_decay=0", [maker]).groups[0].values == {"weight_decay": 0.0}
    with pytest.raises(PlanError, match="made by a function does not say its weight_decay; give weight_decay itself"):
        groups("head.bias: weight_decay_factor=2", [maker, formulas.get("adamw")])


def two(model: Any) -> list[Any]:
    return [{"params": model.parameters()}, {"params": [model.head.bias], "weight_decay": 0.0}]


def forgets(model: Any) -> list[Any]:
    return [{"params": [model.own.scale], "weight_decay": 0.0}]


def other(model: Any) -> list[Any]:
    return [{"params": [*model.parameters(), *nn.Linear(2, 3).parameters()]}]


def named(model: Any) -> list[Any]:
    return [{"params": list(model.named_parameters()), "weight_decay": 0.0}]


def fails(model: Any) -> list[Any]:
    return model.decoder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hed.*": {"weight_decay": 0}}, r"'hed\.\*' is not a parameter of this model: did you mean .*Known: embed"),
        ({"still.*": {"weight_decay": 0}}, r"what 'still\.\*' fits does not train \(still\.bias, still\.weight\)"),
        (
            {"head.*": {"weight_decay": 1}, "*.bias": {"weight_decay": 0}},
            "two patterns give head.bias another weight_d",
        ),
        ({"head.*": {"lr": 1}, "*.bias": {"rate_factor": 2}}, "two patterns give head.bias another lr"),
        ({"head.*": {"lr": 1, "rate_factor": 2}}, "gives both lr and a factor on it; give one of them"),
        ({"head.*": {"weight_deacy": 0}}, "'weight_deacy' is not a hyperparameter of .* did you mean weight_decay"),
        ({"head.*": {"momentum": 0}}, "'momentum' is not a hyperparameter of these optimizers"),
        ({"head.*": {"amsgrad": True}}, r"amsgrad is the same for all parameters; set it for .* adamw\(ams"),
        ({"head.*": {"matrix": 1}}, r"matrix of 'head\.\*' is 1; give True or False"),
        ({"head.*": {"initial_accumulator_value": 1}}, "initial_accumulator_value is the same for all parameters"),
        ({"head.*": {"rate_factor": -1}}, r"rate_factor of 'head\.\*' is -1; give a number of at least 0"),
        ({"head.*": {"rate_factor": "ten"}}, r"rate_factor of 'head\.\*' is 'ten'; give a number of at least 0"),
        ({"head.*": {"weight_decay": -0.1}}, r"'head\.\*': Invalid weight_decay value: -0\.1; it must be at least 0"),
        ({"head.*": {"weight_decay": float("nan")}}, r"weight_decay of 'head\.\*' is nan; give a number"),
        ({"head.*": {"betas": (0.9, 1.5)}}, "Invalid beta parameter at index 1: 1.5"),
        (
            {"head.*": {"beta1_factor": 1.5}},
            r"groups: beta1 of adamw is 1\.35; give a number of at least 0 and below 1",
        ),
        ({"head.*": {"betas": 0.9}}, r"betas of 'head\.\*' is 0\.9; give 2 numbers"),
        ({"head.*": {"frozen": 1}}, r"frozen of 'head\.\*' is 1; give True or False"),
        ({"head.*": 0}, r"'head\.\*' has 0; give {hyperparameter: value}"),
        ({3: {"weight_decay": 0}}, "the pattern 3 is not text"),
        ({"*": {"frozen": True}}, "every parameter is frozen; leave one that trains"),
        ({}, "groups is empty; give a function"),
        ("", "'' is not of the form PATTERN: NAME=VALUE"),
        ("no decay", "'no decay' is not of the form PATTERN: NAME=VALUE, …; give a function"),
        ("head.*: lr=1; head.*: weight_decay=0", r"'head\.\*' is there twice; give it once"),
        ("head.*: weight_decay=none", r"weight_decay of 'head\.\*' is 'none'; give a number"),
        (3, "groups is 3; give a function"),
        ([{"params": []}], "; give a function"),
        (NET, "; give a function"),
        (two, "groups=two: head.bias is in two groups; leave it in one"),
        (forgets, "groups=forgets leaves out embed.weight, body.weight_ih_l0, .*; give a group to every"),
        (other, r"groups=other: group 1 has a parameter of shape \(3, 2\) that is not of the model it was given"),
        (named, r"groups=named: group 1 has \('embed\.weight', Parameter.* among its params"),
        (fails, "groups=fails fails with AttributeError"),
        (lambda model: 3, "returns 3; it must return a list of groups"),
        ("missing.py:split", "there is no file missing.py"),
    ],
)
def test_each_mistake_has_its_sentence(given: Any, said: str) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        resolved(given, NET, [*RULES, formulas.get("muon")] if "matrix" in str(given) else RULES)
    assert "\n" not in str(caught.value)


def test_a_model_without_biases_or_norms() -> None:
    with pytest.raises(PlanError, match="'biases and norms' is not a parameter of this model"):
        resolved(NO_DECAY, nn.Linear(3, 3, bias=False), RULES)
