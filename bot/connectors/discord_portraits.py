"""Portraits as addresses that Discord itself serves.

A webhook shows the picture at an address, so the picture must be on the web. Discord's own store for an application's
pictures are its emojis: the application owns them in no server, and their addresses neither expire nor are signed (those
of uploaded files do and are). They are named by what is in them, so a restart finds again what was there, and nobody
else's address is ever fetched or shown.
https://discord.com/developers/docs/resources/emoji#emoji-object-applicationowned-emoji
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
from pathlib import Path

import discord
from PIL import Image

from bot.connectors.discord_border import TOO_MANY_EMOJIS, UNREACHABLE
from bot.messages import Face

log = logging.getLogger(__name__)

SIDE = 128  # pixels; what Discord keeps of an emoji
PREFIX = "face_"


class Portraits:
    """One per connection. Asking for a portrait never fails: a face without one still speaks."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client
        self._addresses: dict[tuple[Path, int], str | None] = {}  # file and its time of change
        self._stored: dict[str, str] | None = None  # emoji name -> address
        self._storing = asyncio.Lock()

    async def address(self, face: Face) -> str | None:
        """Where Discord shows the face's portrait; None when there is none, or it could not be brought there."""
        if face.portrait is None:
            return None
        try:
            key = (face.portrait, (await asyncio.to_thread(face.portrait.stat)).st_mtime_ns)
        except OSError:
            return None
        if key not in self._addresses:
            async with self._storing:
                if key not in self._addresses:
                    self._addresses[key] = await self._store(face)
        return self._addresses[key]

    async def _store(self, face: Face) -> str | None:
        assert face.portrait is not None, face.id
        try:
            picture = await asyncio.to_thread(_small, face.portrait)
            name = PREFIX + hashlib.sha256(picture).hexdigest()[:24]
            if self._stored is None:
                self._stored = {emoji.name: emoji.url for emoji in await self._client.fetch_application_emojis()}
            if name not in self._stored:
                self._stored[name] = (await self._client.create_application_emoji(name=name, image=picture)).url
            return self._stored[name]
        except discord.HTTPException as error:
            full = "; delete unused emojis of the application" if error.code == TOO_MANY_EMOJIS else ""
            log.warning("portrait not stored character=%s status=%d code=%d%s", face.id, error.status, error.code, full)
        except (discord.DiscordException, *UNREACHABLE) as error:  # OSError: the file cannot be read either
            log.warning("portrait not stored character=%s error=%s", face.id, type(error).__name__)
        return None


def _small(path: Path) -> bytes:
    """The picture as a PNG of at most ``SIDE`` pixels, well under the 256 KiB that an emoji may have. Blocking."""
    with Image.open(path) as image:
        small = image.convert("RGBA")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.save(written, "PNG", optimize=True)
    return written.getvalue()
