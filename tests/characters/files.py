"""Files with cards in them, made by hand: what the readers must take and what they must refuse."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def v3(name: str = "Ada", **data: Any) -> dict[str, Any]:
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": {"name": name, "group_only_greetings": [], **data}}


def picture(side: int = 32, kind: str = "PNG", colour: str = "#884422") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(written, kind)
    return written.getvalue()


def chunk(kind: bytes, body: bytes, *, checksum: int | None = None, length: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", crc)


def packed(document: object) -> bytes:
    return base64.b64encode(json.dumps(document).encode())


def text(keyword: str, value: bytes) -> bytes:
    return chunk(b"tEXt", keyword.encode() + b"\0" + value)


def png(*before_end: bytes, image: bytes | None = None) -> bytes:
    """A PNG with these chunks just before its end."""
    plain = image or picture()
    return plain[:-12] + b"".join(before_end) + plain[-12:]


def archive(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as opened:
        for name, body in entries.items():
            opened.writestr(name, body)
    return written.getvalue()
