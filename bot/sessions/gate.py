"""Who is heard at all: blocks, and how many messages a person or a channel may send.

What is refused here is never stored and takes no place in a queue. Blocks live in the database; counts are of this process
and begin anew with it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from bot.config import SessionSettings
from bot.errors import CommandRefused
from bot.memory.store import Block, Store
from bot.messages import HOUSE, ChannelKey, Incoming, Person
from bot.sessions.company import OPEN_PLATFORMS, with_parents

K = TypeVar("K")
V = TypeVar("V")

WINDOW_SECONDS = 60.0
COUNTED = 20_000  # people and channels whose messages are counted at once; who was silent longest gives way

SLOW_DOWN = "(That is faster than the company can follow. It listens again in {seconds} seconds.)"
ENOUGH_TODAY = "(That was the last message for today; the company listens again tomorrow.)"

# What a moderator may set for a server or a chat, in place of the house's setting.
QUOTAS = ("person_messages_per_minute", "person_messages_per_day", "channel_messages_per_minute")


class Gate:
    """One for the whole house. ``clock`` counts seconds, ``now`` tells the date; a test brings its own."""

    def __init__(
        self,
        store: Store,
        settings: SessionSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._store, self._settings = store, settings
        self._clock, self._now = clock, now or _utc_now
        self._blocks: dict[tuple[str, str, str], Block] | None = None
        self._quotas: dict[str, dict[str, int]] = {}
        self._sent: OrderedDict[str, deque[float]] = OrderedDict()
        self._today: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()  # until when something is not done again

    async def admit(self, incoming: Incoming) -> bool:
        """Whether a message is heard. The first one over a limit is answered with a notice, the others with nothing."""
        if await self.blocked(incoming.author, incoming.channel, incoming.roles):
            return False
        refusal = await self._over_limit(incoming.author, incoming.channel)
        if refusal is None:
            return True
        whose, words = refusal
        if self.once(whose, WINDOW_SECONDS):
            await incoming.channel_port.notice(words)
        return False

    async def admit_wish(self, person: Person, channel: ChannelKey, roles: Sequence[str] = ()) -> None:
        """The same for a command that makes the model work. Raises ``CommandRefused``."""
        await self.refuse_blocked(person, channel, roles)
        refusal = await self._over_limit(person, channel)
        if refusal is not None:
            raise CommandRefused(refusal[1].strip("()"))

    async def refuse_blocked(self, person: Person, channel: ChannelKey, roles: Sequence[str] = ()) -> None:
        """Raises ``CommandRefused`` for somebody who is not heard here."""
        if await self.blocked(person, channel, roles):
            raise CommandRefused("You are not heard here at the moment; the moderators know more.")

    async def blocked(self, person: Person, channel: ChannelKey, roles: Sequence[str] = ()) -> bool:
        if self._blocks is None:
            await self.reload()
        if not self._blocks:
            return False
        subjects = [("user", person.id), *(("role", role) for role in roles), *(("channel", str(c)) for c in with_parents(channel))]
        return any(self._holds((scope, *subject)) for scope in (HOUSE, channel.scope) for subject in subjects)

    def once(self, what: str, seconds: float) -> bool:
        """Whether ``what`` may be done now; if so, not again before ``seconds`` are over."""
        now = self._clock()
        if now < self._told.get(what, now):
            return False
        _put(self._told, what, now + seconds)
        return True

    async def reload(self) -> None:
        """Take in what has been blocked, allowed or set since."""
        self._blocks = {(block.scope, block.kind, block.subject): block for block in await self._store.blocks()}
        self._quotas.clear()

    def _holds(self, key: tuple[str, str, str]) -> bool:
        block = (self._blocks or {}).get(key)
        return block is not None and (block.until is None or block.until > self._now())

    async def _over_limit(self, person: Person, channel: ChannelKey) -> tuple[str, str] | None:
        """Count a message. Over a limit it is not counted: whose limit it is, and what to say."""
        if channel.platform in OPEN_PLATFORMS:
            return None  # the visitor's own channel on the operator's own machine
        limits = await self._limits(channel)
        counted = [(person.id, limits["person_messages_per_minute"]), (str(channel), limits["channel_messages_per_minute"])]
        for whose, limit in counted:
            wait = self._wait(whose, limit)
            if wait > 0:
                return whose, SLOW_DOWN.format(seconds=max(1, round(wait)))
        day = (f"{self._now():%Y-%m-%d}", person.id)
        today = self._today.get(day, 0) + 1
        if 0 < limits["person_messages_per_day"] < today:
            return f"{person.id} today", ENOUGH_TODAY
        _put(self._today, day, today)
        for whose, _ in counted:
            self._recent(whose).append(self._clock())
        return None

    def _wait(self, whose: str, limit: int) -> float:
        """Seconds until another message is within the limit; 0 when it is now."""
        sent = self._recent(whose)
        if not limit or len(sent) < limit:
            return 0.0
        return sent[0] + WINDOW_SECONDS - self._clock()

    def _recent(self, whose: str) -> deque[float]:
        sent = self._sent.get(whose)
        if sent is None:
            return _put(self._sent, whose, deque())
        self._sent.move_to_end(whose)
        while sent and sent[0] <= self._clock() - WINDOW_SECONDS:
            sent.popleft()
        return sent

    async def _limits(self, channel: ChannelKey) -> dict[str, int]:
        known = self._quotas.get(channel.scope)
        if known is None:
            own = await self._store.channel_settings(ChannelKey.parse(channel.scope))
            known = {name: int(own.get(name, getattr(self._settings, name))) for name in QUOTAS}
            self._quotas[channel.scope] = known
        return known


def _put(kept: OrderedDict[K, V], key: K, value: V) -> V:
    """Set, and let the oldest go where there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > COUNTED:
        kept.popitem(last=False)
    return value


def _utc_now() -> datetime:
    return datetime.now(UTC)
