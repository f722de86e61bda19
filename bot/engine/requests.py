"""What the scheduler works on: a request for a reply."""

from __future__ import annotations

import asyncio
import codecs
import time
from dataclasses import dataclass, field

from bot.engine.native import Chain
from bot.engine.slots import Slot
from bot.errors import EngineError
from bot.messages import ChannelKey, Counters, Piece, Sampling


@dataclass(slots=True, eq=False)
class Request:
    """One reply, from the queue to its last token.

    The event loop fills it in, may set ``cancelled`` and reads ``mailbox``; everything else belongs to the scheduler's thread
    from ``submit`` on.
    """

    tokens: list[int]  # the prompt, then what was said so far
    prefix_tokens: int
    sampling: Sampling
    channel: ChannelKey | None  # None: nobody's, a prefix being warmed
    person: str = ""  # who asked; empty: nobody that is known
    background: bool = False
    endless: bool = False  # no end token is chosen, so that benchmarks compare replies of one length
    mailbox: asyncio.Queue[Piece | EngineError] = field(default_factory=asyncio.Queue)
    cancelled: bool = False

    arrived: float = field(default_factory=time.monotonic)
    prompt_tokens: int = 0
    prefix: tuple[int, ...] = ()  # the character's own part of the prompt
    slot: Slot | None = None  # set while live, but for those who wait until somebody else has read their prefix
    chain: Chain | None = None  # set with the first token
    evaluated_tokens: int = 0
    first_token_seconds: float = 0.0
    # "ignore" drops bytes that form no character: a reply that is cut within an emoji ends before it.
    characters: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("ignore"))

    def __post_init__(self) -> None:
        self.prompt_tokens = len(self.tokens)
        self.prefix = tuple(self.tokens[: self.prefix_tokens])

    @property
    def replying(self) -> bool:
        """The prompt has been read; each step takes one token more."""
        return self.chain is not None and self.slot is not None and self.remaining == 1

    @property
    def remaining(self) -> int:
        """How many known tokens have yet to be evaluated."""
        return len(self.tokens) - (len(self.slot.tokens) if self.slot else 0)

    @property
    def reads_prefix(self) -> bool:
        """It is still within what others with the same prefix need, too."""
        return self.slot is not None and len(self.slot.tokens) < len(self.prefix)

    @property
    def next_tokens(self) -> int:
        """The most that one step may take: a step ends where the prefix does, so that it can be saved without what follows."""
        if self.slot is not None and self.reads_prefix:
            return len(self.prefix) - len(self.slot.tokens)
        return self.remaining

    @property
    def reply_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def key(self) -> tuple[ChannelKey | None, tuple[int, ...]]:
        """Whose conversation this continues: one character in one channel."""
        return self.channel, self.prefix

    def counters(self) -> Counters:
        evaluated = min(self.evaluated_tokens, self.prompt_tokens)  # background work that was set aside may read again
        return Counters(
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self.prompt_tokens - evaluated,
            evaluated_tokens=evaluated,
            reply_tokens=self.reply_tokens,
            first_token_seconds=self.first_token_seconds,
            total_seconds=time.monotonic() - self.arrived,
        )
