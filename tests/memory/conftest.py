from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.config import MemorySettings
from bot.memory.store import Store
from bot.messages import ChannelKey, Incoming, Person

LOBBY = ChannelKey.parse("web:lobby")


class Clock:
    """A second later at each look, and as far on as a test sets it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class NoPort:
    """The way back, which the memory never uses."""


@pytest.fixture
def lobby() -> ChannelKey:
    return LOBBY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings() -> MemorySettings:
    return MemorySettings(busy_seconds=0.2)


@pytest.fixture
async def open_store(tmp_path: Path, settings: MemorySettings, clock: Clock) -> AsyncIterator[Callable]:
    """Opens the memory of this test's folder; whatever is still open at the end is closed."""
    opened: list[Store] = []

    async def opening(data: Path = tmp_path) -> Store:
        opened.append(await Store.open(settings, data, clock=clock))
        return opened[-1]

    yield opening
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Callable) -> Store:
    return await open_store()


@pytest.fixture
def said(clock: Clock) -> Callable[..., Incoming]:
    def saying(
        message_id: str,
        text: str = "Good evening.",
        *,
        channel: ChannelKey = LOBBY,
        author: Person = Person("web:ada", "Ada"),  # noqa: B008  a frozen value
        mentions: tuple[str, ...] = (),
        direct: bool = False,
        sent_at: datetime | None = None,
    ) -> Incoming:
        return Incoming(channel, message_id, author, text, None, mentions, (), sent_at or clock(), NoPort(), direct)

    return saying
