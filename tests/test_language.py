"""What is said in other languages: every message has its translation, and every surface speaks it."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import string
from pathlib import Path
from types import ModuleType

import pytest
import torch
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import thalweg
from tests.cli.asked import run
from thalweg.errors import UsageError
from thalweg.formulas import FORMULAS
from thalweg.language import LANGUAGES, language, say, speaking
from thalweg.languages import use_language
from thalweg.plan.factors import Setting
from thalweg.study.study import Study
from thalweg.suites.sections import described

ROOT = Path(thalweg.__file__).parent
OTHERS = LANGUAGES[1:]


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("messages", ROOT.parents[1] / "docs" / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fields(message: str) -> set[str]:
    return {name.split(".")[0] for _, name, _, _ in string.Formatter().parse(message) if name is not None}


@pytest.mark.parametrize("name", OTHERS)
def test_every_message_has_its_translation(messages: ModuleType, name: str) -> None:
    with (messages.folder(name) / "thalweg.po").open("rb") as file:
        found = {one.id: one.string for one in read_po(file, locale=name) if one.id}
    said = messages.collected()
    assert (set(said) - set(found), set(found) - set(said)) == (set(), set()), "run `make messages`"
    assert [message for message, text in found.items() if not text] == []
    assert {m: t for m, t in found.items() if not fields(t) <= fields(m)} == {}
    with (messages.folder(name) / "thalweg.mo").open("rb") as file:
        assert {one.id: one.string for one in read_mo(file) if one.id} == found, "run `make messages`"


@pytest.mark.slow
def test_every_message_has_its_values(messages: ModuleType) -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and messages.says(call):
                given = {keyword.arg for keyword in call.keywords}
                if given and isinstance(call.args[0], ast.Constant) and fields(call.args[0].value) != given:
                    wrong.append((path.name, call.lineno))
    assert wrong == []


@pytest.mark.slow
def test_a_verdict_is_said_throughout(tiny: Study) -> None:
    shown = run("show", str(tiny.path), "--language", "ko")
    assert "가장 안전한 선택은" in shown or "가장 좋은 것은" in shown
    assert re.findall(r"(?:\b[a-z]+ ){3,}", shown.replace("thalweg show ", "")) == []  # no English sentence is left
    assert run("show", "--language=en", str(tiny.path)).count("가") == 0
    keys = json.loads(run("show", str(tiny.path), "--json", "--language", "ko"))
    assert keys.keys() == json.loads(run("show", str(tiny.path), "--json")).keys()


@pytest.mark.slow
def test_a_report_is_said_throughout(tiny: Study, tmp_path: Path) -> None:
    page = tmp_path / "ko.html"
    run("report", str(tiny.path), "-o", str(page), "--language", "ko")
    text = page.read_text(encoding="utf-8")
    body = re.sub(
        r"<script.*?</script>|<style.*?</style>|<pre.*?</pre>|<section id=\"provenance\".*?</section>",
        "",
        text,
        flags=re.S,
    )
    words = re.sub(r"<[^>]*>", " ", body)
    assert '<html lang="ko">' in text
    assert re.findall(r"(?:\b[A-Za-z]+ ){4,}", words) == []


@pytest.mark.parametrize(
    "words",
    [
        "minimum x^2-4x+6",
        "minimum x*sin(x) --start 2",
        "minimum x^2-y^2",
        "derivative 3x³-2x+1 --limit --at 1",
        "derivative sin(x)^2 --wrt x",
        "descend quadratic --steps 5 --steps-table",
        "schedule",
        "schedule cosine",
        "loss huber",
        "loss",
        "regularizer early_stopping",
        "regularizer",
        "formula asgd",
        "formula halving",
        "formula",
        "surfaces",
        "problems",
        "size alexnet-2gpu",
        "bias-variance wave --members 3 --epochs 1",
        "bag breast-cancer --members 2 --epochs 1",
        "boost breast-cancer --members 2 --epochs 1",
        "compare breast-cancer --optimizers sgd --rates 0.1 --seeds 1 --epochs 1 --confirmation 0 --grow 0 --yes",
        "compare breast-cancer --dry-run",
    ],
)
def test_what_commands_print_is_said(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(*words.split(), "--language", "ko", columns=100)
    told = re.sub(r"(thalweg|(\w+ )?et al\.|Algorithm|section|figure|table|eq\.|lr_scheduler) .*|'[^']*'", "", shown)
    told = re.sub(rf"\b({'|'.join(FORMULAS)})\b", "", told)
    assert re.search("[가-힣]", shown)
    assert re.findall(r"(?:\b[a-z]{2,}[ ,:;]+){3,}", told) == []


def test_help_is_said() -> None:
    for words in (("--language", "ko", "--help"), ("show", "--help", "--language", "ko")):
        shown = run(*words)
        assert "이 도움말을 보여 주고 끝냅니다." in " ".join(shown.replace("│", " ").split())
    assert "Show this message and exit." in run("show", "--help")


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"THALWEG_LANGUAGE": "ko", "LANG": "en_US.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"LANGUAGE": "ko:en", "LANG": "de_DE"}, "ko"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_locale_chooses(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], chosen: str) -> None:
    for name in ("THALWEG_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    use_language("auto")
    assert language() == chosen


def test_a_language_that_is_not_known() -> None:
    with pytest.raises(UsageError, match="language is 'fr'; it is one of en, ko or auto"):
        use_language("fr")
    assert "it is one of en, ko or" in " ".join(run("show", "x", "--language", "fr", status=2).split())


def test_particles_follow_their_word() -> None:
    use_language("ko")
    assert say("{level} diverged.", level="0.05") == "0.05는 발산했습니다."
    assert say("{level} diverged.", level="0.03") == "0.03은 발산했습니다."
    assert say("{level} diverged.", level="adam") == "adam은 발산했습니다."
    assert say("{level} diverged.", level="sgd (0.1, cosine)") == "sgd (0.1, cosine)는 발산했습니다."


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("formula adm", "'adm'은 옵티마이저가 아닙니다. 혹시 adam"),
        ("schedule zzzz", "'zzzz'는 스케줄이 아닙니다. 쓸 수 있는 것: constant"),
        ("loss huber(delta=-1)", "huber: delta의 값이 -1입니다. 0보다 큰 수를 주십시오."),
        ("descend quadratic --steps 0", "steps의 값이 0입니다. 1 이상의 정수를 주십시오."),
        ("descend quadratic --rate -1", "양수여야 합니다"),
        ("descend quadratic --rate a", "학습률 'a'를 읽을 수 없습니다"),
        ("show missing.db", "missing.db가 없습니다"),
        ("picture entropy -o a.jpg", ".html, .png, .svg, .gif 또는 .mp4로 끝나야 합니다"),
    ],
)
def test_frequent_mistakes_are_answered_in_the_language(words: str, answer: str) -> None:
    assert answer in run(*words.split(), "--language", "ko", status=1 if words.startswith("show") else 2)


@pytest.mark.parametrize(
    ("text", "korean"),
    [
        ("3x^3-2x+", "끝에서 읽을 수 없습니다: 수, 이름 또는 괄호가 올 자리에서 끝납니다."),
        ("x^^2", "'^2'(3번째 글자)에서 읽을 수 없습니다: 수, 이름 또는 괄호가 올 자리에 '^'"),
        ("sine(x)", "sine은 함수가 아닙니다. sin 또는 sinh를 쓰려던 것입니까?"),
        ("x*sinx", "sinx는 x의 sin일 수도 있고 변수 이름일 수도 있습니다. sin(x)"),
        ("1/0", "'1/0'은 받아들일 수 없습니다: 0으로 나눕니다."),
        ("", "식이 비어 있습니다."),
    ],
)
def test_a_formula_is_refused_in_korean(text: str, korean: str) -> None:
    with speaking("ko"), pytest.raises(UsageError) as refused:
        thalweg.function(text)
    assert korean in str(refused.value)


def test_a_call_is_refused_in_korean() -> None:
    with speaking("ko"), pytest.raises(UsageError) as refused:
        thalweg.schedules.get("step(size=")
    assert str(refused.value).startswith("'step(size='은(는) 이름(인수=값, …) 형식이 아닙니다. 예: step(")


def test_a_point_and_bounds_are_refused_in_korean() -> None:
    with speaking("ko"):
        with pytest.raises(UsageError, match="a가 있어 수가 아닙니다"):
            thalweg.derivative("x^2", at="a")
        with pytest.raises(UsageError, match=r"점의 수는 1개이고, .*의 변수는 2개입니다"):
            thalweg.gradient("x*y", at=1)
        with pytest.raises(UsageError, match="하강에는 시작점이 있어야 합니다"):
            thalweg.minimum("x^2", method="descent")


def test_problems_regularizers_and_optimizers_are_refused_in_korean() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    with speaking("ko"):
        with pytest.raises(UsageError, match=r"^문제가 int입니다\. tw\.Problem, 훈련 루프"):
            thalweg.prepare(5)  # pyright: ignore
        with pytest.raises(UsageError, match=r"^규제는 이름이거나 tw\.regularizers 가운데 하나입니다\. 5는 아닙니다"):
            thalweg.regularizers.get(5)  # pyright: ignore
        with pytest.raises(UsageError, match=r"^max_norm 값 -1은 쓸 수 없습니다\. 0보다 커야 하며"):
            thalweg.optim.Adam([weight], max_norm=-1)
        with pytest.raises(UsageError, match=r"^SophiaG는 모델의 출력에서 뽑은 목표값에 대한"):
            thalweg.optim.SophiaG([weight]).step()


def test_surfaces_losses_sizes_and_probes_are_refused_in_korean() -> None:
    layer = torch.nn.Linear(2, 1)
    with speaking("ko"):
        with pytest.raises(UsageError, match=r"^int는 곡면이 아닙니다\. 이름이나 식"):
            thalweg.descend(5)
        with pytest.raises(UsageError, match=r"^Normal에는 scale도 필요합니다"):
            thalweg.losses.from_distribution("normal", outputs=("loc",))
        with pytest.raises(UsageError, match=r"^Linear가 크기가 1×3 float32인 입력에서 실패합니다.*샘플 하나의 모양을"):
            thalweg.size(layer, (3,))
        with pytest.raises(UsageError, match=r"^신경망의 손실은 데이터가 있어야 정해집니다"):
            thalweg.landscape(layer)


def test_a_setting_of_further_factors_is_in_korean() -> None:
    runs = [
        {"optimizer": optimizer, "lr": 0.01, "batch_size": size, "seed": seed, "validation_loss": loss + size + seed}
        for optimizer, loss in (("adam", 1.0), ("sgd", 2.0))
        for size in (16, 32)
        for seed in range(3)
    ]
    with speaking("ko"):
        assert "배치 크기 16" in thalweg.rank(runs).sentence
        assert described(Setting("adam", 0.01, "cosine", (("batch_size", 16),))).endswith("배치 크기 16")
