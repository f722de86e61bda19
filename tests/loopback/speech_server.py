"""Somebody else's speech server on 127.0.0.1: OpenAI's speech protocol, with a real sound for an answer."""

import asyncio
import io
import math
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

FAILS = "Break!"  # what it cannot say


def tone(seconds: float, rate: int = 22050) -> bytes:
    """A WAV file: first silence, then a tone, half and half."""
    frames = [0 if n < seconds * rate / 2 else round(12000 * math.sin(n * 2 * math.pi * 440 / rate)) for n in range(int(seconds * rate))]
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(struct.pack(f"<{len(frames)}h", *frames))
    return written.getvalue()


@asynccontextmanager
async def speech_server(
    audio: bytes = b"", kind: str = "audio/wav", hold: asyncio.Event | None = None
) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and what it is asked. It says a second of a tone, or what is given; with ``hold`` not before that is set."""
    asked: list[dict[str, Any]] = []
    said = audio or tone(1.0)

    async def speech(request: web.Request) -> web.Response:
        asked.append({**await request.json(), "key": request.headers["Authorization"]})
        if hold is not None:
            await hold.wait()
        if FAILS in asked[-1]["input"]:
            raise web.HTTPBadRequest
        return web.Response(body=said, content_type=kind)

    app = web.Application()
    app.router.add_post("/v1/audio/speech", speech)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        await runner.cleanup()
