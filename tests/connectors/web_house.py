"""A served house for the web's tests: three characters with short cards, a tiny model that speaks, a port of its own."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from bot.config import Config
from bot.connectors.web_chat import WebChat
from bot.house import House, open_house
from tests.engine.tiny_model import write_tiny_model
from tests.house import HERE, settings

PATIENCE_SECONDS = 180.0  # how long a wait may take before the test says what it waited for
LONG_REPLY = 3000  # tokens: some seconds of the tiny model, so that there is time to interrupt it
CHANT = "Ahoy,friends "


def write_company(folder: Path, reply_tokens: int = 40) -> Path:
    """Three characters: Ada and Bo are awake, Cyprian sleeps. Bo has no portrait."""
    for name, awake, portrait in (("Ada", True, "mara-quill"), ("Bo", True, None), ("Cyprian", False, "odo-brandt")):
        home = folder / name.lower()
        home.mkdir(parents=True)
        troupe = {
            "tagline": f"{name} <b>of the tests</b>",
            "emoji": "🎭",
            "awake": awake,
            "sampling": {"max_tokens": reply_tokens, "repeat_penalty": 1.0, "dry_multiplier": 0, "temperature": 0.2},
        }
        data = {
            "name": name,
            "description": f"{name} greets.",
            "first_mes": f"Hello {{{{user}}}}, I am {name}.",
            "extensions": {"troupe": troupe},
        }
        (home / "card.json").write_text(json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}), encoding="utf-8")
        if portrait:
            (home / "portrait.png").write_bytes((HERE / "characters" / portrait / "portrait.png").read_bytes())
    return folder


def web_settings(tmp_path: Path, *, reply_tokens: int = 40, **sections: dict[str, Any]) -> Config:
    """The same folder gives the same house again."""
    characters, model = tmp_path / "characters", tmp_path / "chant.gguf"
    if not model.exists():
        write_company(characters, reply_tokens)
        write_tiny_model(model, chant=CHANT)
    sessions = {"settle_seconds": 0, "reply_tokens": reply_tokens, "retries": 0, **sections.pop("sessions", {})}
    config = settings(tmp_path / "data", tmp_path, str(model), **{"web": {"port": 0}, **sections, "sessions": sessions})
    return config.model_copy(update={"paths": config.paths.model_copy(update={"characters": characters})})


@dataclass
class Browser:
    """Speaks the API as the page does."""

    url: str
    session: aiohttp.ClientSession
    person: str = field(default_factory=lambda: uuid4().hex)

    def at(self, path: str, channel: str = "lobby") -> str:
        return f"{self.url}/api/channels/{channel}{path}"

    async def get(self, path: str = "", channel: str = "lobby", **options: Any) -> dict[str, Any]:
        async with self.session.get(self.at(path, channel), headers={"X-Troupe-Person": self.person}, **options) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def post(self, path: str, body: Any, channel: str = "lobby", **headers: str) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        all_headers = {"X-Troupe-Person": self.person, "Content-Type": "application/json", **headers}
        async with self.session.post(self.at(path, channel), data=io.BytesIO(data), headers=all_headers) as response:
            return response.status, await response.json()

    async def say(self, text: str, *, id: str = "", channel: str = "lobby", **more: Any) -> str:  # noqa: A002
        message_id = id or uuid4().hex
        status, answer = await self.post("/messages", {"id": message_id, "text": text, "name": "Anna", **more}, channel)
        assert status in (200, 202), answer
        return message_id

    @asynccontextmanager
    async def events(self, channel: str = "lobby", **headers: str) -> AsyncIterator[Events]:
        params = {"after": headers.pop("after")} if "after" in headers else {}
        async with self.session.get(self.at("/events", channel), params=params, headers=headers) as response:
            assert response.status == 200 and response.content_type == "text/event-stream"
            events = Events(response.content)
            await response.content.readuntil(b"\n\n")  # the comment that says: from here on you hear everything
            yield events

    async def still_answers(self, channel: str = "lobby") -> None:
        """The end of every bad-input test."""
        async with self.events(channel) as events:
            await self.say("Ada, are you there?", channel=channel)
            assert (await events.until("final"))["text"].strip()


@dataclass
class Events:
    content: aiohttp.StreamReader
    seen: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # id, kind, data

    async def next(self) -> tuple[str, dict[str, Any]]:
        while True:
            block = (await self.content.readuntil(b"\n\n")).decode()
            if not block:
                raise EOFError("the server let the page go")
            lines = dict(line.split(": ", 1) for line in block.strip().split("\n") if not line.startswith(":"))
            if lines:
                self.seen.append((lines["id"], lines["event"], json.loads(lines["data"])))
                return self.seen[-1][1:]

    async def until(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next event of that kind with these values."""
        async with _patience(f"an event {kind} {wanted}; there were {[event[1] for event in self.seen][-20:]}"):
            while True:
                found, data = await self.next()
                if found == kind and wanted.items() <= data.items():
                    return data

    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.seen]


@asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s for {what}") from None


@dataclass
class Served:
    house: House
    web: WebChat
    url: str
    session: aiohttp.ClientSession

    def browser(self) -> Browser:
        return Browser(self.url, self.session)


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[Served]:
    async with open_house(config) as house, aiohttp.ClientSession() as session:
        web = WebChat(config.web, house.desk)
        url = await web.start()
        try:
            yield Served(house, web, url, session)
        finally:
            await web.stop()
