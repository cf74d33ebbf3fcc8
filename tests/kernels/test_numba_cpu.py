"""The compiled kernel: rows do not know of each other, threads change nothing, and caches work."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import thalweg as tw
from tests.harness import ELEMENTWISE, cpu_source, kernel_step, machine_code, numba_update
from thalweg.formulas import Formula, get
from thalweg.kernels import generated, numba_cpu, threads, torch_ref

every_formula = pytest.mark.parametrize("name", ELEMENTWISE)
Parts = tuple[list[torch.Tensor], list[torch.Tensor], list[list[torch.Tensor]]]


def parts(formula: Formula, sizes: Sequence[int], tables: Sequence[dict[str, float]], seed: int = 0) -> Parts:
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(n, generator=generator) for n in sizes]
    gradients = [torch.randn(n, generator=generator) for n in sizes]
    states = [torch_ref.initial_states(formula, w, row) for w, row in zip(weights, tables, strict=True)]
    return weights, gradients, states


def bits(parts: Parts) -> list[torch.Tensor]:
    weights, _, states = parts
    kept = (*weights, *(s for row in states for s in row))
    return [x.reshape(-1).view(torch.int32).clone() for x in kept]


def same(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.everyday(of=5)
@every_formula
def test_many_rows_at_once_equal_row_by_row(name: str) -> None:
    formula, sizes = get(name), [5, 17, 1, 64]
    values = formula.hyperparameters
    tables = [{key: value * (1 - 0.1 * i) for key, value in values.items()} for i in range(len(sizes))]
    together, alone = parts(formula, sizes, tables), parts(formula, sizes, tables)
    for t in (1, 2, 3):
        kernel_step(formula, *together, tables, t)
        for i, row in enumerate(tables):
            kernel_step(formula, *([part[i]] for part in alone), [row], t)
    assert same(bits(together), bits(alone))


@every_formula
def test_a_row_that_is_not_active_keeps_every_bit(name: str) -> None:
    formula = get(name)
    held = parts(formula, [40, 40], [{}, {}])
    before = bits(held)
    step = 2 if name == "adopt" else 1  # at the first, adopt only looks
    kernel_step(formula, *held, [{}, {}], step, active=[False, True])
    count = len(formula.states)
    assert torch.equal(before[0], bits(held)[0])
    assert same(before[2 : 2 + count], bits(held)[2 : 2 + count])
    assert not torch.equal(before[1], bits(held)[1])


@every_formula
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_what_breaks_one_segment_changes_no_bit_of_another(name: str, bad: float) -> None:
    formula, sizes, tables = get(name), [33, 7, 50], [{}, {}, {}]
    sound, broken = parts(formula, sizes, tables), parts(formula, sizes, tables)
    broken[1][1].fill_(bad)
    for t in (1, 2, 3):
        kernel_step(formula, *sound, tables, t)
        kernel_step(formula, *broken, tables, t)
    for i in (0, 2):
        assert torch.equal(sound[0][i], broken[0][i])
        assert same(sound[2][i], broken[2][i])
    assert not torch.equal(sound[0][1], broken[0][1])


@every_formula
def test_two_threads_give_the_bits_of_one(name: str) -> None:
    formula, sizes = get(name), [20_000, 3, 30_000, 17, 15_000]
    one, two = parts(formula, sizes, [{}] * 5), parts(formula, sizes, [{}] * 5)
    for t in (1, 2):
        kernel_step(formula, *one, [{}] * 5, t, threads=1)
        kernel_step(formula, *two, [{}] * 5, t, threads=2)
    assert same(bits(one), bits(two))


def test_without_openmp_threads_of_python_give_the_bits_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    pools: list[int] = []
    pool = threads._pool
    monkeypatch.setattr(threads, "_pool", lambda count: pools.append(count) or pool(count))
    sizes = [20_000, 3, 30_000, 17, 15_000]
    one, three = parts(get("adam"), sizes, [{}] * 5), parts(get("adam"), sizes, [{}] * 5)
    kernel_step(get("adam"), *one, [{}] * 5, 1, threads=1)
    assert not pools
    kernel_step(get("adam"), *three, [{}] * 5, 1, threads=3)
    assert set(pools) == {3}
    assert same(bits(one), bits(three))


def test_kernels_go_where_a_file_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = generated.cache_folder.__wrapped__
    (tmp_path / "file").touch()
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert place() == tmp_path / "cache" / "thalweg" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    last = place()
    assert last.is_dir()
    assert last.name.startswith("thalweg-kernels-")


def test_generated_source_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "cache_folder", lambda: tmp_path)
    first = generated.module("answer = 42", "question")
    (path,) = tmp_path.glob("*.py")
    written = path.stat().st_mtime_ns
    assert (first.answer, path.read_text(), list(tmp_path.glob("*.tmp"))) == (42, "answer = 42", [])
    assert generated.module("answer = 42", "question").answer == 42
    assert path.stat().st_mtime_ns == written
    assert generated.module("answer = 43", "question").answer == 43
    assert len(list(tmp_path.glob("*.py"))) == 2


@pytest.mark.share(of=4)
@pytest.mark.slow
@every_formula
def test_float32_is_never_widened_inside_the_loop(name: str) -> None:
    assert "fpext float" not in machine_code(get(name).equations)[0]


@pytest.mark.everyday(of=5)
@every_formula
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_the_loop_runs_on_vectors(name: str) -> None:
    llvm, assembly = machine_code(get(name).equations)
    assert "vector.body" in llvm
    assert "vector.memcheck" not in llvm  # the alias scopes spare it
    assert re.search(r"v(mul|add|sub|fm|fnm)\w*ps\s.*[yz]mm", assembly)
    if "_sqrt(" in cpu_source(get(name).equations).split("def segments")[1]:
        assert re.search(r"vsqrtps\s.*[yz]mm", assembly)


def test_a_dtype_without_kernel_is_refused_with_a_sentence() -> None:
    with pytest.raises(TypeError, match=r"has float32, float64, bfloat16, not torch\.float16"):
        numba_cpu.compiled(get("sgd").equations, torch.float16)


SCRIPT = """
import torch, thalweg as tw
from tests.harness import numba_update
from thalweg.kernels import generated, numba_cpu
w = torch.ones(3)
numba_update(tw.formulas.get("adam"), w, torch.ones(3), [torch.zeros(3), torch.zeros(3)], 1)
kernel = numba_cpu.compiled(tw.formulas.get("adam").equations, torch.float32)
print(w.tolist(), kernel.segments.cache_hits, generated.cache_folder())
"""


def fresh_process(cache: Path, hash_seed: str) -> list[str]:
    environment = {**os.environ, "THALWEG_CACHE": str(cache), "PYTHONHASHSEED": hash_seed}
    environment |= {"XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rsplit(maxsplit=2)


@pytest.mark.slow
def test_the_next_process_finds_the_kernel_compiled(tmp_path: Path) -> None:
    first, second = fresh_process(tmp_path, "1"), fresh_process(tmp_path, "2")
    assert first[1:] == ["0", str(tmp_path / "thalweg" / "kernels")]
    assert second == [first[0], "1", first[2]]
    assert len(list((tmp_path / "thalweg" / "kernels").glob("*.py"))) == 2  # the rule, and what launches it


@pytest.mark.slow
def test_an_unwritable_cache_costs_time_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    weights, hits, folder = fresh_process(blocked, "1")
    assert weights == fresh_process(tmp_path / "free", "1")[0]
    assert hits == "0"
    assert not folder.startswith(str(blocked))
    assert not Path(folder).exists()  # nothing is left behind


def test_formulas_that_differ_in_defaults_share_a_kernel() -> None:
    one, other = get("adam").equations, get("adam(beta2=0.9)").equations
    assert numba_cpu.compiled(one, torch.float32) is numba_cpu.compiled(other, torch.float32)


def test_more_states_than_alias_scopes() -> None:
    names = [f"s{k}" for k in range(40)]
    body = f"def rule(g, {', '.join(names)}, *, lr=0.1):\n    return Update(-lr * ({' + '.join(names)}), "
    scope: dict = {"Update": tw.Update}
    exec(body + ", ".join(f"{n}=g + {i} * {n}" for i, n in enumerate(names)) + ")", scope)
    rule = tw.formula(scope["rule"])
    for update in (numba_update, torch_ref.update):
        w, states = torch.ones(5), [torch.ones(5) for _ in names]
        update(rule, w, torch.full((5,), 2.0), states, 1)
        assert w.tolist() == pytest.approx([1 - 0.1 * 40] * 5)
        assert [float(s[0]) for s in states] == [2.0 + i for i in range(40)]
