"""The one thread that owns model and context, and what it does in each step.

A step is one ``llama_decode``: a token for every live reply, and beside them as much of the waiting prompts as the budget
allows. So replies of many channels are made together, and a long prompt does not freeze those that run. llama.cpp evaluates the
tokens of neighbouring slots together, as many of each as all of them have; what is left of a prompt comes in a pass of its own.

``submit``, ``cancel``, ``forget``, ``position`` and ``stop`` belong to the event loop; they never wait for a step. Everything with an
underscore belongs to the thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from bot.config import EngineSettings
from bot.engine.native import Context, Model, Outcome
from bot.engine.pace import Pace
from bot.engine.prefix_files import PrefixFiles
from bot.engine.requests import Request
from bot.engine.sampling import Samplers
from bot.engine.slots import Shelf, Slot, SlotTable
from bot.engine.spelling import respell
from bot.errors import EngineBusy, EngineError, EngineStopped
from bot.messages import ChannelKey, FinishReason, Piece

log = logging.getLogger(__name__)

_PREFIX: Final = "prefix"  # in the place of a channel: what a character's prompts begin with


@dataclass(frozen=True, slots=True)
class Status:
    """What the engine is doing and has done since its start; the seconds are the thread's own."""

    live: int = 0
    waiting: int = 0
    sequences: int = 0  # conversations in the cache
    cells_used: int = 0  # tokens of theirs
    cells: int = 0
    parked: int = 0  # conversations and prefixes in host memory
    parked_bytes: int = 0
    evaluated_tokens: int = 0  # of prompts, prefixes included
    reused_tokens: int = 0
    reply_tokens: int = 0
    steps: int = 0
    step_seconds: float = 0.0
    decode_seconds: float = 0.0
    sampling_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one reader gets of a step."""

    reader: Request
    count: int  # tokens

    @property
    def slot(self) -> Slot:
        assert self.reader.slot is not None, "only what has a slot takes part in a step"
        return self.reader.slot

    @property
    def tokens(self) -> list[int]:
        start = len(self.slot.tokens)
        return self.reader.tokens[start : start + self.count]

    @property
    def samples(self) -> bool:
        """Whether a token is to be chosen after it."""
        return self.count == self.reader.remaining and self.reader.channel is not None


class Scheduler:
    """Decodes for everybody until it is stopped.

    ``open_context`` is called on the thread; what it gives has ``settings.live_replies`` sequences. ``loop`` is where the mailboxes are.
    """

    def __init__(
        self,
        settings: EngineSettings,
        open_context: Callable[[], Context],
        files: PrefixFiles | None,
        loop: asyncio.AbstractEventLoop,
        *,
        batch_tokens: int,
    ) -> None:
        self._settings = settings
        self._batch_tokens = batch_tokens
        self._pace = Pace(None if settings.chunk_tokens == "auto" else settings.chunk_tokens)
        self._open_context = open_context
        self._files = files
        self._loop = loop
        self._thread = threading.Thread(target=self._run_thread, name="engine", daemon=True)
        self._ready: Future[Model] = Future()
        self.status = Status()
        self.ended = asyncio.Event()  # the thread is gone, whether it was asked to or died

        self._wake = threading.Condition()  # guards the next five
        self._inbox: list[Request] = []
        self._forgotten: list[ChannelKey | None] = []
        self._in_step: list[Request] = []
        self._stopping = False
        self._stopped = False

        self._waiting: list[Request] = []
        self._live: list[Request] = []  # has a slot, or will have one when its prefix has been read
        self._outbox: list[tuple[Request, Piece | EngineError]] = []

    # ------------------------------------------------------------------ from the event loop

    def start(self) -> Future[Model]:
        """Begin; the future has the model once it is loaded, or why it was not."""
        self._thread.start()
        return self._ready

    def submit(self, request: Request) -> None:
        """Queue a request; what becomes of it arrives in its mailbox.

        Raises:
            EngineBusy, EngineStopped
        """
        with self._wake:
            if self._stopping or self._stopped:
                raise EngineStopped("the engine is not running any more; start Troupe again")
            if len(self._inbox) + len(self._waiting) >= self._settings.queue:
                raise EngineBusy(f"{self._settings.queue} replies are waiting already; try again in a moment")
            self._inbox.append(request)
            self._wake.notify()

    def cancel(self, request: Request) -> None:
        """Let go of a request, wherever it is. A step that works for nobody else is given up at once."""
        with self._wake:
            request.cancelled = True
            if self._in_step and all(other.cancelled for other in self._in_step):
                self._context.abort()
            self._wake.notify()

    def forget(self, channel: ChannelKey | None) -> None:
        """Keep nothing of what was said in a channel (None: in any), but for replies that are being made."""
        with self._wake:
            self._forgotten.append(channel)
            self._wake.notify()

    def position(self, channel: ChannelKey) -> int | None:
        """How many replies go first before this channel's next one: 0 while it is being made, None if it waits for nothing."""
        if any(request.channel == channel for request in list(self._live)):
            return 0
        queue = sorted([*self._waiting, *self._inbox], key=_fairly(list(self._live)))
        return next((place for place, request in enumerate(queue, 1) if request.channel == channel), None)

    def stop(self) -> None:
        """Give up the step that runs, and everything else. Returns at once; ``join`` waits."""
        with self._wake:
            self._stopping = True
            if self._in_step:
                self._context.abort()
            self._wake.notify()

    def join(self) -> None:
        self._thread.join()

    # ------------------------------------------------------------------ the thread

    def _run_thread(self) -> None:
        try:
            self._context = self._open_context()
        except BaseException as error:  # noqa: BLE001  handed to whoever waits for the start
            self._stopped = True
            self._ready.set_exception(error)
            return
        model = self._context.model
        self._samplers = Samplers(model)
        shelf = Shelf(self._settings.parked_megabytes * 1_000_000)
        self._table = SlotTable(self._context, slots=self._settings.live_replies, shelf=shelf, partial=model.forgets_partially)
        self._ready.set_result(model)
        try:
            while self._work_arrived():
                self._step()
        except Exception:
            log.exception("engine thread died")
        finally:
            self._end_everybody()
            self._context.close()
            if self._files is not None:
                self._files.close()

    def _step(self) -> None:
        """Everything that happens between two looks at the inbox."""
        began = time.perf_counter()
        self._reap()
        self._admit()
        self._seat_everybody()
        self._table.gather()
        parts = self._compose()
        if parts:
            self._evaluate(parts)
        self._publish(time.perf_counter() - began)
        self._hand_over()

    def _work_arrived(self) -> bool:
        """Wait for something to do; False when there is an end to be made."""
        with self._wake:
            while not (self._stopping or self._inbox or self._forgotten or self._live or self._waiting):
                self._wake.wait()
            self._waiting += self._inbox
            self._inbox.clear()
            forgotten, self._forgotten = self._forgotten, []
            going_on = not self._stopping
        if forgotten:
            # None is everything, what characters begin with too: one may be made of somebody's words.
            self._table.forget(lambda key: None in forgotten or (isinstance(key, tuple) and key[0] != _PREFIX and key[0] in forgotten))
        return going_on

    def _reap(self) -> None:
        """Let the cancelled go; what they have evaluated stays, to be continued."""
        self._waiting = [request for request in self._waiting if not request.cancelled]
        for request in [request for request in self._live if request.cancelled]:
            self._leave(request)

    # -- who is served

    def _admit(self) -> None:
        """Take from the queue as many as there are slots."""
        while self._waiting:
            request = self._next_waiting()
            if len(self._live) < self._settings.live_replies:
                self._waiting.remove(request)
                self._live.append(request)
            elif request.background or not self._set_background_aside():
                return

    def _next_waiting(self) -> Request:
        return min(self._waiting, key=_fairly(self._live))

    def _set_background_aside(self) -> bool:
        """Put one piece of background work back into the queue; what it has is continued later."""
        background = [request for request in self._live if request.background]
        if not background:
            return False
        self._leave(background[-1])
        self._waiting.append(background[-1])
        return True

    def _seat_everybody(self) -> None:
        """Give a slot to who has none, those first who continue what is in one. Who waits for a prefix needs none before it is read."""
        for request in sorted(self._standing(), key=lambda request: self._table.resting(request.key) is None):
            if not self._is_being_read(request.prefix):
                self._seat(request)

    def _standing(self) -> list[Request]:
        return [request for request in self._live if request.slot is None]

    def _is_being_read(self, prefix: tuple[int, ...]) -> bool:
        return any(other.reads_prefix and other.prefix == prefix for other in self._live)

    def _seat(self, request: Request) -> None:
        prefix = list(request.prefix)
        self._fetch(prefix)
        if request.channel is None and _key_of(prefix) in self._table.shelf:  # only the prefix was wanted
            self._finish(request, "stop")
            return
        self._respell(request)
        # The last token is always evaluated: the choice of the next one needs its scores.
        request.slot = self._table.open(request.key, request.tokens[:-1])
        self._keep_prefix(request)

    def _respell(self, request: Request) -> None:
        """Take what the character has said here before in the tokens that it chose then."""
        if request.chain is not None:
            return
        tokens = respell(request.tokens, self._table.conversation(request.key), self._context.model.piece)
        if len(tokens) + request.sampling.max_tokens <= self._context.cells // self._settings.live_replies:
            request.tokens, request.prompt_tokens = tokens, len(tokens)

    def _fetch(self, prefix: list[int]) -> None:
        """Put a prefix on the shelf that an earlier process has read."""
        if self._files is None or not prefix or self._table.overlap(prefix) == len(prefix):
            return
        state = self._files.load(prefix)
        if state is not None:
            self._table.shelf.put(_key_of(prefix), prefix, state, shared=True)

    def _keep_prefix(self, request: Request) -> None:
        """A slot that holds a prefix and nothing else yet is what others, and the next process, can begin with."""
        slot, prefix = request.slot, request.prefix
        if slot is None or not prefix or len(slot.tokens) != len(prefix) or _key_of(prefix) in self._table.shelf:
            return
        state = self._table.shelve(_key_of(prefix), slot, shared=True)
        if self._files is not None:
            self._files.save(prefix, state)

    def _leave(self, request: Request) -> None:
        """It is not live any more. What it has evaluated stays until its slot is needed."""
        self._live.remove(request)
        if request.slot is not None:
            self._table.rest(request.slot)
            request.slot = None

    # -- what a step consists of

    def _compose(self) -> list[Part]:
        """One token for each reply, then prompts under the budget; background work only if no person's prompt wants reading."""
        seated = [request for request in self._live if request.slot is not None]
        awaited = {request.prefix for request in self._standing() if not request.background}
        urgent = [request for request in seated if not request.background or (request.reads_prefix and request.prefix in awaited)]
        if any(not request.replying for request in urgent):
            seated = urgent
        replying = [request for request in seated if request.replying]
        readers = [request for request in seated if not request.replying]
        budget = self._batch_tokens - len(replying)
        if replying:
            # A chunk for each who waits: when many do, the few who are answered wait once instead of being made in small batches.
            budget = min(budget, self._pace.chunk(len(replying)) * len(readers))
        parts = [Part(request, 1) for request in replying] + self._share_out(readers, budget)
        return sorted(parts, key=lambda part: part.slot.id)  # llama.cpp takes neighbours together if they come in order

    def _share_out(self, readers: list[Request], budget: int) -> list[Part]:
        """Prompts side by side in one step.

        The oldest has half of the budget for certain, so that it comes to its end; the shortest go first with the rest, so that a
        greeting does not wait for a novel.
        """
        if not readers:
            return []
        oldest = min(readers, key=lambda reader: reader.arrived)
        kept = min(oldest.next_tokens, (budget + 1) // 2)
        left = budget - kept
        parts = []
        for reader in sorted(readers, key=lambda reader: reader.remaining):
            if reader is oldest:
                continue
            count = min(reader.next_tokens, left)
            left -= count
            if count:
                parts.append(Part(reader, count))
        return [Part(oldest, min(oldest.next_tokens, kept + left)), *parts]

    def _evaluate(self, parts: list[Part]) -> None:
        """Decode, and say what follows. A batch that fails is tried again part by part, so that only the guilty fail."""
        outcome, indices = self._decode(parts)
        if outcome == Outcome.DONE:
            for part, index in zip(parts, indices, strict=True):
                self._advance(part, index)
            return
        for part in parts:
            self._table.cut(part.slot, len(part.slot.tokens))
        if outcome == Outcome.ABORTED:
            return  # nobody wants it any more: the next look at the inbox finds out
        log.warning("decode failed outcome=%d parts=%d tokens=%d", outcome, len(parts), sum(part.count for part in parts))
        if len(parts) > 1:
            for part in parts:
                self._evaluate([part])
            return
        self._fail(parts[0].reader, outcome)

    def _decode(self, parts: list[Part]) -> tuple[int, list[int]]:
        """llama.cpp's answer, and for each part where its last token's scores are."""
        context = self._context
        context.clear_batch()
        indices = []
        for part in parts:
            position, slot, samples = len(part.slot.tokens), part.slot.id, part.samples
            for offset, token in enumerate(part.tokens, 1):
                index = context.add(token, position, slot, output=samples and offset == part.count)
                position += 1
            indices.append(index)
        with self._wake:
            if self._stopping:
                return Outcome.ABORTED, indices
            context.resume()
            self._in_step = [request for part in parts for request in (part.reader, *self._waiting_for(part.reader))]
        began = time.perf_counter()
        outcome = context.decode()
        took = time.perf_counter() - began
        self._decode_seconds += took
        if outcome == Outcome.DONE:
            replies = sum(part.reader.replying for part in parts)
            self._pace.note(replies, sum(part.count for part in parts) - replies, took)
        with self._wake:
            self._in_step = []
        return outcome, indices

    # -- what comes of it

    def _advance(self, part: Part, index: int) -> None:
        """Note what was evaluated, and go on from there."""
        reader = part.reader
        self._table.extend(part.slot, part.tokens)
        if not reader.reply_tokens:
            reader.evaluated_tokens += part.count
        self._keep_prefix(reader)
        if reader.remaining:
            return
        if reader.channel is None:
            self._finish(reader, "stop")
        else:
            self._say(reader, index)

    def _waiting_for(self, reader: Request) -> list[Request]:
        """Who else wants what it is reading."""
        return [request for request in self._standing() if reader.reads_prefix and request.prefix == reader.prefix]

    def _say(self, request: Request, index: int) -> None:
        """Choose the next token and pass on what has become readable."""
        began = time.perf_counter()
        if request.chain is None:
            request.chain = self._samplers.chain(request.sampling, endless=request.endless)
            request.first_token_seconds = time.monotonic() - request.arrived
        token = request.chain.sample(self._context, index)
        self._sampling_seconds += time.perf_counter() - began
        model = self._context.model
        if model.ends(token):
            self._finish(request, "stop")
            return
        request.tokens.append(token)
        text = request.characters.decode(model.piece(token))
        if text:
            self._outbox.append((request, Piece(text, counters=request.counters())))
        if request.reply_tokens >= request.sampling.max_tokens:
            self._finish(request, "length")

    def _finish(self, request: Request, reason: FinishReason) -> None:
        counters = request.counters()
        self._outbox.append((request, Piece("", reason, counters)))
        self._evaluated += counters.evaluated_tokens
        self._reused += counters.reused_tokens
        self._replied += counters.reply_tokens
        self._leave(request)

    def _fail(self, request: Request, outcome: int) -> None:
        reason = "the cache has no room for it" if outcome == Outcome.NO_ROOM else f"llama.cpp refused it (llama_decode gave {outcome})"
        if request.slot is not None:
            self._table.cut(request.slot, 0)
        self._outbox.append((request, EngineError(f"the reply could not be made: {reason}")))
        self._leave(request)

    def _hand_over(self) -> None:
        """Wake the event loop once for all that a step has brought."""
        if self._outbox:
            self._loop.call_soon_threadsafe(_deliver, self._outbox)
            self._outbox = []

    def _end_everybody(self) -> None:
        with self._wake:
            self._stopped = True
            everybody = [*self._live, *self._waiting, *self._inbox]
        error = "the engine was stopped before the reply was finished"
        self._outbox += [(request, EngineStopped(error)) for request in everybody]
        if not self._loop.is_closed():
            self._hand_over()
            self._loop.call_soon_threadsafe(self.ended.set)

    # -- figures

    _evaluated = _reused = _replied = _steps = 0
    _step_seconds = _decode_seconds = _sampling_seconds = 0.0

    def _publish(self, seconds: float) -> None:
        self._steps += 1
        self._step_seconds += seconds
        self.status = Status(
            live=len(self._live),
            waiting=len(self._waiting),
            sequences=sum(bool(slot.tokens) for slot in self._table.slots),
            cells_used=self._table.used_cells,
            cells=self._context.cells,
            parked=len(self._table.shelf),
            parked_bytes=self._table.shelf.bytes,
            evaluated_tokens=self._evaluated,
            reused_tokens=self._reused,
            reply_tokens=self._replied,
            steps=self._steps,
            step_seconds=self._step_seconds,
            decode_seconds=self._decode_seconds,
            sampling_seconds=self._sampling_seconds,
        )


def _fairly(live: Sequence[Request]) -> Callable[[Request], tuple[bool, int, float]]:
    """An order of who waits: people before background work, then whose channel and person have the fewest live replies, then by time."""
    channels = Counter(request.channel for request in live)
    people = Counter(request.person for request in live if request.person)
    return lambda request: (request.background, channels[request.channel] + people[request.person], request.arrived)


def _key_of(prefix: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    return _PREFIX, tuple(prefix)


def _deliver(outbox: list[tuple[Request, Piece | EngineError]]) -> None:
    for request, item in outbox:
        request.mailbox.put_nowait(item)
