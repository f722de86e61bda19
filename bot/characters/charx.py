"""CHARX: a zip with ``card.json`` at its root and the files that the card's ``assets`` name beside it.

The card and its icon are kept, other files are not; so that nothing in the card points to what is gone, its assets are
made to fit. Source: Character Card V3, "CHARX" and "assets".
"""

from __future__ import annotations

from bot.characters.archive import Archive, ArchivedCard
from bot.characters.assets import EMBEDDED, gone_assets, without_files
from bot.characters.card import card_from_document
from bot.characters.card_json import load_json
from bot.config import CharacterSettings

CARD_ENTRY = "card.json"


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
    document, gone = without_files(document, EMBEDDED, icon)
    return ArchivedCard(card_from_document(document, limits, where), picture, (*card.warnings, *aside, *gone_assets(where, gone)))


def _path(uri: str) -> str:
    """Where in the archive an asset lies; empty for one that lies elsewhere."""
    return next((uri.removeprefix(scheme) for scheme in EMBEDDED if uri.startswith(scheme)), "")
