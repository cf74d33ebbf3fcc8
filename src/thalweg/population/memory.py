"""The memory that is free, and sizes in words."""

from __future__ import annotations

from pathlib import Path

import torch


def free_memory(device: torch.device | None = None) -> int | None:
    """Bytes that this process may still take, as Linux and the process's control group say, or, on a GPU, its driver
    does; None elsewhere."""
    if device is not None and device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    limits = [value for value in (_available(), _in_group()) if value is not None]
    return min(limits, default=None)


def _available() -> int | None:
    lines = _text("/proc/meminfo").splitlines()
    words = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(words[0][1]) * 1024 if words else None


def _in_group() -> int | None:
    most, used = (_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    return max(0, int(most) - int(used)) if most.isdigit() and used.isdigit() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def shown(size: float) -> str:
    """Bytes for people.

    >>> shown(512), shown(3 * 2**20), shown(1.5 * 2**30)
    ('512 bytes', '3.0 MiB', '1.5 GiB')
    """
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} bytes"
