"""LLVM text compiled into this process, with the BLAS that SciPy brings; kept on disk by what it was made from."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator
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
    """A compiled module; its functions live as long as it does.

    Attributes:
        known: what is to be known of it beside its functions.
    """

    def __init__(self, of: bytes, make: Callable[[], tuple[str, Any]]) -> None:
        """
        Args:
            of: all that the module depends on beside this package's code and this processor.
            make: gives its LLVM text and what is to be known of it, in JSON's types; not called where it is on disk.
        """
        with _lock:
            target, name, features = _host()
            machine = target.create_target_machine(cpu=name, features=features, opt=3)  # an engine owns its own
            host = f"{llvm.llvm_version_info} {name} {features}"
            key = hashlib.sha256(b"\n".join([_sources(), host.encode(), of])).hexdigest()[:24]
            path = cache_folder() / f"thalweg_step_{key}.o"
            saved = _read(path)
            if saved is None:
                text, self.known = make()
                module, content = llvm.parse_assembly(text), None
                _optimise(module, machine)
            else:
                module = llvm.parse_assembly("")  # the object code has all of it
                self.known, content = saved
            self.engine = llvm.create_mcjit_compiler(module, machine)
            self.engine.set_object_cache(lambda _, made: _write(path, self.known, made), lambda _: content)
            self.engine.finalize_object()

    def address(self, name: str) -> int:
        return self.engine.get_function_address(name)


@functools.cache
def _sources() -> bytes:
    """What stands for the code that makes text of a graph: other code could make another text."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


def _read(path: Path) -> tuple[Any, bytes] | None:
    """What is known of the module in the file, and its object code; None where there is none, or it is damaged."""
    try:
        saved = path.read_bytes()
    except OSError:
        return None
    digest, content = saved[:32], saved[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    known, _, code = content.partition(b"\n")
    return json.loads(known), code


def _write(path: Path, known: Any, code: bytes) -> None:
    content = json.dumps(known).encode() + b"\n" + code
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
