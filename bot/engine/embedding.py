"""Texts -> vectors by a GGUF encoder (BGE, MiniLM, ...), through the same llama.cpp as everything else.

The only other module beside ``native`` that touches ctypes: an encoder has no conversation to schedule, so it needs a context of its
own and none of the scheduler.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from llama_cpp import llama_cpp as lib

from bot.engine.native import Model
from bot.engine.threads import usable_cores
from bot.errors import EngineError, ModelNotLoadable

CONTEXT_TOKENS = 512  # what such encoders were trained for; longer texts are cut


class LlamaEmbedder:
    """Embeds one text at a time. Blocks; any thread may call it, they wait for each other.

    Raises:
        ModelNotLoadable: the file is no model, or one that gives no vector for a text.
    """

    def __init__(self, path: Path) -> None:
        self._model = Model(path)
        params = lib.llama_context_default_params()
        params.embeddings = True
        params.n_ctx = params.n_batch = params.n_ubatch = min(CONTEXT_TOKENS, int(lib.llama_model_n_ctx_train(self._model.handle)))
        params.n_threads = params.n_threads_batch = usable_cores()
        params.no_perf = True
        self._handle = lib.llama_init_from_model(self._model.handle, params)
        if not self._handle:
            raise ModelNotLoadable(f"llama.cpp could not make a context for {path.name}; is it a model for embeddings?")
        if lib.llama_pooling_type(self._handle) in (lib.LLAMA_POOLING_TYPE_NONE, lib.LLAMA_POOLING_TYPE_RANK):
            lib.llama_free(self._handle)
            raise ModelNotLoadable(
                f"{path.name} makes no vector of a text; name an encoder like bge-small or all-MiniLM (retrieval.embedder)"
            )
        self.size = int(lib.llama_model_n_embd(self._model.handle))
        self._limit = int(params.n_ctx)
        self._lock = threading.Lock()
        self._batch = lib.llama_batch_init(self._limit, 0, 1)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of norm 1, [texts, size]; a text without a word gives zeros.

        Raises:
            EngineError: llama.cpp could not evaluate one.
        """
        with self._lock:
            return np.stack([self._one(text) for text in texts]) if texts else np.zeros((0, self.size), np.float32)

    def _one(self, text: str) -> np.ndarray:
        tokens = self._tokens(text)
        if not tokens:
            return np.zeros(self.size, np.float32)
        lib.llama_memory_clear(lib.llama_get_memory(self._handle), True)
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, True
            batch.seq_id[i][0] = 0
        outcome = lib.llama_decode(self._handle, batch)
        vector = lib.llama_get_embeddings_seq(self._handle, 0) if not outcome else None
        if not vector:
            raise EngineError(f"llama.cpp could not embed a text of {len(tokens)} tokens (llama_decode gave {outcome})")
        found = np.ctypeslib.as_array(vector, (self.size,)).astype(np.float32)
        norm = float(np.linalg.norm(found))
        return found / norm if norm else found

    def _tokens(self, text: str) -> list[int]:
        """With the tokens that the encoder begins and ends a text with; the end stays when the text is cut."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (lib.llama_token * room)()
        count = lib.llama_tokenize(self._model.vocab, data, len(data), buffer, room, True, False)
        if count < 0:
            raise EngineError(f"llama.cpp could not tokenise a text of {len(data)} bytes")
        tokens = list(buffer[:count])
        return tokens if len(tokens) <= self._limit else [*tokens[: self._limit - 1], tokens[-1]]

    def close(self) -> None:
        """Free the context; may be called again."""
        with self._lock:
            if self._handle:
                lib.llama_batch_free(self._batch)
                lib.llama_free(self._handle)
                self._handle = None
