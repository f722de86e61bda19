"""One character in one channel: what it knows, the prompt for its next words, and the words themselves."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from bot.characters.cast import Character
from bot.characters.lorebook import Heard, Lore, match_book
from bot.characters.macros import fill_macros
from bot.characters.prompt import PROMPT_VERSION, Budget, PromptRenderer, Rendered, Scene, Spoken
from bot.config import RetrievalSettings, SessionSettings
from bot.errors import ConnectorError, EngineError, EngineStopped, StoreError
from bot.memory.store import Delivery, Store
from bot.messages import Channel, ChannelKey, Engine, Findable, Piece, Reply, Sampling, Stamp, Turn
from bot.retrieval.exemplars import Exemplars
from bot.sessions.casting import names_of
from bot.sessions.honesty import asks_sincerely, honest_line
from bot.sessions.recall import Recall
from bot.sessions.showing import Showing
from bot.sessions.speaker_guard import SpeakerGuard

log = logging.getLogger(__name__)

SEED_LIMIT = 2**31
LOOKED_BACK = 3  # turns whose text decides which exemplars and lore come up
GO_ON = "(Please go on.)"


@dataclass(frozen=True, slots=True)
class Stage:
    """The rooms that a session works with, and their settings. One for the whole house."""

    settings: SessionSettings
    retrieval: RetrievalSettings
    store: Store
    engine: Engine
    renderer: PromptRenderer
    exemplars: Exemplars

    @property
    def budget(self) -> Budget:
        s = self.settings
        return Budget(
            context=self.engine.context_tokens,
            reply=s.reply_tokens,
            card=s.card_tokens,
            fixed=s.exemplar_tokens,
            retrieved=s.retrieved_tokens,
            memory=s.memory_tokens,
            lore=s.lore_tokens,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """What a character is asked to do: answer a turn, answer it once more (``take`` above 0), or go on after its last words."""

    cause: Turn
    port: Channel
    position: int = 0  # 0 answers the person; later ones answer another character
    take: int = 0
    over: Delivery | None = None  # the take that is shown now: a further one takes its place and does not see it
    go_on: bool = False
    resumed: bool = False  # another process may have begun it, and died between sending a piece and noting its id


@dataclass(frozen=True, slots=True)
class Unstored:
    """A turn of the running conversation whose words are kept nowhere else, and the characters that heard it."""

    turn: Turn
    heard_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A prompt, and the ids of what went into it, for the stamp."""

    rendered: Rendered
    lore: tuple[str, ...]
    memories: tuple[str, ...]


