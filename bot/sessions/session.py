"""One character in one channel: what it knows, the prompt for its next words, and the words themselves."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace

from bot.characters.cast import Character
from bot.characters.honesty import asks_sincerely, honest_line
from bot.characters.lorebook import Heard, Lore, match_book
from bot.characters.macros import fill_macros
from bot.characters.prompt import PROMPT_VERSION, Budget, PromptRenderer, Rendered, Renderers, Scene, Spoken
from bot.config import RetrievalSettings, SessionSettings
from bot.engine.swap import SwappingEngine
from bot.errors import ConnectorError, EngineError, EngineStopped, StoreError
from bot.memory.store import Delivery, Store
from bot.messages import NO_WISHES, Channel, ChannelKey, Engine, Findable, Piece, Reply, Sampling, Stamp, Turn, Wishes
from bot.retrieval.exemplars import Exemplars
from bot.retrieval.scenes import FoundScene, Scenes, within
from bot.sessions.casting import names_of
from bot.sessions.recall import NOTHING_IN_MIND, InMind, Recall
from bot.sessions.showing import Showing
from bot.sessions.speaker_guard import SpeakerGuard
from bot.sessions.stop_strings import StopStrings

log = logging.getLogger(__name__)

SEED_LIMIT = 2**31
LOOKED_BACK = 3  # turns whose text decides which exemplars and lore come up
GO_ON = "(Please go on.)"
SCENES = 19  # of the nearest, from which the budget takes; as many as ChatHaruhi looks at
LINE_OVERHEAD_TOKENS = 12  # a speaker's name in front, generously
SAID_TOKENS = 400  # of the conversation that scenes must leave room for


@dataclass(frozen=True, slots=True)
class Stage:
    """The rooms that a session works with, and their settings. One for the whole house."""

    settings: SessionSettings
    retrieval: RetrievalSettings
    store: Store
    engine: Engine
    renderers: Renderers
    exemplars: Exemplars
    scenes: Scenes

    @property
    def renderer(self) -> PromptRenderer:
        """For the model that answers now."""
        return self.renderers.of(self.engine.tokenizer)

    @contextmanager
    def held(self, channel: ChannelKey) -> Iterator[Stage]:
        """The same with a channel's model of now for the length of one turn: prompt, reply and stamp belong together."""
        if not isinstance(self.engine, SwappingEngine):
            yield self
            return
        with self.engine.hold(channel) as engine:
            yield replace(self, engine=engine, renderers=self.renderers.held(engine.tokenizer))

    @property
    def budget(self) -> Budget:
        s = self.settings
        return Budget(
            context=self.engine.context_tokens,
            reply=s.reply_tokens,
            card=s.card_tokens,
            fixed=s.exemplar_tokens,
            retrieved=s.retrieved_tokens if self.retrieval.mode == "lines" else self.retrieval.scene_tokens,
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
    wishes: Wishes = NO_WISHES


@dataclass(frozen=True, slots=True)
class Unstored:
    """A turn of the running conversation whose words are kept nowhere else, and the characters that heard it."""

    turn: Turn
    heard_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Moment:
    """What is around a character when it speaks."""

    spoken: Sequence[Spoken]  # oldest first
    asked: str  # what decides which exemplars come up
    place: str = ""
    mind: InMind = NOTHING_IN_MIND


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt, and the ids of what went into it, for the stamp."""

    rendered: Rendered
    lore: tuple[str, ...]
    memories: tuple[str, ...]


class Session:
    """Speaks for one character in one channel. Its channel's task calls it; never two calls at once."""

    def __init__(self, channel: ChannelKey, stage: Stage, unstored: Collection[Unstored] = ()) -> None:
        """``unstored`` are the running conversation's turns whose words are nowhere else; the channel's task adds to them."""
        self._channel = channel
        self._house = stage
        self._stage = stage  # during a turn with the model that began it
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
        with self._house.held(self._channel) as self._stage:
            try:
                return await self._speak(character, task, company, stop)
            finally:
                self._stage = self._house

    async def _speak(self, character: Character, task: Task, company: Sequence[Character], stop: asyncio.Event) -> Reply | None:
        store = self._stage.store
        seed = sampling_of(self._stage, character, task.wishes).seed
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
        others = other_speakers(character, [t.author_name for t in heard if t.author_id != character.id], company)
        said_before = {t.text.casefold().strip() for t in heard[-12:] if t.author_id == character.id}
        text, last = "", Piece("", "stop")
        person = task.cause.author_id
        try:
            for attempt in range(1 + settings.retries):
                sampling = replace(sampling_of(self._stage, character, task.wishes), seed=(delivery.seed + attempt) % SEED_LIMIT)
                guard, stops = SpeakerGuard(names_of(character), others), StopStrings(task.wishes.stop)
                text, last = await self._attempt(rendered, sampling, person, guard, stops, showing, stop)
                fresh = text.casefold().strip() not in said_before
                if stop.is_set() or (text and (fresh or not task.port.limits.retracts)):
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
        self,
        rendered: Rendered,
        sampling: Sampling,
        person: str,
        guard: SpeakerGuard,
        stops: StopStrings,
        showing: Showing,
        stop: asyncio.Event,
    ) -> tuple[str, Piece]:
        last = Piece("", "stop")
        stream = self._stage.engine.stream(rendered.prompt, sampling, channel=self._channel, person=person)
        async with aclosing(_until(stop, stream)) as pieces:
            async for piece in pieces:
                last = piece
                await showing.grow(stops.shown(guard.feed(piece.text)))
                if guard.cut or stops.reached:
                    break
        return stops.shown(guard.finish(), final=True).strip(), last

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

    async def _render(self, character: Character, heard: list[Turn], task: Task) -> Prepared:
        spoken = [Spoken(t.author_name, t.text, own=t.author_id == character.id) for t in heard]
        if task.go_on:
            spoken.append(Spoken(task.cause.author_name, GO_ON))
        asked = task.cause.text if not task.position else heard[-1].text
        mind = await self._recall.in_mind(character, heard, asked)
        place = await self._stage.store.place(self._channel)
        prepared = await compose(self._stage, character, Moment(spoken, asked, place, mind))
        first = prepared.rendered.first_spoken
        if first and heard:
            self._first_turn = heard[min(first, len(heard) - 1)].id
        return prepared


