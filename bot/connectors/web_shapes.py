"""The JSON that the page and other programs read. Nothing secret gets in: a person's id stays with that person."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from bot.characters.cast import Character
from bot.commands.why import Explanation
from bot.connectors.web_thumbnails import version
from bot.memory.store import Beside, Fact
from bot.messages import Turn


def character_shape(character: Character, *, awake: bool, visitor: str) -> dict[str, Any]:
    portrait = character.settings.portrait
    return {
        "slug": character.slug,
        "name": character.name,
        "tagline": character.settings.tagline,
        "emoji": character.settings.emoji,
        "colour": portrait.background if portrait else None,
        "portrait": portrait_address(character),
        "greeting": character.greeting(visitor),
        "awake": awake,
    }


def portrait_address(character: Character, side: int = 96) -> str | None:
    """Where a page finds the portrait in that size; the address changes with the picture."""
    if character.portrait is None:
        return None
    try:
        return f"/portraits/{character.slug}-{side}.webp?v={version(character.portrait)}"
    except OSError:  # its file was taken away meanwhile: pages show the first letter of the name
        return None


def turn_shape(turn: Turn, slug: str | None, beside: Beside | None = None) -> dict[str, Any]:
    """``slug`` is the character's; None for a person's turn. ``beside`` is what the visitor sees beside a reply."""
    return {
        "id": turn.message_id,
        "turn": turn.id,
        "from": "character" if turn.by_character else "person",
        "author": (slug or turn.author_id.rpartition("/")[2]) if turn.by_character else badge(turn.author_id),
        "name": turn.author_name,
        "text": turn.text,
        "at": turn.sent_at.isoformat(),
        "reply_to": turn.reply_to,
        **(asdict(beside) if beside else {}),
    }


def fact_shape(fact: Fact, slug: str, name: str) -> dict[str, Any]:
    return {
        "id": fact.id,
        "character": slug,
        "name": name,
        "text": fact.text,
        "pinned": fact.pinned,
        "everywhere": fact.channel is None,
        "of_place": not fact.person_id,
    }


def badge(person_id: str) -> str:
    """How others tell a person apart. The id itself is what a browser shows to be that person, so it is not told."""
    return hashlib.sha256(person_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def explanation_shape(explanation: Explanation) -> dict[str, Any]:
    stamp = explanation.stamp
    return {
        "character": explanation.character,
        "text": explanation.text,
        "build": stamp.build,
        "revision": stamp.revision,
        "prompt_version": stamp.prompt_version,
        "seed": stamp.seed,
        "finish_reason": stamp.finish_reason,
        "counters": asdict(stamp.counters),
        "exemplars": [{"id": e.id, "said": e.said, "reply": e.reply} for e in explanation.exemplars],
        "lore": list(stamp.lore),
        "memories": [{"id": memory, "text": words} for memory, words in explanation.memories],
    }
