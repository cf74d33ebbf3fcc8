"""The family tree and the table show every rule once, where its year, parents, direction and rate say."""

from __future__ import annotations

from rich.cells import cell_len

from thalweg import formulas
from thalweg.language import speaking
from thalweg.pictures.family import family_tree, rule_table
from thalweg.pictures.still import Drawing
from thalweg.pictures.style import WRAP

RULES = [
    {key: getattr(rule, key) for key in ("name", "year", "parents", "direction", "rate", "idea")}
    for rule in formulas.FORMULAS.values()
]


def nodes() -> dict[str, tuple[float, float]]:
    return {t.name: (t.x[0], t.y[0]) for t in family_tree(RULES).data if t.mode == "markers+text"}


def test_every_rule_has_a_row_of_its_own_at_its_year() -> None:
    found = nodes()
    assert set(found) == {rule["name"] for rule in RULES if rule["year"]}
    assert sorted(y for _, y in found.values()) == list(range(len(found)))
    years = {rule["name"]: rule["year"] for rule in RULES}
    by_year = sorted((years[name], x) for name, (x, _) in found.items())
    assert [x for _, x in by_year] == sorted(x for x, _ in found.values())
    assert family_tree(RULES).layout.title.subtitle.text.replace(WRAP, " ").endswith(" Without a year: halving.")


def test_every_rule_says_what_it_added() -> None:
    figure, found = family_tree(RULES), nodes()
    assert all(rule["idea"] for rule in RULES)
    (ideas,) = (t for t in figure.data if t.mode == "text")
    said = dict(zip(ideas.y, ideas.text, strict=True))
    assert {name: said[y] for name, (_, y) in found.items()} == {r["name"]: r["idea"] for r in RULES if r["year"]}


def test_a_branch_for_every_parent_and_children_below() -> None:
    found = nodes()
    branches = {t.name: (t.line.dash, t.x, t.y) for t in family_tree(RULES).data if t.mode == "lines"}
    assert set(branches) == {f"{p}–{r['name']}" for r in RULES if r["year"] for p in r["parents"]}
    assert branches["momentum–adam"][0] == "solid"
    assert branches["rmsprop–adam"][0] == "dot"
    for name, (_, x, y) in branches.items():
        parent, child = name.split("–")
        assert ((x[0], y[0]), (x[-1], y[-1])) == (found[parent], found[child])
        assert found[parent][1] < found[child][1], "parents stand above"


def test_labels_of_the_tree_do_not_overlap_each_other_or_a_branch() -> None:
    drawing = Drawing(family_tree(RULES))
    drawing.image()
    axes = drawing.panels["xaxis", "yaxis"]
    boxes = {word.get_text(): word.get_window_extent() for word in axes.texts}
    names = list(boxes)
    for k, one in enumerate(names):
        assert not any(boxes[one].overlaps(boxes[other]) for other in names[k + 1 :]), one
        assert boxes[one].x1 < drawing.size[0], f"{one} is cut"
    for line in axes.lines:
        xs, ys = axes.transData.transform(line.get_xydata()).T
        for name, box in boxes.items():
            for x0, y0, x1, y1 in zip(xs, ys, xs[1:], ys[1:], strict=False):
                crosses = (
                    min(x0, x1) < box.x1 and max(x0, x1) > box.x0 and min(y0, y1) < box.y1 and max(y0, y1) > box.y0
                )
                assert not crosses, name


def test_every_rule_is_in_its_cell_of_the_table() -> None:
    figure = rule_table(RULES)
    words = {word: (x, y) for t in figure.data for word, x, y in zip(t.text, t.x, t.y, strict=True)}
    column = {direction.replace("<br>", " "): x for direction, (x, y) in words.items() if y == 1.5}
    row = {rate.replace("<br>", " ").replace("- ", "-"): y for rate, (x, y) in words.items() if x == 0.04}
    cells = {at: cell for cell, at in words.items()}
    for rule in RULES:
        cell = cells[column[rule["direction"]], row[rule["rate"].replace("long-term", "long-term")]]
        assert f"{rule['name']} {rule['year'] or ''}".strip() in cell.replace("_<br>", "_").split("<br>")
    assert figure.layout.meta["least"] > 600, "a narrow page scrolls it"


def test_lines_of_the_table_stay_in_their_columns_in_either_language() -> None:
    for language in ("en", "ko"):
        with speaking(language):
            figure = rule_table(RULES)
        lines = [line for trace in figure.data for word in trace.text for line in word.split("<br>")]
        assert max(map(cell_len, lines)) <= 17, language
