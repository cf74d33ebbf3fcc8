"""The program as its users meet it: help at once, one sentence for a mistake, a table that fits."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from thalweg.cli import main, result
from thalweg.cli.listing import table_of
from thalweg.plan.factors import SCHEDULE
from thalweg.plan.plan import plan
from thalweg.problem.builtin import PROBLEMS
from thalweg.report import formats, terminal
from thalweg.report.ranking import ranking, tuned
from thalweg.store.file import Store
from thalweg.study.study import Study
from thalweg.verdict.entries import Default, Entry, Verdict
from thalweg.verdict.verdict import Interval

from ..studies import PROGRAM

HEAVY = {"torch", "sympy", "numba", "numpy", "pandas", "scipy", "sklearn", "plotly", "matplotlib"}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def call(*words: object) -> Result:
    """The command in this process; standard output and standard error apart."""
    return CliRunner().invoke(main.app, [str(word) for word in words])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_is_a_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Study, "open", fails)
    done = call("show", tmp_path / "a.db")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("thalweg: there is not enough memory;")
    assert done.stderr.count("\n") == 1
    monkeypatch.setattr(Study, "open", lambda *_: [].pop())  # a fault of ours is not hidden
    assert isinstance(call("show", tmp_path / "a.db").exception, IndexError)


# Help


HELP = f"""
import sys
from thalweg.cli.main import main
try:
    main()
finally:
    print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""


