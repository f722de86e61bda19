"""elizaOS character files: one JSON object with name, bio, lore, style and example messages.

What has a place in a card is put there; the rest is kept under ``extensions.elizaos``, except what may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.characters.card import Card, card_from_document
from bot.config import CharacterSettings
from bot.errors import CardError

_TELLTALE = ("bio", "messageExamples", "adjectives", "modelProvider", "clients")
_PLACED = ("name", "system", "bio", "lore", "knowledge", "messageExamples", "adjectives", "topics", "style")
_SECRET = ("settings", "secrets")  # settings hold API keys
LORE_TOKENS = 250


def is_eliza(document: object) -> bool:
    """Whether this looks like an elizaOS character and like no character card."""
    if not isinstance(document, Mapping) or "spec" in document or "data" in document or "description" in document:
        return False
    return "name" in document and any(key in document for key in _TELLTALE)


def card_from_eliza(document: Mapping[str, Any], limits: CharacterSettings, where: str) -> Card:
    """An elizaOS character as a card. Raises ``CardError``."""
    name = document.get("name")
    if not isinstance(name, str):
        raise CardError(f"{where}: name must be text")
    style = document.get("style")
    manners = [*_texts(style.get("all")), *_texts(style.get("chat"))] if isinstance(style, Mapping) else []
    topics = _texts(document.get("topics"))
    about = [" ".join(_texts(document.get("bio"))), _listed("Talks about", topics, ", "), _listed("Manner", manners, "; ")]
    lore = [*_texts(document.get("lore")), *_texts(document.get("knowledge"))]
    data: dict[str, Any] = {
        "name": name,
        "description": _own("\n".join(part for part in about if part)),
        "personality": ", ".join(_texts(document.get("adjectives"))),
        "scenario": "",
        "first_mes": "",
        "mes_example": _own(_examples(document.get("messageExamples"), name)),
        "creator_notes": "Made from an elizaOS character file.",
        "system_prompt": _own("\n".join(_texts(document.get("system")))),
        "post_history_instructions": "",
        "alternate_greetings": [],
        "group_only_greetings": [],
        "tags": topics,
        "creator": "",
        "character_version": "",
        "extensions": {"elizaos": {key: value for key, value in document.items() if key not in (*_PLACED, *_SECRET)}},
    }
    if lore:
        entries = [_entry(number, text) for number, text in enumerate(lore)]
        data["character_book"] = {"extensions": {}, "token_budget": LORE_TOKENS, "entries": entries}
    return card_from_document({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}, limits, where)


def _entry(number: int, text: str) -> dict[str, Any]:
    """A piece of lore that is always true; which of them fit is the budget's business, as elizaOS picks some at random."""
    switches = {"extensions": {}, "enabled": True, "constant": True, "use_regex": False}
    return {"keys": [], "content": _own(text), "insertion_order": number, "priority": -number, "id": number, **switches}


def _texts(raw: object) -> list[str]:
    listed = raw if isinstance(raw, list) else [raw]
    return [item.strip() for item in listed if isinstance(item, str) and item.strip()]


def _listed(heading: str, items: list[str], between: str) -> str:
    return f"{heading}: {between.join(items)}." if items else ""


def _own(text: str) -> str:
    """The names of elizaOS for the two speakers as macros of cards."""
    for theirs in ("{{agentName}}", "{{agent}}"):
        text = text.replace(theirs, "{{char}}")
    for number in range(1, 6):
        text = text.replace(f"{{{{user{number}}}}}", "{{user}}").replace(f"{{{{name{number}}}}}", "{{user}}")
    return text


def _examples(raw: object, name: str) -> str:
    dialogues: list[str] = []
    for group in raw if isinstance(raw, list) else []:
        messages = group.get("examples") if isinstance(group, Mapping) else group
        said = [_said(message, name) for message in messages] if isinstance(messages, list) else []
        if any(said):
            dialogues.append("\n".join(["<START>", *filter(None, said)]))
    return "\n".join(dialogues)


def _said(message: object, name: str) -> str:
    if not isinstance(message, Mapping):
        return ""
    content = message.get("content")
    text = content.get("text") if isinstance(content, Mapping) else content
    if not isinstance(text, str) or not text.strip():
        return ""
    speaker = message.get("user", message.get("name"))
    return f"{'{{char}}' if speaker in (name, '{{agentName}}', '{{agent}}') else '{{user}}'}: {text.strip()}"
