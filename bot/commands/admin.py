"""Commands of those who look after a place: who is heard, how much, how characters behave there, how it all is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, get_args

from bot.commands.desk import Caller, Desk, moderators_only, operators_only
from bot.errors import CommandRefused
from bot.memory.store import Block, BlockKind, Report, StoreStatus
from bot.messages import HOUSE, ChannelKey
from bot.sessions.company import ADULTS
from bot.sessions.gate import QUOTAS

REASON_CHARACTERS = 200
LONGEST_BLOCK_MINUTES = 60 * 24 * 366 * 10
MOST_CASCADE = 10
MOST_MESSAGES = 100_000


@dataclass(frozen=True, slots=True)
class HouseStatus:
    build: str
    context_tokens: int
    engine: Mapping[str, int]  # replies being made, waiting, …; empty for a remote engine
    characters: int  # seen where it was asked
    awake: tuple[str, ...]
    blocks: int
    reports: int  # replies that members reported here and nobody has looked at
    store: StoreStatus | None  # for operators

    def __str__(self) -> str:
        lines = [
            f"The model {self.build} answers, with {self.context_tokens} tokens of context.",
            f"{self.characters} characters can be called here; in this channel: {', '.join(self.awake) or 'nobody'}.",
        ]
        if self.engine:
            lines.append("Engine: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.engine.items()) + ".")
        if self.blocks:
            lines.append(f"{self.blocks} blocks hold here.")
        if self.reports:
            lines.append(f"{self.reports} replies were reported and wait for a look.")
        if self.store is not None:
            turns = ", ".join(f"{count} {state}" for state, count in sorted(self.store.turns.items())) or "none"
            lines.append(
                f"Stored: turns {turns}; {self.store.people} people, {self.store.characters} registered characters, "
                f"{self.store.facts} facts, {self.store.file_bytes / 1e6:.1f} MB."
            )
        return "\n".join(lines)


async def block(
    desk: Desk,
    caller: Caller,
    kind: BlockKind,
    subject: str,
    *,
    minutes: float | None = None,
    reason: str = "",
    everywhere: bool = False,
) -> Block:
    """Hear a person, a role or a channel no more: their messages are neither stored nor answered.

    Args:
        desk: the rooms.
        caller: who asks.
        kind: what is blocked.
        subject: the platform's id, with or without its platform in front; a channel's key.
        minutes: for how long; None until somebody lifts it.
        reason: for the other moderators.
        everywhere: in every server and chat; for operators.

    Raises:
        CommandRefused
    """
    scope = _scope(caller, everywhere=everywhere)
    named = _subject(caller, kind, subject, scope)
    if named == caller.person.id:
        raise CommandRefused("You would not be able to take that back; ask somebody else to block you.")
    if minutes is not None and not 0 < minutes <= LONGEST_BLOCK_MINUTES:
        raise CommandRefused("A block lasts more than no time and less than ten years; leave the time out to block for good.")
    until = None if minutes is None else datetime.now(UTC) + timedelta(minutes=minutes)
    told = " ".join(reason.split())[:REASON_CHARACTERS]
    made = await desk.store.block(scope, kind, named, until=until, reason=told, by=caller.person.id)
    await desk.router.gate.reload()
    return made


async def allow(desk: Desk, caller: Caller, kind: BlockKind, subject: str, *, everywhere: bool = False) -> str:
    """Lift a block. Raises ``CommandRefused`` when there is none."""
    scope = _scope(caller, everywhere=everywhere)
    if not await desk.store.unblock(scope, kind, _subject(caller, kind, subject, scope)):
        raise CommandRefused("There is no such block here.")
    await desk.router.gate.reload()
    return f"That {kind} is heard again."


async def blocked(desk: Desk, caller: Caller) -> list[Block]:
    """The blocks that hold where the caller is; an operator sees those of the whole house too."""
    moderators_only(caller, "see who is blocked")
    here = await desk.store.blocks(caller.channel.scope)
    return [*here, *(await desk.store.blocks(HOUSE) if caller.operator and caller.channel.scope != HOUSE else [])]


async def quota(
    desk: Desk,
    caller: Caller,
    *,
    person_per_minute: int | None = None,
    person_per_day: int | None = None,
    channel_per_minute: int | None = None,
) -> Mapping[str, int]:
    """Set how many messages are heard in this server or chat; 0 goes back to the house's setting. Returns what holds now.

    Moderators may narrow what the operator has set, never widen it.
    """
    _scope(caller, everywhere=False)
    given = dict(zip(QUOTAS, (person_per_minute, person_per_day, channel_per_minute), strict=True))
    settings = desk.router.stage.settings
    place = _place_of_scope(caller)
    changes: dict[str, int | None] = {}
    for name, value in given.items():
        if value is None:
            continue
        if not 0 <= value <= MOST_MESSAGES:
            raise CommandRefused(f"A quota is a number from 0 to {MOST_MESSAGES:,}.")
        house = getattr(settings, name)
        if house and value > house and not caller.operator:
            raise CommandRefused(f"{value} is more than the house allows ({house}); only whoever runs this Troupe can raise it.")
        changes[name] = value or None
    own = await desk.store.change_channel_settings(place, changes)
    await desk.router.gate.reload()
    return MappingProxyType({name: int(own.get(name, getattr(settings, name))) for name in QUOTAS})


async def channel(
    desk: Desk, caller: Caller, *, always_answer: bool | None = None, cascade: int | None = None, adults: bool | None = None
) -> Mapping[str, Any]:
    """Set how characters behave in this channel; returns what is set for it alone.

    Args:
        desk: the rooms.
        caller: who asks.
        always_answer: whether somebody answers even when nobody was called.
        cascade: how many replies characters give each other for one message of a person.
        adults: whether the place is for adults. On Discord the platform says so itself, and this is refused.
    """
    moderators_only(caller, "change how characters behave here")
    if cascade is not None and not 0 <= cascade <= MOST_CASCADE:
        raise CommandRefused(f"The cascade is a number from 0 to {MOST_CASCADE}.")
    if adults is not None and caller.channel.platform == "discord":
        raise CommandRefused("Discord says itself which channels are age-restricted; change it in the channel's settings.")
    given = {"always_answer": always_answer, "cascade": cascade, ADULTS: adults}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return MappingProxyType(await desk.store.channel_settings(caller.channel))
    return MappingProxyType(await desk.store.change_channel_settings(caller.channel, changes))


async def note_adults(desk: Desk, place: ChannelKey, adults: bool) -> None:
    """What the platform says of a channel, for connectors: age-restricted characters appear only where it is true."""
    before = (await desk.store.channel_settings(place)).get(ADULTS) is True
    if before != adults:
        await desk.store.change_channel_settings(place, {ADULTS: adults or None})


async def reports(desk: Desk, caller: Caller) -> list[Report]:
    """Replies that were reported where the caller is and that nobody has hidden or settled; an operator sees those of every place."""
    moderators_only(caller, "see what was reported")
    return [r for r in await desk.store.reports() if caller.operator or r.channel.scope == caller.channel.scope]


async def settle(desk: Desk, caller: Caller, number: int) -> str:
    """A reported reply stays as it is, and waits no longer. Raises ``CommandRefused``: there is no such report here."""
    if not any(report.reply_id == number for report in await reports(desk, caller)):
        raise CommandRefused(f"No report has the number {number} here.")
    await desk.store.signal(number, caller.person.id, "settle")
    return f"Report {number} is settled: the reply stays. No model learns from it."


def told_of(report: Report) -> str:
    """One report on a few lines, for those who look after a place."""
    people = "1 person" if report.people == 1 else f"{report.people} people"
    where = f"{report.reply_id} · {report.character} in {report.channel}, by {people}, {report.at:%Y-%m-%d %H:%M} UTC"
    return f"{where}, {report.build}, revision {report.revision}:\n“{report.text}”"


async def status(desk: Desk, caller: Caller) -> HouseStatus:
    moderators_only(caller, "ask how the company is doing")
    awake = await desk.company.awake(caller.channel)
    return HouseStatus(
        build=desk.engine.build,
        context_tokens=desk.engine.context_tokens,
        engine=_engine_numbers(desk),
        characters=len(desk.company.seen_in(caller.channel)),
        awake=tuple(c.name for c in awake),
        blocks=len(await desk.store.blocks(caller.channel.scope)),
        reports=len(await reports(desk, caller)),
        store=await desk.store.status() if caller.operator else None,
    )


def _engine_numbers(desk: Desk) -> Mapping[str, int]:
    """The embedded engine counts what it does; a server somewhere does not tell."""
    numbers = getattr(desk.engine, "status", None)
    wanted = ("live", "waiting", "sequences", "evaluated_tokens", "reused_tokens", "reply_tokens")
    return MappingProxyType({name: int(getattr(numbers, name)) for name in wanted if hasattr(numbers, name)})


def _scope(caller: Caller, *, everywhere: bool) -> str:
    scope = HOUSE if everywhere else caller.channel.scope
    if scope == HOUSE:
        operators_only(caller, "settle who is heard everywhere")
    else:
        moderators_only(caller, "settle who is heard here")
    return scope


def _place_of_scope(caller: Caller) -> ChannelKey:
    scope = caller.channel.scope
    if scope == HOUSE:
        raise CommandRefused("On one's own machine there are no quotas; they are for Discord and Telegram.")
    return ChannelKey.parse(scope)


def _subject(caller: Caller, kind: BlockKind, subject: str, scope: str) -> str:
    named = subject.strip()
    if kind not in get_args(BlockKind):
        raise CommandRefused("A user, a role or a channel can be blocked.")
    if not named or len(named) > REASON_CHARACTERS:
        raise CommandRefused(f"Name the {kind} by its id.")
    if kind == "role":
        return named
    if kind == "user":
        return named if ":" in named else f"{caller.channel.platform}:{named}"
    try:
        key = ChannelKey.parse(named)
    except ValueError as error:
        raise CommandRefused(str(error)) from error
    if scope != HOUSE and key.scope != scope:
        raise CommandRefused("There is no such channel here.")
    return str(key)
