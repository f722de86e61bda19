"""How many threads llama.cpp gets."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Physical cores that this process may use. Two threads on one core slow each other down in matrix work."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, len(cores))


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:  # not Linux: every processor counts
        return str(cpu)
