"""The rooms that commands work with, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass

from bot.characters.prompt import PromptRenderer
from bot.memory.store import Store
from bot.messages import Channel, ChannelKey, Engine, Person
from bot.sessions.company import Company
from bot.sessions.router import Router

MADE_UP = "Everything characters say is made up."


@dataclass(frozen=True, slots=True)
class Desk:
    company: Company
    router: Router
    store: Store
    engine: Engine
    renderer: PromptRenderer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The connector has just asked the platform for the rights; they are never taken from a name."""

    person: Person
    channel: ChannelKey
    port: Channel
    moderator: bool = False
    operator: bool = False
