"""CHARX: a zip with ``card.json`` at its root and the files that the card's ``assets`` name beside it.

The card and its icon are kept, other files are not; so that nothing in the card points to what is gone, its assets are
made to fit. Source: Character Card V3, "CHARX" and "assets".
"""

from __future__ import annotations

from typing import Any

from bot.characters.archive import Archive, ArchivedCard
from bot.characters.card import card_from_document
from bot.characters.card_json import load_json
from bot.config import CharacterSettings

CARD_ENTRY = "card.json"
_SCHEMES = ("embeded://", "embedded://")  # the specification spells it the first way


def read_charx(archive: Archive, limits: CharacterSettings) -> ArchivedCard:
    """The card in an archive that has ``card.json``, and the picture that it names as its icon. Raises ``CardError``."""
    where = archive.where
    document = load_json(archive.read(CARD_ENTRY, limits.json_bytes), limits, where)
    card = card_from_document(document, limits, where)
    icon = next((uri for uri in card.icons if (path := _path(uri)) and path in archive), None)
    picture = None if icon is None else archive.read(_path(icon), limits.card_bytes)
    aside: list[str] = []
    others = len(archive) - 1 - (picture is not None)
    if others > 0:
        aside.append(f"{where}: {others} other files in the archive are not kept")
    document, gone = _without_files(document, icon)
    if gone:
        aside.append(f"{where}: {gone} of the card's assets name files in the archive that are not kept; they are taken out of the card")
    return ArchivedCard(card_from_document(document, limits, where), picture, (*card.warnings, *aside))


def _path(uri: str) -> str:
    """Where in the archive an asset lies; empty for one that lies elsewhere."""
    return next((uri.removeprefix(scheme) for scheme in _SCHEMES if uri.startswith(scheme)), "")


def _without_files(document: dict[str, Any], icon: str | None) -> tuple[dict[str, Any], int]:
    """The document with ``icon`` as the card's own picture and without assets that lie in the archive; and how many went."""
    data = document.get("data")
    assets = data.get("assets") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(assets, list):
        return document, 0
    kept: list[Any] = []
    for asset in assets:
        uri = asset.get("uri") if isinstance(asset, dict) else None
        if icon is not None and uri == icon and asset.get("type") == "icon":
            kept.append({**asset, "uri": "ccdefault:", "ext": "png"})  # the portrait, which is a PNG of our own
        elif not (isinstance(uri, str) and _path(uri)):
            kept.append(asset)
    return {**document, "data": {**data, "assets": kept}}, len(assets) - len(kept)
