"""LLVM text compiled into this process, with the BLAS that SciPy brings; kept on disk by content."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import torch
from threadpoolctl import threadpool_limits

from ..kernels.generated import cache_folder

_lock = threading.Lock()
BLAS = ("sgemm", "dgemm")


@functools.cache
def _host() -> tuple[Any, str, str]:
    """The target, this processor's name and its features; BLAS is made known to LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    from numba.extending import get_cython_function_address

    for name in BLAS:
        llvm.add_symbol(f"thalweg_{name}", get_cython_function_address("scipy.linalg.cython_blas", name))
    features = llvm.get_host_cpu_features()
    # Vectors of 512 bits where there are such: a step is hardly anything but arithmetic.
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""
    return llvm.Target.from_default_triple(), llvm.get_host_cpu_name(), features.flatten() + wide


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for each operation, of PyTorch and of BLAS: who is inside works beside others."""
    _host()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def registers() -> tuple[int, int]:
    """This processor's vector registers: bytes of one, and how many there are."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx2"):
        return 32, 16
    return 16, 32 if platform.machine() in ("arm64", "aarch64") else 16


class Code:
    """A compiled module; its functions live as long as it does."""

    def __init__(self, text: str) -> None:
        with _lock:
            target, name, features = _host()
            machine = target.create_target_machine(cpu=name, features=features, opt=3)  # an engine owns its own
            host = f"{llvm.llvm_version_info} {name} {features}"
            key = hashlib.sha256(f"{host}\n{text}".encode()).hexdigest()[:24]
            path = cache_folder() / f"thalweg_step_{key}.o"
            module = llvm.parse_assembly(text)
            content = _read(path)
            if content is None:
                _optimise(module, machine)
            self.engine = llvm.create_mcjit_compiler(module, machine)
            self.engine.set_object_cache(lambda module, made: _write(path, made), lambda module: content)
            self.engine.finalize_object()

    def address(self, name: str) -> int:
        return self.engine.get_function_address(name)


def _read(path: Path) -> bytes | None:
    """The object code in the file; None where there is none, or where it is damaged."""
    try:
        saved = path.read_bytes()
    except OSError:
        return None
    digest, content = saved[:32], saved[32:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(hashlib.sha256(content).digest() + content)
    os.replace(temporary, path)


def _optimise(module: Any, machine: Any) -> None:
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization, tuning.slp_vectorization = True, False
    tuning.loop_unrolling = False  # an inner loop that is gone leaves gathers over the outer one
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
