"""Every line of the audit of the five documents: what a document says, the command or the lines that a reader runs,
and the number or the words that have to come out.

1 rules · 2 rates · 3 losses · 4 calculus · 5 pictures · 6 generalization · 7 regularizers · 8 convolution and size ·
9 which is best · B what the audit found weak. test_rules.py and test_slides.py derive the same numbers in NumPy.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.gallery import PICTURES
from thalweg.gallery.computed import tuned
from thalweg.study.study import Study

from ..cli.asked import run
from ..studies import TINY
from .test_rules import CASES, START, STEPS, F

COUNTS = {"1": 26, "2": 8, "3": 6, "4": 9, "5": 9, "6": 6, "7": 8, "8": 6, "9": 1, "B": 13}
FORM = dict(zip((case[1] for case in CASES), CASES, strict=False))

# The audit's line, the rule as it is typed.
RULES = {
    "1.1": "gradient_descent",
    "1.4": "momentum(rate_inside=True)",
    "1.5": "momentum",
    "1.6": "nesterov(lookahead=True)",
    "1.7": "nesterov(change_of_variables=True)",
    "1.10": "adagrad(eps=1e-7)",
    "1.11": "adagrad(eps_inside=True)",
    "1.12": "adagrad(eps=0)",
    "1.13": "adadelta",
    "1.14": "rmsprop",
    "1.15": "rmsprop(eps_inside=True)",
    "1.16": "adam",
    "1.17": "adam(folded=True, eps=1e-7)",
    "1.19": "adam(rmsprop_momentum=True)",
    "1.20": "adam(bias_correction=False, eps_inside=True)",
    "1.22": "halving",
}


def digits(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("line", RULES)
def test_a_rule_goes_where_its_equations_go(line: str) -> None:
    _, rule, lr, equations = FORM[RULES[line]]
    steps = equations(START, lr)
    *_, end = (next(steps) for _ in range(STEPS))
    start = f"--start={START[0]},{START[1]}"
    said = run("descend", F, start, "--optimizer", rule, "--rate", str(lr), "--steps", str(STEPS), columns=120)
    assert ", ".join(map(digits, end)) in said
    assert "direction" in run("formula", rule)


# The audit's line, what is typed, and what has to be in the answer.
COMMANDS: list[tuple[str, str, tuple[str, ...]]] = [
    ("1.8", "formula 'nesterov(lookahead_kept=True)'", ("let the step begin where the momentum leads",)),
    (
        "1.18",
        "descend quadratic --start 1,1 --optimizer 'adam(bias_correction=False)' --rate 0.001 --steps 1 --steps-table",
        ("−0.003162",),
    ),
    ("1.21", "formula 'adam(correction_kept=True)'", ("(1 − beta2^t)",)),
    (
        "1.25",
        "formula",
        (
            "gradient, constant:\n    sgd 1951",
            "momentum 1964, nesterov 1983",
            "inverse to long-term change:\n    adagrad 2011",
        ),
    ),
    ("2.1", "schedule CosineAnnealingLR", ("lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps)",)),
    ("2.3", "schedule 'step(size=10 epochs)' --epochs 20 --steps 240", ("1 … 0.1",)),
    ("2.4", "schedule one_over_t", ("yes: falls like 1/t",)),
    ("2.4", "schedule 'inverse_time(k=0.1)'", ("yes: falls like 1/t",)),
    ("2.4", "schedule inverse_sqrt", ("no: falls like 1/√t",)),
    ("2.4", "schedule exponential", ("no: falls so fast",)),
    ("2.5", "schedule 'momentum: ramp(start=0.5, end=0.99)' --steps 60", ("0.5 … 0.99",)),
    (
        "2.7",
        "descend quadratic --start=-4,1 --rate 0.01,0.1,0.25 --kind losses --steps 30 -o losses.html",
        ("losses.html",),
    ),
    ("2.8", "range breast-cancer --optimizer adam --rates 5 --steps 20 --seeds 2", ("Begin adam", "∞")),
    ("3.1", "loss l1 --values 3,11 --targets 1,1", ("mean 6, sum 12",)),
    ("3.1", "loss l2 --values 3,11 --targets 1,1", ("mean 52, sum 104",)),
    ("3.3", "loss cross_entropy --values '2,1,0.1;0.5,2.5,0.3' --targets 0,2", ("mean 1.4185",)),
    ("3.4", "loss entropy --values 0.5,0.5", ("0.69315     1",)),
    ("3.4", "loss entropy --values 5/6,1/6", ("0.45056",)),
    ("3.5", "loss kl_div --values 0.3,0.3,0.4 --targets 0.5,0.3,0.2", ("0.11678", "0.12401")),
    ("3.6", "loss triplet_margin --values '0,0;1,0;0,1.5'", ("mean 0.5, sum 0.5",)),
    ("4.1", "derivative 3x³-2x+1 --limit --at 1", ("→ 9x² − 2 as h → 0", "7.0903", "6.9103", "at x = 1: 7")),
    ("4.2", "derivative 3x*y²+4x³-5y²+1", ("∂f/∂x = 12x² + 3y²", "∂f/∂y = 6x·y − 10y")),
    ("4.3", "derivative '(2x-1)^3'", ("6(2x − 1)²", "chain, power")),
    ("4.3", "derivative '3(x-2)²+(y-2)²'", ("6(x − 2)", "2(y − 2)")),
    ("4.4", "minimum x^2-4x+6", ("(x − 2)² + 2, by completing the square", "x = 2   f = 2", "f″ > 0")),
    ("4.4", "minimum x^2-4x+6 --grid", ("x = 2   f = 2",)),
    ("4.4", "minimum x^2-4x+6 --start 4", ("x = 2   f = 2",)),
    ("4.4", "descend x^2-4x+6 --start 4 --rate 0.2 --steps 60", (" 4    2     2 ",)),
    ("4.5", "minimum '3(x-2)²+(y-2)²'", ("minimum: eigenvalues 2, 6",)),
    ("4.6", "descend x^2-4x+6 --start 4 --rate 0.2,0.01,1 --steps 10", ("2.012", "3.634", "1      4      4     6")),
    ("4.7", "descend 'x*sin(x)' --start 2.5 --start 1.5 --rate 0.25 --steps 10", ("4.913", "0.004931")),
    ("4.7", "descend 'x*sin(x)' --start 2.5 --rate 1,0.05 --steps 5", ("0.6794", "2.974")),
    ("4.8", "descend x^2-4x+6 --start 4 --rate 0.2 --steps 10 --steps-table", ("10  2.0121", " 3   2.432  2.1866")),
    (
        "5.9",
        "descend x^4/4-x^3/3-x^2+0.2x --start=-2 --optimizer sgd,momentum --rate 0.05 --steps 200",
        ("−1.062  −0.623", "1.966   −2.27"),
    ),
    ("6.3", "bias-variance wave --members 3 --epochs 1", ("and\nnoise 0.09",)),
    ("6.4", "bag breast-cancer --members 3 --epochs 1", ("out of the bag", "all together")),
    ("6.4", "boost breast-cancer --members 3 --epochs 1", ("2.956", "2.162", "2.019")),
    ("8.1", "convolve 1,2,3 0,1,0.5 --padding full", ("1·0.5 + 2·1 + 3·0    2.5",)),
    (
        "8.1",
        "convolve 'heaviside(x) - heaviside(x - 1)' 'exp(-x)*heaviside(x)' --at 0.5,1,2",
        ("0.393469", "0.632121", "0.232544"),
    ),
    (
        "8.4",
        "size alexnet-2gpu",
        (
            "34,848",
            "307,200",
            "884,736",
            "663,552",
            "442,368",
            "177,209,344",
            "16,777,216",
            "4,096,000",
            "200,415,264 without biases",
        ),
    ),
    ("8.5", "size bottleneck", ("147,456", "40,960")),
    ("8.6", "size googlenet", ("inception3a  Inception  256×28×28                163,328",)),
    ("B2", "loss", ("huber",)),
    ("B2", "regularizer", ("cutmix",)),
    ("B2", "regularizer dropout", ("x ← x · mask / (1",)),
    ("B2", "basins x^4/4-x^3/3-x^2+0.2x --rate 0.05", ("1.966", "−1.062")),
    ("B3", "--language ko descend x^2-4x+6 --start 4 --rate 0.2 --steps 10", ("학습률", "손실", "2.012")),
    ("B4", "formula RMSProp", ("rmsprop: ",)),
    ("B4", "formula NAG", ("nesterov: ",)),
    ("B4", "formula gradient_descent", ("sgd: ",)),
    ("B4", "formula 모멘텀", ("momentum: ",)),
    ("B4", "loss mae --values 3,11 --targets 1,1", ("mean 6, sum 12",)),
    ("B4", "loss MSELoss --values 3,11 --targets 1,1", ("mean 52, sum 104",)),
    ("B4", "minimum f(x)=x^2-4x+6", ("x = 2   f = 2",)),
    ("B10", "size lenet --optimizer sgd,adam", ("none per weight: sgd", "2 per weight: adam")),
    ("B10", "size lenet --optimizer sgd --optimizer adam", ("none per weight: sgd", "2 per weight: adam")),
    ("B11", "descend x^4/4-x^3/3-x^2+0.2x --start=-2 --rate 0.05 --bounds=-3:3 -o valley.html", ("valley.html",)),
    ("B13", "derivative '(2x-1)(x+3)'", ("= 4x + 5",)),
    ("B13", "minimum x^2-4x+6 --start 4", ("minimum: f″ = 2",)),
    ("B13", "descend x^2-4x+6 --start 4 --rate 1.1 --steps 40", ("x² − 4x + 6, 40 steps", "diverging")),
]

# What is asked back, and what the question has to name.
REFUSED = [
    ("4.9", "derivative 'x sin x'", "x*sin(x)"),
    ("4.9", "derivative 'xsin(x)'", "x*sin(…)"),
    ("4.2", "derivative '3xy²+4x³-5y²+1'", "x*y"),
    ("B5", "derivative 'x*sinx'", "sin(x)"),
    ("B5", "minimum 'x*sinx'", "sin(x)"),
    ("B4", "loss l22", "did you mean mse"),
    ("B6", "compare digits-cnn --optimizers adam --rates 0.01 --regularizers 'none,dropout(0.3)'", "add nn.Dropout"),
    ("B10", "descend x^2-4x+6 --start 4 --rate 0.2 --rate 0.01 --steps 6", "--rate is given 2 times"),
    ("B10", "descend x^2-4x+6 --start 4 --optimizer sgd --optimizer adam", "--optimizer is given 2 times"),
]


def ids(cases: list[tuple[str, str, Any]]) -> list[str]:
    return [f"{line}: {typed}" for line, typed, _ in cases]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a command writes goes into an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize(("line", "typed", "due"), COMMANDS, ids=ids(COMMANDS))
def test_a_command_answers_with_the_number(line: str, typed: str, due: tuple[str, ...]) -> None:
    said = run(*shlex.split(typed))
    for words in due:
        assert words in said


@pytest.mark.parametrize(("line", "typed", "due"), REFUSED, ids=ids(REFUSED))
def test_what_could_mean_two_things_is_asked_back(line: str, typed: str, due: str) -> None:
    assert due in " ".join(re.sub("[│╭╮╰╯─]", " ", run(*shlex.split(typed), status=2)).split())


# Lines that take Python; the number of a line is in the name of its test.

VALUE = torch.tensor([[0.3, -1.2], [2.0, 0.5]])


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Batches of 1, of 32, and all data: 364 samples, 2 epochs."""
    few = TINY | {"optimizers": ["sgd"], "rates": [0.1], "schedules": ["constant"], "grow": 0, "refine": 0}
    return tw.compare(**few, batch_sizes=[1, 32, "full"], store=tmp_path_factory.mktemp("sizes") / "sizes.db")


