"""Commands about what a registered character knows: the entries of its card's lorebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.characters.card import Card, to_v3, with_fields
from bot.characters.cast import Character
from bot.characters.lorebook import Entry
from bot.commands.desk import Caller, Desk, moderators_only
from bot.commands.registering import Registered, change_card, to_change
from bot.errors import CardError, CommandRefused

CONTENT_CHARACTERS = 4000


async def entries(desk: Desk, caller: Caller, name: str) -> tuple[Entry, ...]:
    """What a character's book holds, in the book's order. Moderators only: it may be what the others are to find out."""
    moderators_only(caller, "read a character's lore")
    book = desk.company.find(caller.channel, name).card.book
    return () if book is None else book.entries


async def add(desk: Desk, caller: Caller, name: str, keys: Sequence[str], content: str, *, constant: bool = False) -> Entry:
    """Add an entry that comes up when one of ``keys`` is said; a ``constant`` one always does."""
    character = to_change(desk, caller, name)
    _check(keys, content, constant=constant)
    raw, listed = book_of(character.card)
    new_id = str(1 + max((int(i) for e in listed if (i := str(e.get("id", ""))).isdecimal()), default=0))
    new = {
        "id": int(new_id),
        "keys": [key.strip() for key in keys if key.strip()],
        "content": content.strip(),
        "extensions": {},
        "enabled": True,
        "insertion_order": len(listed),
        "use_regex": False,
        "constant": constant,
    }
    registered = await _store(desk, caller, character, raw, [*listed, new])
    return _found(registered.character, new_id)


async def edit(
    desk: Desk,
    caller: Caller,
    name: str,
    entry_id: str,
    *,
    keys: Sequence[str] | None = None,
    content: str | None = None,
    constant: bool | None = None,
    enabled: bool | None = None,
) -> Entry:
    """Change what is given of an entry. Raises ``CommandRefused`` when there is no such entry."""
    character = to_change(desk, caller, name)
    entry = _found(character, entry_id)
    _check(
        entry.keys if keys is None else keys,
        entry.content if content is None else content,
        constant=entry.constant if constant is None else constant,
    )
    given: dict[str, Any] = {"constant": constant, "enabled": enabled}
    changes = {key: value for key, value in given.items() if value is not None}
    if keys is not None:
        changes["keys"] = [key.strip() for key in keys if key.strip()]
    if content is not None:
        changes["content"] = content.strip()
    raw, listed = book_of(character.card)
    at = _place(character, entry_id)
    registered = await _store(desk, caller, character, raw, [*listed[:at], {**listed[at], **changes}, *listed[at + 1 :]])
    return _found(registered.character, entry_id)


async def remove(desk: Desk, caller: Caller, name: str, entry_id: str) -> Entry:
    """Take an entry out of the book; returns what it was."""
    character = to_change(desk, caller, name)
    entry = _found(character, entry_id)
    raw, listed = book_of(character.card)
    at = _place(character, entry_id)
    await _store(desk, caller, character, raw, [*listed[:at], *listed[at + 1 :]])
    return entry


def _check(keys: Sequence[str], content: str, *, constant: bool) -> None:
    if not content.strip():
        raise CommandRefused("A lore entry needs content: a sentence or two that the character should know.")
    if len(content) > CONTENT_CHARACTERS:
        raise CommandRefused(f"The content has {len(content):,} characters; the limit is {CONTENT_CHARACTERS:,}.")
    if not constant and not any(key.strip() for key in keys):
        raise CommandRefused("A lore entry needs a key: a word that brings it up when somebody says it.")


def book_of(card: Card) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The book as it stands in the card, and its entries as a list."""
    raw = to_v3(card)["data"].get("character_book")
    book: dict[str, Any] = dict(raw) if isinstance(raw, dict) else {"extensions": {}}
    listed = book.get("entries")
    if isinstance(listed, dict):  # SillyTavern's world files number their entries
        listed = list(listed.values())
    return book, list(listed) if isinstance(listed, list) else []


def _found(character: Character, entry_id: str) -> Entry:
    book = character.card.book
    entry = next((e for e in book.entries if e.id == entry_id.strip()), None) if book is not None else None
    if entry is None:
        raise CommandRefused(f"{character.name} has no lore entry {entry_id.strip()[:40]!r}; list them to see their numbers.")
    return entry


def _place(character: Character, entry_id: str) -> int:
    """Where in the card's list an entry stands. The reader leaves out what it cannot use, so the numbers of both differ."""
    _, listed = book_of(character.card)
    wanted = entry_id.strip()
    for at, raw in enumerate(listed):
        given = raw.get("id") if isinstance(raw, dict) else None
        own = str(given) if given is not None and str(given).strip() else f"entry-{at}"
        if wanted in (own, f"{own}#{at}"):
            return at
    raise CommandRefused(f"{character.name} has no lore entry {wanted[:40]!r}; list them to see their numbers.")


async def _store(desk: Desk, caller: Caller, character: Character, book: dict[str, Any], listed: list[dict[str, Any]]) -> Registered:
    try:
        card = with_fields(character.card, desk.company.limits, character_book={**book, "entries": listed})
    except CardError as error:
        raise CommandRefused(str(error)) from error
    return await change_card(desk, caller, character, card)
