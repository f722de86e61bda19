"""Rounding by lot, for weights that come back to the grid that training took them from.

A model that goes on from a quantised file has its weights on that file's steps, and a short training moves each of them by a small part
of a step. Rounded to the nearest, nearly all fall back to where they were, and what was learnt is gone. So they are rounded up or down
by lot, the more often up the nearer that is (stochastic rounding, arXiv:1502.02551): each is right on average, and a sum over hundreds of
them nearly so. It is done by noise of one step's width on the F16 file, which llama.cpp then rounds to the nearest.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf.constants import GGMLQuantizationType as Type
from gguf.quants import dequantize
from numpy.typing import NDArray

from gguf import GGUFReader

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """How a type places its steps."""

    block: int  # weights that share them
    steps: int  # in a block's range
    ranged: bool = False  # from the least weight to the greatest; else the steps lie on both sides of zero

    def noise(self, weights: Weights, draw: np.random.Generator) -> Weights:
        """Up to half a step each way for each weight. A block's outermost ones get none: by them the steps are placed."""
        blocks = weights.reshape(-1, self.block)
        least, greatest = blocks.min(1, keepdims=True), blocks.max(1, keepdims=True)
        width = greatest - least if self.ranged else np.maximum(greatest, -least)
        outermost = (blocks == least) | (blocks == greatest) if self.ranged else np.abs(blocks) == width
        drawn = draw.random(blocks.shape, dtype=np.float32) - np.float32(0.5)
        found: Weights = np.where(outermost, np.float32(0), drawn * (width / np.float32(self.steps)))
        return found.reshape(weights.shape)


GRIDS = {
    Type.Q8_0: Grid(32, 127),
    Type.Q6_K: Grid(16, 32),
    Type.Q5_0: Grid(32, 16),
    Type.Q4_0: Grid(32, 8),
    Type.Q5_1: Grid(32, 31, ranged=True),
    Type.Q5_K: Grid(32, 31, ranged=True),
    Type.Q4_1: Grid(32, 15, ranged=True),
    Type.Q4_K: Grid(32, 15, ranged=True),
}


def dithered(full: Path, base: Path, rounded: Path, into: Path, seed: int) -> int:
    """Write ``full``, an F16 or F32 file, to ``into`` with noise on what would fall back. Returns how many tensors that are.

    ``base`` is what training began from; ``rounded`` is ``full`` quantised to the nearest, for the type of each tensor. Noise is given to
    trained tensors that have the same type in both. With 0 there is nothing to mend, and no file is written.
    """
    grids = _coming_back(GGUFReader(full), GGUFReader(base), GGUFReader(rounded))
    if not grids:
        return 0
    shutil.copyfile(full, into)
    draw = np.random.default_rng(seed)
    for tensor in GGUFReader(into, "r+").tensors:
        if tensor.name in grids:
            weights = tensor.data.astype(np.float32)
            tensor.data[...] = (weights + grids[tensor.name].noise(weights, draw)).astype(tensor.data.dtype)
    return len(grids)


def _coming_back(full: GGUFReader, base: GGUFReader, rounded: GGUFReader) -> dict[str, Grid]:
    before = {t.name: t for t in base.tensors}
    types = {t.name: t.tensor_type for t in rounded.tensors}
    found: dict[str, Grid] = {}
    for tensor in full.tensors:
        old, kind = before.get(tensor.name), types[tensor.name]
        if old is None or kind not in GRIDS or tensor.tensor_type not in (Type.F16, Type.F32):
            continue
        if old.tensor_type != kind or tuple(old.shape) != tuple(tensor.shape):
            continue
        untrained = dequantize(old.data, old.tensor_type).reshape(tensor.data.shape).astype(tensor.data.dtype)
        if not np.array_equal(untrained, tensor.data):
            found[tensor.name] = GRIDS[kind]
    return found
