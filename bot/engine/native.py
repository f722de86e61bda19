"""llama.cpp, typed: the only module that touches ctypes. It holds no policy.

Ownership: a ``Model`` may be read from any thread (its vocabulary never changes) and is freed when nobody refers to it any
more; a ``Context`` and its ``Chain``s belong to the one thread that decodes.
"""

from __future__ import annotations

import ctypes
import logging
import math
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bot.engine.threads import wait_patiently
from bot.errors import EngineError, ModelNotLoadable

wait_patiently()  # before the next line: it cannot be said later
from llama_cpp import llama_cpp as lib  # noqa: E402

log = logging.getLogger(__name__)

State = NDArray[np.uint8]  # 1-D: a sequence of the cache in llama.cpp's own form; never changed once it is made

# ------------------------------------------------------------------ llama.cpp's log

_ERROR_LEVEL: Final = 4  # enum ggml_log_level: debug 1, info 2, warn 3, error 4, continued 5
_recent_errors: deque[str] = deque(maxlen=4)


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _user_data: Any) -> None:
    line = text.decode("utf-8", "replace").strip()
    if level == _ERROR_LEVEL and line:
        _recent_errors.append(line)
    if line and log.isEnabledFor(logging.DEBUG):
        log.debug("llama.cpp: %s", line)


def start() -> None:
    """Make llama.cpp ready, with its log in ours at DEBUG instead of on stderr. May be called again."""
    lib.llama_log_set(_on_log, ctypes.c_void_p(0))
    lib.llama_backend_init()


def _reason() -> str:
    """What llama.cpp said went wrong, for the end of a sentence."""
    lines = list(_recent_errors)
    _recent_errors.clear()
    # The first error is the cause; those after it only say that loading failed.
    return f": {lines[0].partition(': ')[2] or lines[0]}" if lines else ""


def may_rearrange_weights() -> bool:
    """Whether llama.cpp may copy weights into the layouts of its special kernels.

    Not where AMX is compiled in: GCC up to 12.3 and 13.2 forgets most of the tile configuration (PR target/114098), and the first
    matrix product ends the process. It costs nothing with the starter, whose types have no such kernels.
    """
    return b"AMX_INT8 = 1" not in lib.llama_print_system_info()


def supports_gpu() -> bool:
    """Whether this build of llama.cpp can place layers on a GPU."""
    return bool(lib.llama_supports_gpu_offload())


# ------------------------------------------------------------------ the model


