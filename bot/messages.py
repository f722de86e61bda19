"""Plain values and protocols that cross rooms.

Nothing here knows a platform, a database or a model; every other room may import this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

HOUSE = "house"  # the scope of characters that are seen everywhere


@dataclass(frozen=True, slots=True, order=True)
class ChannelKey:
    """A place where people talk, as one string wherever it is stored or typed.

    ``discord:<guild>/<channel>[/<thread>]``, ``telegram:<chat>[/<topic>]``, ``web:<name>``, ``terminal:<name>``;
    a direct chat on Discord has the guild ``@me``.
    """

    platform: str
    path: str

    @classmethod
    def parse(cls, text: str) -> ChannelKey:
        """Read a key back. Raises ``ValueError`` when it is not of the form ``platform:path``."""
        platform, colon, path = text.partition(":")
        if not colon or not platform.isalpha() or not path or path != path.strip() or not path.isprintable():
            raise ValueError(f"{text!r} is not a channel; write it like web:lobby, terminal:me or discord:<server>/<channel>")
        return cls(platform, path)

    @property
    def scope(self) -> str:
        """Whose registered characters are seen here: a server, a chat, or only the house's."""
        if self.platform in ("discord", "telegram"):
            return f"{self.platform}:{self.path.split('/', 1)[0]}"
        return HOUSE

    def __str__(self) -> str:
        return f"{self.platform}:{self.path}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who talks. ``id`` is the platform's and never changes (``discord:<user id>``); ``name`` is what is shown today."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Face:
    """What a connector needs to show who speaks."""

    id: str  # "<scope>/<slug>"
    slug: str
    name: str
    portrait: Path | None = None
    emoji: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    media_type: str
    size_bytes: int
    data: bytes | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message on a platform may be."""

    units: Literal["characters", "utf16"] = "characters"
    length: int = 4000
    edit_seconds: float | None = 0.0  # at most one edit per so many seconds; None: replies are not streamed
    previews: bool = False  # a growing reply is shown as a preview (see ``Previewing``), and sent when it is whole
    bursts: bool = True  # people here send a thought in several messages, so a short wait makes them one turn
    retracts: bool = True  # what was shown can be replaced by another attempt


class Channel(Protocol):
    """The way back to where a message came from. Implemented by connectors, used by sessions."""

    @property
    def limits(self) -> Limits: ...

    async def open(self, character: Face, text: str) -> str:
        """Show the first piece of a reply; returns the platform's id of what was sent."""
        ...

    async def edit(self, sent_id: str, text: str) -> None:
        """Replace what ``open`` has shown. The last edit carries the whole text."""
        ...

    async def remove(self, sent_id: str) -> None:
        """Take back what ``open`` has shown."""
        ...

    def typing(self, character: Face) -> AbstractAsyncContextManager[None]:
        """Show that a reply is being made, until left."""
        ...

    async def notice(self, text: str) -> None:
        """Say something as Troupe itself, not as a character. Must not raise: the channel may be what broke."""
        ...


@runtime_checkable
class Previewing(Protocol):
    """A channel that shows what is being written before there is a message. Its ``limits`` say when it does."""

    async def preview(self, character: Face, text: str) -> None:
        """Show what there is so far. It vanishes by itself; ``open`` sends the message."""
        ...


