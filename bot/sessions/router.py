"""Every channel's one task and one inbox: a message goes in, replies come out in order.

The path of a message: ``Router.hear`` (stored, seen before?) -> the channel's inbox -> ``_Conversation.run`` (settle) ->
``_answer`` (casting) -> ``Session.speak`` (prompt, engine, delivery).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Literal

from bot.characters.cast import Character
from bot.errors import (
    BotError,
    CommandRefused,
    ConnectorError,
    EngineBusy,
    EngineError,
    EngineStopped,
    PromptTooLong,
    StoreBusy,
    StoreError,
    StoreFull,
)
from bot.memory.store import Delivery, PendingTurn
from bot.messages import NO_WISHES, Channel, ChannelKey, Incoming, Reply, Turn, Wishes
from bot.sessions.casting import Call, cast_reply, named_in
from bot.sessions.company import Company
from bot.sessions.gate import Gate
from bot.sessions.recap import Recaps
from bot.sessions.session import Session, Stage, Task, Unstored

log = logging.getLogger(__name__)

UNSTORED_TURNS = 40  # of people who do not want to be remembered: the running conversation, and only while it runs

LOST_REPLY = "(Something went wrong behind the curtain, and that reply was lost. Saying it again may help.)"
BUSY = "(Too many people are talking at once just now. Please try again in a moment.)"
TOO_LONG = "(That was too long for me to read at once. Please say it in fewer words.)"
FULL = "(I cannot keep up with this channel: some messages will stay unanswered.)"
AWAY = "(I was away, and {count} of the messages here stayed unanswered. Say it again if it still matters.)"
SET_ASIDE = "(Something about a message here keeps making me fall over. I leave it unanswered and go on.)"
STOPPED = "(The engine has stopped. What was said here is answered after the restart.)"
WAITING = "(I cannot write anything down just now. What was said here is answered as soon as I can again.)"
UNHEARD = "(I cannot write anything down just now, so I could not take that in. Please say it again in a while.)"

TOLD_AGAIN_SECONDS = 600.0
PAUSES_SECONDS = (1.0, 5.0, 15.0)  # before the database is tried again; the last one from then on


@dataclass(slots=True)
class _Heard:
    """A message in an inbox. ``done`` resolves to the replies that it led to, or to what went wrong."""

    turn: Turn
    port: Channel
    addressed: tuple[str, ...]
    direct: bool
    done: asyncio.Future[list[Reply]]
    unkept_for: frozenset[str] | None = None  # its words are not stored: which characters were there to hear them
    resumed: bool = False  # left over by the last process
    begun: bool = False  # and that one had begun to answer: what came after it is another turn
    wishes: Wishes = NO_WISHES


@dataclass(slots=True)
class _Again:
    """A wish about an old reply: another take of it, more of it, or (after a crash) the rest of it."""

    delivery: Delivery
    wish: Literal["take", "more", "rest"]
    port: Channel
    done: asyncio.Future[list[Reply]]
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """A channel that has a task at this moment."""

    key: ChannelKey
    busy: bool
    waiting: int  # messages in its inbox
    place: int | None  # replies that the engine makes before the next one here: 0 while it is made, None if it waits for none


class Router:
    """The door to all conversations. Everything here runs on one event loop."""

    def __init__(self, stage: Stage, company: Company) -> None:
        self._stage = stage
        self._company = company
        self._conversations: dict[ChannelKey, _Conversation] = {}
        self._closing = False
        self._trying: asyncio.Task[None] | None = None
        self.gate = Gate(stage.store, stage.settings)
        self.recaps = Recaps(stage)

    @property
    def stage(self) -> Stage:
        return self._stage

    async def hear(self, incoming: Incoming) -> asyncio.Future[list[Reply]] | None:
        """Store a message and queue it. None: it was seen before or its author is not heard here, and nothing more happens.

        Nothing more happens either with a message from before a long standstill: it is remembered, and not answered.

        The future gives the replies when the turn is over; nobody has to await it.

        Raises:
            CommandRefused: nothing to answer (empty), or longer than ``sessions.message_characters``.
            StoreError: it could not be stored, so it will not be answered: the platform should send it again.
        """
        self._check(incoming.text)
        late = (datetime.now(UTC) - incoming.sent_at).total_seconds() > self._stage.settings.stale_minutes * 60
        if late and await self.gate.blocked(incoming.author, incoming.channel, incoming.roles):
            return None
        if not late and not await self.gate.admit(incoming):  # a backlog is no flood
            return None
        awake = await self._company.awake(incoming.channel)
        present = {c.id for c in awake} | {m for m in incoming.mentions if self._company.by_id(m) is not None}
        try:
            kept = await self._stage.store.consented(incoming.author.id, "remember")
            turn = await self._stage.store.remember(incoming, sorted(present), "stale" if late else "heard", keep_words=kept)
        except StoreError:
            if self.gate.once(f"unheard {incoming.channel}", TOLD_AGAIN_SECONDS):
                await incoming.channel_port.notice(UNHEARD)
            raise
        if turn is not None and late:
            log.info("a message from before a standstill is not answered channel=%s turn=%d", incoming.channel, turn.id)
        if turn is None or late:
            return None
        done = _watched()
        unkept_for = None if kept else frozenset(present)
        heard = _Heard(turn, incoming.channel_port, incoming.mentions, incoming.direct, done, unkept_for, wishes=incoming.wishes)
        await self._post(incoming.channel, heard)
        return done

    async def again(
        self, channel: ChannelKey, port: Channel, *, message_id: str | None = None, go_on: bool = False
    ) -> asyncio.Future[list[Reply]]:
        """Another take of a reply, or (``go_on``) more of it; the channel's last reply when no message is named.

        Raises:
            CommandRefused: there is no such reply here.
        """
        store = self._stage.store
        delivery = await (store.delivery_of(channel, message_id) if message_id else store.last_delivery(channel))
        if delivery is None:
            raise CommandRefused("There is no reply here yet that could be made again.")
        done = _watched()
        await self._post(channel, _Again(delivery, "more" if go_on else "take", port, done))
        return done

    async def stop(self, channel: ChannelKey) -> bool:
        """End the reply that is being made here, and those that wait. False when nothing was going on."""
        conversation = self._conversations.get(channel)
        return conversation is not None and await conversation.stop()

    async def take_up(self, port_of: Callable[[ChannelKey], Channel | None]) -> int:
        """After a start: finish what the last process left undone, oldest first. Returns how many turns were taken up.

        Channels for which ``port_of`` gives nothing wait for their connector. What is too old is said to be so, and a turn
        during which ``sessions.attempts`` processes in a row have ended is set aside.
        """
        store, settings = self._stage.store, self._stage.settings
        for channel, turns in (await store.expire(settings.stale_minutes * 60)).items():
            log.warning("turns are too old to be answered channel=%s turns=%d", channel, turns)
            if (port := port_of(channel)) is not None:
                await port.notice(AWAY.format(count=turns))
        taken = 0
        suspects: list[PendingTurn] = []
        for pending in await store.pending():
            port = port_of(pending.turn.channel)
            if port is None:
                continue
            if not pending.turn.text:  # its words were not kept, so there is nothing to answer
                await store.set_state(pending.turn.id, "skipped")
            elif pending.attempts + 1 >= settings.attempts:  # the first one is not counted
                await self._set_aside(pending, port)
            elif pending.attempts:
                suspects.append(pending)
                taken += 1
            else:
                await self._post(pending.turn.channel, await self._resumed(pending, port))
                taken += 1
        for delivery in await store.unfinished():
            port = port_of(delivery.channel)
            if port is not None:
                await self._post(delivery.channel, _Again(delivery, "rest", port, _watched(), resumed=True))
                taken += 1
        if suspects:
            self._trying = asyncio.create_task(self._try_alone(suspects, port_of), name="try suspects")
        return taken

    async def _try_alone(self, suspects: Sequence[PendingTurn], port_of: Callable[[ChannelKey], Channel | None]) -> None:
        """Two processes have ended while these were being answered: one after the other, so that only the guilty is counted again."""
        for pending in suspects:
            port = port_of(pending.turn.channel)
            if port is None:
                continue
            heard = await self._resumed(pending, port)
            await self._post(pending.turn.channel, heard)
            await asyncio.wait([heard.done])

    async def _set_aside(self, pending: PendingTurn, port: Channel) -> None:
        log.error(
            "a message was set aside, Troupe ended each time it was answered turn=%d channel=%s", pending.turn.id, pending.turn.channel
        )
        await self._stage.store.set_aside([pending.turn.id], "Troupe ended each time it was answered")
        await port.notice(SET_ASIDE)

    async def move(self, old: ChannelKey, new: ChannelKey, port_of: Callable[[ChannelKey], Channel | None]) -> int:
        """A place has got another key on its platform. Returns how many rows of the memory went along; 0 when none were left.

        What is being said there ends as in a crash, and is said to its end in the new place.
        """
        for key in [key for key in self._conversations if key == old or str(key).startswith(f"{old}/")]:
            await self._conversations[key].close()
        await self.recaps.drop()
        store = self._stage.store
        waiting = {pending.turn.id for pending in await store.pending() if pending.turn.channel.scope == str(old)}
        moved = await store.move_place(old, new)
        if not moved:
            return 0
        await self._company.refresh()
        await self.gate.reload()
        for pending in [each for each in await store.pending() if each.turn.id in waiting]:
            if (port := port_of(pending.turn.channel)) is not None:
                await self._post(pending.turn.channel, await self._resumed(pending, port))
        return moved

    async def forget_session(self, channel: ChannelKey) -> None:
        """The next prompt here is built from what is stored alone."""
        conversation = self._conversations.get(channel)
        if conversation is not None:
            conversation.forget()
        self._stage.engine.forget(channel)

    async def forget_sessions(self) -> None:
        """The same everywhere: somebody's words are gone, and no session may go on with them."""
        for conversation in self._conversations.values():
            conversation.forget()
        self._stage.engine.forget()
        await self.recaps.drop()

    @property
    def live(self) -> list[LiveChannel]:
        """Where somebody talked lately."""
        return [LiveChannel(key, c.busy, len(c.inbox), self.stage.engine.position(key)) for key, c in self._conversations.items()]

    def speaking(self, channel: ChannelKey) -> bool:
        """Whether a reply is being made here, or waits to be."""
        conversation = self._conversations.get(channel)
        return conversation is not None and conversation.speaking

    async def finish(self, seconds: float) -> int:
        """Take nothing in any more, and let the replies that are being made come to their end; returns how many did not in time."""
        self._closing = True
        for conversation in self._conversations.values():
            conversation.leave()
        busy = [conversation.task for conversation in self._conversations.values() if conversation.busy]
        if not busy:
            return 0
        _, left = await asyncio.wait(busy, timeout=seconds)
        return len(left)

    async def close(self) -> None:
        """Stop every reply and wait for the channels' tasks. What was not answered is taken up at the next start."""
        self._closing = True
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
        conversations = list(self._conversations.values())
        await asyncio.gather(*(c.close() for c in conversations))
        await self.recaps.close()

    def _check(self, text: str) -> None:
        limit = self._stage.settings.message_characters
        if not text.strip():
            raise CommandRefused("The message is empty; write something to answer.")
        if len(text) > limit:
            raise CommandRefused(
                f"The message has {len(text):,} characters; at most {limit:,} can be read at once. Please send a shorter one."
            )
        if self._closing:
            raise CommandRefused("The company is going home; please try again after the restart.")

    async def _resumed(self, pending: PendingTurn, port: Channel) -> _Heard:
        begun = bool(await self._stage.store.deliveries(pending.turn.id))
        return _Heard(pending.turn, port, pending.addressed, pending.direct, _watched(), resumed=True, begun=begun)

    async def _post(self, channel: ChannelKey, work: _Heard | _Again) -> None:
        conversation = self._conversations.get(channel)
        if conversation is None:
            conversation = _Conversation(channel, self._stage, self._company, self.recaps, self._conversations)
            self._conversations[channel] = conversation
        await conversation.post(work)