@pytest.mark.slow
def test_1_2_single_samples_batches_and_all_data(sizes: Study) -> None:
    steps = sizes.table().groupby("batch_size")["step"].max()
    assert {str(size): int(count) for size, count in steps.items()} == {"1": 728, "32": 24, "full": 2}


def test_1_3_why_a_batch_will_do() -> None:
    """Three panels; that all lead to the minimum, the smaller the batch the less straight, is the gallery's test."""
    panels = [note.text for note in PICTURES["batches-on-a-surface"].make().layout.annotations]
    assert panels == ["all samples", "8 samples", "one sample"]


def test_1_9_without_a_look_ahead_it_is_momentum() -> None:
    rules = ["momentum(rate_inside=True)", "nesterov(lookahead=True)"]
    printed, real = tw.descend("quadratic", start=[-1.0, -1.0], optimizer=rules, lr=0.05, steps=20).points
    w, v = np.array([-1.0, -1.0]), np.zeros(2)
    for _ in range(20):
        v = 0.9 * v - 0.05 * np.array([1.0, 10.0]) * w  # step 4b: the gradient at w
        w = w + v
    np.testing.assert_allclose(printed[-1], w, rtol=1e-12)
    assert np.abs(real[-1] - w).max() > 0.1
    assert "gradient of step 4a" in (Path(__file__).parents[2] / "docs" / "course.md").read_text()


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "NAdam", "RAdam", "Adamax", "ASGD", "Rprop", "Adagrad", "RMSprop"])
def test_1_23_drop_ins_are_those_of_torch(kind: str) -> None:
    ends = []
    for library in (torch.optim, tw.optim):
        weight, unused = (nn.Parameter(VALUE.double().clone()) for _ in range(2))
        optimizer = getattr(library, kind)([weight, unused], lr=0.01, maximize=True)
        for step in range(10):
            weight.grad = torch.sin(weight.detach() * (step + 1))
            optimizer.step()  # the other has no gradient
        assert torch.equal(unused, VALUE.double())
        ends.append(weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-8)


