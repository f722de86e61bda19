"""CHARX: a zip with ``card.json`` at its root and pictures beside it.

Every entry is judged by its headers before anything is unpacked; entries are read into memory by name, and no name ever
becomes a path. Source: Character Card V3, "CHARX".
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from dataclasses import dataclass

from bot.characters.card import Card, parse_card
from bot.config import CharacterSettings
from bot.errors import CardError

CARD_ENTRY = "card.json"
SMALL_ENTRY_BYTES = 64 * 1024  # the ratio says nothing about entries as small as this
_CENTRAL = b"PK\x01\x02"  # opens each entry of the directory


@dataclass(frozen=True, slots=True)
class CharxCard:
    card: Card
    pictures: dict[str, bytes]  # what the card's icons point to, by path in the archive
    warnings: tuple[str, ...]


def is_zip(data: bytes) -> bool:
    """Whether this is an archive; some programs put one behind a JPEG."""
    return data.startswith(b"PK\x03\x04") or (data.startswith(b"\xff\xd8") and b"PK\x05\x06" in data[-66_000:])


def read_charx(data: bytes, limits: CharacterSettings, where: str) -> CharxCard:
    """The card in an archive, and the pictures that it names as its icon.

    Raises:
        CardError: damaged, encrypted, or past a limit; names the entry and the number.
    """
    if data.count(_CENTRAL) > 2 * limits.zip_entries:  # before the directory becomes objects
        raise CardError(f"{where}: has more than {limits.zip_entries} entries, which is the limit (characters.zip_entries)")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _judged(archive.infolist(), limits, where)
            card = parse_card(_unpacked(archive, entries[CARD_ENTRY], limits.json_bytes, where), limits, where)
            wanted = [name for name in _icon_paths(card) if name in entries]
            pictures = {name: _unpacked(archive, entries[name], limits.card_bytes, where) for name in wanted[:1]}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError) as error:
        raise CardError(f"{where}: is a damaged archive: {str(error)[:120]}") from error
    others = sum(not entry.is_dir() for entry in entries.values()) - 1 - len(pictures)
    aside = (f"{where}: {others} other files in the archive are not kept",) if others else ()
    return CharxCard(card, pictures, (*card.warnings, *aside))


def _icon_paths(card: Card) -> list[str]:
    """Paths of embedded icons, the main one first. The specification spells it ``embeded``."""
    schemes = ("embeded://", "embedded://")
    return [uri.removeprefix(scheme) for uri in card.icons for scheme in schemes if uri.startswith(scheme)]


def _judged(listed: list[zipfile.ZipInfo], limits: CharacterSettings, where: str) -> dict[str, zipfile.ZipInfo]:
    if len(listed) > limits.zip_entries:
        raise CardError(f"{where}: has {len(listed)} entries; the limit is {limits.zip_entries} (characters.zip_entries)")
    total = sum(entry.file_size for entry in listed)
    if total > limits.zip_bytes:
        raise CardError(f"{where}: unpacks to {total:,} bytes; the limit is {limits.zip_bytes:,} (characters.zip_bytes)")
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in listed:
        _judge(entry, limits, f"{where}: entry {entry.orig_filename[:80]!r}")
        if entry.filename in entries:
            raise CardError(f"{where}: entry {entry.filename[:80]!r} is there twice")
        entries[entry.filename] = entry
    if CARD_ENTRY not in entries:
        raise CardError(f"{where}: is an archive without {CARD_ENTRY}, so it holds no character (CHARX)")
    return entries


def _judge(entry: zipfile.ZipInfo, limits: CharacterSettings, where: str) -> None:
    name = entry.orig_filename.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/") or "\0" in name:
        raise CardError(f"{where} has a name that leads out of the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise CardError(f"{where} is a link")
    if entry.flag_bits & 0x1:
        raise CardError(f"{where} is encrypted; save the card without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CardError(f"{where} is compressed by method {entry.compress_type}; only 0 (stored) and 8 (deflated) are read")
    if entry.file_size > SMALL_ENTRY_BYTES and entry.file_size > limits.zip_ratio * entry.compress_size:
        ratio = entry.file_size // max(1, entry.compress_size)
        raise CardError(f"{where} grows {ratio} times when unpacked; the limit is {limits.zip_ratio} (characters.zip_ratio)")


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, where: str) -> bytes:
    if entry.file_size > most:
        raise CardError(f"{where}: entry {entry.filename[:80]!r} has {entry.file_size:,} bytes; the limit is {most:,}")
    with archive.open(entry) as opened:
        return opened.read(most)
