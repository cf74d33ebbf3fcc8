"""Formulas by name: what a text may say, and that a hostile one is refused in a moment."""

from __future__ import annotations

from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import FormulaError
from thalweg.formulas import FORMULAS, Meaning, get, names

from ..hangs import no_hang


def test_a_name_gives_the_formula() -> None:
    assert [get(name).name for name in names()] == names()
    assert get("adam") is FORMULAS["adam"]
    assert get(get("adam")) is get("adam")
    assert get(" adam ( ) ").equations is get("adam").equations


def test_the_names_and_their_order() -> None:
    expected = "sgd momentum nesterov asgd halving rprop signsgd lion adagrad adadelta rmsprop adam adamax adamw"
    more = "nadam radam ademamix lars lamb tiger shampoo soap adafactor adabelief yogi qhadam adan adopt"
    recent = "sophia_g dadapt_adam prodigy c_adamw c_lion muon schedule_free_sgd schedule_free_adamw mars"
    assert names() == [*expected.split(), *more.split(), *recent.split()]


def test_a_text_may_change_defaults() -> None:
    rule = get("adam(beta2=0.99, lr = 1e-2)")
    assert rule.hyperparameters["beta2"] == 0.99
    assert rule.hyperparameters["lr"] == 0.01
    assert rule.label == str(rule) == "adam(beta2=0.99, lr=0.01)"
    assert get(rule.label) == rule
    assert get("adam").hyperparameters["beta2"] == 0.999
    assert get("muon(ns_b=-2.5)").hyperparameters["ns_b"] == -2.5


def test_with_remembers_every_change() -> None:
    rule = get("adam").with_(beta2=0.99).with_(lr=1.0).with_(beta2=0.5)
    assert rule.label == "adam(beta2=0.5, lr=1)"
    assert rule.equations is get("adam").equations
    assert get("sgd").label == "sgd"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"beta3": 1.0}, "'beta3' is not a hyperparameter of adam: did you mean beta2 or beta1? Known: lr, beta1,"),
        ({"lr": "fast"}, "formula adam: hyperparameter lr must be a number, not 'fast'."),
        ({"lr": True}, "formula adam: hyperparameter lr must be a number, not True."),
        ({"lr": None}, "formula adam: hyperparameter lr must be a number, not None."),
        ({"lr": float("nan")}, "formula adam: hyperparameter lr must be finite, not nan."),
        ({"lr": 10**400}, "formula adam: hyperparameter lr must be finite, not a number of 1331 bits."),
        ({"beta1": 2}, "beta1 of adam is 2; give a number of at least 0 and below 1."),
        ({"weight_decay": -1e-3}, "weight_decay of adam is -0.001; give a number of at least 0."),
    ],
)
def test_with_refuses_with_a_sentence(change: Any, sentence: str) -> None:
    with pytest.raises(FormulaError) as caught:
        get("adam").with_(**change)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("sgd(momentum=0.9)", "A rule that grew from sgd has it: momentum(momentum=0.9) or nesterov(momentum=0.9)."),
        ("sgd(nesterov=True, momentum=0.9)", "A rule that grew from sgd has it: nesterov(momentum=0.9)."),
        ("sgd(momentum=0.9, weight_decay=1e-4)", "has it: momentum(momentum=0.9, weight_decay=0.0001) or "),
        ("adam(beta3=0.9)", "A rule that grew from adam has it: adan(beta3=0.9) or ademamix(beta3=0.9)."),
        ("sgd(nonsense=1)", "'nonsense' is not a hyperparameter of sgd; known: lr, weight_decay."),
    ],
)
def test_a_number_that_a_rule_lacks_names_the_rules_that_grew_from_it_and_have_it(text: str, end: str) -> None:
    with pytest.raises(FormulaError) as caught:
        get(text)
    assert end in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("torch.optim.AdamW", "adamw"),
        ("torch.optim.SGD", "sgd"),
        ("torch.optim.LBFGS", "lbfgs"),
        ("torch.optim.AdamW(beta2=0.99)", "adamw(beta2=0.99)"),
        ("lookahead(torch.optim.AdamW)", "lookahead(adamw)"),
    ],
)
def test_a_class_may_be_named_by_its_place_in_torch(text: str, label: str) -> None:
    assert get(text).label == label


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("adam(beta1=-0.5)", "beta1 of adam is -0.5; give a number of at least 0 and below 1."),
        ("momentum(momentum=1.5)", "momentum of momentum is 1.5; give a number of at least 0 and below 1."),
        ("sam(sgd, radius=-1)", r"radius of sam\(sgd\) is -1; give a number of at least 0."),
        ("lookahead(adam(eps=-1))", "eps of adam is -1; give a number of at least 0."),
        ("soap(every=0)", "every of soap is 0; give a whole number of at least 1."),
        ("muon(ns_steps=100)", "ns_steps of muon is 100; give a whole number from 1 to 99."),
    ],
)
def test_a_number_out_of_its_range_is_refused_wherever_a_rule_is_named(text: str, sentence: str) -> None:
    for use in (get, tw.optim.from_formula, lambda rule: tw.descend("x^2", start=1.0, optimizer=rule)):
        with pytest.raises(FormulaError, match=f"^{sentence}$"):
            use(text)


