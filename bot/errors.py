"""Everything that can go wrong and was foreseen.

    BotError                 str(error) is a sentence an operator can act on
    ├── ConfigError          names the file and the key
    ├── CardError            names the card, the field and the limit
    ├── CharacterNotFound    no character of that name in that scope
    ├── CommandRefused       a command that may not or cannot be carried out; the sentence is for the person
    ├── StoreError           the memory database could not be read or written
    │   ├── StoreBusy        locked by somebody else; trying again can help
    │   ├── StoreFull        no room on the disk, or the disk fails; goes on by itself when there is room
    │   └── StoreNewer       written by a newer Troupe
    ├── ConnectorError       a platform refused or went away
    │   ├── RateLimited      .retry_after_seconds
    │   └── ChannelGone      deleted, or we were removed
    ├── SpeechError          words could not be spoken aloud
    │   └── SpeechBusy       so many are spoken already
    └── EngineError          the model could not answer
        ├── ModelNotLoadable
        ├── EngineBusy       the queue is full
        ├── EngineStopped    the engine was closed, or its thread died
        └── PromptTooLong    .tokens .limit

A library's exceptions are translated at one border per room (``raise ... from``). They are caught in three
places only: the turn, a connector's event border, and ``__main__``.
"""


class BotError(Exception):
    """Anything that was foreseen."""


class ConfigError(BotError):
    """A setting is missing, unknown or of the wrong type."""


class CardError(BotError):
    """A character card, or a file beside it, cannot be accepted."""


class CharacterNotFound(BotError):
    """Nobody of that name is known in that scope."""


class CommandRefused(BotError):
    """A command was understood and not carried out."""


class StoreError(BotError):
    """The memory database could not be read or written.

    Never to be read as "there is nothing": a caller that gets this knows nothing about what is stored.
    """


class StoreBusy(StoreError):
    """The database is locked by another process."""


class StoreFull(StoreError):
    """The disk is full or failing; nothing of this was stored."""


class StoreNewer(StoreError):
    """The database was written by a newer version of Troupe."""


class ConnectorError(BotError):
    """A platform refused a call, or could not be reached."""


class RateLimited(ConnectorError):
    """The platform asks us to wait."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ChannelGone(ConnectorError):
    """The channel was deleted, or we were removed from it."""


class SpeechError(BotError):
    """Words could not be spoken aloud; they are still there to read."""


class SpeechBusy(SpeechError):
    """So many words are being spoken that no more can wait."""


class EngineError(BotError):
    """The model could not answer."""


class ModelNotLoadable(EngineError):
    """The model file is missing, damaged, too big, or not one that llama.cpp reads."""


class EngineBusy(EngineError):
    """Too many turns are waiting."""


class EngineStopped(EngineError):
    """The engine was closed, or its thread died."""


class PromptTooLong(EngineError):
    """The prompt and the room for a reply do not fit the context."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"the prompt has {tokens} tokens and only {limit} fit; shorten the card or raise engine.context_tokens")
        self.tokens = tokens
        self.limit = limit
