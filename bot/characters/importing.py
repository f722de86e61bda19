"""One door for whatever holds a character: the format is recognised by what is in the file, not by its name."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal

from bot.characters.archive import ArchivedCard, is_zip, open_archive
from bot.characters.byaf import MANIFEST_ENTRY, read_byaf
from bot.characters.card import TEXT_FIELDS, Card, card_from_document
from bot.characters.card_json import load_json
from bot.characters.card_yaml import load_yaml
from bot.characters.charx import CARD_ENTRY, read_charx
from bot.characters.eliza import card_from_eliza, is_eliza
from bot.characters.images import portrait_png
from bot.characters.png_card import SIGNATURE, read_png
from bot.characters.webui import WEBUI_TEXTS, card_from_webui, is_webui
from bot.config import CharacterSettings
from bot.errors import CardError

Format = Literal["json", "yaml", "png", "charx", "byaf", "elizaos", "webui"]


@dataclass(frozen=True, slots=True)
class Imported:
    """A character from a file. ``portrait`` is a PNG that we wrote ourselves."""

    card: Card
    portrait: bytes | None
    format: Format
    warnings: tuple[str, ...]


def read_card(data: bytes, filename: str, limits: CharacterSettings) -> Imported:
    """Read a character from a file of any known format. CPU work of up to a second for a big picture: use a thread.

    Raises:
        CardError: says what is wrong with the file, by field and number.
    """
    where = "".join(c for c in filename.rpartition("/")[2] if c.isprintable())[:80] or "the file"
    if len(data) > limits.card_bytes:
        raise CardError(f"{where}: has {len(data):,} bytes; the limit is {limits.card_bytes:,} (characters.card_bytes)")
    if data.startswith(SIGNATURE):
        png = read_png(data, limits, where)
        return _with_portrait(png.card, [png.picture, _data_icon(png.card)], "png", png.warnings, limits, where)
    if is_zip(data):
        kind, archived = _read_archive(data, limits, where)
        shown = data if data.startswith(b"\xff\xd8") else None
        pictures = [archived.picture, _data_icon(archived.card), shown]
        return _with_portrait(archived.card, pictures, kind, archived.warnings, limits, where)
    if data.startswith((b"\xff\xd8", b"GIF8", b"RIFF")):
        raise CardError(f"{where}: is a picture of a kind that holds no character here; a card is PNG, JSON, YAML, CHARX or BYAF")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")):
        return _from_document(load_json(data, limits, where), "json", limits, where)
    return _from_document(load_yaml(data, limits, where, texts=TEXT_FIELDS | WEBUI_TEXTS), "yaml", limits, where)


def _read_archive(data: bytes, limits: CharacterSettings, where: str) -> tuple[Format, ArchivedCard]:
    with open_archive(data, limits, where) as archive:
        if CARD_ENTRY in archive:
            return "charx", read_charx(archive, limits)
        if MANIFEST_ENTRY in archive:
            return "byaf", read_byaf(archive, limits)
    raise CardError(f"{where}: is an archive without {CARD_ENTRY} (CHARX) or {MANIFEST_ENTRY} (BYAF), so it holds no character")


def _from_document(document: Any, kind: Format, limits: CharacterSettings, where: str) -> Imported:
    if is_eliza(document):
        card = card_from_eliza(document, limits, where)
        secrets = any(document.get(key) for key in ("settings", "secrets"))
        aside = (f"{where}: settings and secrets are not kept; they may hold keys",) if secrets else ()
        return Imported(card, None, "elizaos", (*card.warnings, *aside))
    if is_webui(document):
        card = card_from_webui(document, limits, where)
        return Imported(card, None, "webui", card.warnings)
    card = card_from_document(document, limits, where)
    return _with_portrait(card, [_data_icon(card)], kind, card.warnings, limits, where)


def _with_portrait(
    card: Card, pictures: list[bytes | None], kind: Format, warnings: tuple[str, ...], limits: CharacterSettings, where: str
) -> Imported:
    """The first picture that can be read becomes the portrait; a card without one is still a card."""
    aside: list[str] = []
    for picture in pictures:
        if picture is None:
            continue
        try:
            portrait = portrait_png(picture, limits, f"{where}: the portrait")
        except CardError as error:
            aside.append(f"{error}; the character has no portrait from it")
            continue
        return Imported(card, portrait, kind, (*warnings, *aside))
    if _remote_icon(card):
        aside.append(f"{where}: the portrait is an address on the web, which is not fetched; attach the picture instead")
    return Imported(card, None, kind, (*warnings, *aside))


def _data_icon(card: Card) -> bytes | None:
    """A picture written into the card itself as a data: address."""
    for uri in card.icons:
        head, comma, body = uri.partition(",")
        if comma and head.startswith("data:") and head.endswith(";base64"):
            try:
                return base64.b64decode(body, validate=True)
            except binascii.Error:
                continue
    return None


def _remote_icon(card: Card) -> bool:
    return any(uri.lower().startswith(("http://", "https://")) for uri in card.icons)
