"""Commands about characters: who there is, who is in the channel, coming and going."""

from __future__ import annotations

from dataclasses import dataclass

from bot.characters.cast import Character
from bot.commands.desk import MADE_UP, Caller, Desk, heard_only
from bot.errors import CommandRefused


@dataclass(frozen=True, slots=True)
class Presence:
    character: Character
    awake: bool


@dataclass(frozen=True, slots=True)
class CharacterInfo:
    character: Character
    awake: bool
    greeting: str
    notice: str = MADE_UP
    first_here: bool = False  # nobody has ever been brought into this channel before


async def characters(desk: Desk, caller: Caller) -> list[Presence]:
    """Everybody who can be called into this channel, those who are in it first."""
    awake = [c.id for c in await desk.company.awake(caller.channel)]
    everyone = [Presence(c, c.id in awake) for c in desk.company.seen_in(caller.channel)]
    return sorted(everyone, key=lambda p: (not p.awake, awake.index(p.character.id) if p.awake else 0, p.character.name.casefold()))


async def info(desk: Desk, caller: Caller, name: str) -> CharacterInfo:
    """Raises ``CharacterNotFound``."""
    character = desk.company.find(caller.channel, name)
    awake = any(c.id == character.id for c in await desk.company.awake(caller.channel))
    return CharacterInfo(character, awake, character.greeting(caller.person.name))


async def wake(desk: Desk, caller: Caller, name: str) -> CharacterInfo:
    """Bring a character into the channel.

    Raises:
        CharacterNotFound
        CommandRefused: it is there already, or the place is not for it.
    """
    await heard_only(desk, caller)
    character = desk.company.find(caller.channel, name)
    if not await desk.company.allowed(caller.channel, [character]):
        raise CommandRefused(f"{character.name} is for adults, and appears only in places that are marked so.")
    first = await desk.store.awake(caller.channel) is None
    if not await desk.company.wake(caller.channel, character):
        raise CommandRefused(f"{character.name} is here already.")
    return CharacterInfo(character, True, character.greeting(caller.person.name), first_here=first)


async def sleep(desk: Desk, caller: Caller, name: str) -> Character:
    """Send a character out of the channel. Raises ``CharacterNotFound``, or ``CommandRefused`` when it is not there."""
    await heard_only(desk, caller)
    character = desk.company.find(caller.channel, name)
    if not await desk.company.sleep(caller.channel, character):
        raise CommandRefused(f"{character.name} is not in this channel.")
    return character


async def choose(desk: Desk, caller: Caller, name: str) -> CharacterInfo:
    """In a conversation of one person with one character: this one from now on, whoever it was before.

    Raises:
        CharacterNotFound
        CommandRefused: the place is not for it.
    """
    await heard_only(desk, caller)
    character = desk.company.find(caller.channel, name)
    if not await desk.company.allowed(caller.channel, [character]):
        raise CommandRefused(f"{character.name} is for adults, and appears only in places that are marked so.")
    await desk.store.set_awake(caller.channel, [character.id])
    return CharacterInfo(character, True, character.greeting(caller.person.name))