def test_1_24_variants_by_class() -> None:
    """torch's classes keep torch's arguments, and say where the form is."""
    weight = nn.Parameter(VALUE.clone())
    with pytest.raises(TypeError, match=r"tw\.optim\.from_formula\('adam\(folded=True\)'\)"):
        tw.optim.Adam([weight], folded=True)
    optimizer = tw.optim.from_formula("adam(folded=True, eps=0)")([weight], lr=0.1)
    weight.grad = VALUE.clone()
    optimizer.step()
    torch.testing.assert_close(weight.detach(), VALUE - 0.1 * VALUE.sign())  # m̂/√v̂ is the sign in the first step


def test_1_26_the_family_has_its_root_and_its_ideas() -> None:
    traces = PICTURES["family-tree"].make().data
    words = [word for trace in traces for word in (getattr(trace, "text", None) or ())]
    assert {"adam 2014", "downhill (Cauchy 1847), sampled", "momentum and rmsprop, unbiased"} <= {*words}
    names = {trace.name for trace in traces}
    assert {"sgd–momentum", "momentum–adam", "rmsprop–adam", "adagrad–rmsprop", "adagrad–adadelta"} <= names


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("one_over_t", lambda t: 1 / (t + 1)),
        ("inverse_time(k=0.1)", lambda t: 1 / (1 + 0.1 * t)),
        ("exponential_decay(k=0.1)", lambda t: np.exp(-0.1 * t)),
        ("step_decay(every=5)", lambda t: 0.5 ** (t // 5)),
    ],
)
def test_2_2_rates_that_fall(schedule: str, factor: Callable[[np.ndarray], np.ndarray]) -> None:
    t = np.arange(40)
    np.testing.assert_allclose(tw.schedules.get(schedule).factor(t, 40), factor(t), rtol=1e-12)


