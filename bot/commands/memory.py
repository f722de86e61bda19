"""Commands about what characters remember of people, and of a place.

A fact belongs to the person it is about, by the platform's id: they may read, change, pin and remove it wherever it is
kept. Moderators look after what characters remember in their own channel, and nowhere else.
"""

from __future__ import annotations

from bot.commands.desk import Caller, Desk, heard_only, moderators_only
from bot.errors import CommandRefused
from bot.memory.store import Fact

FACT_CHARACTERS = 300
FACTS_PER_CHARACTER = 100
PINNED_PER_CHARACTER = 10

EVERYBODY = ""  # a fact about the place or the play, and about nobody in particular


async def facts(desk: Desk, caller: Caller, name: str | None = None, *, everywhere: bool = False) -> list[Fact]:
    """What characters (or one of them) remember of the caller here, and of the place; pinned ones first.

    ``everywhere`` adds what was told elsewhere: only for an answer that nobody else can read.
    """
    character = desk.company.find(caller.channel, name) if name else None
    character_id = character.id if character else None
    here = None if everywhere else caller.channel
    own = await desk.store.facts(person_id=caller.person.id, character_id=character_id, channel=here)
    of_place = await desk.store.facts(person_id=EVERYBODY, character_id=character_id, channel=caller.channel)
    return [*own, *(fact for fact in of_place if fact.channel == caller.channel)]


async def facts_here(desk: Desk, caller: Caller, name: str | None = None) -> list[Fact]:
    """What characters remember of anybody in this very channel, for its moderators."""
    moderators_only(caller, "read what is remembered of others")
    character = desk.company.find(caller.channel, name) if name else None
    known = await desk.store.facts(character_id=character.id if character else None, channel=caller.channel)
    return [fact for fact in known if fact.channel == caller.channel]


async def add(
    desk: Desk, caller: Caller, name: str, text: str, *, pinned: bool = False, everywhere: bool = False, of_place: bool = False
) -> Fact:
    """Tell a character something to remember.

    Args:
        desk: the rooms.
        caller: who asks, and whom it is about.
        name: the character.
        text: one or two sentences.
        pinned: always in its mind, not only when it comes up.
        everywhere: known wherever the character meets the caller, not only here.
        of_place: about this channel and nobody in particular; for moderators.

    Raises:
        CommandRefused, CharacterNotFound
    """
    await heard_only(desk, caller)
    if of_place:
        moderators_only(caller, "tell characters what holds for everybody here")
    elif not await desk.store.consented(caller.person.id, "remember"):
        raise CommandRefused("You have asked not to be remembered. Allow it first: /privacy consent remember.")
    character = desk.company.find(caller.channel, name)
    person_id = EVERYBODY if of_place else caller.person.id
    channel = None if everywhere and not of_place else caller.channel
    known = await desk.store.facts(person_id=person_id, character_id=character.id)
    if len(known) >= FACTS_PER_CHARACTER:
        raise CommandRefused(f"{character.name} remembers {len(known)} things already, and {FACTS_PER_CHARACTER} fit; remove some first.")
    if pinned:
        _check_pinned(known, character.name)
    return await desk.store.add_fact(character.id, person_id, _checked(text), channel=channel, pinned=pinned)


async def edit(desk: Desk, caller: Caller, fact_id: int, text: str) -> Fact:
    """Change what is remembered. Raises ``CommandRefused`` when it is not the caller's to change, as if it were not there."""
    await heard_only(desk, caller)
    await _own(desk, caller, fact_id)
    return _still_there(await desk.store.change_fact(fact_id, text=_checked(text)), fact_id)


async def pin(desk: Desk, caller: Caller, fact_id: int, *, pinned: bool = True) -> Fact:
    """Let a character always have it in mind, or only when it comes up. Raises ``CommandRefused``."""
    await heard_only(desk, caller)
    fact = await _own(desk, caller, fact_id)
    if pinned and not fact.pinned:
        _check_pinned(await desk.store.facts(person_id=fact.person_id, character_id=fact.character_id), "The character")
    return _still_there(await desk.store.change_fact(fact_id, pinned=pinned), fact_id)


async def remove(desk: Desk, caller: Caller, fact_id: int) -> Fact:
    """Let a character forget it; returns what it was. Raises ``CommandRefused``."""
    fact = await _own(desk, caller, fact_id)
    await desk.store.remove_fact(fact_id)
    return fact


async def _own(desk: Desk, caller: Caller, fact_id: int) -> Fact:
    fact = await desk.store.fact(fact_id)
    theirs = fact is not None and fact.person_id == caller.person.id
    moderated = fact is not None and caller.moderates and fact.channel == caller.channel
    if fact is None or not (theirs or moderated):
        raise CommandRefused(_unknown(fact_id))
    return fact


def _still_there(fact: Fact | None, fact_id: int) -> Fact:
    if fact is None:
        raise CommandRefused(_unknown(fact_id))
    return fact


def _unknown(fact_id: int) -> str:
    return f"There is no memory {fact_id} of yours; list them to see their numbers."


def _checked(text: str) -> str:
    said = " ".join(text.split())
    if not said:
        raise CommandRefused("There is nothing to remember in that; write a sentence.")
    if len(said) > FACT_CHARACTERS:
        raise CommandRefused(f"That has {len(said)} characters; a memory has at most {FACT_CHARACTERS}.")
    return said


def _check_pinned(known: list[Fact], who: str) -> None:
    pinned = sum(fact.pinned for fact in known)
    if pinned >= PINNED_PER_CHARACTER:
        raise CommandRefused(f"{who} always has {pinned} of these in mind, and {PINNED_PER_CHARACTER} fit; let one go first.")
