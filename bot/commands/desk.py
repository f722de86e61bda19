"""The rooms that commands work with, who is asking, and who may ask for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bot.characters.prompt import PromptRenderer
from bot.errors import CommandRefused
from bot.memory.store import Store
from bot.messages import Channel, ChannelKey, Engine, Person
from bot.sessions.company import Company
from bot.sessions.router import Router
from bot.voice.booth import Booth

MADE_UP = "Everything characters say is made up."


@dataclass(frozen=True, slots=True)
class Desk:
    company: Company
    router: Router
    store: Store
    engine: Engine
    models: Path  # the folder of models
    data: Path  # the folder where Troupe writes
    booth: Booth | None = None  # where characters speak aloud, if somebody can

    @property
    def renderer(self) -> PromptRenderer:
        """For the model that answers now."""
        return self.router.stage.renderer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The connector has just asked the platform for the rights; they are never taken from a name."""

    person: Person
    channel: ChannelKey
    port: Channel
    moderator: bool = False
    operator: bool = False
    roles: tuple[str, ...] = ()  # the platform's ids, for blocks

    @property
    def moderates(self) -> bool:
        """An operator may do everywhere what a moderator may do at home."""
        return self.moderator or self.operator


def moderators_only(caller: Caller, what: str) -> None:
    """``what`` completes "Only moderators can ...". The platform's own menu of commands is no protection: it can be changed.

    Raises:
        CommandRefused
    """
    if not caller.moderates:
        raise CommandRefused(f"Only moderators can {what}.")


def operators_only(caller: Caller, what: str) -> None:
    """``what`` completes "Only whoever runs this Troupe can ...". Raises ``CommandRefused``."""
    if not caller.operator:
        raise CommandRefused(f"Only whoever runs this Troupe can {what}.")


async def heard_only(desk: Desk, caller: Caller) -> None:
    """Whoever is blocked may do nothing but look after their own data. Raises ``CommandRefused``."""
    await desk.router.gate.refuse_blocked(caller.person, caller.channel, caller.roles)


async def within_limits(desk: Desk, caller: Caller) -> None:
    """For commands that make the model work: they count like messages. Raises ``CommandRefused``."""
    await desk.router.gate.admit_wish(caller.person, caller.channel, caller.roles)
