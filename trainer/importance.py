"""llama.cpp's importance matrix: how much each input of a layer matters, as mean squares of what flows into it.

Quantising then rounds most carefully what is multiplied by large values (``--imatrix`` of llama.cpp's own tool, which is in no wheel).
Computed under transformers on the samples that the model was trained on, never on those that it is measured by.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from llama_cpp import llama_cpp as lib
from numpy.typing import NDArray

import gguf
from trainer.gate import architecture_of
from trainer.samples import Sample

Vector = NDArray[np.float32]


@torch.inference_mode()
def importance(model: Any, samples: Sequence[Sample]) -> dict[str, Vector]:
    """By the name of a weight in a GGUF: the mean square of each of its inputs."""
    names = gguf.get_tensor_name_map(architecture_of(model.config), model.config.num_hidden_layers)
    sums: dict[str, torch.Tensor] = {}
    tokens = sum(len(s.tokens) for s in samples)

    def adding(name: str) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
        def add(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            squares = inputs[0].float().pow(2).sum(dim=(0, 1))  # [inputs]
            sums[name] = sums[name] + squares if name in sums else squares

        return add

    model.train(False)
    with ExitStack() as hooks:
        for path, layer in model.named_modules():
            name = names.get_name(f"{path}.weight", try_suffixes=(".weight",))
            # The head is left out: it is evaluated at a few places only, and is mostly the embeddings once more.
            if isinstance(layer, torch.nn.Linear) and name and path != "lm_head":
                hooks.callback(layer.register_forward_pre_hook(adding(name)).remove)
        for sample in samples:
            model(input_ids=torch.tensor([sample.tokens], device=model.device), use_cache=False, logits_to_keep=1)
    return {name: (total / tokens).cpu().numpy() for name, total in sums.items()}


def as_llama_takes_it(matrix: Mapping[str, Vector]) -> Any:
    """The array that ``llama_model_quantize_params.imatrix`` points to; keep it until the call has returned."""
    rows = (lib.llama_model_imatrix_data * (len(matrix) + 1))()  # a nameless row ends it
    for row, (name, values) in zip(rows, matrix.items(), strict=False):
        row.name = name.encode()
        row.data = np.ascontiguousarray(values, dtype=np.float32).ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        row.size = len(values)
    return rows
