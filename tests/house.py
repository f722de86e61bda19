"""The house as it is served, for tests: our own characters, a database of its own, a real model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bot.config import Config, Paths
from bot.house import House, open_house
from bot.messages import ChannelKey, Incoming, Limits, Person

HERE = Path(__file__).resolve().parent.parent
LOBBY = ChannelKey("web", "lobby")
ANNA = Person("web:anna", "Anna")


class RecordingPort:
    """A channel that keeps what reaches it: the platform's side of the door."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits(length=2000, edit_seconds=0.0)
        self.messages: dict[str, str] = {}  # sent id -> text as it stands now
        self.faces: dict[str, str] = {}
        self.steps: list[tuple[str, str]] = []
        self.notices: list[str] = []
        self.typing_now = 0

    async def open(self, character, text):
        sent_id = uuid4().hex
        self.messages[sent_id] = text
        self.faces[sent_id] = character.slug
        self.steps.append(("open", text))
        return sent_id

    async def edit(self, sent_id, text):
        self.messages[sent_id] = text
        self.steps.append(("edit", text))

    async def remove(self, sent_id):
        self.messages.pop(sent_id)

    @asynccontextmanager
    async def typing(self, character):
        self.typing_now += 1
        try:
            yield
        finally:
            self.typing_now -= 1

    async def notice(self, text):
        self.notices.append(text)


def settings(data: Path, models: Path, model: str = "current", **sections: dict[str, Any]) -> Config:
    """A configuration for a test: small cache, no waiting for bursts; ``sections`` change what a test is about."""
    # The tiny model spells nearly every letter, so a card that has 150 tokens elsewhere has a thousand here.
    usual = {
        "engine": {"model": model, "context_tokens": 4096, "live_replies": 4, "prefix_megabytes": 0},
        "sessions": {"settle_seconds": 0, "reply_tokens": 24, "card_tokens": 2000, "exemplar_tokens": 600},
    }
    values: dict[str, Any] = {name: {**usual.get(name, {}), **sections.get(name, {})} for name in {*usual, *sections}}
    return Config(paths=Paths(characters=HERE / "characters", models=models, data=data), **values)


@asynccontextmanager
async def open_test_house(config: Config) -> AsyncIterator[House]:
    async with open_house(config) as house:
        yield house


def said(
    text: str, port: RecordingPort, *, channel: ChannelKey = LOBBY, author: Person = ANNA, message_id: str = "", **more: Any
) -> Incoming:
    values = {"reply_to": None, "mentions": (), "attachments": (), "sent_at": datetime.now(UTC), **more}
    return Incoming(channel=channel, message_id=message_id or uuid4().hex, author=author, text=text, channel_port=port, **values)
