"""How many threads llama.cpp gets, and how they wait for each other."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def wait_patiently() -> None:
    """Let threads sleep soon instead of spinning for each other. Only of use before llama.cpp is loaded: its OpenMP reads this once.

    A step has a thousand points where all threads meet. OpenMP lets the early ones spin 300,000 times, some 15 ms, while another
    program keeps the late one from its core. On two cores with a busy neighbour, a step of eight replies took 58 ms with no
    spinning, 65 ms with 1,000 and 517 ms with the default, and seconds at worst. 1,000 spins, some 50 us, are what balanced
    threads need on a quiet machine. An operator's own setting wins.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def usable_cores() -> int:
    """Physical cores that this process may use. Two threads on one core slow each other down in matrix work."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, len(cores))


def processor() -> str:
    """The name of what computes here, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:  # not Linux: every processor counts
        return str(cpu)