@pytest.mark.slow
def test_2_6_a_fixed_rate_oscillates() -> None:
    path = tw.descend("quadratic", start=[0.0, 0.0], lr=0.1, noise=1.0, steps=4000).points[500:]
    curvature = np.array([1.0, 10.0])
    due = np.sqrt(0.1 / (2 * curvature - 0.1 * curvature**2))
    np.testing.assert_allclose(due, [0.229, 0.1], atol=5e-4)
    np.testing.assert_allclose(path.std(axis=0), due, rtol=0.15)


def test_3_2_likelihoods() -> None:
    zero, targets = torch.zeros(5), torch.tensor([0.0, 1.0, 2.0, 3.0, 20.0])
    laplace, normal = (tw.losses.from_distribution(name, fixed={"scale": 1.0}) for name in ("laplace", "gaussian"))
    assert float(laplace(zero, targets)) == pytest.approx(5.2 + np.log(2))
    assert float(normal(zero, targets)) == pytest.approx(414 / 10 + np.log(2 * np.pi) / 2)


def test_5_1_steps_are_labelled() -> None:
    """At rate 1 the path goes to and fro between two points, which have the names of all steps on them."""
    texts = [label for trace in PICTURES["steps-on-a-curve"].make().data for label in (trace.text or ())]
    assert {"x₀", "x₁", "x₆", "x₀<br>x₂<br>x₄<br>x₆", "x₁<br>x₃<br>x₅"} <= {*texts}