@dataclass(slots=True, eq=False)
class _Conversation:
    """One channel: one inbox, one task. The task ends when the channel has been quiet for a while."""

    channel: ChannelKey
    stage: Stage
    company: Company
    recaps: Recaps
    all: dict[ChannelKey, _Conversation]
    sessions: dict[str, Session] = field(default_factory=dict)
    inbox: deque[_Heard | _Again] = field(default_factory=deque)
    unstored: deque[Unstored] = field(default_factory=lambda: deque(maxlen=UNSTORED_TURNS))
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _busy: bool = False
    _leaving: bool = False
    _told_full: bool = False
    _told_waiting: bool = False
    _waiting: bool = False  # for the database
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self.run(), name=f"channel {self.channel}")

    async def post(self, work: _Heard | _Again) -> None:
        """A full inbox keeps what it has: the newest message is recorded as skipped, and the channel is told once."""
        if len(self.inbox) < self.stage.settings.inbox:
            self.inbox.append(work)
            self._arrived.set()
            return
        await self._skip(work)
        if not self._told_full:
            self._told_full = True
            await work.port.notice(FULL)

    @property
    def speaking(self) -> bool:
        return self._busy or bool(self.inbox)

    def forget(self) -> None:
        self.sessions.clear()
        self.unstored.clear()

    async def stop(self) -> bool:
        was_busy = self.speaking
        if self._busy:
            self._stop.set()
        while self.inbox:
            await self._skip(self.inbox.popleft())
        return was_busy

    async def _skip(self, work: _Heard | _Again) -> None:
        if isinstance(work, _Heard):
            await self.stage.store.set_state(work.turn.id, "skipped")
        if not work.done.done():
            work.done.set_result([])

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def busy(self) -> bool:
        return self._busy

    def leave(self) -> None:
        """Nothing new is begun; what is in the inbox is taken up at the next start."""
        self._leaving = True
        self._arrived.set()
        if self._waiting:
            self._stop.set()

    async def run(self) -> None:
        try:
            while not self._leaving and (work := await self._listen()) is not None:
                if work:  # nothing is left when somebody said "stop" while the burst settled
                    await self._carry_out(work)
                self._busy = False
                self._stop.clear()
        finally:
            # No await between "the inbox is empty" and here, so a message posted meanwhile finds a new conversation.
            self.all.pop(self.channel, None)
            for left in self.inbox:  # on the way out: they are taken up at the next start
                self._resolve([left] if isinstance(left, _Heard) else left, [])

    async def _listen(self) -> list[_Heard] | _Again | None:
        """What is to be done next: the messages that came close together are one turn. None: it has been quiet."""
        settings = self.stage.settings
        if not self.inbox:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), settings.idle_seconds)
            if self._leaving or not self.inbox:
                return None
        self._busy = True  # from here on a wish to stop concerns this turn
        if isinstance(self.inbox[0], _Heard) and self.inbox[0].port.limits.bursts and settings.settle_seconds:
            await asyncio.sleep(settings.settle_seconds)
        if self._leaving:
            return None
        self._told_full = False
        burst: list[_Heard] = []
        while self.inbox:
            first = self.inbox.popleft()
            if isinstance(first, _Heard):
                burst.append(first)
                if first.begun:
                    break
            elif not burst:
                return first
            else:
                self.inbox.appendleft(first)
                break
        return burst

    async def _carry_out(self, work: list[_Heard] | _Again) -> None:
        """The one place where a turn's errors end: said in the channel, kept in the log, and the channel goes on."""
        port = work.port if isinstance(work, _Again) else work[-1].port
        try:
            replies = await (self._once_more(work) if isinstance(work, _Again) else self._answer_in_time(work))
        except BotError as error:
            log.warning("turn failed channel=%s error=%s: %s", self.channel, type(error).__name__, error)
            await self._failed(work, error)
            if not isinstance(error, ConnectorError):
                await port.notice(_said_of(error))
        except asyncio.CancelledError:
            self._resolve(work, [])
            raise
        except Exception as error:
            log.exception("turn crashed channel=%s", self.channel)
            await self._failed(work, error)
            await port.notice(LOST_REPLY)
        else:
            self._resolve(work, replies)

    async def _answer_in_time(self, heard: list[_Heard]) -> list[Reply]:
        """Answer; while the database is locked or the disk is full, wait and go on where it stood, until the turn is too old.

        Whoever awaits the turn is told at once. The next process would take it up; so does this one.
        """
        for tried in count():
            try:
                replies = await self._answer(heard)
                self._told_waiting = False
                return replies
            except (StoreBusy, StoreFull) as error:
                age = (datetime.now(UTC) - heard[-1].turn.sent_at).total_seconds()
                if age > self.stage.settings.stale_minutes * 60:
                    raise
                log.warning("turn waits for the database channel=%s turn=%d error=%s", self.channel, heard[-1].turn.id, error)
                self._reject(heard, error)
                if not self._told_waiting:
                    self._told_waiting = True
                    await heard[-1].port.notice(WAITING)
            self._waiting = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PAUSES_SECONDS[min(tried, len(PAUSES_SECONDS) - 1)])
            self._waiting = False
            if self._stop.is_set():
                break
        if not self._leaving:  # somebody said "stop"
            for each in heard:
                await self.stage.store.set_state(each.turn.id, "skipped")
        return []

    async def _answer(self, heard: list[_Heard]) -> list[Reply]:
        store, settings = self.stage.store, self.stage.settings
        cause = heard[-1].turn
        for each in heard:
            if each.resumed:  # before anything that could end the process once more
                await store.count_attempt(each.turn.id)
        known = {u.turn.id for u in self.unstored}
        self.unstored.extend(Unstored(h.turn, h.unkept_for) for h in heard if h.unkept_for is not None and h.turn.id not in known)
        awake = await self.company.awake(self.channel)
        own = await store.channel_settings(self.channel)
        speakers = await self._cast(heard, awake, always=own.get("always_answer", settings.always_answer))
        replies: list[Reply] = []
        left, position = own.get("cascade", settings.cascade), -1
        while speakers and not self._stop.is_set():
            speaker = speakers.pop(0)
            position += 1
            task = Task(cause, heard[-1].port, position, resumed=heard[-1].resumed, wishes=heard[-1].wishes)
            reply = await self._session(speaker).speak(speaker, task, self.company.seen_in(self.channel), self._stop)
            if reply is None:
                continue
            replies.append(reply)
            self.recaps.consider(self.channel, speaker)
            for named in named_in(reply.text, [c for c in awake if c.id != speaker.id]):
                if left and named not in speakers:
                    speakers.append(named)
                    left -= 1
        for each in heard:
            await store.set_state(each.turn.id, "answered")
        if any(each.unkept_for is not None for each in heard):
            await self._leave_no_words(cause, replies, {c.id for c in awake})
        return replies

    async def _leave_no_words(self, cause: Turn, replies: Sequence[Reply], present: Iterable[str]) -> None:
        """What was answered to somebody who does not want to be remembered is kept no longer than what they said."""
        for reply in replies:
            face = reply.character
            for older in [u for u in self.unstored if u.turn.id == reply.turn_id]:
                self.unstored.remove(older)
            turn = Turn(reply.turn_id, self.channel, reply.message_id, face.id, face.name, True, reply.text, cause.sent_at)
            self.unstored.append(Unstored(turn, frozenset((*present, face.id))))
        await self.stage.store.erase_turns(self.channel, [reply.message_id for reply in replies])

    async def _cast(self, heard: list[_Heard], awake: Sequence[Character], *, always: bool) -> list[Character]:
        last = heard[-1]
        claimed = await self.stage.store.deliveries(last.turn.id)
        if claimed:  # taken up after a crash: whoever had the word then has it now
            return [c for d in claimed if (c := self.company.by_id(d.character_id)) is not None]
        replied_to = None
        if last.turn.reply_to is not None:
            answered = await self.stage.store.delivery_of(self.channel, last.turn.reply_to)
            replied_to = self.company.by_id(answered.character_id) if answered is not None else None
        latest = await self.stage.store.last_delivery(self.channel)
        call = Call(
            text="\n".join(each.turn.text for each in heard),
            awake=awake,
            addressed=[c for each in heard for name in each.addressed if (c := self.company.by_id(name)) is not None],
            replied_to=replied_to,
            last_speaker=latest.character_id if latest is not None else None,
            direct=last.direct,
        )
        called = cast_reply(call, speakers=self.stage.settings.speakers, always=always, seed=last.turn.id)
        return await self.company.allowed(self.channel, called)

    async def _once_more(self, wish: _Again) -> list[Reply]:
        store, old = self.stage.store, wish.delivery
        character = self.company.by_id(old.character_id)
        if character is None:
            raise CommandRefused("That character is not here any more.")
        unkept = next((u for u in self.unstored if u.turn.id == old.cause_id), None)
        cause = await store.turn(old.cause_id) if unkept is None else unkept.turn
        if not cause.text:
            raise CommandRefused("What was said then was not kept, so it cannot be answered again.")
        match wish.wish:
            case "more":
                task = Task(cause, wish.port, await store.next_position(old.cause_id), go_on=True)
            case "take":
                task = Task(cause, wish.port, old.position, await store.next_take(old), over=old)
            case "rest":
                # What was left half done beside an answered turn is another take, or (the first of its position) "go on".
                over = next((d for d in await store.takes(old) if d.chosen), None)
                task = Task(cause, wish.port, old.position, old.take, over=over, go_on=over is None, resumed=wish.resumed)
        reply = await self._session(character).speak(character, task, self.company.seen_in(self.channel), self._stop)
        replies = [] if reply is None else [reply]
        if unkept is not None:
            await self._leave_no_words(cause, replies, unkept.heard_by)
        return replies

    def _session(self, character: Character) -> Session:
        return self.sessions.setdefault(character.id, Session(self.channel, self.stage, self.unstored))

    async def _failed(self, work: list[_Heard] | _Again, error: Exception) -> None:
        """A turn that an engine or a bug refused is over; one that the database or the platform refused, or during which the
        engine itself ended, is taken up at the next start.
        """
        foreseen = isinstance(error, BotError)
        over = not foreseen or (isinstance(error, EngineError | CommandRefused) and not isinstance(error, EngineStopped))
        try:
            if isinstance(work, list) and over:
                for each in work:
                    await self.stage.store.set_state(each.turn.id, "failed")
        except BotError as second:
            log.warning("the failure could not be recorded channel=%s error=%s", self.channel, second)
        self._reject(work, error)

    def _reject(self, work: list[_Heard] | _Again, error: Exception) -> None:
        for future in _futures(work):
            if not future.done():
                future.set_exception(error)

    def _resolve(self, work: list[_Heard] | _Again, replies: list[Reply]) -> None:
        for future in _futures(work):
            if not future.done():
                future.set_result(replies)


def _said_of(error: BotError) -> str:
    """What the channel is told; the operator finds the whole sentence in the log."""
    match error:
        case EngineBusy():
            return BUSY
        case PromptTooLong():
            return TOO_LONG
        case EngineStopped():
            return STOPPED
        case CommandRefused():
            return f"({error})"
        case _:
            return LOST_REPLY


def _futures(work: list[_Heard] | _Again) -> list[asyncio.Future[list[Reply]]]:
    return [work.done] if isinstance(work, _Again) else [each.done for each in work]


def _watched() -> asyncio.Future[list[Reply]]:
    done: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
    done.add_done_callback(_looked_at)
    return done


def _looked_at(future: asyncio.Future[list[Reply]]) -> None:
    """Nobody has to await a turn; one that failed was logged where it failed."""
    if not future.cancelled():
        future.exception()
