"""Character files of text-generation-webui: name, context, greeting and example_dialogue, mostly written as YAML.

What has a place in a card is put there; the rest is kept under ``extensions.text_generation_webui``. Source: its
documentation, "Custom chat characters".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.characters.card import TEXT_FIELDS, Card, card_from_document
from bot.config import CharacterSettings

_FIELDS = {"name": "name", "bot": "name", "context": "description", "greeting": "first_mes", "example_dialogue": "mes_example"}
WEBUI_TEXTS = frozenset((*_FIELDS, "your_name", "user"))


def is_webui(document: object) -> bool:
    """Whether this is such a character and no character card."""
    if not isinstance(document, Mapping) or any(key in document for key in ("spec", "data", "char_name", "description", "first_mes")):
        return False
    return any(key in document for key in ("name", "bot")) and any(key in document for key in ("context", "greeting"))


def card_from_webui(document: Mapping[str, Any], limits: CharacterSettings, where: str) -> Card:
    """Such a character as a card. Raises ``CardError``."""
    placed = {_FIELDS[key]: value for key, value in document.items() if key in _FIELDS and value is not None}
    known = {key: value for key, value in document.items() if key in TEXT_FIELDS or key == "tags"}
    rest = {key: value for key, value in document.items() if key not in _FIELDS and key not in known}
    texts = dict.fromkeys(TEXT_FIELDS - {"nickname", "spec", "spec_version"}, "")
    data = {**texts, "alternate_greetings": [], "group_only_greetings": [], "tags": [], **known, **placed}
    data["extensions"] = {"text_generation_webui": rest} if rest else {}
    return card_from_document({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}, limits, where)