HELPS = f"""
import sys
from typer.testing import CliRunner
from thalweg.cli.main import COMMANDS, NAMES, app
for name in COMMANDS:
    assert CliRunner().invoke(app, [NAMES.get(name, name), "--help"]).exit_code == 0
print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.everyday(of=3)
@pytest.mark.parametrize(
    "program", [[HELP, "--help"], [HELP, "--version"], [HELPS]], ids=["help", "version", "each command"]
)
def test_help_answers_at_once(program: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", *program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_helps_with_an_example(name: str) -> None:
    module, command = import_module(f"thalweg.cli.{name}"), main.NAMES.get(name, name)
    done = call(command, "--help")
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    assert f"Example: thalweg {command}" in words
    assert module.EXAMPLE in words
    assert getattr(module, name).__doc__.split("\n")[0] in words


def test_help_of_all() -> None:
    done = call("--help")
    assert "Example: thalweg compare digits" in done.stdout
    for name in main.COMMANDS:
        assert re.search(rf"\b{main.NAMES.get(name, name)}\b", done.stdout)
    assert call("--version").stdout.startswith("thalweg 0.")


# Mistakes


OWN = """
import torch, thalweg as tw
inputs, classes = torch.randn(40, 4), torch.arange(40) % 2
net = lambda: torch.nn.Linear(4, 2)
def fails(): raise RuntimeError("no such luck")
def number(): return 3
def unfit(): return tw.Problem(model=lambda: torch.nn.Linear(5, 2), train=(inputs, classes))
def nan(): return tw.Problem(model=net, train=(inputs / 0 * 0, classes))
def beyond(): return tw.Problem(model=net, train=(inputs, classes + 1))
def good(): return tw.Problem(model=net, train=(inputs, classes))
"""
SHORT = ["--optimizers", "sgd", "--rates", "0.1", "--seeds", 1, "--epochs", 1, "--confirmation", 0]
MISTAKES: list[tuple[list[object], int, str]] = [
    (["compare", "digit"], 2, "'digit' is not a problem: did you mean digits"),
    (["compare", "digits", "--optimizers", "adm"], 2, "'adm' is not an optimizer: did you mean .*adam"),
    (["compare", "digits", "--optimizers", "sgd,"], 2, "has an empty part"),
    (["compare", "digits", "--schedules", "cosin"], 2, "'cosin' is not a schedule: did you mean cosine"),
    (["compare", "digits", "--rates", "0,0.1"], 2, "rate 0.0 is not allowed"),
    (["compare", "digits", "--rates", "-0.1"], 2, "rate -0.1 is not allowed"),
    (["compare", "digits", "--rates", "1:0.1:3"], 2, "the low end is above the high end"),
    (["compare", "digits", "--rates", "0:1:3"], 2, "both ends must be positive"),
    (["compare", "digits", "--rates", "fast"], 2, "rates 'fast' cannot be read"),
    (["compare", "digits", "--seeds", 0], 2, "seeds is 0; give a whole number of at least 1"),
    (["compare", "digits", "--epochs", 0], 2, "epochs is 0; give a whole number"),
    (["compare", "digits", "--batch-size", -1], 2, "batch_size is -1; give a whole number"),
    (["compare", "digits", "--batch-sizes", "16,half"], 2, "batch size 'half' is not allowed"),
    (["compare", "digits", "--batch-sizes", "16,16"], 2, "batch size 16 is listed twice"),
    (["compare", "digits", "--batch-sizes", "16,2000"], 2, "batch size 2000 is all 1,149 training samples or more"),
    (["compare", "digits", "--losses", "mse"], 2, "mse"),
    (["compare", "digits", "--hyperparameters", "beta2"], 2, "'beta2' is not of the form NAME=VALUE,VALUE"),
    (["compare", "digits", "--hyperparameters", "beta2=0.9", "--hyperparameters", "beta2=1"], 2, "given twice"),
    (["compare", "digits", "--hyperparameters", "bta2=0.9"], 2, "did you mean beta2"),
    (["show", "tiny.db", "--by", "batch_size"], 2, "'batch_size' is not a factor that this study varies"),
    (["compare", "digits", "--report", "own.py/where.html"], 2, "own.py is a file, not a folder"),
    (["compare", "digits", "--report", "."], 2, "is a folder; name a file for the report"),
    (["compare", "own.py"], 2, "names a file and no function in it; write own.py:function"),
    (["compare", "own.py:nope"], 2, "'nope' is not a function or formula there"),
    (["compare", "none.py:mine"], 2, "there is no file none.py"),
    (["compare", "no_such_package.module:mine"], 2, "there is no module no_such_package"),
    (["compare", "own.py:fails"], 2, r"fails with RuntimeError \(no such luck\)"),
    (["compare", "own.py:number"], 2, "returned something of type int; it must return a tw.Problem"),
    (["compare", "own.py:unfit"], 2, "the model cannot take the train inputs"),
    (["compare", "own.py:nan"], 2, "NaN|finite"),
    (["compare", "own.py:beyond"], 2, "class"),
    (["compare", "breast-cancer", *SHORT, "--store", "own.py/study.db"], 1, "cannot be written"),
    (
        ["compare", "breast-cancer", *SHORT, "--store", "own.py"],
        1,
        "own.py is not a thalweg store; it is left as it was",
    ),
    (["compare", "breast-cancer", *SHORT, "--store", "."], 1, "is a folder, not a store"),
    (["compare", "breast-cancer", *SHORT, "--store", "tiny.db"], 1, "already holds another study"),
    *(([name, "none.db"], 1, "none.db does not exist") for name in ("show", "resume", "report", "recipe")),
    *(([name, "own.py"], 1, "own.py is not a thalweg store") for name in ("show", "resume", "report", "recipe")),
    (["report", "tiny.db", "-o", "own.py/where.html"], 2, "own.py is a file, not a folder"),
    (["recipe", "tiny.db", "--optimizer", "lion"], 2, "'lion' is not among this study's optimizers: adam, sgd"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), MISTAKES, ids=[" ".join(map(str, m[0])) for m in MISTAKES])
def test_a_mistake_is_one_sentence(
    words: list[object], status: int, sentence: str, tiny: Study, tmp_path: Path
) -> None:
    Path("own.py").write_text(OWN)
    shutil.copy(tiny.path, "tiny.db")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done = call(*words)
    assert (done.exit_code, done.stdout) == (status, "")
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert re.fullmatch(r"thalweg: [^\n]+\.\n", done.stderr), done.stderr
    assert re.search(sentence, done.stderr)
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.startswith("tiny.db-")}
    assert after == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare"], "Missing argument 'problem'"),
        (["show"], "Missing argument 'store'"),
        (["compare", "digits", "--seeds", "many"], "Invalid value for '--seeds'"),
        (["compare", "digits", "--sedes", "3"], "No such option"),
        (["compair"], "No such command 'compair'"),
        (["problems", "digits"], "unexpected extra argument"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_words_are_one_message(words: list[str], message: str, tmp_path: Path) -> None:
    done = call(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message.lower() in " ".join(done.stderr.split()).lower()
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stopped_before_there_is_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.study.study.compare", press)
    done = call("compare", "digits")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "thalweg: stopped.\n")


@pytest.mark.slow
@pytest.mark.everyday(of=6)
@pytest.mark.parametrize(
    "words",
    [["problems"], ["formula", "adam"], ["formula"], ["--help"], ["show", "--help"], ["--version"]],
    ids=" ".join,
)
def test_a_pipe_that_closes(words: list[str]) -> None:
    """`thalweg show … | head -1` ends quietly, with the status of a program that SIGPIPE ended."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    errors = program.stderr.read()
    program.stderr.close()
    assert (program.wait(), errors) == (141, "")