class Session:
    """Speaks for one character in one channel. Its channel's task calls it; never two calls at once."""

    def __init__(self, channel: ChannelKey, stage: Stage, unstored: Collection[Unstored] = ()) -> None:
        """``unstored`` are the running conversation's turns whose words are nowhere else; the channel's task adds to them."""
        self._channel = channel
        self._stage = stage
        self._unstored = unstored
        self._recall = Recall(channel, stage.store)
        # The oldest turn that the prompt begins with. It stays until the history is over its budget, so that between two
        # cuts every prompt begins like the one before.
        self._first_turn: int | None = None
        # Sent, and their ids not stored because the database refused: known as long as this process lives.
        self._unnoted: dict[int, tuple[str, ...]] = {}

    async def speak(self, character: Character, task: Task, company: Sequence[Character], stop: asyncio.Event) -> Reply | None:
        """Make one reply and bring it into the channel.

        Returns None when this very reply was finished before (a turn taken up after a crash) or nothing was said.
        Setting ``stop`` ends it within a token; what has been said stays.

        Raises:
            EngineError, StoreError, ConnectorError: the turn failed; what was written down can be taken up again.
        """
        store = self._stage.store
        seed = self._sampling(character).seed
        delivery = await store.claim(
            task.cause,
            task.position,
            character.id,
            name=character.name,
            seed=random.randrange(SEED_LIMIT) if seed is None else seed + task.take,
            take=task.take,
        )
        for sent_id in self._unnoted.get(delivery.id, ()):
            delivery = await store.opened(delivery, sent_id)
        self._unnoted.pop(delivery.id, None)
        if task.resumed and delivery.state in ("claimed", "opened", "final"):
            delivery = await self._looked_for(delivery, character, task)
        if delivery.state in ("final", "recorded", "cancelled", "failed"):
            return await self._complete(delivery, character, task)
        async with task.port.typing(character.face):
            return await self._perform(delivery, character, task, company, stop)

    async def _looked_for(self, delivery: Delivery, character: Character, task: Task) -> Delivery:
        """Close the one window of a crash where the platform lets us look: a piece that was sent, and its id not stored.

        There is at most one, because an id is stored before the next piece is sent.
        """
        if not isinstance(task.port, Findable):
            if delivery.state == "claimed":
                log.warning("taken up without being able to look whether it was sent channel=%s turn=%d", self._channel, task.cause.id)
            return delivery
        after = delivery.sent_ids[-1] if delivery.sent_ids else task.cause.message_id
        for sent_id in await task.port.find_sent(character.face, after):
            if await self._stage.store.delivery_of(self._channel, sent_id) is None:
                log.info("a piece was found that the last process had sent channel=%s turn=%d", self._channel, task.cause.id)
                return await self._stage.store.opened(delivery, sent_id)
        return delivery

    async def _perform(
        self, delivery: Delivery, character: Character, task: Task, company: Sequence[Character], stop: asyncio.Event
    ) -> Reply | None:
        store, settings = self._stage.store, self._stage.settings
        heard = await self._history(character, task)
        prepared = await self._render(character, heard, task)
        rendered = prepared.rendered
        for sent_id in task.over.sent_ids if task.over else ():
            delivery = await store.opened(delivery, sent_id)
        showing = self._showing(delivery, character, task)
        if not task.position and not task.go_on and asks_sincerely(task.cause.text):
            return await self._answer_honestly(delivery, character, showing)
        others = _other_speakers(character, heard, company)
        said_before = {t.text.casefold().strip() for t in heard[-12:] if t.author_id == character.id}
        text, last = "", Piece("", "stop")
        try:
            for attempt in range(1 + settings.retries):
                sampling = replace(self._sampling(character), seed=(delivery.seed + attempt) % SEED_LIMIT)
                text, last = await self._attempt(rendered, sampling, SpeakerGuard(names_of(character), others), showing, stop)
                if stop.is_set() or (text and text.casefold().strip() not in said_before):
                    break
                log.info("reply discarded channel=%s character=%s attempt=%d empty=%s", self._channel, character.id, attempt, not text)
        except EngineStopped:
            raise  # the process is going; the next one takes it up where it stands
        except EngineError:
            await self._give_up(delivery, task, showing, "the engine failed")
            raise
        if not text:
            await self._give_up(delivery, task, showing, "stopped before the first word" if stop.is_set() else "the model gave no words")
            if not stop.is_set():
                await task.port.notice(f"({character.name} finds no words just now.)")
            return None
        stamp = Stamp(
            build=self._stage.engine.build,
            character=character.id,
            revision=character.revision,
            prompt_version=PROMPT_VERSION,
            seed=delivery.seed,
            exemplars=rendered.exemplars,
            memories=prepared.memories,
            lore=prepared.lore,
            finish_reason="cancelled" if stop.is_set() else last.finish_reason or "stop",  # none: the guard ended it
            counters=last.counters,
        )
        return await self._deliver(delivery, character, showing, text, stamp)

    async def _attempt(
        self, rendered: Rendered, sampling: Sampling, guard: SpeakerGuard, showing: Showing, stop: asyncio.Event
    ) -> tuple[str, Piece]:
        last = Piece("", "stop")
        stream = self._stage.engine.stream(rendered.prompt, sampling, channel=self._channel)
        async with aclosing(_until(stop, stream)) as pieces:
            async for piece in pieces:
                last = piece
                await showing.grow(guard.feed(piece.text))
                if guard.cut:
                    break
        return guard.finish().strip(), last

    async def _deliver(self, delivery: Delivery, character: Character, showing: Showing, text: str, stamp: Stamp) -> Reply:
        """``opened`` -> ``final`` -> ``recorded``: the text is stored as soon as the platform has named its first piece."""
        store = self._stage.store
        if not showing.sent:
            await showing.settle(text)
        turn = await store.finalise(delivery, text, stamp)
        await showing.settle(text)
        delivery = await store.recorded(delivery)
        if delivery.sent_ids != showing.sent:  # this take needs fewer messages than the one before
            await store.shown_in(delivery, showing.sent)
        return Reply(character.face, text, stamp, turn.id, turn.message_id)

    async def _answer_honestly(self, delivery: Delivery, character: Character, showing: Showing) -> Reply:
        """No model has a part in this: the words were written for it."""
        line = honest_line(character, delivery.seed)
        stamp = Stamp(
            build=self._stage.engine.build,
            character=character.id,
            revision=character.revision,
            prompt_version=PROMPT_VERSION,
            seed=delivery.seed,
            exemplars=(line.id,),
        )
        return await self._deliver(delivery, character, showing, line.reply, stamp)

    async def _give_up(self, delivery: Delivery, task: Task, showing: Showing, reason: str) -> None:
        """Nothing came of it: what was shown so far goes, and the take before it, if there was one, comes back."""
        try:
            await showing.settle(task.over.text if task.over else "")
        except ConnectorError as error:
            log.info("half a reply stays in the channel channel=%s error=%s", self._channel, error)
        await self._stage.store.fail(delivery, reason)

    async def _complete(self, delivery: Delivery, character: Character, task: Task) -> Reply | None:
        """A reply whose text is stored already: only what the channel has not seen is still to do."""
        if delivery.state != "final":
            return None
        await self._showing(delivery, character, task).settle(delivery.text)
        await self._stage.store.recorded(delivery)
        return None

    def _showing(self, delivery: Delivery, character: Character, task: Task) -> Showing:
        async def opened(sent_id: str) -> None:
            try:
                await self._stage.store.opened(delivery, sent_id)
            except StoreError:
                self._unnoted[delivery.id] = (*self._unnoted.get(delivery.id, ()), sent_id)
                raise

        return Showing(task.port, character.face, opened, sent=delivery.sent_ids)

    # ------------------------------------------------------------------ the prompt

    async def _history(self, character: Character, task: Task) -> list[Turn]:
        """What the character was present for up to the turn that it answers, in the order of the conversation."""
        limit = self._stage.settings.history_turns
        heard = await self._read(character, task, limit)
        if not heard and self._first_turn is not None:  # it is gone: somebody was forgotten by a command beside this server
            self._first_turn = None
            heard = await self._read(character, task, limit)
        if len(heard) == limit:
            # The window is full: begin anew with a shorter one instead of sliding by one turn each time.
            heard = heard[limit // 2 :]
            self._first_turn = heard[0].id
        return self._with_unstored(heard, character, task) or [task.cause]

    async def _read(self, character: Character, task: Task, limit: int) -> list[Turn]:
        before = task.over.turn_id if task.over else None
        return await self._stage.store.history(
            self._channel, character.id, limit=limit, since=self._first_turn, answering=task.cause.id, before=before
        )

    def _with_unstored(self, heard: list[Turn], character: Character, task: Task) -> list[Turn]:
        first = self._first_turn or 0
        end = task.over.turn_id if task.over is not None else None
        beside = [
            u.turn
            for u in self._unstored
            if character.id in u.heard_by
            and u.turn.id >= first
            and (end is None or u.turn.id < end)
            and (u.turn.by_character or u.turn.id <= task.cause.id)
        ]
        return sorted([*heard, *beside], key=lambda t: t.id) if beside else heard

    def _sampling(self, character: Character) -> Sampling:
        sampling = character.settings.sampling(Sampling())
        return replace(sampling, max_tokens=min(sampling.max_tokens, self._stage.settings.reply_tokens))

    def _lore(self, character: Character, heard: Sequence[Turn]) -> tuple[Lore, ...]:
        if character.card.book is None:
            return ()
        speaker = next((t.author_name for t in reversed(heard) if t.author_id != character.id), "")
        return match_book(
            character.card.book,
            Heard([t.text for t in heard], replies=sum(t.author_id == character.id for t in heard)),
            count=self._stage.renderer.count,
            budget=self._stage.settings.lore_tokens,
            fill=lambda text: fill_macros(text, char=character.card.char, user=speaker),
        )

    async def _render(self, character: Character, heard: list[Turn], task: Task) -> _Prepared:
        spoken = [Spoken(t.author_name, t.text, own=t.author_id == character.id) for t in heard]
        if task.go_on:
            spoken.append(Spoken(task.cause.author_name, GO_ON))
        recent = [t.text for t in heard[-LOOKED_BACK:]]
        asked = task.cause.text if not task.position else recent[-1]
        found = await self._stage.exemplars.search(
            character.id,
            character.revision,
            character.lines,
            asked,
            self._stage.retrieval.exemplars,
            without=self._stage.renderer.fixed_ids(character),
        )
        entries = self._lore(character, heard)
        mind = await self._recall.in_mind(character, heard, asked)
        scene = Scene(
            spoken=spoken,
            exemplars=[character.lines[hit.position] for hit in found],
            lore=[entry.text for entry in entries],
            place=await self._stage.store.place(self._channel),
            memories=[memory.text for memory in mind.always],
            recalled=[memory.text for memory in mind.recalled],
        )
        # Jinja and the tokenizer take milliseconds on a long history: that is too long for an event loop that serves everybody.
        rendered = await asyncio.to_thread(self._stage.renderer.render, character, scene, self._stage.budget)
        if rendered.first_spoken and heard:
            self._first_turn = heard[min(rendered.first_spoken, len(heard) - 1)].id
        shown = (*mind.always[: rendered.memories], *mind.recalled[: rendered.recalled])
        return _Prepared(rendered, tuple(entry.id for entry in entries), tuple(memory.id for memory in shown))


def _other_speakers(character: Character, heard: Sequence[Turn], company: Sequence[Character]) -> list[str]:
    """Everybody whose line the model could go on to write: people heard here, and the other characters."""
    people = {t.author_name for t in heard if t.author_id != character.id}
    characters = {name for other in company if other.id != character.id for name in names_of(other)}
    own = {name.casefold() for name in names_of(character)}
    return [name for name in people | characters | {"User", "A visitor"} if name.casefold() not in own]


async def _until(stop: asyncio.Event, stream: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    """The stream, left at once when ``stop`` is set, also while the next piece is being waited for."""
    if stop.is_set():
        return
    stopping = asyncio.ensure_future(stop.wait())
    coming: asyncio.Future[Piece] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(stream))
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not coming.done():
                return
            try:
                piece = coming.result()
            except StopAsyncIteration:
                return
            yield piece
    finally:
        stopping.cancel()
        if coming is not None and not coming.done():
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
