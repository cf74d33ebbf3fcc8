"""The numbers of a step follow the groups, whatever in them changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import thalweg as tw
from thalweg.optim.rules import RULES, Rule, rule_of_formula
from thalweg.optim.table import Table


def groups_of(rule: Rule, count: int = 4, **values: Any) -> list[dict[str, Any]]:
    given = {a.name: a.default for a in rule.arguments} | values
    return [dict(given) for _ in range(count)]


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"lr": 0.5}, True),
        ({"lr": torch.tensor(0.25)}, True),
        ({"betas": (0.5, 0.75)}, True),
        ({"weight_decay": 0.5, "eps": 0.25}, True),
        ({"foreach": False}, True),
        ({"amsgrad": False}, True),
        ({"amsgrad": True}, False),
        ({"maximize": True}, False),
        ({"decoupled_weight_decay": True}, False),
    ],
    ids=str,
)
def test_what_changes_is_read_and_another_form_is_told(changes: dict[str, Any], fits: bool) -> None:
    rule = RULES["Adam"]
    groups = groups_of(rule, decoupled_weight_decay=False)
    table = Table(rule, groups)
    groups[2].update(changes)
    assert table.fill(groups) is fits
    if fits:
        anew = Table(rule, groups)
        assert table.numbers.tolist() == anew.numbers.tolist()
        assert (table.numbers[2].tolist() == table.numbers[1].tolist()) is bool({"foreach", "amsgrad"} & changes.keys())
        assert table.fill(groups)
        assert table.numbers.tolist() == anew.numbers.tolist()


def test_a_number_that_opens_or_closes_a_term_asks_for_another_form() -> None:
    rule = RULES["SGD"]
    groups = groups_of(rule, momentum=0.9)
    table = Table(rule, groups)
    groups[1]["momentum"] = 0.5
    assert table.fill(groups)
    groups[1]["nesterov"] = True
    assert not table.fill(groups)
    table = Table(rule, groups)
    groups[3]["momentum"] = 0.0
    assert not table.fill(groups)
    own = rule_of_formula(tw.formulas.get("rmsprop"))
    groups = groups_of(own)
    table = Table(own, groups)
    groups[0]["momentum"] = 0.9
    assert not table.fill(groups)


def test_a_tensor_that_changes_where_it_lies_is_seen() -> None:
    rule = RULES["Adam"]
    groups = groups_of(rule, lr=torch.tensor(0.5))
    groups[3]["lr"] = 0.5
    table = Table(rule, groups)
    groups[0]["lr"].fill_(0.25)
    assert table.fill(groups)
    assert [numbers[0] for numbers in table.numbers] == [0.25, 0.25, 0.25, 0.5]


def test_a_group_more_or_less_is_told() -> None:
    rule = RULES["Adam"]
    groups = groups_of(rule)
    table = Table(rule, groups)
    assert not table.fill(groups[:3])
    assert not table.fill([*groups, dict(groups[0])])


def test_the_formula_is_asked_for_only_when_what_chose_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES["SGD"]
    groups = groups_of(rule, momentum=0.9)
    table, asked = Table(rule, groups), []
    monkeypatch.setattr(table, "rule", Rule(rule.arguments, lambda g: asked.append(g) or rule.choose(g)))
    for k in range(3):
        for group in groups:
            group["lr"] = 0.1 / (1 + k)
        assert table.fill(groups)
    assert not asked
    groups[0]["momentum"] = 0.8
    assert table.fill(groups)
    assert len(asked) == len(groups)


def test_groups_of_several_forms_take_their_numbers_each() -> None:
    rule = rule_of_formula(tw.formulas.get("rmsprop"))
    groups = groups_of(rule)
    groups[1]["momentum"] = 0.9
    table = Table(rule, groups)
    assert len({id(formula) for formula in table.formulas}) == 2
    before = table.numbers.tolist()
    groups[0]["lr"], groups[1]["alpha"] = 0.5, 0.25
    assert table.fill(groups)
    assert table.numbers.tolist() == Table(rule, groups).numbers.tolist()
    assert [row == old for row, old in zip(table.numbers.tolist(), before, strict=True)] == [False, False, True, True]