def test_5_3_small_good_and_large_rates() -> None:
    ends = tw.descend("quadratic", start=[-4.0, 1.0], lr=[0.01, 0.1, 0.21], steps=40).losses[:, -1]
    assert ends[1] < ends[0] < ends[2]


def test_5_4_the_tips_of_the_arrows() -> None:
    """The gradient is taken at the point, or where the momentum leads: x of both arrows' ends by hand."""
    steps = [trace for trace in PICTURES["nesterov-look-ahead"].make().data if f"{trace.name}".startswith("update")]
    tips = [trace.x[1] for trace in steps]
    at, ahead = 1.584, 1.584 - 0.9 * (1.8 - 1.584)
    assert tips == pytest.approx([ahead - 0.12 * at, ahead - 0.12 * ahead])


def test_5_5_and_b7_rules_of_the_race_stay_at_the_minimum() -> None:
    """The rate of adadelta that was best over 120 steps left it again; such rates are not chosen now."""
    rates, _ = tuned("ravine", ["sgd", "adadelta"], steps=60)
    long = tw.descend("ravine", optimizer=rates, steps=240).losses
    assert (long[:, 60:].max(axis=1) <= 1.1 * long[:, 60]).all()


def test_5_6_a_surface_to_turn(folder: Path) -> None:
    run("descend", "ravine", "--kind", "surface", "--steps", "20", "-o", "turn.html")
    assert '"surface"' in (folder / "turn.html").read_text()


def test_5_7_which_start_leads_to_which_minimum() -> None:
    found = tw.basins("himmelblau", "sgd", lr=0.01, steps=200, resolution=20).table()
    corners = [[3.0, 2.0], [-2.805, 3.131], [-3.779, -3.283], [3.584, -1.848]]
    np.testing.assert_allclose(sorted(found[["x", "y"]].dropna().values.tolist()), sorted(corners), atol=2e-3)


def test_5_8_a_coin_and_two_fits() -> None:
    entropy = PICTURES["entropy"].make().data[0]
    assert max(entropy.y) == pytest.approx(np.log(2), abs=1e-6)
    names = " ".join(f"{trace.name}" for trace in PICTURES["kullback-leibler"].make().data)
    assert "μ = 0.6, σ = 3.022" in names
    assert "0.511 nats" in names


