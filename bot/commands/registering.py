"""Commands that change who there is: creating, importing, exporting, editing and deleting characters.

Moderators do so for their own server or chat, operators for the whole house. A character of another scope is not refused
but not found: nobody learns from here what other servers have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from bot.characters.card import Card, new_card, to_v3, with_fields, write_card
from bot.characters.cast import Character, make_character
from bot.characters.images import portrait_png
from bot.characters.importing import read_card
from bot.characters.lines import Exemplar
from bot.characters.names import looks_like, slugify, tidy_name
from bot.characters.png_card import write_png
from bot.characters.portrait import portrait_for
from bot.commands.card_size import size_warnings
from bot.commands.desk import Caller, Desk, moderators_only, operators_only
from bot.errors import CardError, CommandRefused
from bot.messages import HOUSE

DIRECT_SCOPE = "discord:@me"  # every direct chat on Discord: a character registered there would be everybody's


@dataclass(frozen=True, slots=True)
class Registered:
    """A character as it is from now on, and what may surprise about it, as sentences."""

    character: Character
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = f"{self.character.name} ({self.character.slug}) is part of the company."
        return "\n".join([said, *(f"Note: {warning}" for warning in self.warnings)])


async def create(
    desk: Desk,
    caller: Caller,
    name: str,
    *,
    tagline: str = "",
    greeting: str = "",
    description: str = "",
    definition: str = "",
    example_dialogue: str = "",
    categories: Sequence[str] = (),
    portrait: bytes | None = None,
    age_restricted: bool = False,
    members: Sequence[str] = (),
) -> Registered:
    """Register a new character where the caller is.

    Args:
        desk: the rooms.
        caller: who asks.
        name: as it is to be shown.
        tagline: one line for lists.
        greeting: how it opens a conversation.
        description: who it is.
        definition: manner, history, whatever else it should keep to; goes into every prompt with the description.
        example_dialogue: lines that begin with ``{{user}}:`` or ``{{char}}:``.
        categories: for lists; they never enter a prompt.
        portrait: a picture in any of the known formats; one is drawn where there is none.
        age_restricted: it appears only in places marked for adults.
        members: shown names of the people here, whom no character may be taken for.

    Raises:
        CommandRefused: says what is wrong, with the number where there is one.
    """
    may_register(caller)
    shown = tidy_name(name)
    with refused():
        fields = _fields(tagline, greeting, description, definition, example_dialogue, categories, age_restricted)
        card = new_card(shown, desk.company.limits, **fields)
        if not (description.strip() or definition.strip()):
            raise CommandRefused(f"{shown} has neither description nor definition; a few sentences on who {shown} is are enough.")
    return await register_card(desk, caller, card, portrait=portrait, members=members)


async def import_card(
    desk: Desk, caller: Caller, data: bytes, filename: str, *, name: str | None = None, members: Sequence[str] = ()
) -> Registered:
    """Register the character of a card file (PNG, JSON, CHARX, elizaOS); under another ``name`` if one is given.

    Raises:
        CommandRefused: the file, the field and the limit, or whose name it has.
    """
    scope = may_register(caller)
    with refused():
        imported = await asyncio.to_thread(read_card, data, filename, desk.company.limits)
        card = imported.card
        if name is not None:
            card = with_fields(card, desk.company.limits, name=tidy_name(name), nickname="")
        picture = imported.portrait or await _picture(desk, None, card)
    async with desk.company.registering:
        return await _register(desk, caller, scope, card, (), picture, members, imported.warnings)


async def register_card(
    desk: Desk,
    caller: Caller,
    card: Card,
    *,
    lines: Sequence[Exemplar] = (),
    portrait: bytes | None = None,
    members: Sequence[str] = (),
) -> Registered:
    """Register a card that was put together elsewhere. Raises ``CommandRefused``."""
    scope = may_register(caller)
    with refused():
        picture = await _picture(desk, portrait, card)
    async with desk.company.registering:
        return await _register(desk, caller, scope, card, lines, picture, members, card.warnings)


async def export_card(desk: Desk, caller: Caller, name: str, *, png: bool, version: Literal["v2", "v3"] = "v3") -> tuple[str, bytes]:
    """File name and content of a character's card, as others' programs read it; with its portrait as PNG.

    A PNG holds the card as V3 and as V2, whatever ``version`` says.
    """
    moderators_only(caller, "export characters")
    character = desk.company.find(caller.channel, name)
    await _stays_here(desk, character)
    if not png:
        return f"{character.slug}.json", write_card(character.card, version)
    picture = await asyncio.to_thread(_own_portrait, character)
    return f"{character.slug}.png", await asyncio.to_thread(write_png, character.card, picture)


async def edit(
    desk: Desk,
    caller: Caller,
    name: str,
    *,
    new_name: str | None = None,
    tagline: str | None = None,
    greeting: str | None = None,
    description: str | None = None,
    definition: str | None = None,
    example_dialogue: str | None = None,
    categories: Sequence[str] | None = None,
    age_restricted: bool | None = None,
    members: Sequence[str] = (),
) -> Registered:
    """Change what is given; the slug stays. Raises ``CommandRefused`` or ``CharacterNotFound``."""
    character = to_change(desk, caller, name)
    with refused():
        fields = _fields(tagline, greeting, description, definition, example_dialogue, categories, age_restricted)
        if new_name is not None:
            fields["name"] = tidy_name(new_name)
        if not fields:
            raise CommandRefused("Nothing was given that could be changed.")
        if "extensions" in fields:
            fields["extensions"] = merged_extensions(to_v3(character.card)["data"].get("extensions"), fields["extensions"])
        card = with_fields(character.card, desk.company.limits, **fields)
    return await change_card(desk, caller, character, card, members=members)


async def change_card(
    desk: Desk,
    caller: Caller,
    character: Character,
    card: Card,
    *,
    members: Sequence[str] = (),
    portrait: bytes | None = None,
    lines: Sequence[Exemplar] | None = None,
) -> Registered:
    """Store a character's next revision. Whoever calls this has settled that ``caller`` may.

    ``portrait`` and ``lines`` stay as they are where none are given.
    """
    with refused():
        picture = await _picture(desk, portrait, card) if portrait is not None else await asyncio.to_thread(_own_portrait, character)
    async with desk.company.registering:
        _check_unchanged(desk, character)
        _check_names(desk, character.scope, card, members, but=character.id)
        kept = character.lines if lines is None else lines
        return await _save(desk, caller, character.scope, character.slug, card, kept, picture, card.warnings)


async def avatar(desk: Desk, caller: Caller, name: str, picture: bytes) -> Registered:
    """Give a character another portrait. Raises ``CommandRefused`` or ``CharacterNotFound``."""
    character = to_change(desk, caller, name)
    with refused():
        portrait = await _picture(desk, picture, character.card)
    async with desk.company.registering:
        _check_unchanged(desk, character)
        return await _save(desk, caller, character.scope, character.slug, character.card, character.lines, portrait, ())


async def delete(desk: Desk, caller: Caller, name: str) -> Character:
    """Take a registered character out of the company; what it said stays said.

    Raises:
        CommandRefused: it came with Troupe and was never changed.
        CharacterNotFound
    """
    character = to_change(desk, caller, name)
    async with desk.company.registering:
        if await desk.store.character(character.scope, character.slug) is None:
            raise CommandRefused(f"{character.name} came with Troupe; take its folder away to be without it, or let it sleep.")
        await desk.store.delete_character(character.scope, character.slug)
        await desk.company.refresh()
    return character


async def share(desk: Desk, caller: Caller, name: str) -> Registered:
    """Let everybody see a character that was registered here: the house gets a copy. Operators only."""
    operators_only(caller, "share a character with every server")
    character = desk.company.find(caller.channel, name)
    if character.scope == HOUSE:
        raise CommandRefused(f"{character.name} is seen everywhere already.")
    await _stays_here(desk, character)
    async with desk.company.registering:
        if desk.company.cast.taken(HOUSE, character.name) is not None:
            raise CommandRefused(f"The house has somebody who is called {character.name} already.")
        picture = await asyncio.to_thread(_own_portrait, character)
        return await _save(desk, caller, HOUSE, character.slug, character.card, character.lines, picture, ())


# ------------------------------------------------------------------ who may change whom


def may_register(caller: Caller) -> str:
    """The scope in which the caller may register characters. Raises ``CommandRefused``."""
    scope = caller.channel.scope
    if scope == HOUSE:
        operators_only(caller, "register characters that are seen everywhere")
    else:
        moderators_only(caller, "register characters")
    if scope == DIRECT_SCOPE:
        raise CommandRefused("Characters are registered in a server, and only there: a direct chat has none of its own.")
    return scope


def to_change(desk: Desk, caller: Caller, name: str) -> Character:
    """The character, if the caller may change it. Raises ``CommandRefused`` or ``CharacterNotFound``."""
    character = desk.company.find(caller.channel, name)
    if character.scope == HOUSE:
        operators_only(caller, f"change {character.name}, who is seen everywhere")
    else:
        moderators_only(caller, "change characters")
    return character


async def _stays_here(desk: Desk, character: Character) -> None:
    """What is taken elsewhere could not go any more when the person withdraws."""
    if await desk.store.likeness_of(character.scope, character.slug) is not None:
        raise CommandRefused(f"{character.name} is made from somebody's messages, with their agreement for this place, and stays here.")


def _check_unchanged(desk: Desk, character: Character) -> None:
    """Two people may edit at once: the second must not undo what the first has done without seeing it."""
    now = desk.company.by_id(character.id)
    if now is None or now.revision != character.revision:
        raise CommandRefused(f"Somebody else has just changed {character.name}; look at it again, then try again.")


def _check_names(desk: Desk, scope: str, card: Card, members: Sequence[str], *, but: str = "") -> None:
    for name in dict.fromkeys((card.name, card.char)):
        other = desk.company.cast.taken(scope, name, but=but)
        if other is not None:
            raise CommandRefused(f"{other.name} is here already, and {name!r} could be taken for that name; choose another.")
        member = next((m for m in members if looks_like(m, name)), None)
        if member is not None:
            raise CommandRefused(f"{name!r} could be taken for {member}, who is a person here; choose another name.")


# ------------------------------------------------------------------ making and storing


async def _register(
    desk: Desk,
    caller: Caller,
    scope: str,
    card: Card,
    lines: Sequence[Exemplar],
    picture: bytes,
    members: Sequence[str],
    warnings: Sequence[str],
) -> Registered:
    _check_names(desk, scope, card, members)
    slug = slugify(card.name)
    if any(c.slug == slug for c in desk.company.cast.seen_in(scope)):
        raise CommandRefused(f"Somebody here has the short name {slug} already; choose a name that differs in more than its signs.")
    here = sum(c.scope == scope for c in desk.company.cast.characters)
    limit = desk.company.limits.registered
    if here >= limit:
        raise CommandRefused(f"There are {here} characters here; the limit is {limit} (characters.registered). Delete one first.")
    return await _save(desk, caller, scope, slug, card, lines, picture, warnings)


async def _save(
    desk: Desk,
    caller: Caller,
    scope: str,
    slug: str,
    card: Card,
    lines: Sequence[Exemplar],
    picture: bytes,
    warnings: Sequence[str],
) -> Registered:
    with refused():
        character = make_character(scope, slug, card, tuple(lines))
    too_long = await asyncio.to_thread(size_warnings, desk.renderer, desk.router.stage.budget, character)
    await desk.store.save_character(
        scope,
        slug,
        name=card.name,
        card=card.document(),
        lines=[line.record() for line in lines],
        portrait=picture,
        by=caller.person.id,
    )
    await desk.company.refresh()
    stored = desk.company.by_id(character.id)
    assert stored is not None, f"{character.id} was stored and is not there"
    return Registered(stored, (*warnings, *too_long))


def _fields(
    tagline: str | None,
    greeting: str | None,
    description: str | None,
    definition: str | None,
    example_dialogue: str | None,
    categories: Sequence[str] | None,
    age_restricted: bool | None,
) -> dict[str, Any]:
    """What was given, as fields of a card's ``data``."""
    texts = {"first_mes": greeting, "description": description, "personality": definition, "mes_example": example_dialogue}
    fields: dict[str, Any] = {key: text.strip() for key, text in texts.items() if text is not None}
    ours: dict[str, Any] = {}
    if tagline is not None:
        ours["tagline"] = " ".join(tagline.split())
    if categories is not None:
        named = [category.strip() for category in categories if category.strip()]
        ours["categories"] = fields["tags"] = named
    if age_restricted is not None:
        ours["age_restricted"] = age_restricted
    return fields | ({"extensions": {"troupe": ours}} if ours else {})


def merged_extensions(extensions: object, changes: dict[str, Any]) -> dict[str, Any]:
    """A card's extensions with what ``changes`` has under ``troupe``; everybody else's stay as they are."""
    before = extensions if isinstance(extensions, dict) else {}
    ours = before.get("troupe")
    return {**before, "troupe": {**(ours if isinstance(ours, dict) else {}), **changes["troupe"]}}


async def _picture(desk: Desk, given: bytes | None, card: Card) -> bytes:
    if given is None:
        return await asyncio.to_thread(portrait_for, card)
    return await asyncio.to_thread(portrait_png, given, desk.company.limits, f"{card.name}: the portrait")


def _own_portrait(character: Character) -> bytes:
    if character.portrait is not None and character.portrait.is_file():
        return character.portrait.read_bytes()
    return portrait_for(character.card)


@contextmanager
def refused() -> Iterator[None]:
    """What a card cannot be is a command's refusal: the person who sent it is told."""
    try:
        yield
    except CardError as error:
        raise CommandRefused(str(error)) from error
