"""Where and with what a study was run."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ..population.place import CPU, FLOAT32, Place, devices, here
from ..version import __version__


def provenance(device: str, precision: str) -> dict[str, str | int]:
    """Versions, processor, threads, device and time: what one needs to know to run a study again."""
    return {
        "thalweg": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": version("numba"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": _device(device, precision),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _device(device: str, precision: str) -> str:
    """As the plan names it, with the names of GPUs, and the precision where it is not the usual one."""
    if (name := here(device, precision)[0]) == CPU:
        words = device
    else:
        words = f"{device} ({', '.join(str(Place(one)) for one in devices(name))})"
    return words if precision == FLOAT32 else f"{words}, {precision}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
