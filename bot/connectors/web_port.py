"""The way back into a channel of the web: what a session says becomes events for every page that looks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from bot.connectors.web_events import EventHub, Feed, Saying
from bot.messages import Face, Limits

# Pages get every step at once: it costs them some ten bytes. No reply is long enough to be split.
LIMITS = Limits(length=100_000, edit_seconds=0.0)


class WebPort:
    """A ``Channel``. It holds nothing itself, so any number of them may stand for the same channel.

    A message is finished when its character stops typing, or at once when it is shown without typing (the end of a
    reply that was stored before a crash).
    """

    def __init__(self, hub: EventHub, channel: str) -> None:
        self._hub = hub
        self._channel = channel

    @property
    def limits(self) -> Limits:
        return LIMITS

    async def open(self, character: Face, text: str) -> str:
        feed = self._feed
        saying = Saying(str(uuid4()), character.slug, character.name, text, datetime.now(UTC))
        feed.saying[saying.id] = saying
        feed.publish("begin", saying.shape())
        if not feed.thinking:
            _finish(feed, saying)
        return saying.id

    async def edit(self, sent_id: str, text: str) -> None:
        feed = self._feed
        saying = feed.saying.get(sent_id)
        if saying is not None and text.startswith(saying.text):
            feed.publish("edit", {"id": sent_id, "more": text[len(saying.text) :]})
        else:
            feed.publish("edit", {"id": sent_id, "text": text})
        if saying is None:  # a message of the past gets new words: another take, or the end of one that a crash cut off
            saying = feed.saying[sent_id] = Saying(sent_id, next(iter(feed.thinking), ""), "", text, datetime.now(UTC))
        saying.text = text
        if not feed.thinking:
            _finish(feed, saying)

    async def remove(self, sent_id: str) -> None:
        feed = self._feed
        feed.saying.pop(sent_id, None)
        feed.publish("remove", {"id": sent_id})

    def typing(self, character: Face) -> AbstractAsyncContextManager[None]:
        return self._typing(character)

    @asynccontextmanager
    async def _typing(self, character: Face) -> AsyncGenerator[None]:
        feed = self._feed
        feed.thinking[character.slug] = feed.thinking.get(character.slug, 0) + 1
        feed.publish("typing", {"character": character.slug, "on": True})
        try:
            yield
        finally:
            feed.thinking[character.slug] -= 1
            if not feed.thinking[character.slug]:
                del feed.thinking[character.slug]
            for saying in [s for s in feed.saying.values() if s.character in ("", character.slug)]:
                _finish(feed, saying)
            feed.publish("typing", {"character": character.slug, "on": False})

    async def notice(self, text: str) -> None:
        self._feed.publish("notice", {"text": text})

    @property
    def _feed(self) -> Feed:
        return self._hub.feed(self._channel)


def _finish(feed: Feed, saying: Saying) -> None:
    del feed.saying[saying.id]
    feed.publish("final", {"id": saying.id, "text": saying.text})
