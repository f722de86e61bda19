"""Samples -> rows without a single padded token.

Several samples share a row of about ``room`` tokens; their position ids start anew at 0, from which transformers makes a
mask in which no sample sees another (``find_packed_sequence_indices`` in ``transformers.masking_utils``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainer.samples import Sample

WINDOW = 64  # samples that may share a row lie at most so far apart in the data's order


@dataclass(frozen=True, slots=True)
class Pack:
    """The samples of one row."""

    samples: tuple[Sample, ...]

    @property
    def tokens(self) -> int:
        return sum(len(s.tokens) for s in self.samples)


def pack(samples: Sequence[Sample], room: int, *, seed: int) -> list[Pack]:
    """Rows of at most ``room`` tokens (one sample that is longer has a row of its own), in the data's rough order.

    Within a window the longest are placed first, each into the fullest row that still takes it (best fit decreasing);
    then the window's rows are shuffled, so that no step sees only long or only short samples.
    """
    draw = random.Random(seed)
    packs: list[Pack] = []
    for start in range(0, len(samples), WINDOW):
        rows: list[list[Sample]] = []
        used: list[int] = []
        for sample in sorted(samples[start : start + WINDOW], key=lambda s: len(s.tokens), reverse=True):
            size = len(sample.tokens)
            fitting = [i for i, u in enumerate(used) if u + size <= room]
            if fitting:
                best = max(fitting, key=lambda i: used[i])
                rows[best].append(sample)
                used[best] += size
            else:
                rows.append([sample])
                used.append(size)
        of_window = [Pack(tuple(row)) for row in rows]
        draw.shuffle(of_window)
        packs += of_window
    return packs


def within_budget(packs: Sequence[Pack], most: int | None) -> list[Pack]:
    """The first rows whose tokens together stay within a budget; at least one."""
    if most is None:
        return list(packs)
    kept: list[Pack] = []
    for each in packs:
        most -= each.tokens
        if most < 0 and kept:
            break
        kept.append(each)
    return kept


def collate(rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """One row as a batch: ``input_ids``, ``labels``, ``position_ids``, each [1, tokens]."""
    (row,) = rows
    return {name: torch.tensor([row[name]], dtype=torch.long) for name in ("input_ids", "labels", "position_ids")}


def as_row(pack: Pack) -> dict[str, list[int]]:
    return {
        "input_ids": [t for s in pack.samples for t in s.tokens],
        "labels": [label for s in pack.samples for label in s.labels()],
        "position_ids": [i for s in pack.samples for i in range(len(s.tokens))],
    }
