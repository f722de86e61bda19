"""A GGUF measured as it will be served: llama.cpp's own loss, greedy words and speed, through the bot's one binding."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from llama_cpp import llama_cpp as lib

from bot.engine.native import Context, Model
from bot.engine.threads import usable_cores
from bot.engine.tokenizer import LlamaTokenizer
from bot.errors import EngineError
from trainer.likelihood import Measured, shared_beginning
from trainer.samples import Sample

BATCH = 256  # tokens; each can carry logits, 4 bytes times the vocabulary
_PREFIX, _WORK = 0, 1  # the two sequences of the cache


class Served:
    """One GGUF in memory, with an adapter applied if one is given. Not for two threads at once; close it."""

    def __init__(self, path: Path, *, context_tokens: int = 4096, threads: int | None = None, adapter: Path | None = None) -> None:
        self.model = Model(path)
        self.tokenizer = LlamaTokenizer(self.model)
        self._context = Context(
            self.model, cells=context_tokens, sequences=2, batch_tokens=BATCH, outputs=BATCH, threads=threads or usable_cores()
        )
        if adapter is not None:
            self._context.set_adapter(adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._context.close()

    def measure(self, samples: Sequence[Sample], tick: Callable[[], None] = lambda: None) -> list[Measured]:
        """As :func:`trainer.likelihood.measure`, by llama.cpp; ``tick`` is called after each sample."""
        found: dict[int, Measured] = {}
        order = sorted(range(len(samples)), key=lambda i: (samples[i].card, samples[i].tokens))
        for _, group in groupby(order, key=lambda i: samples[i].card):
            indexes = list(group)
            shared = shared_beginning([samples[i] for i in indexes])
            self._empty()
            self._evaluate(samples[indexes[0]].tokens[:shared], _PREFIX, 0, frozenset())
            for i in indexes:
                found[i] = self._one(samples[i], shared)
                tick()
        return [found[i] for i in range(len(samples))]

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The likeliest continuation, token by token, until the end token or ``count``."""
        self._empty()
        words: list[int] = []
        scores = self._evaluate(list(prompt), _WORK, 0, frozenset([len(prompt) - 1]))
        while len(words) < count:
            word = int(scores[-1].argmax())
            words.append(word)
            if self.model.ends(word):
                break
            scores = self._evaluate([word], _WORK, len(prompt) + len(words) - 1, frozenset([0]))
        return words

    def speed(self, *, prompt_tokens: int = 384, decoded: int = 24) -> tuple[float, float]:
        """Tokens a second: reading a prompt, writing one reply."""
        tokens = [11 + (i * 7919) % (self.model.vocabulary - 16) for i in range(prompt_tokens)]
        self._empty()
        started = time.perf_counter()
        self._evaluate(tokens, _WORK, 0, frozenset([prompt_tokens - 1]))
        read = time.perf_counter()
        for n in range(decoded):
            self._evaluate([tokens[n]], _WORK, prompt_tokens + n, frozenset([0]))
        written = time.perf_counter()
        return prompt_tokens / (read - started), decoded / (written - read)

    def _one(self, sample: Sample, shared: int) -> Measured:
        self._context.trim(_WORK, 0)
        if shared:
            self._context.copy(_PREFIX, _WORK, shared)
        at = [i - 1 - shared for start, end in sample.spans for i in range(start, end)]
        scores = self._evaluate(sample.tokens[shared:], _WORK, shared, frozenset(at))
        targets = [sample.tokens[shared + i + 1] for i in at]
        nats = sum(_surprise(row, target) for row, target in zip(scores, targets, strict=True))
        return Measured(nats, len(targets))

    def _empty(self) -> None:
        self._context.trim(_PREFIX, 0)
        self._context.trim(_WORK, 0)

    def _evaluate(self, tokens: Sequence[int], sequence: int, position: int, wanted: frozenset[int]) -> list[np.ndarray]:
        """Evaluate tokens; the logits after each position of ``tokens`` that is wanted, in order."""
        scores: list[np.ndarray] = []
        for start in range(0, len(tokens), BATCH):
            self._context.clear_batch()
            indexes: list[int] = []
            for i, token in enumerate(tokens[start : start + BATCH], start):
                index = self._context.add(token, position + i, sequence, output=i in wanted)
                if i in wanted:
                    indexes.append(index)
            outcome = self._context.decode()
            if outcome:
                raise EngineError(
                    f"llama.cpp could not evaluate {len(tokens)} tokens (it answered {outcome}); the context may be too small"
                )
            scores += [self._logits(index) for index in indexes]
        return scores

    def _logits(self, index: int) -> np.ndarray:
        pointer = lib.llama_get_logits_ith(self._context.handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self.model.vocabulary,)).copy()


def _surprise(scores: np.ndarray, target: int) -> float:
    """-log softmax(scores)[target], in nats."""
    wide = scores.astype(np.float64)
    most = wide.max()
    return float(most + np.log(np.exp(wide - most).sum()) - wide[target])
