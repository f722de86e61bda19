"""Who there is, and who is awake where."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.characters.cast import Cast, Character
from bot.config import CharacterSettings
from bot.memory.store import Store
from bot.messages import ChannelKey

# Where nobody has chosen yet, these platforms start with the characters whose cards say "awake": the channel is the
# visitor's own. Elsewhere other people are talking, and a character comes only when it is called.
OPEN_PLATFORMS = frozenset({"web", "terminal"})


class Company:
    """The cast of today. Registered characters are read from the store at ``refresh``; a turn in progress keeps what it has."""

    def __init__(self, house: Cast, store: Store, settings: CharacterSettings) -> None:
        self._cast = house
        self._store = store
        self._settings = settings
        self._choosing = asyncio.Lock()

    @property
    def cast(self) -> Cast:
        return self._cast

    async def refresh(self) -> None:
        """Take in what has been registered, edited or deleted since."""
        self._cast = self._cast.with_registered(await self._store.characters(), self._settings)

    def seen_in(self, channel: ChannelKey) -> Sequence[Character]:
        return self._cast.seen_in(channel.scope)

    def find(self, channel: ChannelKey, name: str) -> Character:
        """By slug or shown name. Raises ``CharacterNotFound`` with the nearest names."""
        return self._cast.find(channel.scope, name)

    def by_id(self, character_id: str) -> Character | None:
        return self._cast.get(character_id)

    async def awake(self, channel: ChannelKey) -> list[Character]:
        """Who is in the channel, in the order in which they came."""
        chosen = await self._store.awake(channel)
        if chosen is None:
            return self._defaults(channel)
        return [c for c in map(self.by_id, chosen) if c is not None]

    async def wake(self, channel: ChannelKey, character: Character) -> bool:
        """Bring a character into the channel; False when it was there already."""
        async with self._choosing:
            there = [c.id for c in await self.awake(channel)]
            if character.id in there:
                return False
            await self._store.set_awake(channel, [*there, character.id])
            return True

    async def sleep(self, channel: ChannelKey, character: Character) -> bool:
        """Send a character out of the channel; False when it was not there."""
        async with self._choosing:
            there = [c.id for c in await self.awake(channel)]
            if character.id not in there:
                return False
            await self._store.set_awake(channel, [c for c in there if c != character.id])
            return True

    def _defaults(self, channel: ChannelKey) -> list[Character]:
        if channel.platform not in OPEN_PLATFORMS:
            return []
        if self._settings.awake:
            return [self.find(channel, slug) for slug in self._settings.awake]
        return [c for c in self.seen_in(channel) if c.settings.awake]
