"""Commands about a talk as a whole: begin again from somewhere in it, and take it along as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from bot.commands.desk import MADE_UP, Caller, Desk, heard_only, moderators_only
from bot.errors import CommandRefused, ConnectorError
from bot.messages import Turn

PAGE_TURNS = 500
LONGEST = 20_000  # turns of one file

TranscriptFormat = Literal["markdown", "jsonl"]


async def rewind(desk: Desk, caller: Caller, message_id: str) -> list[Turn]:
    """Take back everything that was said after a message; returns what that was. Nothing is deleted, only left out.

    Raises:
        CommandRefused: no such message here, nothing behind it, or others spoke there and the caller is no moderator.
    """
    await heard_only(desk, caller)
    await desk.router.stop(caller.channel)
    kept = await desk.store.turn_by_message(caller.channel, message_id)
    turns = await _all_turns(desk, caller) if kept is not None else []
    at = next((i for i, turn in enumerate(turns) if kept is not None and turn.id == kept.id), None)
    if at is None:
        raise CommandRefused("There is no such message in this conversation.")
    later = turns[at + 1 :]
    if not later:
        raise CommandRefused("Nothing was said after that.")
    if any(not turn.by_character and turn.author_id != caller.person.id for turn in later):
        moderators_only(caller, "take back what others have said")
    await desk.store.hide_turns([turn.id for turn in later])
    await desk.router.forget_session(caller.channel)
    for turn in later:
        delivery = await desk.store.delivery_of(caller.channel, turn.message_id) if turn.by_character else None
        for sent_id in delivery.sent_ids if delivery else ():
            try:
                await caller.port.remove(sent_id)
            except ConnectorError:  # it may be gone already; what characters know is settled
                continue
    return later


async def transcript(desk: Desk, caller: Caller, form: TranscriptFormat) -> str:
    """The whole conversation of this channel as a text. Raises ``CommandRefused`` when there is none."""
    turns = await _all_turns(desk, caller)
    if not turns:
        raise CommandRefused("Nothing has been said here yet.")
    return _markdown(caller, turns) if form == "markdown" else _jsonl(turns)


def _markdown(caller: Caller, turns: Sequence[Turn]) -> str:
    lines = [f"# {caller.channel.path}", "", f"*{MADE_UP}*", ""]
    for turn in turns:
        lines += [f"**{_plain(turn.author_name)}** · {turn.sent_at:%Y-%m-%d %H:%M}", "", turn.text, ""]
    return "\n".join(lines)


def _jsonl(turns: Sequence[Turn]) -> str:
    rows = ({"name": t.author_name, "character": t.by_character, "text": t.text, "at": t.sent_at.isoformat()} for t in turns)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _plain(name: str) -> str:
    return "".join(f"\\{c}" if c in "\\*_`[]<>#" else c for c in name)


async def _all_turns(desk: Desk, caller: Caller) -> list[Turn]:
    turns: list[Turn] = []
    while len(turns) < LONGEST:
        page = await desk.store.history(caller.channel, None, limit=PAGE_TURNS, before=turns[0].id if turns else None)
        turns = [*page, *turns]
        if len(page) < PAGE_TURNS:
            break
    return turns
