"""Portraits in the size in which a page shows them."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from pathlib import Path

from PIL import Image

SIDES = (96, 224, 512)  # pixels; other sizes are not made, so that nobody fills the memory with a thousand of them
KEPT = 1500  # of some 5 KB each
QUALITY = 74


class Thumbnails:
    """WebP pictures, made once for each file and size. Made beside the event loop, two at a time."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[Path, str, int], bytes] = OrderedDict()
        self._hands = asyncio.Semaphore(2)

    async def of(self, portrait: Path, side: int) -> bytes:
        """Raises ``OSError`` when the file is gone, or is no picture."""
        assert side in SIDES, f"a thumbnail of {side} pixels"
        key = (portrait, version(portrait), side)
        if key not in self._made:
            async with self._hands:
                if key not in self._made:
                    self._made[key] = await asyncio.to_thread(_small, portrait, side)
                    if len(self._made) > KEPT:
                        self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]


def version(portrait: Path) -> str:
    """Changes with the picture, so that a browser may keep what it has for good. Raises ``OSError``."""
    return f"{portrait.stem[:12]}-{portrait.stat().st_mtime_ns & 0xFFFFFFFFFF:x}"


def _small(portrait: Path, side: int) -> bytes:
    written = io.BytesIO()
    with Image.open(portrait, formats=("PNG",)) as image:
        square = min(image.size)
        left, top = (image.width - square) // 2, (image.height - square) // 2
        small = image.convert("RGBA" if "A" in image.mode else "RGB").resize(
            (side, side), Image.Resampling.LANCZOS, (left, top, left + square, top + square)
        )
        small.save(written, "WEBP", quality=QUALITY, method=4)
    return written.getvalue()
