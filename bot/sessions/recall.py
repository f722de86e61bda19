"""What a character has in mind in a turn: what it always knows of the people here, and what this turn reminds it of.

The first stands early in a prompt and hardly ever changes, so that what follows it stays in the engine's cache; the second
is made anew for each turn and stands late. Only turns that the character was present for are ever looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.characters.cast import Character
from bot.errors import StoreError
from bot.memory.store import Fact, Store
from bot.messages import ChannelKey, Turn
from bot.retrieval.memories import MemoryIndex

OLDER_TURNS = 400  # how far back a conversation is searched
FACTS_RECALLED = 3
TURNS_RECALLED = 2
LINE_CHARACTERS = 240


@dataclass(frozen=True, slots=True)
class Memory:
    """One line for a prompt. ``id`` goes into the reply's stamp: ``fact:<n>``, ``recap:<turn>``, ``turn:<n>``."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class InMind:
    always: tuple[Memory, ...]  # what matters most first
    recalled: tuple[Memory, ...]


NOTHING_IN_MIND = InMind((), ())


@dataclass(frozen=True, slots=True)
class _Past:
    """What lies before the turns that a prompt holds, as it was when the prompt's first turn last changed."""

    before: int
    recap: Memory | None
    turns: Sequence[Turn]
    index: MemoryIndex


class Recall:
    """The memory of one character in one channel. Its session calls it; never two calls at once."""

    def __init__(self, channel: ChannelKey, store: Store) -> None:
        self._channel = channel
        self._store = store
        self._past: _Past | None = None

    async def in_mind(self, character: Character, heard: Sequence[Turn], asked: str) -> InMind:
        """``heard`` are the turns that the prompt will hold, oldest first; ``asked`` is what is to be answered."""
        names = {t.author_id: t.author_name for t in heard if not t.by_character}
        facts = await self._store.known_facts(character.id, self._channel, tuple(names))
        past = await self._looked_back(character, heard)
        pinned = [_of_fact(fact, names) for fact in facts if fact.pinned]
        loose = [fact for fact in facts if not fact.pinned]
        idle = (character.name, character.card.char, *names.values())
        found_facts, found_turns = await asyncio.to_thread(_search, [fact.text for fact in loose], past.index, asked, idle)
        recalled = [_of_fact(loose[at], names) for at in found_facts]
        recalled += [memory for at in found_turns if (memory := await self._of_turn(past.turns[at])) is not None]
        told = past.recap if past.recap is not None and await self._still_told(character) else None
        return InMind((*pinned, *([told] if told else [])), tuple(recalled))

    async def _still_told(self, character: Character) -> bool:
        """A recap goes when something that it may tell of is edited or deleted; the next one comes with the next look back."""
        if await self._store.recap(self._channel, character.id) is not None:
            return True
        if self._past is not None:
            self._past = replace(self._past, recap=None)
        return False

    async def _looked_back(self, character: Character, heard: Sequence[Turn]) -> _Past:
        """Read anew only when the prompt begins with another turn: until then a fresh recap tells what is in the prompt anyway."""
        before = heard[0].id if heard else 0
        if self._past is None or self._past.before != before:
            recap = await self._store.recap(self._channel, character.id)
            turns = await self._store.history(self._channel, character.id, limit=OLDER_TURNS, before=before) if heard else []
            index = await asyncio.to_thread(MemoryIndex, [turn.text for turn in turns])
            told = Memory(f"recap:{recap.up_to_turn}", recap.text) if recap is not None else None
            self._past = _Past(before, told, turns, index)
        return self._past

    async def _of_turn(self, turn: Turn) -> Memory | None:
        """The turn as it reads now: it may have been edited or erased since it was indexed."""
        try:
            now = await self._store.turn(turn.id)
        except StoreError:
            return None
        if not now.text:
            return None
        return Memory(f"turn:{now.id}", f"{now.author_name}, {now.sent_at:%Y-%m-%d}: “{_short(now.text)}”")


def _of_fact(fact: Fact, names: dict[str, str]) -> Memory:
    name = names.get(fact.person_id)
    return Memory(f"fact:{fact.id}", f"{name}: “{_short(fact.text)}”" if name else _short(fact.text))


def _search(facts: Sequence[str], older: MemoryIndex, asked: str, idle: Sequence[str]) -> tuple[list[int], list[int]]:
    found = MemoryIndex(facts).search(asked, FACTS_RECALLED, without=idle) if facts else []
    return found, older.search(asked, TURNS_RECALLED, without=idle)


def _short(text: str) -> str:
    said = " ".join(text.split())
    return said if len(said) <= LINE_CHARACTERS else f"{said[: LINE_CHARACTERS - 1].rstrip()}…"
