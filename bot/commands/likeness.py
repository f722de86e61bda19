"""Characters made from a member's messages: a moderator asks, the member alone answers, and a withdrawal is the character's end.

The question is put to the member where nobody else reads it; the channel is only told that there is one. Whoever refused is not
asked again by anybody, and may change their mind by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.characters.card import Card, new_card
from bot.characters.lines import Exemplar
from bot.characters.names import tidy_name
from bot.commands.desk import Caller, Desk
from bot.commands.privacy import Wording, forget_character, leave_training, told_of
from bot.commands.registering import Registered, change_card, may_register, refused, register_card
from bot.errors import CommandRefused
from bot.memory.store import Likeness, Spoken

LEAST_LINES, MOST_LINES = 12, 200
LEAST_WORDS, MOST_WORDS = 2, 60  # of a message that shows how somebody speaks
NOBODY_ASKED = "Nobody has asked to make a character from your messages."
WORDING = Wording(
    "likeness-1",
    "A moderator would like to make a character called {name} from what you have said to characters here. It would speak in your "
    "manner, with examples from your messages in its prompt, and everybody here could talk to it. That happens only if you agree, "
    "and nobody can agree for you. When you withdraw, or have yourself forgotten, the character is removed, with everything that "
    "it has said.",
)
_SOMEBODY = re.compile(r"<[@#][!&]?\d+>|(?<!\w)@\w|https?://", re.IGNORECASE)  # others' names, and addresses, are no manner of speaking


@dataclass(frozen=True, slots=True)
class AskedFor:
    """Nothing was made: what has to happen first."""

    likeness: Likeness

    def __str__(self) -> str:
        if self.likeness.state == "refused":
            return f"{self.likeness.name} is not made: the person has not agreed to it."
        return f"The person was asked about {self.likeness.name}. If they agree, give this command again, and it is made."


def wording_of(likeness: Likeness) -> str:
    return WORDING.text.format(name=likeness.name)


def state_of(likeness: Likeness) -> str:
    """What the person has said to it, for themselves."""
    answered = {"asked": "You have not answered yet.", "agreed": "You have agreed.", "refused": "You have not agreed."}
    return f"{likeness.name}: {answered[likeness.state]}"


async def portray(
    desk: Desk, caller: Caller, person_id: str, name: str, *, person_name: str = "", members: Sequence[str] = ()
) -> AskedFor | Registered:
    """Make a character from a member's messages in this place, or ask the member first. Given again, it is made anew.

    Raises:
        CommandRefused: not a moderator, a name that cannot be used, or too little was said.
    """
    scope = may_register(caller)
    shown = tidy_name(name)
    with refused():
        card = new_card(shown, desk.company.limits, description=f"{shown} is one of the people here, and speaks the way the examples do.")
    if await desk.store.person(person_id) is None:
        raise CommandRefused("That person has said nothing here that was kept.")
    likeness = await desk.store.ask_likeness(person_id, scope, shown, by=caller.person.id)
    if likeness.state == "agreed":
        return await _made(desk, caller, likeness, card, members)
    if likeness.state == "asked":
        who = f"{person_name}, a" if person_name else "A"
        await caller.port.notice(
            f"{who} moderator would like to make a character from what you said here. /privacy has the question for you."
        )
    return AskedFor(likeness)


async def _made(desk: Desk, caller: Caller, likeness: Likeness, card: Card, members: Sequence[str]) -> Registered:
    lines = lines_of(await desk.store.spoken_by(likeness.person_id, likeness.scope, limit=5 * MOST_LINES))
    if len(lines) < LEAST_LINES:
        raise CommandRefused(f"There are {len(lines)} messages that show how this person speaks; {LEAST_LINES} are needed.")
    known = desk.company.by_id(f"{likeness.scope}/{likeness.slug}") if likeness.slug else None
    if known is not None:
        made = await change_card(desk, caller, known, known.card, lines=lines)
    else:
        made = await register_card(desk, caller, card, lines=lines, members=members)
    # The person may have withdrawn, or been forgotten, while it was made: then it must not stay.
    if not await desk.store.likeness_made(likeness.id, made.character.slug):
        await desk.store.remove_character(likeness.scope, made.character.slug)
        await forget_character(desk)
        raise CommandRefused(f"{likeness.name} is not made: the person has just withdrawn.")
    return made


def lines_of(spoken: Sequence[Spoken]) -> tuple[Exemplar, ...]:
    """The newest messages as a character's lines; the oldest of them first."""
    kept = [one for one in spoken if LEAST_WORDS <= len(one.text.split()) <= MOST_WORDS and not _SOMEBODY.search(one.text)]
    source = "somebody's messages, with their agreement"
    return tuple(
        Exemplar(f"said-{one.turn_id}", one.before_name, one.before or "…", one.text, None, None, source) for one in kept[-MOST_LINES:]
    )


async def questions(desk: Desk, caller: Caller) -> list[Likeness]:
    """What the caller was asked, whatever they answered: for their eyes alone."""
    return await desk.store.likenesses(person_id=caller.person.id)


async def answer(desk: Desk, caller: Caller, number: int, agreed: bool) -> str:
    """The caller's answer to one of their questions, which they may change at any time.

    Raises:
        CommandRefused: it is not theirs, or was not asked.
        StoreError: something of the character could not be removed; the sentence says what.
    """
    asked = await questions(desk, caller)
    likeness = next((one for one in asked if one.id == number), None)
    if likeness is None:
        raise CommandRefused("You were not asked that.")
    await desk.store.answer_likeness(number, agreed=agreed, channel=caller.channel, wording=WORDING.version)
    if agreed:
        return f"Thank you. {likeness.name} may be made from what you said here. You may withdraw at any time, with /privacy."
    told = "Nothing is made from your messages."
    if likeness.slug is not None:
        await forget_character(desk)
        await desk.store.withdraw_likeness_in_backups(likeness.scope, likeness.slug)
        told = f"{told} {likeness.name} is gone, with everything it said."
    if likeness.state == "agreed" and not any(one.state == "agreed" for one in asked if one.id != number):
        told += told_of(await leave_training(desk.store, desk.models, caller.person.id))
    return told
