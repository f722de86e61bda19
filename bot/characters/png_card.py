"""Cards inside pictures: the tEXt chunks of a PNG, read and written chunk by chunk.

``ccv3`` holds a V3 card and ``chara`` a V2 one, each as base64 of UTF-8 JSON. Source of the chunk format: the PNG
specification, sections 5 and 11.3; of the keywords: Character Card V3, "PNG/APNG".
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from bot.characters.assets import IN_CHUNKS, gone_assets, without_files
from bot.characters.card import Card, card_from_document, parse_card, to_v2, to_v3
from bot.characters.card_json import dump_json
from bot.characters.images import check_pixels
from bot.config import CharacterSettings
from bot.errors import CardError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ALL_CHUNKS = 20_000  # with those of the image itself; 8 MB in pieces of 4 KB are 2,000
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True, slots=True)
class PngCard:
    card: Card
    picture: bytes  # the same picture with nothing but what is needed to show it
    warnings: tuple[str, ...]


def read_png(data: bytes, limits: CharacterSettings, where: str) -> PngCard:
    """The card in a PNG. Where there are two, the V3 one counts, unless it cannot be read.

    Raises:
        CardError: the file is damaged, passes a limit, or holds no card.
    """
    chunks = list(_chunks(data, limits, where))
    cards = _card_texts(chunks, limits, where)
    if not cards:
        raise CardError(f"{where}: is a picture without a character in it (no text chunk ccv3 or chara)")
    warnings: list[str] = []
    refusal: CardError | None = None
    for keyword in ("ccv3", "chara"):
        if keyword not in cards:
            continue
        try:
            card = parse_card(_unpacked(cards[keyword], limits, f"{where}: {keyword}"), limits, where)
            document, gone = without_files(card.document(), IN_CHUNKS)
            kept = card_from_document(document, limits, where) if gone else card
        except CardError as error:
            refusal = refusal or error
            warnings.append(f"{error}; the other card in the file is used")
            continue
        return PngCard(kept, _picture(chunks), (*card.warnings, *gone_assets(where, gone), *warnings))
    assert refusal is not None, cards.keys()
    raise refusal


def write_png(card: Card, picture: bytes) -> bytes:
    """``picture`` (a PNG of our own) with the card in it, as V3 and again as V2 for programs that know no better."""
    texts = b"".join(
        _chunk(b"tEXt", keyword + b"\0" + base64.b64encode(dump_json(document).encode("utf-8")))
        for keyword, document in ((b"chara", to_v2(card, backfill=True)), (b"ccv3", to_v3(card)))
    )
    kept = [(kind, body) for kind, body in _walk(picture, "the portrait") if kind not in _TEXTS]
    return SIGNATURE + b"".join((texts if kind == b"IEND" else b"") + _chunk(kind, body) for kind, body in kept)


# ------------------------------------------------------------------ chunks


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _walk(data: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk up to the end mark, with length and checksum verified."""
    if not data.startswith(SIGNATURE):
        raise CardError(f"{where}: is not a PNG")
    at = len(SIGNATURE)
    while at < len(data):
        if len(data) - at < 12:
            raise CardError(f"{where}: ends in the middle of a chunk at byte {at}")
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if length > len(data) - at - 12:
            raise CardError(f"{where}: chunk {kind!r} at byte {at} claims {length:,} bytes and only {len(data) - at - 12:,} follow")
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if checksum != zlib.crc32(kind + body):
            raise CardError(f"{where}: chunk {kind!r} at byte {at} is damaged (its checksum does not match)")
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + length


def _chunks(data: bytes, limits: CharacterSettings, where: str) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a stranger's file, refused as soon as a limit is passed."""
    beside = 0
    for number, (kind, body) in enumerate(_walk(data, where)):
        if number == 0:
            _check_header(kind, body, limits, where)
        beside += kind not in (b"IDAT", b"fdAT", b"fcTL")
        if beside > limits.png_chunks:
            raise CardError(
                f"{where}: has more than {limits.png_chunks} chunks beside the image, which is the limit (characters.png_chunks)"
            )
        if number >= ALL_CHUNKS:
            raise CardError(f"{where}: has more than {ALL_CHUNKS:,} chunks, which is the limit")
        yield kind, body


def _check_header(kind: bytes, body: bytes, limits: CharacterSettings, where: str) -> None:
    if kind != b"IHDR" or len(body) != 13:
        raise CardError(f"{where}: does not begin as a PNG does (IHDR of 13 bytes)")
    width, height = struct.unpack_from(">II", body)
    check_pixels(width, height, limits, f"{where}: the picture")


def _picture(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """The picture alone: compressed texts and profiles never reach the decoder."""
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks if kind in _NEEDED)


# ------------------------------------------------------------------ texts


def _card_texts(chunks: list[tuple[bytes, bytes]], limits: CharacterSettings, where: str) -> dict[str, bytes]:
    """What stands under the keywords of cards, packed; the first of each. Other texts are passed by."""
    found: dict[str, bytes] = {}
    for kind, body in chunks:
        if kind not in _TEXTS:
            continue
        name, _, rest = body.partition(b"\0")
        keyword = name.decode("latin-1").lower()
        if keyword in ("ccv3", "chara") and keyword not in found:
            found[keyword] = _text(kind, rest, limits, f"{where}: {keyword}")
    return found


def _text(kind: bytes, rest: bytes, limits: CharacterSettings, where: str) -> bytes:
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":  # method, compressed
        return _inflated(rest[1:], limits, where)
    compressed, method_language = rest[:1] == b"\1", rest[2:]  # iTXt: flag, method, language, translated keyword, text
    text = method_language.partition(b"\0")[2].partition(b"\0")[2]
    return _inflated(text, limits, where) if compressed else text


def _inflated(data: bytes, limits: CharacterSettings, where: str) -> bytes:
    """Decompressed, and never past what a card may have (base64 takes four bytes for three)."""
    most = limits.json_bytes * 4 // 3 + 4
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise CardError(f"{where}: cannot be decompressed: {error}") from error
    if len(text) > most:
        raise CardError(f"{where}: decompresses to more than {most:,} bytes, which is the limit (characters.json_bytes)")
    return text


def _unpacked(text: bytes, limits: CharacterSettings, where: str) -> bytes:
    if text.lstrip().startswith(b"{"):  # some programs forget the base64
        return text
    packed = b"".join(text.split())
    if len(packed) > limits.json_bytes * 4 // 3 + 4:
        raise CardError(f"{where}: has {len(packed):,} bytes; the limit is {limits.json_bytes * 4 // 3 + 4:,} (characters.json_bytes)")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error as error:
        raise CardError(f"{where}: is not base64 ({error})") from error
