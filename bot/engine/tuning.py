"""How llama.cpp is set up on this machine: as config.toml says, else as ``troupe bench --tune`` has measured, else as is usually best.

What was measured stands in ``<model>.tuning.json`` beside the model, and counts for that model, that llama.cpp and that many cores of
that processor.
"""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from bot.config import EngineSettings, Section
from bot.engine import native
from bot.engine.models import ModelFile
from bot.engine.threads import processor, usable_cores

log = logging.getLogger(__name__)

CacheType = Literal["f16", "q8_0"]
Flash = Literal["on", "off"]

ALL_LAYERS: Final = -1
USUAL_BATCH_TOKENS: Final = 512


class Choice(Section):
    """What is decided for one model on one machine."""

    threads: int = Field(ge=1)
    cache_type: CacheType
    flash_attention: Flash
    batch_tokens: int = Field(ge=32)


class Tuning(Choice):
    """The file: a choice, and what it was made for."""

    model: str
    llama_cpp_python: str
    processor: str
    cores: int
    gpu_layers: int


def choose(settings: EngineSettings, file: ModelFile) -> Choice:
    """Everything that a setting leaves open. Reads the tuning's file; one that is damaged or was made for something else is left aside."""
    known = _read(settings, file)
    threads = (known.threads if known else usable_cores()) if settings.threads == "auto" else settings.threads
    cache_type = (known.cache_type if known else "f16") if settings.cache_type == "auto" else settings.cache_type
    batch = (known.batch_tokens if known else USUAL_BATCH_TOKENS) if settings.batch_tokens == "auto" else settings.batch_tokens
    # On a GPU flash attention is faster. On a CPU it costs half (an Intel Xeon) or gains a tenth (an AMD EPYC): off until measured.
    flash: Flash = known.flash_attention if known else "on" if gpu_layers(settings) else "off"
    if settings.flash_attention != "auto":
        flash = settings.flash_attention
    elif cache_type != "f16":
        flash = "on"  # llama.cpp keeps values as q8_0 only with it
    return Choice(threads=threads, cache_type=cache_type, flash_attention=flash, batch_tokens=batch)


def write_tuning(choice: Choice, settings: EngineSettings, file: ModelFile) -> Path:
    """Keep what was measured, for every start from now on."""
    path = _path(file)
    partial = path.with_name(path.name + ".partial")
    tuning = Tuning(**choice.model_dump(), **_made_for(settings, file))
    partial.write_text(tuning.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def gpu_layers(settings: EngineSettings) -> int:
    """As llama.cpp wants it: 0 for none, -1 for all."""
    if settings.gpu_layers != "auto":
        return settings.gpu_layers
    return ALL_LAYERS if native.supports_gpu() else 0


def _read(settings: EngineSettings, file: ModelFile) -> Tuning | None:
    path = _path(file)
    try:
        tuning = Tuning.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("tuning cannot be read, run troupe bench --tune again file=%s error=%s", path.name, type(error).__name__)
        return None
    if tuning.model_dump(include=set(_made_for(settings, file))) != _made_for(settings, file):
        log.info("tuning was made for something else, run troupe bench --tune again file=%s", path.name)
        return None
    return tuning


def _made_for(settings: EngineSettings, file: ModelFile) -> dict[str, str | int]:
    return {
        "model": file.identity,
        "llama_cpp_python": importlib.metadata.version("llama-cpp-python"),
        "processor": processor(),
        "cores": usable_cores(),
        "gpu_layers": gpu_layers(settings),
    }


def _path(file: ModelFile) -> Path:
    return file.path.with_suffix(".tuning.json")