def test_what_is_tried_at_the_edge_of_a_range_stays() -> None:
    for text in ("adam(beta1=0, eps=0, weight_decay=0)", "momentum(momentum=0)", "sam(adam, radius=0)", "sgd(lr=0)"):
        assert get(text).label.replace(" ", "") == text.replace(" ", "")


def test_a_name_that_means_something_else_declares_its_range() -> None:
    def growing(g, a, *, lr=0.1, momentum=1.5, beta1=0.9):
        return tw.Update(-lr * (a + g), a=beta1 * momentum * a + g)

    sentence = r"formula growing: momentum is 1\.5 by default, and this name has the range \[0, 1\) in all rules; "
    with pytest.raises(FormulaError, match=sentence) as caught:
        tw.formula(growing)
    declared = str(caught.value).partition("here, meanings=")[2].removesuffix(".")
    growing = tw.formula(growing, meanings=eval(declared, {"tw": tw}))
    assert growing.with_(momentum=7.0).hyperparameters["momentum"] == 7
    with pytest.raises(FormulaError, match="beta1 of growing is 7; give a number of at least 0 and below 1"):
        growing.with_(beta1=7)


def test_a_rule_of_ones_own_declares_its_ranges() -> None:
    @tw.formula(meanings={"momentum": Meaning("pull of the past", "(0, 2]")})
    def pulled(g, a, *, lr=0.1, momentum=0.9):
        return tw.Update(-lr * (momentum * a + g), a=momentum * a + g)

    assert pulled.with_(momentum=2).hyperparameters["momentum"] == 2
    with pytest.raises(FormulaError, match="momentum of pulled is 0; give a number above 0 and at most 2"):
        pulled.with_(momentum=0)


def test_an_option_may_have_the_name_of_a_number() -> None:
    @tw.formula()
    def kept(g, a, *, lr=0.1, momentum=True):
        a = 0.9 * a + g
        return tw.Update(-lr * (a if momentum else g), a=a)

    assert kept.with_(momentum=False).label == "kept(momentum=False)"


def test_a_default_outside_of_the_range_declared_for_it_is_refused() -> None:
    sentence = r"formula wrong: gamma is 2\.0 by default, and its range is declared as \[0, 1\); correct one of them\."
    with pytest.raises(FormulaError, match=sentence):

        @tw.formula(meanings={"gamma": Meaning("share", "[0, 1)")})
        def wrong(g, *, lr=0.1, gamma=2.0):
            return tw.Update(-lr * gamma * g)


def test_options_take_values_of_their_kind() -> None:
    def rule(g, *, lr=0.1, flip=False, form="a"):
        return tw.Update(lr * g if flip else -lr * g)

    formula = tw.formula(rule)
    assert formula.with_(flip=True, form="b").label == "rule(flip=True, form='b')"
    for change, kind in (({"flip": 1}, "True or False"), ({"form": True}, "a name"), ({"flip": "x"}, "True or")):
        with pytest.raises(FormulaError, match=f"must be {kind}"):
            formula.with_(**change)


HOSTILE = [
    "adam(__import__('os'))",
    "adam(lr=__import__('os').system('true'))",
    "adam(beta2=9**9**9)",
    "adam(",
    "adam(((",
    "adam" + "(" * 10_000,
    "adam(lr=" + "(" * 200 + "1" + ")" * 200 + ")",
    "adam(lr=" + "-" * 900 + "1)",
    "adam(lr=" + "-" * 100_000 + "1)",
    "adam(lr=" + "9" * 900 + ")",
    "adam(lr=" + "9" * 100_000 + ")",
    "adam)",
    "adam(1)",
    "adam(*[1])",
    "adam(**{})",
    "adam(lr=1, lr=2)",
    "adam(lr=1)(lr=2)",
    "adam(lr=1).x(lr=2)",
    "adam(lr=1); print(1)",
    "adam(lr=1) or 1",
    "adam(lr=1or 2)",
    "adam(lr=1e999)",
    "adam(lr=nan)",
    "adam(lr=[1])",
    "adam(lr={})",
    "adam(lr=1j)",
    "adam(lr=b'')",
    "adam(lr='" + "x" * 500 + "')",
    "adam\0(lr=1)",
    "adam(lr=1\0)",
    "",
    "(lr=1)",
    "adam(lr=\n",
    "lambda: adam",
    "adam\n",
    "x" * 1_000_000,
    "adam(eval=1)",
    "adam(lr:=1)",
    "adam(lr=x)",
    "adam(lr=f'{1}')",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
def test_a_hostile_text_is_refused(text: str) -> None:
    if text == "adam\n":
        assert get(text) is get("adam")
        return
    with pytest.raises(FormulaError) as caught, no_hang():
        get(text)
    assert len(str(caught.value)) < 1500
