"""A character as somebody writes it, before and while it is one: its fields in order, what they cost, and its revisions.

What makes a card valid is decided by ``bot.characters``, who may change whom by ``registering``; here the fields of a form
become a card and a card becomes the fields of a form, and what the form does not know stays in the card.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from bot.characters.card import Card, card_from_document, new_card, to_v3, with_fields
from bot.characters.cast import Character, make_character
from bot.characters.lines import Exemplar, lines_from_records
from bot.characters.names import slugify, tidy_name
from bot.characters.portrait import portrait_for
from bot.characters.prompt import PromptRenderer, Spoken
from bot.commands import voice
from bot.commands.card_size import Size, size_warnings, sizes
from bot.commands.desk import Caller, Desk, within_limits
from bot.commands.lore import book_of
from bot.commands.registering import Registered, change_card, may_register, merged_extensions, refused, register_card, to_change
from bot.errors import CardError, CommandRefused
from bot.memory.store import Revision
from bot.messages import ChannelKey, Piece
from bot.sessions.unstored import Brought, answer_unstored
from bot.voice.speech import Speech

TRIAL_TURNS = 40
OPENING = "(Please begin.)"


@dataclass(frozen=True, slots=True)
class LoreDraft:
    """One entry of the lorebook; ``id`` is "" while it has none."""

    id: str = ""
    keys: tuple[str, ...] = ()
    content: str = ""
    constant: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """What a form asks. ``summary`` is for people who look around and never enters a prompt; ``definition`` always does."""

    name: str = ""
    nickname: str = ""
    tagline: str = ""
    emoji: str = ""
    greeting: str = ""
    alternates: tuple[str, ...] = ()
    summary: str = ""
    description: str = ""
    definition: str = ""
    scenario: str = ""
    categories: tuple[str, ...] = ()
    examples: str = ""
    creator: str = ""
    talkativeness: float = 0.5
    awake: bool = True
    age_restricted: bool = False
    sampling: Mapping[str, float] = field(default_factory=dict)
    voice: Mapping[str, str | int] = field(default_factory=dict)
    lore: tuple[LoreDraft, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a draft costs in tokens, and what may surprise about it."""

    sizes: tuple[Size, ...]
    problem: str  # why it cannot be saved as it is; "" when it can
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A character on the workbench."""

    character: Character
    draft: Draft
    revisions: tuple[Revision, ...]  # the newest first; none for one that came with Troupe and was never changed


# ------------------------------------------------------------------ a card as a form, a form as a card


def draft_of(card: Card) -> Draft:
    settings, voice = card.settings, card.settings.voice
    spoken = {"engine": voice.engine, "name": voice.name, "pitch": voice.pitch, "speed": voice.speed, "description": voice.description}
    entries = card.book.entries if card.book else ()
    return Draft(
        name=card.name,
        nickname=card.nickname,
        tagline=settings.tagline,
        emoji=settings.emoji,
        greeting=card.first_mes,
        alternates=card.alternate_greetings,
        summary=card.creator_notes,
        description=card.description,
        definition=card.personality,
        scenario=card.scenario,
        categories=settings.categories or card.tags,
        examples=card.mes_example,
        creator=card.creator,
        talkativeness=settings.talkativeness,
        awake=settings.awake,
        age_restricted=settings.age_restricted,
        sampling=dict(settings.sampling_changes),
        voice={key: value for key, value in spoken.items() if value not in ("", None)},
        lore=tuple(LoreDraft(e.id, e.keys, e.content, e.constant, e.enabled) for e in entries),
    )


def card_of(desk: Desk, draft: Draft, before: Card | None = None) -> Card:
    """The draft as a card; what ``before`` has beyond it stays. Raises ``CommandRefused``."""
    name = tidy_name(draft.name)
    if not name:
        raise CommandRefused("A character needs a name.")
    if not (draft.description.strip() or draft.definition.strip()):
        raise CommandRefused(f"{name} has neither description nor definition; a few sentences on who {name} is are enough.")
    limits = desk.company.limits
    with refused():
        base = before or new_card(name, limits)
        data = to_v3(base)["data"]
        return with_fields(base, limits, **_changes(draft, draft_of(base), data, name), character_book=_book(draft, base))


def _changes(draft: Draft, old: Draft, data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Only fields that differ: a card that came from elsewhere comes back as it was where nobody touched it."""
    fields: dict[str, Any] = {"name": name}
    texts = {
        "nickname": "nickname",
        "greeting": "first_mes",
        "summary": "creator_notes",
        "description": "description",
        "definition": "personality",
        "scenario": "scenario",
        "examples": "mes_example",
        "creator": "creator",
    }
    for ours, theirs in texts.items():
        if getattr(draft, ours).strip() != getattr(old, ours).strip():
            fields[theirs] = getattr(draft, ours).strip()
    if draft.alternates != old.alternates:
        fields["alternate_greetings"] = [text.strip() for text in draft.alternates if text.strip()]
    settings: dict[str, Any] = {
        name: getattr(draft, name)
        for name in ("emoji", "talkativeness", "awake", "age_restricted")
        if getattr(draft, name) != getattr(old, name)
    }
    if draft.tagline != old.tagline:
        settings["tagline"] = " ".join(draft.tagline.split())
    if draft.categories != old.categories:
        settings["categories"] = fields["tags"] = [c.strip() for c in draft.categories if c.strip()]
    if dict(draft.sampling) != dict(old.sampling):
        settings["sampling"] = dict(draft.sampling)
    if dict(draft.voice) != dict(old.voice):
        settings["voice"] = dict(draft.voice)
    if settings:
        fields["extensions"] = merged_extensions(data.get("extensions"), {"troupe": settings})
    return fields


