"""Fold a LoRA adapter into a model, with numpy alone: W + alpha/r · B·A for every tensor that the adapter has a pair for.

The formula and the names (``<tensor>.lora_a``, ``<tensor>.lora_b``, ``adapter.lora.alpha``) are those of llama.cpp's own loader,
so that the result answers as the base with the adapter applied at run time does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf.quants import dequantize
from numpy.typing import NDArray

import gguf
from bot.errors import ModelNotLoadable

Matrix = NDArray[np.float32]

_PROMPT_VERSION: Final = "troupe.prompt_version"  # written by the trainer: the prompt layout that the adapter was tuned on


@dataclass(frozen=True, slots=True)
class Pair:
    a: Matrix  # (r, in); for the token embeddings (vocabulary, r)
    b: Matrix  # (out, r); for the token embeddings (width, r)

    def delta(self, alpha: float, *, embeddings: bool) -> Matrix:
        """What is added to the weight, (out, in)."""
        scale = np.float32(alpha / self.b.shape[1] if alpha else 1.0)
        product: Matrix = self.a @ self.b.T if embeddings else self.b @ self.a
        return scale * product


def fold(base: Path, adapter: Path, target: Path) -> None:
    """Write ``base`` with ``adapter`` folded in as F16, ready to be quantised. Takes about two bytes of disk for each parameter.

    Raises:
        ModelNotLoadable: one of the two cannot be read, or they do not belong together.
    """
    model, lora = _open(base), _open(adapter)
    pairs = _pairs(lora, adapter)
    alpha = float(_value(lora, "adapter.lora.alpha") or 0.0)
    unknown = pairs.keys() - {tensor.name for tensor in model.tensors}
    if unknown:
        raise ModelNotLoadable(f"{adapter.name} is not an adapter for {base.name}: there is no tensor {min(unknown)}")

    writer = gguf.GGUFWriter(target, _value(model, "general.architecture"))
    _copy_metadata(model, writer)
    for tensor in model.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).reshape(tuple(int(n) for n in reversed(tensor.shape)))
        pair = pairs.get(tensor.name)
        if pair is not None:
            delta = pair.delta(alpha, embeddings=tensor.name == "token_embd.weight")
            if delta.shape != weight.shape:
                raise ModelNotLoadable(
                    f"{adapter.name} is not an adapter for {base.name}: {tensor.name} is {weight.shape}, not {delta.shape}"
                )
            weight = weight + delta
        # Norms stay F32, as llama.cpp's converter leaves them.
        writer.add_tensor(tensor.name, weight.astype(np.float16 if weight.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def adapter_prompt_version(adapter: Path) -> int | None:
    """The prompt layout that an adapter was tuned on, where it says so."""
    version = _value(_open(adapter), _PROMPT_VERSION)
    return None if version is None else int(version)


def _open(path: Path) -> gguf.GGUFReader:
    try:
        return gguf.GGUFReader(path)
    except (ValueError, OSError, IndexError, KeyError) as error:  # what the reader says of damaged files
        raise ModelNotLoadable(f"{path} is not a GGUF file that can be read: {error}") from error


def _pairs(lora: gguf.GGUFReader, adapter: Path) -> dict[str, Pair]:
    halves: dict[str, Matrix] = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type).reshape(tuple(int(n) for n in reversed(tensor.shape)))
        for tensor in lora.tensors
    }
    names = {name.removesuffix(".lora_a").removesuffix(".lora_b") for name in halves}
    try:
        return {name: Pair(halves[f"{name}.lora_a"], halves[f"{name}.lora_b"]) for name in names}
    except KeyError as error:
        raise ModelNotLoadable(f"{adapter.name} is not a LoRA adapter: it has no tensor {error}") from error


def _value(reader: gguf.GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _copy_metadata(model: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    written_by_the_writer = {gguf.Keys.General.ARCHITECTURE, gguf.Keys.General.FILE_TYPE}
    for field in model.fields.values():
        if field.name.startswith("GGUF.") or field.name in written_by_the_writer:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
