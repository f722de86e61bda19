"""Who there is, and who is awake where."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.characters.cast import Cast, Character
from bot.config import CharacterSettings
from bot.errors import StoreError
from bot.memory.store import CharacterRecord, Store
from bot.messages import ChannelKey

# Where nobody has chosen yet, these platforms start with the characters whose cards say "awake": the channel is the
# visitor's own (on "api", a program's). Elsewhere other people are talking, and a character comes only when it is called.
OPEN_PLATFORMS = frozenset({"web", "terminal", "api"})

ADULTS = "adults"  # the channel's setting; a connector keeps it as the platform has it, or a moderator says so


class Company:
    """The cast of today. Registered characters are read from the store at ``refresh``; a turn in progress keeps what it has."""

    def __init__(self, house: Cast, store: Store, settings: CharacterSettings, portraits: Path) -> None:
        """``portraits`` is the folder where registered characters' pictures become files."""
        self._cast = house
        self._store = store
        self._portraits = portraits
        self._files: dict[tuple[str, str], tuple[int, Path | None]] = {}  # (scope, slug) -> revision, portrait
        self._choosing = asyncio.Lock()
        self._refreshing = asyncio.Lock()
        self.limits = settings
        self.registering = asyncio.Lock()  # held from "is this name free" until it is stored

    @property
    def cast(self) -> Cast:
        return self._cast

    async def refresh(self) -> None:
        """Take in what has been registered, edited or deleted since.

        Raises:
            StoreError: a portrait could not be written, or the records not be read; the cast is as it was.
        """
        async with self._refreshing:
            records = await self._store.characters()
            self._files = {(record.scope, record.slug): await self._portrait(record) for record in records}
            mappings = [self._mapping(record) for record in records]
            self._cast = await asyncio.to_thread(self._cast.with_registered, mappings, self.limits)

    async def forget(self) -> None:
        """Take in that characters are gone for good, and leave no picture of any that is not registered any more.

        Raises:
            StoreError: a picture could not be removed.
        """
        await self.refresh()
        kept = {portrait for _, portrait in self._files.values()}
        try:
            await asyncio.to_thread(_remove_others, self._portraits, kept)
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be removed ({error.strerror}); delete it by hand") from error

    async def _portrait(self, record: CharacterRecord) -> tuple[int, Path | None]:
        """The revision and its picture's file; only a new revision's picture is read from the store."""
        known = self._files.get((record.scope, record.slug))
        if known is not None and known[0] == record.revision:
            return known
        whole = await self._store.character(record.scope, record.slug)
        if whole is None or whole.portrait is None:
            return record.revision, None
        try:
            return record.revision, await asyncio.to_thread(_as_file, whole.portrait, self._portraits)
        except OSError as error:
            raise StoreError(f"{self._portraits}: cannot be written ({error.strerror}); give this user the right to write it") from error

    def _mapping(self, record: CharacterRecord) -> Mapping[str, Any]:
        portrait = self._files[record.scope, record.slug][1]
        return {"scope": record.scope, "slug": record.slug, "card": record.card, "lines": record.lines, "portrait": portrait}

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
        return await self.allowed(channel, [c for c in map(self.by_id, chosen) if c is not None])

    async def allowed(self, channel: ChannelKey, characters: Sequence[Character]) -> list[Character]:
        """Those that may appear here: a character for adults only where the place is marked so."""
        if not any(c.settings.age_restricted for c in characters) or await self.for_adults(channel):
            return list(characters)
        return [c for c in characters if not c.settings.age_restricted]

    async def for_adults(self, channel: ChannelKey) -> bool:
        """Whether the place, or what it is in, is marked as one for adults. A visitor's own channel on one's own machine is."""
        if channel.platform in OPEN_PLATFORMS:
            return True
        for place in with_parents(channel):
            if (await self._store.channel_settings(place)).get(ADULTS) is True:
                return True
        return False

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
        if self.limits.awake:
            return [self.find(channel, slug) for slug in self.limits.awake]
        return [c for c in self.seen_in(channel) if c.settings.awake]


def with_parents(channel: ChannelKey) -> list[ChannelKey]:
    """The place and those it is in: a thread, its channel, its server."""
    parts = channel.path.split("/")
    return [ChannelKey(channel.platform, "/".join(parts[:n])) for n in range(len(parts), 0, -1)]


def _as_file(picture: bytes, folder: Path) -> Path:
    """The picture as a file named by what is in it: a connector that shows it once may keep what it made of it. Blocking."""
    path = folder / f"{hashlib.sha256(picture).hexdigest()[:24]}.png"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(picture)
        partial.replace(path)
    return path


def _remove_others(folder: Path, kept: Collection[Path | None]) -> None:
    for path in folder.glob("*.png") if folder.is_dir() else ():
        if path not in kept:
            path.unlink(missing_ok=True)