# Answers


def test_compare_then_the_others(tmp_path: Path) -> None:
    words = ["breast-cancer", *SHORT, "--store", "a.db"]
    done = call("compare", *words)
    assert done.exit_code == 0
    assert done.stdout.startswith("\nsgd (rate 0.1, ")
    assert "store: a.db" in done.stdout
    assert "unfinished" not in done.stdout
    assert done.stderr.startswith("breast-cancer: 2 runs of ")
    assert "\nMembers are trained compiled: " in done.stderr
    assert "\nsearch: 100%, " in done.stderr
    again = call("compare", *words)
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout == done.stdout == call("show", "a.db").stdout == call("resume", "a.db").stdout
    code = call("recipe", "a.db", "--seed", 3)
    assert code.exit_code == 0
    assert "SEED, EPOCHS = 3, 1" in code.stdout
    compile(code.stdout, "recipe", "exec")


@pytest.mark.slow
def test_quiet(tmp_path: Path) -> None:
    done = call("compare", "breast-cancer", *SHORT, "-q", "--store", "a.db")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.slow
def test_what_the_search_says_is_said_in_a_sentence_each(copied: Path) -> None:
    shown = " ".join(call("show", copied).stdout.split())
    for words in ("What matters: The ", "Fewer settings: ", "Ahead after each epoch: "):
        assert words in shown
    assert "An exact analysis of variance" not in shown
    assert "What matters" not in call("show", copied, "--by", "schedule").stdout