@pytest.mark.slow
def test_6_1_one_epoch_is_not_judged(folder: Path) -> None:
    few = TINY | {"optimizers": ["adam"], "rates": [0.01], "seeds": 1, "epochs": 1, "confirmation": 0}
    tw.compare(**few, schedules=["constant"], store=folder / "one.db")
    said = " ".join(run("show", "one.db").split())
    assert "adam cannot be judged: one epoch shows no course" in said
    assert "inf" not in said.replace("information", "")  # B8
    assert "is best" not in said
    assert "no other optimizer was compared" in said


@pytest.mark.slow
def test_6_2_folds_and_the_test_part_once(folder: Path) -> None:
    few = TINY | {"optimizers": ["adam"], "schedules": ["constant"], "rates": [0.001, 0.01], "grow": 0, "refine": 0}
    study = tw.compare(**few | {"confirmation": 3}, folds=5, store=folder / "folds.db")
    table = study.table()
    assert (table["stage"] == "search").sum() == 2 * 2 * 5
    assert table.loc[table["stage"] == "search", "test_loss"].isna().all()
    assert study.verdict.best.lr in (0.001, 0.01)
    assert all(entry.test["accuracy"].high <= 1 for entry in study.verdict.entries)  # B8


@pytest.mark.slow
def test_6_5_and_6_6_sharpness_stands_beside_the_generalization(sizes: Study) -> None:
    said = run("sharpness", str(sizes.path), "--by", "batch_size")
    assert "eigenvalue" in said
    assert "validation" in said


def test_7_1_penalties_are_their_formulas() -> None:
    model = nn.Linear(3, 2)
    squares, sizes_of = (sum(float(f(w.detach()).sum()) for w in model.parameters()) for f in (torch.square, torch.abs))
    assert float(tw.regularizers.get("l2(0.1)")(model).detach()) == pytest.approx(0.05 * squares, rel=1e-5)
    assert float(tw.regularizers.get("l1(0.1)")(model).detach()) == pytest.approx(0.1 * sizes_of, rel=1e-5)


def test_7_2_early_stopping() -> None:
    model, stop = nn.Linear(1, 1), tw.regularizers.EarlyStopping(2)
    stopped = []
    for k, loss in enumerate([5.0, 4.0, 3.0, 3.5, 3.6]):
        nn.init.constant_(model.weight, float(k))
        stopped.append(stop(loss, model))
    assert (stopped, model.weight.item()) == ([False] * 4 + [True], 2.0)


def test_7_3_and_7_5_batches_are_changed() -> None:
    images, classes = torch.rand(8, 1, 8, 8), torch.arange(8)
    for name in ("shift(2)", "flip(0.5)", "crop(0.8)", "rotate(15)", "input_noise(0.3)"):
        changed, same = tw.regularizers.get(name)(images, classes, seed=1, step=1)
        assert changed.shape == images.shape
        assert not torch.equal(changed, images), name
        assert torch.equal(same, classes)
    mixed, targets = tw.regularizers.get("mixup")(images, classes, seed=1, step=1)
    rows = targets.probabilities(8)
    torch.testing.assert_close(mixed.flatten(1), rows.to(images) @ images.flatten(1))


def test_7_4_label_smoothing_is_torchs() -> None:
    outputs, targets = torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([2])
    due = nn.functional.cross_entropy(outputs, targets, label_smoothing=0.1)
    torch.testing.assert_close(tw.losses.CrossEntropy(label_smoothing=0.1)(outputs, targets), due)


@pytest.mark.whole
def test_7_6_and_7_8_dropout_beside_the_others(folder: Path) -> None:
    kinds = ["none", "l1(1e-4)", "l2(1e-4)", "decoupled_decay(1e-4)", "early_stopping", "label_smoothing(0.1)", "mixup"]
    kinds += ["input_noise(0.1)", "weight_noise(0.01)", "dropout(0.2)"]
    few = TINY | {"problem": "digits-dropout", "optimizers": ["adam"], "rates": [0.01], "epochs": 1, "confirmation": 0}
    tw.compare(**few, schedules=["constant"], regularizers=kinds, store=folder / "all.db")
    said = run("show", "all.db", "--by", "regularizer")
    for kind in kinds:
        assert kind.replace("1e-4", "0.0001") in said


