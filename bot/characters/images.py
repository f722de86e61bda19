"""Pictures from strangers become portraits: checked before they are decoded, made small, and written anew.

Nothing of the original file is kept but what it shows, so no metadata, no second frame and no hidden data survives.
"""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from bot.config import CharacterSettings
from bot.errors import CardError

PORTRAIT_SIDE = 1024  # pixels of the longer side; platforms show avatars far smaller
JPEG_SCANS = 64  # a progressive picture has about ten; thousands of them are an attack on the decoder's time

# Pillow's decoders raise all of these for damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error)


def portrait_png(data: bytes, limits: CharacterSettings, where: str) -> bytes:
    """A picture (PNG, JPEG, WebP or GIF) as PNG of at most 1024 pixels a side.

    Raises:
        CardError: too many bytes or pixels, or no picture that can be read.
    """
    if len(data) > limits.card_bytes:
        raise CardError(f"{where} has {len(data):,} bytes; the limit is {limits.card_bytes:,} (characters.card_bytes)")
    scans = data.count(b"\xff\xda") if data.startswith(b"\xff\xd8") else 0
    if scans > JPEG_SCANS:
        raise CardError(f"{where} has {scans} scans; a JPEG has at most {JPEG_SCANS} here")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF")) as image:
            check_pixels(*image.size, limits, where)
            small = _small(image)
        written = io.BytesIO()
        small.save(written, "PNG", optimize=True)
    except (Image.DecompressionBombError, *_DAMAGED) as error:
        raise CardError(f"{where} is not a picture that can be read (PNG, JPEG, WebP or GIF): {str(error)[:120]}") from error
    return written.getvalue()


def check_pixels(width: int, height: int, limits: CharacterSettings, where: str) -> None:
    """Refuse a size before anything is decoded. Raises ``CardError``."""
    if width < 1 or height < 1:
        raise CardError(f"{where} is {width} x {height} pixels; a picture has at least 1 each way")
    if width * height > limits.pixels:
        raise CardError(f"{where} is {width} x {height} = {width * height:,} pixels; the limit is {limits.pixels:,} (characters.pixels)")


def _small(image: Image.Image) -> Image.Image:
    image.draft("RGB", (PORTRAIT_SIDE, PORTRAIT_SIDE))  # lets JPEG decode at a fraction of its size
    longest = max(image.size)
    if longest > 4 * PORTRAIT_SIDE or image.width * image.height > 4_000_000:
        # Smooth scaling copies the whole picture first (64 MB for 16 million pixels); so thin it out roughly before.
        step = max(2.0, longest / (2 * PORTRAIT_SIDE))
        image = image.resize((max(1, int(image.width / step)), max(1, int(image.height / step))), Image.Resampling.NEAREST)
    opaque = image.mode in ("L", "RGB", "YCbCr", "CMYK", "1") and "transparency" not in image.info
    image = image.convert("RGB" if opaque else "RGBA")
    image.thumbnail((PORTRAIT_SIDE, PORTRAIT_SIDE), Image.Resampling.LANCZOS)
    plain = Image.new(image.mode, image.size)  # without the original's metadata
    plain.paste(image)
    return plain