def _book(draft: Draft, base: Card) -> dict[str, Any] | None:
    raw, listed = book_of(base)
    if draft.lore == draft_of(base).lore:
        untouched: dict[str, Any] | None = to_v3(base)["data"].get("character_book")
        return untouched
    known = {str(entry.get("id")): entry for entry in listed}
    number = 1 + max((int(i) for i in known if i.isdecimal()), default=0)
    entries = []
    for at, lore in enumerate(draft.lore):
        if not lore.content.strip() and not any(key.strip() for key in lore.keys):
            continue
        if lore.id in known:
            entry = dict(known[lore.id])
        else:
            entry = {"id": number, "extensions": {}, "insertion_order": at, "use_regex": False}
            number += 1
        keys = [key.strip() for key in lore.keys if key.strip()]
        entries.append({**entry, "keys": keys, "content": lore.content.strip(), "constant": lore.constant, "enabled": lore.enabled})
    return {**raw, "entries": entries} if entries or raw else None


# ------------------------------------------------------------------ measuring, drawing, trying


async def measure(desk: Desk, caller: Caller, draft: Draft, slug: str = "") -> Measured:
    """What the draft costs; of the character ``slug``, or of nobody yet. Whoever may not save it may not measure it either."""
    before = to_change(desk, caller, slug) if slug else None
    if before is None:
        may_register(caller)
    try:
        character = _made(desk, draft, before)
    except CommandRefused as error:
        return Measured((), str(error), ())
    budget, renderer = desk.router.stage.budget, _renderer(desk)
    measured = await asyncio.to_thread(sizes, renderer, budget, character)
    try:
        warnings = await asyncio.to_thread(size_warnings, renderer, budget, character)
    except CommandRefused as error:
        return Measured(measured, str(error), ())
    return Measured(measured, "", (*character.card.warnings, *warnings))


async def drawn(desk: Desk, caller: Caller, draft: Draft) -> bytes:
    """The portrait that the draft's words suggest, as PNG."""
    may_register(caller)
    card = _made(desk, draft, None).card
    return await asyncio.to_thread(portrait_for, card)


async def heard(desk: Desk, caller: Caller, draft: Draft, slug: str = "") -> Speech:
    """The draft's greeting in the draft's voice. Raises ``CommandRefused``."""
    before = to_change(desk, caller, slug) if slug else None
    if before is None:
        may_register(caller)
    return await voice.speech(desk, voice.greeting_of(_made(desk, draft, before), caller))