@runtime_checkable
class Findable(Protocol):
    """A channel in which one can look up what was sent, when a crash came before its id was stored."""

    async def find_sent(self, character: Face, after_message_id: str) -> list[str]:
        """Ids of what we have said as ``character`` since a message, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever asks wants of this one reply, within what the house allows. None leaves it to the character."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()  # the reply ends before the first of these


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class Incoming:
    """Something that somebody said, as a connector hands it over."""

    channel: ChannelKey
    message_id: str  # the platform's; the same id twice is the same message
    author: Person
    text: str
    reply_to: str | None  # message_id of what it answers
    mentions: tuple[str, ...]  # ids of characters that the platform itself marked as addressed
    attachments: tuple[Attachment, ...]
    sent_at: datetime  # aware, UTC
    channel_port: Channel
    direct: bool = False  # a conversation of one person with one character
    roles: tuple[str, ...] = ()  # the platform's ids of the author's roles, for blocks
    wishes: Wishes = NO_WISHES


# ------------------------------------------------------------------ the prompt and the engine


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a prompt before it became tokens."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt.

    The first ``prefix_tokens`` of ``tokens`` depend on the character alone: every channel shares them, and an
    engine may evaluate them once. ``prefix_tokens`` is 0 where nothing is shared.
    """

    tokens: tuple[int, ...]  # 1-D, the model's ids; only a count for a remote engine
    prefix_tokens: int
    messages: tuple[ChatMessage, ...]  # the same content, for an engine that renders by itself


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Defaults suit a small model, which loops without the penalties."""

    temperature: float = 0.6
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.05
    repeat_last_tokens: int = 256
    dry_multiplier: float = 0.8
    dry_base: float = 1.75
    dry_allowed_tokens: int = 3
    max_tokens: int = 160
    seed: int | None = None
    grammar: str = ""  # GBNF that the reply must follow; only the embedded engine keeps it, a server is not told


FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Counters:
    """What one reply cost. ``reused + evaluated == prompt`` holds for the embedded engine."""

    prompt_tokens: int = 0
    reused_tokens: int = 0  # found in the cache
    evaluated_tokens: int = 0  # read for this reply; a shared prefix counts for the reply that made it
    reply_tokens: int = 0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply, with what it has cost so far. The last one has a ``finish_reason``; its text may be empty."""

    text: str
    finish_reason: FinishReason | None = None
    counters: Counters = field(default_factory=Counters)


class Tokenizer(Protocol):
    """What the prompt renderer needs to know of a model."""

    @property
    def chat_template(self) -> str:
        """Jinja source, from the model's own metadata."""
        ...

    @property
    def bos(self) -> str: ...

    @property
    def eos(self) -> str: ...

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids of ``text``; control tokens are recognised only with ``special``. Never adds BOS or EOS."""
        ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class Engine(Protocol):
    """Whatever makes text: the embedded llama.cpp, or a server somewhere."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context_tokens(self) -> int:
        """The most that one prompt and its reply may hold together."""
        ...

    @property
    def build(self) -> str:
        """Names the model that answers, for the stamp."""
        ...

    def stream(
        self, prompt: Prompt, sampling: Sampling, *, channel: ChannelKey, person: str = "", background: bool = False
    ) -> AsyncIterator[Piece]:
        """Yield the reply; closing the iterator stops it within a token.

        ``channel`` and ``person`` (an id, where somebody asked) are whose turn it is, for fair shares. ``background`` work waits
        for people's turns.

        Raises, before anything is decoded:
            PromptTooLong: it would not fit.
            EngineBusy: too many are waiting.
            EngineStopped: there is no engine any more.
        """
        ...

    def position(self, channel: ChannelKey) -> int | None:
        """How many replies are made before this channel's next: 0 while it is being made, None if it waits for nothing."""
        ...

    async def warm(self, prefix: Sequence[int]) -> None:
        """Read what a character's prompts begin with while nobody waits, where that helps."""
        ...

    def forget(self, channel: ChannelKey | None = None) -> None:
        """Keep nothing in memory of what was said in a channel, or in any, but for replies that are being made."""
        ...

    async def close(self) -> None: ...


# ------------------------------------------------------------------ what was said


@dataclass(frozen=True, slots=True)
class Stamp:
    """What made a reply: enough to say why, to rate by build, and to make it again."""

    build: str
    character: str  # id
    revision: str
    prompt_version: int
    seed: int
    exemplars: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()
    lore: tuple[str, ...] = ()
    finish_reason: str = "stop"
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing said in a channel, by a person or a character, as it is remembered."""

    id: int
    channel: ChannelKey
    message_id: str
    author_id: str  # a person's id, or a character's
    author_name: str
    by_character: bool
    text: str
    sent_at: datetime
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished reply, as it left the house."""

    character: Face
    text: str
    stamp: Stamp
    turn_id: int
    message_id: str
