"""Whether a model fits into this machine's memory, asked before it is loaded: afterwards the system answers by killing us."""

from __future__ import annotations

import re
from pathlib import Path

from bot.config import EngineSettings
from bot.engine.native import Model
from bot.errors import ModelNotLoadable

_CELL_BYTES = {"auto": 2.0, "f16": 2.0, "q8_0": 34 / 32}  # q8_0: 32 values and a two-byte scale
_WORKING_BYTES = 128 * 1024 * 1024  # compute buffers, logits, Python; measured with the starter


def check_fits(model: Model, settings: EngineSettings) -> None:
    """Refuse a model that would not fit. ``model`` needs only its vocabulary; its metadata say how big the cache will be.

    Raises:
        ModelNotLoadable: with what it needs and what there is.
    """
    available = available_bytes()
    file, cache = model.path.stat().st_size, cache_bytes(model, settings)
    parked = settings.parked_megabytes * 1_000_000
    needed = file + cache + parked + _WORKING_BYTES
    if available is not None and needed > available:
        raise ModelNotLoadable(
            f"{model.path.name} needs about {_gigabytes(needed)} of memory ({_gigabytes(file)} for the model, {_gigabytes(cache)} for"
            f" the cache of {settings.live_replies} replies of {slot_tokens(model, settings)} tokens, {_gigabytes(parked)} for parked"
            f" conversations) and {_gigabytes(available)} are free; choose a smaller model, or lower engine.live_replies,"
            " engine.context_tokens or engine.parked_megabytes"
        )


def cache_bytes(model: Model, settings: EngineSettings) -> int:
    """The size of the KV cache; 0 where the metadata do not tell."""
    heads = _number(model, "attention.head_count")
    key_heads = _number(model, "attention.head_count_kv") or heads
    head = _number(model, "embedding_length") // heads if heads else 0
    wide = (_number(model, "attention.key_length") or head) + (_number(model, "attention.value_length") or head)
    cells = slot_tokens(model, settings) * settings.live_replies
    return int(_number(model, "block_count") * cells * key_heads * wide * _CELL_BYTES[settings.cache_type])


def slot_tokens(model: Model, settings: EngineSettings) -> int:
    """What a prompt and its reply may hold: no more than the model was trained for."""
    return min(settings.context_tokens, _number(model, "context_length") or settings.context_tokens)


def _number(model: Model, key: str) -> int:
    # Some models give a list, a number for each layer: the largest is safe.
    family = model.metadata("general.architecture") or ""
    return max(map(int, re.findall(r"\d+", model.metadata(f"{family}.{key}") or "")), default=0)


def available_bytes() -> int | None:
    """What may still be taken: the system's free memory, or what is left of a container's share. None where nobody says."""
    limits = [int(line.split()[1]) * 1024 for line in _read("/proc/meminfo").splitlines() if line.startswith("MemAvailable:")]
    most, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if most.isdigit() and used.isdigit():
        limits.append(int(most) - int(used))
    return min(limits, default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:  # another system, or no container
        return ""


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
