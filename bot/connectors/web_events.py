"""What happens in the web's channels, as it reaches every open page.

Owns the server-sent events: their numbers, what a page that was away has missed, and what is being said at this moment.
It does not know who talks or why; ``web_port`` tells it, ``web_chat`` lets pages listen.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

REPLAY_EVENTS = 2000  # a long reply is some hundred events: a page that was away for a minute misses nothing
WAITING_EVENTS = 600  # what one page may be behind before it is let go; it comes back and gets the rest
HEARTBEAT_SECONDS = 15.0
QUIET_FEEDS = 200  # channels nobody looks at whose past events are kept


@dataclass(slots=True)
class Saying:
    """A message of a character that is not finished yet."""

    id: str
    character: str  # slug
    name: str
    text: str
    since: datetime

    def shape(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "from": "character",
            "author": self.character,
            "name": self.name,
            "text": self.text,
            "at": self.since.isoformat(),
            "reply_to": None,
        }


@dataclass(slots=True, eq=False)
class Listener:
    """One open page. Its events wait here until its connection takes them."""

    waiting: asyncio.Queue[bytes | None]
    let_go: Callable[[], None]


@dataclass(slots=True, eq=False)
class Feed:
    """One channel's events, numbered ``<epoch>-<number>``; another epoch is another process, or a feed that was forgotten."""

    epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    number: int = 0
    past: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=REPLAY_EVENTS))
    listeners: set[Listener] = field(default_factory=set)
    saying: dict[str, Saying] = field(default_factory=dict)
    thinking: dict[str, int] = field(default_factory=dict)  # slug -> how many replies of it are being made

    @property
    def position(self) -> str:
        return f"{self.epoch}-{self.number}"

    @property
    def quiet(self) -> bool:
        return not (self.listeners or self.saying or self.thinking)

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell every page. Never waits: a page that is too far behind is let go instead."""
        self.number += 1
        event = _event(kind, data, self.position)
        self.past.append((self.number, event))
        for listener in [one for one in self.listeners if one.waiting.full()]:
            self.listeners.discard(listener)
            listener.let_go()
        for listener in self.listeners:
            listener.waiting.put_nowait(event)

    def missed(self, after: str | None) -> list[bytes]:
        """The events behind a position. When that is too long ago, one event that says: read everything anew."""
        if after is None or after == self.position:
            return []
        epoch, _, number = after.rpartition("-")
        since = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else -1
        oldest = self.past[0][0] if self.past else self.number + 1
        if epoch != self.epoch or not oldest - 1 <= since <= self.number:
            return [_event("resync", {}, self.position)]
        return [event for n, event in self.past if n > since]


class EventHub:
    """All feeds. Everything here runs on one event loop."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._closed = False

    def feed(self, channel: str) -> Feed:
        """The channel's feed; the longest unused quiet ones give way when there are too many."""
        feed = self._feeds.pop(channel, None) or Feed()
        self._feeds[channel] = feed  # moved to the end: most recently used
        if len(self._feeds) > QUIET_FEEDS:
            for name in [name for name, other in self._feeds.items() if other.quiet and other is not feed][
                : len(self._feeds) - QUIET_FEEDS
            ]:
                del self._feeds[name]
        return feed

    @property
    def listeners(self) -> int:
        return sum(len(feed.listeners) for feed in self._feeds.values())

    @contextmanager
    def _listening(self, feed: Feed, let_go: Callable[[], None]) -> Iterator[Listener]:
        listener = Listener(asyncio.Queue(WAITING_EVENTS), let_go)
        feed.listeners.add(listener)
        try:
            yield listener
        finally:
            feed.listeners.discard(listener)

    async def listen(self, channel: str, after: str | None, let_go: Callable[[], None]) -> AsyncGenerator[bytes]:
        """Events as bytes of a ``text/event-stream``, from ``after`` on, until the hub closes.

        ``let_go`` is called when the reader is too slow; it must make the reader's next write fail. A comment comes when
        nothing else did for a while, so that both ends notice a dead connection.
        """
        feed = self.feed(channel)
        with self._listening(feed, let_go) as listener:
            # Registered before looking back, and nothing is awaited between: no event is lost or given twice.
            yield b": here\n\n" + b"".join(feed.missed(after))
            while not self._closed:
                try:
                    events = [await asyncio.wait_for(listener.waiting.get(), HEARTBEAT_SECONDS)]
                except TimeoutError:
                    events = [b": still here\n\n"]
                while not listener.waiting.empty():  # a fast model says several things between two writes
                    events.append(listener.waiting.get_nowait())
                if None in events:
                    return
                yield b"".join(event for event in events if event is not None)

    def close(self) -> None:
        """Let every page go; they come back when there is a server again."""
        self._closed = True
        for feed in self._feeds.values():
            for listener in feed.listeners:
                if listener.waiting.full():
                    listener.let_go()
                else:
                    listener.waiting.put_nowait(None)


def _event(kind: str, data: Mapping[str, Any], position: str) -> bytes:
    # ensure_ascii: a lone surrogate in somebody's text has no UTF-8 form, and U+2028 is a line end to some readers.
    return f"id: {position}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode("ascii")