@pytest.mark.slow
def test_json_is_json_and_nothing_else(tiny: Study, copied: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    done = call("compare", "breast-cancer", *SHORT, "--store", "a.db", "--json")
    assert (done.exit_code, "\nsearch:" in done.stderr) == (0, True)
    fresh = json.loads(done.stdout, parse_constant=refuse)
    assert fresh["verdict"]["entries"][0]["validation_loss"]["low"] is None  # one seed
    shown = json.loads(call("show", copied, "--json").stdout, parse_constant=refuse)
    assert [row["optimizer"] for row in shown["sensitivity"]] == tiny.sensitivity()["optimizer"].tolist()
    assert {row["runs"] for row in shown["time_to_target"]} == {2}
    assert list(shown) == [
        "problem",
        "finished",
        "verdict",
        "sanity",
        "recipe_run",
        "sensitivity",
        "importance",
        "expected_best",
        "time_to_target",
        "leaders",
        "generalization",
        "plan",
        "store",
        "report",
    ]
    assert (shown["problem"], shown["finished"], shown["report"]) == ("breast-cancer", True, None)
    assert shown["verdict"] == Study.open(copied).verdict.to_json()
    assert shown["plan"]["rates"] == [0.01, 0.1]
    assert json.loads(call("resume", copied, "--json").stdout) == shown


def test_problems() -> None:
    done = call("problems")
    for name in PROBLEMS:
        assert re.search(rf"^{name} +\w", done.stdout, re.MULTILINE)
    assert "file.py:function" in done.stdout
    assert list(json.loads(call("problems", "--json").stdout)) == list(PROBLEMS)


@pytest.mark.slow
def test_report(copied: Path) -> None:
    done = call("report", copied, "-o", "page.html")
    assert (done.exit_code, done.stdout) == (0, "report: page.html\n")
    assert Path("page.html").read_text().lstrip().lower().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_study_ends_with_the_place_of_its_report_and_of_its_store(copied: Path) -> None:
    done = call("resume", copied, "-q", "--report", "page.html")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-2:] == [f"store: {copied}", "report: page.html"]
    assert Path("page.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_an_unfinished_study_says_how_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"problem": {"name": "hills"}, "plan": plan(["sgd"]).to_json(), "provenance": {"started": "2026-01-01"}}
    Store.create(tmp_path / "new.db", facts).close()
    result.finish(Study.open(tmp_path / "new.db"), None, False)
    said = capsys.readouterr().out
    assert said.endswith(f"unfinished: carry on with `thalweg resume {tmp_path / 'new.db'}`\n")


@pytest.mark.slow
def test_points_are_drawn(tmp_path: Path) -> None:
    size = ("--schedules", "cosine", "--seeds", 1, "--epochs", 1, "--confirmation", 1)
    numbers = ("--rates", "0.01,1", "--hyperparameters", "beta2=0.9,0.999", "--search", "sobol")
    done = call("compare", "breast-cancer", "--optimizers", "sgd,adam", *size, *numbers, "--settings", 3, "-q")
    assert done.exit_code == 0, done.output
    plan = Study.open("runs/breast-cancer.db").plan
    assert (plan.search, len(plan.points), plan.drawn) == ("sobol", 3, ("lr", "beta2"))
    refused = call("compare", "breast-cancer", *size, "--settings", 3)
    assert refused.exit_code != 0
    assert "give search='sobol'" in " ".join(refused.output.split())


@pytest.mark.slow
def test_everything_that_varies(tmp_path: Path) -> None:
    done = call(
        "compare",
        "breast-cancer",
        "--optimizers",
        "sgd,adam",
        "--rates",
        "0.01,0.1",
        "--schedules",
        "constant",
        "--seeds",
        2,
        "--epochs",
        1,
        "--confirmation",
        2,
        "--batch-sizes",
        "16,full",
        "--hyperparameters",
        "beta2=0.9,0.999",
        "--hyperparameters",
        "weight_decay=0,1e-4",
        "--store",
        "a.db",
        "-q",
    )
    assert done.exit_code == 0, done.output
    plan = Study.open("a.db").plan
    assert plan.batch_sizes == (16, "full")
    assert [(f.name, f.levels) for f in plan.hyperparameters] == [
        ("beta2", (0.9, 0.999)),
        ("weight_decay", (0.0, 1e-4)),
    ]
    assert "thalweg show a.db --by batch_size | beta2 | weight_decay" in " ".join(done.stdout.split())
    shown = call("show", "a.db", "--by", "batch_size").stdout
    assert re.search(r"^batch size +optimizer +rate", shown, re.MULTILINE)
    assert re.search(r"^ *16 ", shown, re.MULTILINE)
    assert re.search(r"^ *full ", shown, re.MULTILINE)
    assert shown.lstrip().startswith("Batch size")
    ranked = json.loads(call("show", "a.db", "--by", "beta2", "--json").stdout)["verdict"]
    assert ranked["factor"] == "beta2"
    assert {e["further"]["beta2"] for e in ranked["entries"]} == {0.9, 0.999}


def test_values_of() -> None:
    assert result.values_of(["a=1,1e-4", " b = x,True"]) == {"a": [1, 1e-4], "b": ["x", True]}


def test_split_leaves_commas_inside_parentheses() -> None:
    assert result.split("sgd, adam(beta1=0.8, beta2=0.99),file.py:mine") == [
        "sgd",
        "adam(beta1=0.8, beta2=0.99)",
        "file.py:mine",
    ]


# The table


def entry(optimizer: str, letters: str, **changes: Any) -> Entry:
    loss = Interval(0.0812, 0.0775, 0.0849)
    plain = Entry(
        optimizer=optimizer,
        letters=letters,
        lr=0.00316227766017,
        schedule="constant",
        value=loss,
        validation_loss=loss,
        difference=Interval(0.0123, -0.0004, 0.025),
        standing="open",
        may_be_best="a" in letters,
        regret=0.004,
        probability_best=0.87,
        search_value=0.08,
        edge="highest",
        runs=130,
        diverged=12,
        test={"loss": loss, "accuracy": Interval(0.97, 0.96, 0.98)},
        seconds_per_step=1e-5,
        state_bytes_per_weight=8,
    )
    return dataclasses.replace(plain, **changes)


WIDE = Verdict(
    entries=(
        entry("adam(beta2=0.99)", "a"),
        entry("adadelta", "a", lr=1.0, edge=None),
        entry("nesterov", "b", value=Interval(float("inf"), float("inf"), float("inf")), test={}),
    ),
    groups=(("adam(beta2=0.99)", "adadelta"), ("nesterov",)),
    sentence="",
    notes=(),
    seeds=10,
    confirmed=True,
)


def drawn(verdict: Verdict, width: int) -> str:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(table_of(terminal.fitting(ranking(verdict), width)))
        return console.export_text()


@pytest.mark.parametrize("width", [72, 80, 100, 120, 140])
def test_nothing_is_cut(width: int) -> None:
    text = drawn(WIDE, width)
    assert "…" not in text
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    rows = {line.split()[0]: line for line in lines if line.startswith(("ad", "nest"))}
    assert list(rows) == ["adam(beta2=0.99)", "adadelta", "nesterov"]  # one line each
    same = "constant  " if width > 72 else ""  # what is the same in all rows makes room
    assert f"0.00316 ↑  {same}0.0812 [0.0775, 0.0849]" in rows["adam(beta2=0.99)"]
    assert "diverges" in rows["nesterov"]
    assert "a" in rows["adadelta"].split("]")[1].split()[:2]


@pytest.mark.parametrize("width", [80, 120])
def test_defaults_stand_beside_what_was_tuned(width: int) -> None:
    loss = Interval(1.31, 1.27, 1.34)
    first, second, third = WIDE.entries
    default = Default(0.001, "constant", {}, False, loss, Interval(1.16, 1.13, 1.2), {"accuracy": loss})
    chosen = dataclasses.replace(default, chosen=True, difference=Interval(0, 0, 0))
    entries = (
        dataclasses.replace(first, default=default, tunability=14.29),
        dataclasses.replace(second, default=chosen),
        third,
    )
    shown = table_of(terminal.fitting(tuned(dataclasses.replace(WIDE, entries=entries)), width))
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(shown)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= width
    assert lines[3].split("  ")[0] == "adam(beta2=0.99)"
    assert "0.001  1.31 [1.27, 1.34]  +1.16 [1.13, 1.20]" in lines[3]
    assert "1429%" in lines[3]
    assert re.search(r"^adadelta .* chosen", lines[4])
    assert "nesterov" not in "".join(lines)
    assert terminal.fitting(tuned(WIDE), width) == []


def test_a_wider_terminal_shows_more() -> None:
    shown = [len(terminal.fitting(ranking(WIDE), width)) for width in (60, 80, 100, 160)]
    assert shown == sorted(set(shown))
    assert shown[0] == 4
    headers = [column.head.replace("\n", " ") for column in terminal.fitting(ranking(WIDE), 160)]
    assert headers == [
        "optimizer",
        "rate",
        "schedule",
        "validation loss [95% interval]",
        "change from search",
        "not told apart",
        "may be best",
        "regret at most",
        "against the best",
        "chance of best",
        "test loss",
        "test accuracy",
        "diverged",
    ]


@pytest.mark.slow
def test_every_column_and_word_of_the_verdict_is_explained_in_a_line(tiny: Study, copied: Path) -> None:
    """Below the table, on a page and in a terminal; only what names the setting stands for itself."""
    for verdict in (WIDE, tiny.verdict, tiny.verdict_by("schedule")):
        columns = ranking(verdict).columns
        assert {column.name for column in columns if not column.means} == {"optimizer", "lr", "schedule"}
        assert not [column for column in columns if "\n" in column.means]
    assert {"fresh seeds", "other data like these"} <= {*ranking(tiny.verdict).terms}
    json_of = json.loads(call("show", copied, "--by", "schedule", "--json").stdout)["verdict"]
    section, explained = ranking(tiny.verdict_by("schedule"), SCHEDULE), json_of["explained"]
    means = {column.name.split()[0]: column.means for column in section.columns if column.means}
    assert {*explained["columns"]} >= {*means} - {"time"}  # which JSON gives by steps
    assert all(means.get(name, line) == line for name, line in explained["columns"].items())
    assert {*explained["columns"]} <= {*json_of["entries"][0]}
    assert explained["words"] == section.terms
    lines = call("show", copied).stdout.splitlines()
    for term in ("may be best", "regret at most", "fresh seeds"):
        assert any(line.startswith(term) and ": " in line for line in lines)


def test_a_long_name_is_folded_and_not_cut() -> None:
    name = "adam(beta1=0.85, beta2=0.995, eps=1e-06)"
    text = drawn(dataclasses.replace(WIDE, entries=(entry(name, "a"), entry("sgd", "b"))), 80)
    assert "…" not in text
    rows = [line for line in text.splitlines() if line.strip() and "─" not in line][2:]
    folded = "".join(line.split("  ")[0] for line in rows if "sgd" not in line)
    assert folded.replace(" ", "") == name.replace(" ", "")


def test_numbers_keep_their_digits() -> None:
    assert [formats.brief(v) for v in (0.16, 1.0, 123.0, 1e-7, -2.5)] == ["0.160", "1.00", "123", "1.00e−07", "−2.50"]
    assert formats.brief(0.5, "+") == "+0.500"
    assert formats.brief(float("inf")) == "∞"


# Before a study begins

SMALL = ["--optimizers", "sgd,adam", "--rates", "0.01,0.1", "--seeds", "2", "--epochs", "2", "--confirmation", "2"]


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_trained_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = call("compare", "breast-cancer", *SMALL, "--dry-run", "--report", tmp_path / "a.html")
    assert done.exit_code == 0, done.output
    first, search, confirmation, program, data = done.stdout.splitlines()
    assert re.match(r"breast-cancer: about [\d.]+ s on \d cores?; [\d.]+ [KM]iB of memory.* of disk", first)
    assert search.startswith("search: 8 settings, 16 runs, 192 steps; about ")
    assert confirmation.startswith("confirmation: at most 6 settings, 12 runs, 144 steps; about ")
    assert re.match(r"batch size 64: compiled; [\d.]+ µs for a member's step; \d blocks of at most \d members", program)
    assert data.startswith("data: ")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_as_json(tmp_path: Path) -> None:
    done = call("compare", "breast-cancer", *SMALL, "--batched", "alone", "--dry-run", "--json")
    would = json.loads(done.stdout)
    assert would["problem"] == "breast-cancer"
    assert [(stage["name"], stage["runs"]) for stage in would["stages"]] == [("search", 16), ("confirmation", 12)]
    assert [(program["way"], program["why"]) for program in would["programs"]] == [("alone", "as asked")]
    assert would["seconds"] > 0 < would["memory"]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_a_study_refuses() -> None:
    done = call("compare", "breast-cancer", "--rates", "x", "--dry-run")
    assert done.exit_code == 2
    assert "rates 'x' cannot be read" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["descend", "x^2-4x+6", "--start", "4", "--rate", "0.2", "--rate", "0.01"],
        ["descend", "x^2-4x+6", "--start", "4", "--optimizer=sgd", "--optimizer=adam"],
        ["compare", "digits", "--rates", "0.1", "--seeds", "2", "--seeds", "3"],
    ],
)
def test_an_option_that_takes_one_value_is_not_given_twice(words: list[str]) -> None:
    done = call(*words)
    assert done.exit_code == 2
    assert "is given 2 times and takes one value" in " ".join(done.stderr.replace("│", " ").split())