async def compose(stage: Stage, character: Character, moment: Moment) -> Prepared:
    """The prompt for a character's next words, with the exemplars and the lore that fit them.

    Raises:
        PromptTooLong, CardError
    """
    found = await (_scenes if stage.retrieval.mode == "scenes" else _lines)(stage, character, moment)
    entries, mind = _lore(stage, character, moment.spoken), moment.mind
    scene = Scene(
        spoken=moment.spoken,
        exemplars=[character.lines[position] for position in found],
        lore=[entry.text for entry in entries],
        place=moment.place,
        memories=[memory.text for memory in mind.always],
        recalled=[memory.text for memory in mind.recalled],
    )
    # Jinja and the tokenizer take milliseconds on a long history: that is too long for an event loop that serves everybody.
    rendered = await asyncio.to_thread(stage.renderer.render, character, scene, stage.budget)
    shown = (*mind.always[: rendered.memories], *mind.recalled[: rendered.recalled])
    return Prepared(rendered, tuple(entry.id for entry in entries), tuple(memory.id for memory in shown))


async def _lines(stage: Stage, character: Character, moment: Moment) -> list[int]:
    """Positions of the character's lines that fit this turn, the best first."""
    hits = await stage.exemplars.search(
        character.id,
        character.revision,
        character.lines,
        moment.asked,
        stage.retrieval.exemplars,
        without=stage.renderer.fixed_ids(character),
    )
    return [hit.position for hit in hits]


async def _scenes(stage: Stage, character: Character, moment: Moment) -> list[int]:
    """Positions of the lines of whole scenes, the nearest scene first, as many as there is room for."""
    renderer, budget = stage.renderer, stage.budget
    found = await stage.scenes.search(
        character.id,
        character.revision,
        character.lines,
        moment.asked,
        SCENES,
        how=stage.retrieval.search,
        without=renderer.fixed_ids(character),
    )

    def size(scene: FoundScene) -> int:
        lines = [character.lines[position] for position in scene.positions]
        return sum(renderer.count(f"{line.said}\n{character.name}: {line.reply}") + LINE_OVERHEAD_TOKENS for line in lines)

    def kept() -> list[int]:
        taken = len(renderer.prefix(character, budget)) + budget.reply + budget.memory + budget.lore + SAID_TOKENS
        room = min(stage.retrieval.scene_tokens, budget.context - taken)
        return [position for scene in within(found, size, room) for position in scene.positions]

    return await asyncio.to_thread(kept)


def _lore(stage: Stage, character: Character, spoken: Sequence[Spoken]) -> tuple[Lore, ...]:
    if character.card.book is None:
        return ()
    speaker = next((s.name for s in reversed(spoken) if not s.own), "")
    return match_book(
        character.card.book,
        Heard([s.text for s in spoken], replies=sum(s.own for s in spoken)),
        count=stage.renderer.count,
        budget=stage.settings.lore_tokens,
        fill=lambda text: fill_macros(text, char=character.card.char, user=speaker),
    )


def sampling_of(stage: Stage, character: Character, wishes: Wishes) -> Sampling:
    """How the character's words are chosen: its own way, what is wished for this reply, and never longer than the house allows."""
    sampling = character.settings.sampling(Sampling())
    wished = {name: getattr(wishes, name) for name in ("temperature", "top_p", "max_tokens", "seed")}
    sampling = replace(sampling, **{name: value for name, value in wished.items() if value is not None})
    return replace(sampling, max_tokens=min(sampling.max_tokens, stage.settings.reply_tokens))


def other_speakers(character: Character, people: Iterable[str], company: Sequence[Character]) -> list[str]:
    """Everybody whose line the model could go on to write: people heard here, and the other characters."""
    characters = {name for other in company if other.id != character.id for name in names_of(other)}
    own = {name.casefold() for name in names_of(character)}
    return [name for name in {*people, *characters, "User", "A visitor"} if name.casefold() not in own]


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