@pytest.mark.slow
def test_7_7_with_and_without_batch_norm(folder: Path) -> None:
    models = {
        "plain": lambda: nn.Linear(30, 2),
        "batch norm": lambda: nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 2)),
    }
    few = TINY | {"optimizers": ["adam"], "rates": [0.01], "epochs": 1, "grow": 0, "refine": 0}
    study = tw.compare(**few, schedules=["constant"], models=models, store=folder / "models.db")
    assert {str(entry.further["model"]) for entry in study.verdict_by("model").entries} == {*models}


def test_8_2_stride_padding_and_channels() -> None:
    image, kernels = np.random.default_rng(1).normal(size=(3, 7, 8)), np.ones((2, 3, 3, 3))
    found = tw.convolve(image, kernels, "cross-correlation", stride=2, padding=1).values
    due = nn.functional.conv2d(torch.tensor(image)[None], torch.tensor(kernels), stride=2, padding=1)[0]
    np.testing.assert_allclose(found, due, rtol=1e-10)


def test_8_3_and_b13_a_picture_of_several_channels() -> None:
    found = tw.convolve(np.ones((3, 6, 6)), np.ones((1, 3, 3, 3)))
    assert found.picture().data


@pytest.mark.slow
def test_9_which_is_best(tiny: Study) -> None:
    said = " ".join(run("show", str(tiny.path)).split())
    assert "[95% interval]" in said
    assert tiny.verdict.best.optimizer in ("sgd", "adam")


def test_5_2_and_b1_momentum_calms_the_zigzag() -> None:
    rules = ["sgd", "momentum(momentum=0.5)"]
    path = tw.descend("quadratic(condition=40)", optimizer=rules, lr=0.048, steps=25).points
    across = [np.abs(np.diff(points[:, 1])).sum() for points in path]
    assert across[1] < across[0] / 4
    assert abs(path[1, -1, 0]) < abs(path[0, -1, 0])
    assert "calms" in PICTURES["momentum-in-a-ravine"].words


def test_b8_no_interval_leaves_its_scale(sizes: Study) -> None:
    for entry in sizes.verdict_by("batch_size").entries:
        assert entry.validation_loss.low >= 0


def test_b9_where_the_documents_differ_is_a_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "course.md").read_text()
    for slip in ("5.13", "5-5", "4b", "climbs", "j−n", "1945"):
        assert slip in page.partition("## Where the documents differ")[2]


DRAWN = ["batches-on-a-surface", "cross-validation", "under-and-overfitting", "bias-variance-target", "triplets"]
DRAWN += ["bagging-and-boosting", "dropped-units", "mixed-images", "alexnet-parameters", "leaving-a-local-minimum"]
DRAWN += ["loss-curves-of-rates", "family-tree"]


def test_b12_every_picture_of_the_documents_is_drawn() -> None:
    assert {*DRAWN} <= {*PICTURES}


def test_all_lines_are_here() -> None:
    """Of the audit's table, and of its list of what was weak."""
    named = [re.findall(r"_(?:(\d)_(\d+)|(b)(\d+)|(9))(?=_)", name) for name in globals() if name.startswith("test_")]
    here: set[tuple[str, str]] = set()
    for one in named:
        here |= {(a or b.upper() or "9", x or y or "1") for a, x, b, y, _ in one}
    typed = [*RULES, *(line for line, *_ in (*COMMANDS, *REFUSED))]
    here |= {("B", line[1:]) if line.startswith("B") else (*line.split("."),) for line in typed}  # pyright: ignore
    missing = {(part, str(k + 1)) for part, count in COUNTS.items() for k in range(count)} - here
    assert not missing
