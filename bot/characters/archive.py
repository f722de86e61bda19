"""Zip archives with a character in them: judged by their headers, and read into memory by name.

No entry is unpacked before all of them were judged, and no name ever becomes a path. What lies where is the business of
the formats, CHARX and BYAF.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.characters.card import Card
from bot.config import CharacterSettings
from bot.errors import CardError

SMALL_ENTRY_BYTES = 64 * 1024  # the ratio says nothing about entries as small as this
_CENTRAL = b"PK\x01\x02"  # opens each entry of the directory
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError)


@dataclass(frozen=True, slots=True)
class ArchivedCard:
    card: Card
    picture: bytes | None  # what shows the character, as it lay in the archive
    warnings: tuple[str, ...]


def is_zip(data: bytes) -> bool:
    """Whether this is an archive; some programs put one behind a JPEG."""
    return data.startswith(b"PK\x03\x04") or (data.startswith(b"\xff\xd8") and b"PK\x05\x06" in data[-66_000:])


class Archive:
    """The files of an archive that was judged. ``where`` names it in refusals."""

    def __init__(self, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], where: str) -> None:
        self.where = where
        self._archive = archive
        self._entries = entries

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        """How many files there are; folders do not count."""
        return sum(not entry.is_dir() for entry in self._entries.values())

    def read(self, name: str, most: int) -> bytes:
        """One file, of at most ``most`` bytes.

        Raises:
            CardError: it is not there, too big or damaged.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise CardError(f"{self.where}: entry {name[:80]!r} is named in the archive and is not in it")
        if entry.file_size > most:
            raise CardError(f"{self.where}: entry {name[:80]!r} has {entry.file_size:,} bytes; the limit is {most:,}")
        with _damage(self.where), self._archive.open(entry) as opened:
            return opened.read(most)


@contextmanager
def open_archive(data: bytes, limits: CharacterSettings, where: str) -> Iterator[Archive]:
    """The archive in ``data``, once every entry of it was judged.

    Raises:
        CardError: damaged, encrypted, or past a limit; names the entry and the number.
    """
    if data.count(_CENTRAL) > 2 * limits.zip_entries:  # before the directory becomes objects
        raise CardError(f"{where}: has more than {limits.zip_entries} entries, which is the limit (characters.zip_entries)")
    with _damage(where):
        archive = zipfile.ZipFile(io.BytesIO(data))
    with archive:
        yield Archive(archive, _judged(archive.infolist(), limits, where), where)


@contextmanager
def _damage(where: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise CardError(f"{where}: is a damaged archive: {str(error)[:120]}") from error


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
