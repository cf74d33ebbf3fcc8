"""Hostile texts where schedules, losses and regularizers are read: an object, or one sentence, never a traceback.

Also what these three rooms have in common: files that import one way, and what each class declares.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler

import thalweg
from thalweg import losses, regularizers, schedules
from thalweg.cli.schedule import _facts, _one
from thalweg.errors import ThalwegError

ROOT = Path(thalweg.__file__).parent
NINES, BIG = "9" * 400, "9" * 20
NLL = "negative_log_likelihood(distribution="
HEX = "0x" + "f" * 9000
SCHEDULES = [
    "chained(" * 200 + "cosine" + ")" * 200,
    "lr: " * 2000 + "cosine",
    "warmup(" * 30 + "cosine" + ")" * 30,
    "chained(" * 12 + "cosine" + ")" * 12,
    "warmup(" * 12 + "cosine" + ")" * 12,
    "step(gamma=1e308, size=1)",
    f"cosine(end={NINES})",
    f"step(size={HEX})",
    f"step(size={NINES})",
    f"step(size={BIG})",
    f"step(gamma={HEX})",
    f"multistep(milestones=({BIG},))",
    f"multistep(milestones=({','.join(map(str, range(1, 2000)))}))",
    "x",
    "chained(" + ",".join(["cosine"] * 1200) + ")",
    "sequential(" + ",".join(["cosine"] * 500) + ", milestones=(" + ",".join(map(str, range(1, 500))) + "))",
    f"cosine_restarts(T_0=1, T_mult={BIG})",
    f"cosine_restarts(T_mult={NINES})",
    f"plateau(patience={BIG})",
    f"plateau(cooldown={NINES})",
    f"plateau(gamma={NINES})",
    "constant(scale=1e308)",
    "exponential(gamma=1e308)",
    "exponential_decay(k=1e308)",
    "inverse_time(k=1e308)",
    "linear(start=1e308)",
    "linear(start=1e308,end=1e308)",
    "polynomial(power=1e308)",
    "momentum: ramp(end=1e308)",
    "momentum: ramp(start=1e308,end=1e308)",
    "cyclic(gamma=1e308, mode='exp_range')",
    f"cyclic(up={BIG})",
    f"cyclic(up={BIG},down={BIG})",
    "one_cycle(div_factor=1e-308,final_div_factor=1e-308)",
    "one_cycle(div_factor=5e-324)",
    f"linear(steps={BIG})",
    f"warmup(steps={BIG})",
    f"wsd(warmup={BIG})",
    f"inverse_sqrt(warmup={BIG})",
    f"lr: step(size={BIG}); momentum: step(size={NINES})",
    "chained(constant(scale=1e200), constant(scale=1e200), linear)",
    "step(size=[[]])",
    "step(size={})",
    "cosine(end=(1,2,[3]))",
    "cosine(end=(0.1,)*3)",
    "cosine(end=(0.1,0.2))",
    "one_cycle(anneal_strategy=[])",
    "one_cycle(cycle_momentum=None)",
    "cosine(end=b'x')",
    "cosine(end=1j)",
    "cosine(end=...)",
    "ramp(shape='memory', end=0.9999999999999999)",
    "lambda(f)",
    "chained(lambda(f))",
    "cosine(",
    "cosine)",
    "cosine\0",
    "cosine(end=\ud800)",
    "cosine(end='\\ud800')",
    "\ud800",
    "a" * 10**6,
    ":" * 10**5,
    "lr:" + ":" * 10**4,
    ";" * 10**4,
    "lr: cosine;" * 10**3,
    "constant()",
    "chained(schedules=[cosine])",
    "chained(schedules=('cosine','linear'))",
    "warmup(schedule='warmup(schedule=\"warmup\")')",
    "chained(schedules=[{'lr':'cosine'}])",
    "warmup(schedule={'lr':'cosine'})",
    "warmup('lr: cosine')",
    "warmup(None)",
    "chained(None)",
    "chained(3)",
    "sequential(cosine, milestones=())",
    "sequential(cosine, linear, milestones=(1e3,))",
    "multistep(milestones=[])",
    "multistep(milestones='ab')",
    "multistep(milestones={1,2})",
    "cosine(end={1,2})",
    "step(size=-5)",
    "step(size=1e-320)",
    "step(size=0.9999999)",
    "cosine(**{})",
    "cosine(*[])",
    "(cosine)",
    "cosine if 1 else 2",
    "[cosine]",
    "{",
    "cosine(end=1 if 1 else 2)",
    "cosine(end=[i for i in (1,)])",
    "cosine(end=f'{1}')",
    "lr: cosine; momentum: {}",
    "momentum: cosine(end=" + NINES + ")",
    "🙂",
    "cosine #x",
    "cosine\n",
    "cosine;",
    "lr=cosine",
    "constant(steps=" + BIG + ")",
    "step_decay(every=" + NINES + ")",
    "several",
    "several(lr=cosine)",
    "opposite(one_cycle)",
    "opposite",
    "plateau(eps=1e308)",
    "warmup(start=" + NINES + ")",
    "cosine" * 2000,
    "cosine(end=" + "[" * 100 + "]" * 100 + ")",
    "cosine(end=" + "-" * 5000 + "1)",
    "cosine(end=" + "1+" * 2000 + "1)",
    "cosine(end=" + "1+" * 2000 + "1j)",
]
LOSSES = [
    f"cross_entropy(ignore_index={BIG})",
    f"cross_entropy(ignore_index={HEX})",
    f"cross_entropy(ignore_index=-{BIG})",
    f"cross_entropy(weight=({NINES},1,1,1))",
    "cross_entropy(weight=(1e999,1,1,1))",
    "cross_entropy(weight=(1e308,1,1,1))",
    f"cross_entropy(label_smoothing={NINES})",
    f"cross_entropy(weight=[{HEX}])",
    f"huber(delta={HEX})",
    f"huber(delta={NINES})",
    "huber(delta=1e308)",
    "huber(delta=1e-320)",
    "huber(delta=True)",
    "huber(delta=[1])",
    "triplet_margin(margin=1e308)",
    "triplet_margin(p=1e308)",
    "triplet_margin(p=1e-300)",
    "triplet_margin(eps=1e308)",
    f"triplet_margin(margin={NINES})",
    "triplet_margin(swap=1)",
    f"negative_log_likelihood(dim={BIG})",
    f"negative_log_likelihood(dim={NINES})",
    f"negative_log_likelihood(fixed={{'scale':{NINES}}})",
    f"negative_log_likelihood(fixed={{'scale':({NINES},)}})",
    "negative_log_likelihood(fixed={'scale':'a'})",
    "negative_log_likelihood(fixed={'scale':[[1],[1,2]]})",
    "negative_log_likelihood(fixed={'scale':None})",
    "negative_log_likelihood(fixed={'scale':{}})",
    "negative_log_likelihood(fixed={1:2})",
    "negative_log_likelihood(fixed={'scale':1e39})",
    "negative_log_likelihood(fixed={'scale':(1e999,)})",
    "negative_log_likelihood(fixed={'scale':True})",
    "negative_log_likelihood(fixed={'scale':1j})",
    "negative_log_likelihood(fixed={'scale':b'a'})",
    "negative_log_likelihood(outputs=('loc','scale'),fixed={},transform=True)",
    "negative_log_likelihood(outputs=['loc',['x']])",
    "negative_log_likelihood(outputs={})",
    NLL + "3)",
    NLL + "[])",
    NLL + "'MixtureSameFamily', outputs='mixture_distribution', fixed={'component_distribution': 1})",
    NLL + "'Independent', outputs='base_distribution', fixed={'reinterpreted_batch_ndims': 1})",
    NLL + "'TransformedDistribution', outputs='base_distribution', fixed={'transforms': 1})",
    NLL + "'LKJCholesky', outputs='concentration', fixed={'dim': 1000000000}, transform=True)",
    NLL + "'LKJCholesky', outputs='concentration', fixed={'dim': 3.5}, transform=True)",
    NLL + "'LKJCholesky', outputs='concentration', fixed={'dim': -3}, transform=True)",
    NLL + "'Binomial', outputs='logits', fixed={'total_count': -3})",
    NLL + "'Binomial', outputs='logits', fixed={'total_count': 'x'})",
    NLL + "'Categorical', outputs='logits', fixed={'probs': 1}, transform=False)",
    NLL + "'Wishart', outputs='df', fixed={'covariance_matrix': 1}, transform=True)",
    NLL + "'MultivariateNormal', outputs='loc', fixed={'covariance_matrix': 1})",
    NLL + "'LowRankMultivariateNormal', outputs='loc', fixed={'cov_factor': 1,'cov_diag':1})",
    NLL + "'MultivariateNormal', outputs='loc', fixed={'covariance_matrix': [[1,0],[0,1]]})",
    NLL + "'MultivariateNormal', outputs='loc', fixed={})",
    NLL + "'Kumaraswamy', outputs='concentration1', fixed={'concentration0': 1}, transform=True)",
    NLL + "'RelaxedOneHotCategorical', outputs='logits', fixed={'temperature': 1}, transform=True)",
    NLL + "'Uniform', outputs='low', fixed={'high': 1}, transform=True)",
    "mse(reduction='x')",
    "mse(reduction=" + "'" + "x" * 9000 + "')",
    "kl_div(outputs=3)",
    "kl_div(reverse='a')",
    "mse(",
    "mse(1)",
    "mse(delta=1)",
    "mse(a(b))",
    "huber(delta=huber(delta=huber))",
    "huber(" * 200 + ")" * 200,
    "\ud800",
    "mse(\ud800=1)",
    "x" * 10**6,
    "mse\0",
    "mse(reduction='\\ud800')",
    "huber(delta=" + "[" * 100 + "]" * 100 + ")",
    "cross_entropy(weight=" + "[" * 100 + "]" * 100 + ")",
    "cross_entropy(weight={'a':1})",
    "cross_entropy(weight={1,2})",
    "cross_entropy(weight=b'ab')",
    "cross_entropy(weight=())",
    "cross_entropy(ignore_index=None)",
    "cross_entropy(ignore_index=1e3)",
    "own",
    "own(function=3)",
    "mae",
    "mae()",
    "accuracy",
    "triplet_margin(p=1e999)",
    "huber(delta=-0.0)",
]
REGULARIZERS = [
    f"l2({NINES})",
    f"l2({HEX})",
    f"l2({BIG})",
    "l2(1e308)",
    "l2(1e999)",
    "l2(nan)",
    "l2(-0.0)",
    f"l1({NINES})",
    f"shift({BIG})",
    f"shift({NINES})",
    "shift(1e300)",
    "shift(1e6)",
    "shift(10**3)",
    f"early_stopping({BIG})",
    f"early_stopping({NINES})",
    f"early_stopping(3, min_delta={NINES})",
    f"mixup({NINES})",
    "mixup(1e308)",
    "mixup(1e-320)",
    "cutmix(1e-320)",
    "cutmix(1e308)",
    f"ema({NINES})",
    "ema(0.9999999999999999)",
    "swa(0.9999999999999999)",
    "dropout(0.9999999999999999)",
    f"clip_norm({NINES})",
    "clip_norm(1e308)",
    "clip_norm(1e-320)",
    f"clip_value({NINES})",
    f"rotate({NINES})",
    "rotate(180)",
    "crop(1e-320)",
    "crop(1e-30)",
    f"flip({NINES})",
    f"decoupled_decay({NINES})",
    "decoupled_decay(1e308)",
    f"input_noise({NINES})",
    "input_noise(1e308)",
    "weight_noise(1e308)",
    f"label_smoothing({NINES})",
    "l2(l2(l2(1)))",
    "l2(" * 200 + ")" * 200,
    "l2(1,2,3)",
    "l2(a=1)",
    "l2(alpha=[1])",
    "l2(alpha='a')",
    "l2(None)",
    "l2(True)",
    "l2(())",
    "l2(1) +",
    "+ l2(1)",
    "+",
    "l2(1) + l2(1)",
    " + ".join(["l2(1)"] * 2000),
    "l2(1)+" * 2000,
    "x" * 10**6,
    "\ud800",
    "l2(\ud800)",
    "l2('\\ud800')",
    "mixup()",
    "mixup",
    "none + l2(1)",
    "none(1)",
    "l2(1)l1(1)",
    "early_stopping(1,_memory={})",
    "l2(name='x')",
    "l2(varying=())",
    "chain(l2(1))",
    "dropout(p=0.5, p=0.3)",
    "dropout(0.5, p=0.3)",
    "early_stopping(patience=True)",
    "l2(" + "[" * 100 + "]" * 100 + ")",
    "l2(1j)",
    "l2(b'a')",
    "l2({})",
    "l2(...)",
    "l2(alpha=l1)",
    "shift(-1)",
    "shift(2.0)",
    "shift('a')",
]


def is_sentence(error: ThalwegError) -> bool:
    return "\n" not in str(error) and len(str(error).encode()) < 1500


def schedule(text: str) -> None:
    """Read, written, drawn in the terminal, handed to torch."""
    made = schedules.get(text)
    assert schedules.get(made.label) == made
    values = schedules.shown(made, 100)
    assert _one(made, values)
    json.dumps(_facts(made) | {name: value.tolist() for name, value in values.items()}, allow_nan=False)
    made.torch(torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9), 100)


OUTPUTS, IDS = torch.linspace(-1, 1, 24).reshape(6, 4), torch.arange(6) % 4
BATCHES = [
    (OUTPUTS, IDS),
    (OUTPUTS, OUTPUTS.flip(0)),
    (OUTPUTS.softmax(1), OUTPUTS.flip(0).softmax(1)),
    (OUTPUTS.log_softmax(1), OUTPUTS.flip(0).softmax(1)),
    (OUTPUTS.reshape(6, 2, 2), OUTPUTS[:, :2]),
    (torch.linspace(-1, 1, 72).reshape(6, 3, 4), IDS),
]


def loss(text: str) -> None:
    """Read, written, and asked for a value wherever the batch fits."""
    made = losses.get(text)
    assert losses.get(made.label) == made
    refusals = []
    for outputs, targets in BATCHES:
        try:
            made.check(outputs, targets)
            made(outputs, targets)
            made.per_sample(outputs, targets)
        except ThalwegError as error:
            refusals.append(error)
    assert all(map(is_sentence, refusals)), text
    if len(refusals) == len(BATCHES):
        raise refusals[-1]


def regularizer(text: str) -> None:
    """Read, written, and every hook called once."""
    made = regularizers.get(text)
    if made is None:
        return
    assert regularizers.get(made.label) == made
    inputs, weights = torch.rand(6, 2, 5, 5), (torch.ones(3, 3),)
    for part in made.parts:
        part.lines()
        part.check(None, inputs, IDS)
        draws = part.draws(0, 0, inputs, weights)
        amounts = part.alone(draws, inputs)
        part.batch(inputs, IDS, draws, amounts)
        part.point(weights, draws, amounts)
        part.gradient(weights, amounts)
        part.penalty(weights, amounts)
        part.shrink(0.1)
        part.share(3, 2, 10)


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize(
    ("use", "texts"),
    [(schedule, SCHEDULES), (loss, LOSSES), (regularizer, REGULARIZERS)],
    ids=["schedules", "losses", "regularizers"],
)
def test_a_text_is_an_object_or_one_sentence(use: Callable[[str], None], texts: list[str]) -> None:
    refusals = []
    for text in texts:
        try:
            use(text)
        except ThalwegError as error:
            refusals.append(error)
        except Exception as error:
            raise AssertionError(text[:60]) from error
    assert [str(error) for error in refusals if not is_sentence(error)] == []
    assert 0.5 * len(texts) < len(refusals) < len(texts)


@pytest.mark.parametrize("room", ["schedules", "losses", "regularizers"])
def test_files_of_a_room_import_one_way(room: str) -> None:
    """Imports inside functions and for types counted."""
    graph: dict[str, set[str]] = {}
    for path in (ROOT / room).glob("*.py"):
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.level == 1]
        graph[path.stem] = {name for n in nodes for name in ([n.module] if n.module else [a.name for a in n.names])}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order[-1] == "__init__"


def test_what_is_declared() -> None:
    """The name that a text calls it by, the line that says what it is, and torch's own of the same kind."""
    for base in (schedules.Schedule, losses.Loss, losses.Metric, regularizers.Regularizer):
        for name, kind in base.registry.items():
            assert kind.name == name
            assert kind.__name__ in importlib.import_module(kind.__module__.rpartition(".")[0]).__all__, name
            assert len((kind.__doc__ or "").splitlines()[0]) > 10, name
    for kind in schedules.Schedule.registry.values():
        made = schedules.example(kind.name)
        if not kind.counterpart or not made.writable:
            continue
        assert hasattr(lr_scheduler, kind.counterpart)
        code = made.code("100")
        assert f"lr_scheduler.{kind.counterpart}(" in code or kind is schedules.Chained, kind.name
    assert losses.get(F.mse_loss) is losses.get("mse")
    assert {kind.counterpart for kind in losses.Loss.registry.values()} - {None} == {
        F.cross_entropy,
        F.nll_loss,
        F.binary_cross_entropy_with_logits,
        F.mse_loss,
        F.l1_loss,
        F.huber_loss,
    }
    assert np.shape(schedules.example("cosine").factor(range(3), 3)) == (3,)