class Model:
    """A GGUF file in memory (``vocabulary_only``: without its weights).

    Raises:
        ModelNotLoadable: with llama.cpp's own reason.
    """

    def __init__(self, path: Path, *, gpu_layers: int = 0, vocabulary_only: bool = False) -> None:
        start()
        _recent_errors.clear()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.vocab_only = vocabulary_only
        params.use_extra_bufts = may_rearrange_weights()
        handle = lib.llama_model_load_from_file(str(path).encode(), params)
        if not handle:
            raise ModelNotLoadable(f"{path} is not a model that llama.cpp can load{_reason()}")
        self.path = path
        self.handle = handle
        self.vocab = lib.llama_model_get_vocab(handle)
        # Freed with the last reference, so that a tokenizer that outlives its engine stays valid. At exit the system
        # does it: a thread may still be decoding.
        weakref.finalize(self, lib.llama_model_free, handle).atexit = False
        self.vocabulary = int(lib.llama_vocab_n_tokens(self.vocab))
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}

    @property
    def bos(self) -> int:
        """The token that begins a text; negative where the model has none."""
        return int(lib.llama_vocab_bos(self.vocab))

    @property
    def eos(self) -> int:
        return int(lib.llama_vocab_eos(self.vocab))

    @property
    def forgets_partially(self) -> bool:
        """Whether the end of a sequence can be forgotten; recurrent models keep one state for all of it."""
        return not (lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle))

    def metadata(self, key: str) -> str | None:
        """A scalar value of the file's metadata as text, e.g. ``general.architecture``."""
        buffer = ctypes.create_string_buffer(64)
        length = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        if length >= len(buffer):
            buffer = ctypes.create_string_buffer(length + 1)
            length = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return None if length < 0 else buffer.value.decode("utf-8", "replace")

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids; BOS and EOS are never added. What UTF-8 cannot hold (a lone surrogate) becomes a question mark."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8  # a token is at least one byte, but for the space that some vocabularies put in front
        buffer = (lib.llama_token * room)()
        count = lib.llama_tokenize(self.vocab, data, len(data), buffer, room, False, special)
        if count < 0:
            raise EngineError(f"llama.cpp could not tokenise a text of {len(data)} bytes")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes of a token, possibly a part of a UTF-8 character; nothing for a control token."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token, special=False)
        return known

    def spelling(self, tokens: Iterable[int]) -> bytes:
        """The bytes of ``tokens``, control tokens written out."""
        return b"".join(self._piece(token, special=True) for token in tokens)

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:length]

    @cached_property
    def ending(self) -> tuple[int, ...]:
        """All tokens with which the model ends its turn."""
        return tuple(token for token in range(self.vocabulary) if self.ends(token))

    def ends(self, token: int) -> bool:
        """Whether the model ends its turn with this token."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(lib.llama_vocab_is_eog(self.vocab, token))
        return known


# ------------------------------------------------------------------ the context


class Outcome(IntEnum):
    """What ``llama_decode`` answers; other negative numbers are fatal errors, too."""

    DONE = 0
    NO_ROOM = 1  # nothing changed
    ABORTED = 2  # a part may have been evaluated
    INVALID = -1  # nothing changed


_FLASH: Final = {"auto": -1, "off": 0, "on": 1}  # enum llama_flash_attn_type
_CACHE_TYPES: Final = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0}


class Context:
    """One KV cache of ``cells`` tokens for up to ``sequences`` sequences, and the one batch that is filled again and again.

    With ``unified`` all share the cells, and a copied beginning costs none. Without it every sequence has ``cells / sequences``
    tokens of its own (a stream), through which nobody else has to look.
    """

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        sequences: int,
        batch_tokens: int,
        outputs: int,
        threads: int,
        cache_type: Literal["f16", "q8_0"] = "f16",
        flash_attention: Literal["auto", "on", "off"] = "auto",
        unified: bool = True,
        ubatch_tokens: int | None = None,
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = batch_tokens
        params.n_ubatch = min(batch_tokens, ubatch_tokens or batch_tokens)
        params.n_seq_max = sequences
        # Left alone, llama.cpp keeps room for the logits of a whole batch, 100 MB at 512 tokens. Less than one for each
        # sequence ends the process in an assertion (llama-context.cpp, output_reserve).
        params.n_outputs_max = max(outputs, sequences)
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = unified
        params.flash_attn_type = _FLASH[flash_attention]
        params.type_k = params.type_v = _CACHE_TYPES[cache_type]
        params.no_perf = True
        _recent_errors.clear()
        handle = lib.llama_init_from_model(model.handle, params)
        if not handle:
            raise ModelNotLoadable(f"llama.cpp could not make a context of {cells} tokens for {model.path.name}{_reason()}")
        self.model = model  # a context must not outlive its model
        self.handle: Any = handle
        self.cells = int(lib.llama_n_ctx(handle))
        self._memory = lib.llama_get_memory(handle)
        self._capacity = batch_tokens
        self._batch = lib.llama_batch_init(batch_tokens, 0, 1)
        # llama.cpp asks this function between the nodes of its graph whether to give up. ``strlen`` of a buffer that we fill
        # answers without Python: a Python callback would wait for the interpreter's lock a thousand times in every step.
        self._abort = ctypes.create_string_buffer(2)
        self._ask_abort = ctypes.cast(ctypes.CDLL(None).strlen, lib.ggml_abort_callback) if hasattr(ctypes.CDLL(None), "strlen") else None
        if self._ask_abort is not None:
            lib.llama_set_abort_callback(handle, self._ask_abort, ctypes.cast(self._abort, ctypes.c_void_p))

    # -- the batch

    def clear_batch(self) -> None:
        self._batch.n_tokens = 0

    def add(self, token: int, position: int, sequence: int, *, output: bool) -> int:
        """Put one token into the batch; with ``output`` its logits can be sampled under the returned index."""
        batch, index = self._batch, self._batch.n_tokens
        assert index < self._capacity, f"a batch holds {self._capacity} tokens"
        batch.token[index] = token
        batch.pos[index] = position
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = sequence
        batch.logits[index] = output
        batch.n_tokens = index + 1
        return int(index)

    def decode(self) -> int:
        """Evaluate the batch. Blocks without the interpreter's lock; see ``Outcome``."""
        return int(lib.llama_decode(self.handle, self._batch))

    def abort(self) -> None:
        """Make a running ``decode`` return soon with ``ABORTED``. May be called from any thread; a GPU finishes its step first."""
        self._abort[0] = b"x"

    def resume(self) -> None:
        self._abort[0] = b"\0"

    # -- the cache

    def copy(self, source: int, target: int, length: int) -> None:
        """Let ``target``, which is empty, share the first ``length`` tokens of ``source``."""
        lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def trim(self, sequence: int, length: int) -> bool:
        """Forget everything from position ``length`` on. False where this kind of model can only forget whole sequences."""
        return bool(lib.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def save(self, sequence: int) -> State:
        """What the cache holds of a sequence: 23 KB a token with the starter; 1,400 tokens take 6 ms."""
        size = lib.llama_state_seq_get_size(self.handle, sequence)
        state: State = np.empty(size, np.uint8)
        written = lib.llama_state_seq_get_data(self.handle, _bytes_of(state), size, sequence)
        assert written == size, f"llama.cpp saved {written} of {size} bytes"
        return state

    def load(self, sequence: int, state: State) -> bool:
        """Fill ``sequence``, which is empty, with what ``save`` gave. False, and it stays empty, for a state of another kind of context."""
        if lib.llama_state_seq_set_data(self.handle, _bytes_of(state), state.nbytes, sequence) == state.nbytes:
            return True
        self.trim(sequence, 0)
        return False

    def length(self, sequence: int) -> int:
        """How many tokens of a sequence are in the cache."""
        return int(lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def logits(self, index: int) -> list[float]:
        """The scores of all tokens after the batch's token ``index`` (for comparisons; sampling reads them in C)."""
        return list(lib.llama_get_logits_ith(self.handle, index)[: self.model.vocabulary])

    def set_adapter(self, path: Path, scale: float = 1.0) -> None:
        """Apply a LoRA adapter to everything that this context decodes; it lives as long as the model."""
        adapter = lib.llama_adapter_lora_init(self.model.handle, str(path).encode())
        if not adapter:
            raise ModelNotLoadable(f"{path} is not an adapter for {self.model.path.name}{_reason()}")
        adapters = (lib.llama_adapter_lora_p_ctypes * 1)(adapter)
        lib.llama_set_adapters_lora(self.handle, adapters, 1, (ctypes.c_float * 1)(scale))

    def close(self) -> None:
        if self.handle is None:
            return
        lib.llama_batch_free(self._batch)
        lib.llama_free(self.handle)
        self.handle = None


def _bytes_of(state: State) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


# ------------------------------------------------------------------ choosing a token


_SCORE: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


def _as_candidates(scores: Any) -> Any:
    """``scores`` (1-D of ``_SCORE``, contiguous, kept alive by the caller) as llama.cpp takes candidates."""
    data = scores.ctypes.data_as(ctypes.POINTER(lib.llama_token_data))
    return lib.llama_token_data_array(data=data, size=len(scores), selected=-1, sorted=False)


def _apply(chain: Any, scores: Any) -> int:
    """What a chain chooses among ``scores``, which it reorders."""
    candidates = _as_candidates(scores)
    lib.llama_sampler_apply(chain, ctypes.byref(candidates))
    return int(candidates.data[candidates.selected].id)


def _grammar(model: Model, rules: str) -> Any:
    _recent_errors.clear()
    handle = lib.llama_sampler_init_grammar(model.vocab, rules.encode(), b"root")
    if not handle:
        raise EngineError(f"llama.cpp cannot read the grammar that a reply should keep to{_reason()}")
    return handle


def check_grammar(model: Model, rules: str) -> None:
    """Raises ``EngineError`` for rules that llama.cpp cannot read. May be called from any thread."""
    lib.llama_sampler_free(_grammar(model, rules))


class Chain:
    """A chain of samplers, applied in the order in which they were added."""

    def __init__(self) -> None:
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        self.handle = lib.llama_sampler_chain_init(params)
        self._grammar: Any = None
        weakref.finalize(self, lib.llama_sampler_free, self.handle).atexit = False

    def grammar(self, model: Model, rules: str) -> None:
        """Keep to a grammar from here on; ``rules`` are GBNF with a ``root``.

        Raises:
            EngineError: llama.cpp cannot read them.
        """
        self._grammar = _grammar(model, rules)
        weakref.finalize(self, lib.llama_sampler_free, self._grammar).atexit = False

    def penalties(self, model: Model, *, last_tokens: int, repeat: float) -> None:
        self._add(lib.llama_sampler_init_penalties(model.vocabulary, last_tokens, repeat, 0.0, 0.0))

    def dry(self, dry: Dry) -> None:
        self._add(lib.llama_sampler_clone(dry.handle))

    def forbid(self, model: Model, tokens: Sequence[int]) -> None:
        biases = (lib.llama_logit_bias * len(tokens))(*(lib.llama_logit_bias(token, -math.inf) for token in tokens))
        self._add(lib.llama_sampler_init_logit_bias(model.vocabulary, len(tokens), biases))

    def top_k(self, k: int) -> None:
        self._add(lib.llama_sampler_init_top_k(k))

    def top_p(self, p: float) -> None:
        self._add(lib.llama_sampler_init_top_p(p, 1))

    def min_p(self, p: float) -> None:
        self._add(lib.llama_sampler_init_min_p(p, 1))

    def temperature(self, temperature: float) -> None:
        self._add(lib.llama_sampler_init_temp(temperature))

    def random(self, seed: int) -> None:
        self._add(lib.llama_sampler_init_dist(seed % 0xFFFFFFFF))  # all ones would ask for a random seed

    def greedy(self) -> None:
        self._add(lib.llama_sampler_init_greedy())

    def sample(self, context: Context, index: int) -> int:
        """Choose a token after the batch's token ``index``, and accept it."""
        if self._grammar is None:
            return int(lib.llama_sampler_sample(self.handle, context.handle, index))
        token = self._choose(context, index)
        lib.llama_sampler_accept(self.handle, token)
        lib.llama_sampler_accept(self._grammar, token)
        return token

    def _choose(self, context: Context, index: int) -> int:
        """The chain's choice if the grammar allows it; else the grammar looks at the whole vocabulary first, which is slow."""
        logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context.handle, index), (context.model.vocabulary,))
        scores = np.zeros(len(logits), _SCORE)
        scores["id"], scores["logit"] = np.arange(len(logits)), logits
        first = scores.copy()
        chosen = _apply(self.handle, first)
        alone = np.array([(chosen, 1.0, 0.0)], _SCORE)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(_as_candidates(alone)))
        if np.isfinite(alone["logit"][0]):
            return chosen
        lib.llama_sampler_apply(self._grammar, ctypes.byref(_as_candidates(scores)))
        # A chain would choose among forbidden tokens if it kept nothing else, and accepting one ends the process.
        return _apply(self.handle, scores[np.isfinite(scores["logit"])])

    def _add(self, sampler: Any) -> None:
        lib.llama_sampler_chain_add(self.handle, sampler)  # the chain owns it from here


class Dry:
    """A "don't repeat yourself" sampler to be cloned into chains: making one searches the whole vocabulary for its breakers."""

    def __init__(
        self, model: Model, *, multiplier: float, base: float, allowed_tokens: int, last_tokens: int, breakers: Sequence[str]
    ) -> None:
        texts = (ctypes.c_char_p * len(breakers))(*(breaker.encode() for breaker in breakers))
        self.handle = lib.llama_sampler_init_dry(model.vocab, multiplier, base, allowed_tokens, last_tokens, texts, len(breakers))
        weakref.finalize(self, lib.llama_sampler_free, self.handle).atexit = False


# ------------------------------------------------------------------ files


def requantise_q6_k(source: Path, target: Path, *, threads: int) -> None:
    """Write ``source`` again as Q6_K, whatever types it has now.

    Raises:
        ModelNotLoadable: the source cannot be read or the target cannot be written.
    """
    start()
    _recent_errors.clear()
    params = lib.llama_model_quantize_default_params()
    params.nthread = threads
    params.ftype = lib.LLAMA_FTYPE_MOSTLY_Q6_K
    params.allow_requantize = True
    if lib.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)):
        raise ModelNotLoadable(f"{source} could not be quantised into {target}{_reason()}")