async def try_out(
    desk: Desk, caller: Caller, draft: Draft, spoken: Sequence[tuple[bool, str]], slug: str = "", *, channel: ChannelKey
) -> AsyncGenerator[Piece]:
    """The draft's answer to a conversation that is kept nowhere. ``spoken``: whether the character said it, and what.

    Raises:
        CommandRefused, EngineError: before the first piece.
    """
    before = to_change(desk, caller, slug) if slug else None
    if before is None:
        may_register(caller)
    await within_limits(desk, caller)
    character = _made(desk, draft, before)
    said = [Spoken(character.name if own else caller.person.name, text, own=own) for own, text in spoken[-TRIAL_TURNS:] if text.strip()]
    if not said or said[-1].own:
        said.append(Spoken(caller.person.name, OPENING))
    company = desk.company.seen_in(caller.channel)
    try:
        async with aclosing(answer_unstored(desk.router.stage, character, company, Brought(said), channel=channel)) as pieces:
            async for piece in pieces:
                yield piece
    except CardError as error:
        raise CommandRefused(str(error)) from error


def _made(desk: Desk, draft: Draft, before: Character | None) -> Character:
    card = card_of(desk, draft, before.card if before else None)
    with refused():
        if before is None:
            return make_character("draft", slugify(card.name), card)
        return make_character(before.scope, before.slug, card, before.lines)


def _renderer(desk: Desk) -> PromptRenderer:
    """One for this draft alone: the house's keeps every prefix that it has made, and a draft changes with each letter."""
    return PromptRenderer(desk.renderer.tokenizer, desk.renderer.layout)


# ------------------------------------------------------------------ saving, looking back


async def open_draft(desk: Desk, caller: Caller, name: str) -> Opened:
    """Raises ``CommandRefused`` or ``CharacterNotFound``."""
    character = to_change(desk, caller, name)
    revisions = await desk.store.revisions(character.scope, character.slug)
    return Opened(character, draft_of(character.card), tuple(revisions))


async def save(
    desk: Desk, caller: Caller, draft: Draft, *, name: str = "", revision: str = "", portrait: bytes | None = None
) -> Registered:
    """Register the draft, or store it as the next revision of the character ``name``.

    ``revision`` is the one that was opened: when somebody else has saved since, nothing is done. Raises ``CommandRefused``.
    """
    if not name:
        return await register_card(desk, caller, card_of(desk, draft), portrait=portrait)
    character = to_change(desk, caller, name)
    if revision and revision != character.revision:
        raise CommandRefused(f"Somebody else has just changed {character.name}; look at it again, then try again.")
    return await change_card(desk, caller, character, card_of(desk, draft, character.card), portrait=portrait)


async def revision_draft(desk: Desk, caller: Caller, name: str, number: int) -> Draft:
    """What a revision said. Raises ``CommandRefused`` when there is none of that number."""
    character, revision = await _revision(desk, caller, name, number)
    with refused():
        return draft_of(card_from_document(revision.card, desk.company.limits, character.name))


async def restore(desk: Desk, caller: Caller, name: str, number: int) -> Registered:
    """A revision becomes the newest one; the portrait stays, because older ones are not kept."""
    character, revision = await _revision(desk, caller, name, number)
    with refused():
        card = card_from_document(revision.card, desk.company.limits, character.name)
        numbered = ((f"line {n}", line) for n, line in enumerate(revision.lines, 1))
        lines: tuple[Exemplar, ...] = lines_from_records(numbered, character.name, desk.company.limits)
    return await change_card(desk, caller, character, card, lines=lines)


async def _revision(desk: Desk, caller: Caller, name: str, number: int) -> tuple[Character, Revision]:
    character = to_change(desk, caller, name)
    for revision in await desk.store.revisions(character.scope, character.slug):
        if revision.revision == number:
            return character, revision
    raise CommandRefused(f"{character.name} has no revision {number}; open the list of them again.")
