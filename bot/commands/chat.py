"""Commands about a conversation: start anew, say it again, go on, stop, take back, change, judge."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from bot.commands.desk import Caller, Desk, heard_only, moderators_only, within_limits
from bot.errors import CommandRefused, ConnectorError
from bot.memory.store import Delivery
from bot.messages import Face, Reply, Turn
from bot.sessions.showing import Showing

log = logging.getLogger(__name__)

SCENE_CHARACTERS = 400
RATINGS = {"down": 1, "up": 5}  # thumbs and stars are one scale, from 1 (bad) to 5 (good)


async def reset(desk: Desk, caller: Caller, name: str | None = None) -> str:
    """The characters here (or one of them) begin anew: nothing said before is read again. Nothing is deleted."""
    await heard_only(desk, caller)
    character = desk.company.find(caller.channel, name) if name else None
    await desk.router.stop(caller.channel)
    await desk.store.reset(caller.channel, character.id if character else None)
    await desk.router.forget_session(caller.channel)
    return f"{character.name if character else 'Everybody here'} starts afresh from now on."


async def regenerate(desk: Desk, caller: Caller, message_id: str | None = None) -> asyncio.Future[list[Reply]]:
    """Another take of a reply, shown in its place. The takes before are kept. Raises ``CommandRefused``."""
    await within_limits(desk, caller)
    return await desk.router.again(caller.channel, caller.port, message_id=message_id)


async def go_on(desk: Desk, caller: Caller, message_id: str | None = None) -> asyncio.Future[list[Reply]]:
    """The character that spoke last (or that message's) says more. Raises ``CommandRefused``."""
    await within_limits(desk, caller)
    return await desk.router.again(caller.channel, caller.port, message_id=message_id, go_on=True)


async def stop(desk: Desk, caller: Caller) -> str:
    await heard_only(desk, caller)
    stopped = await desk.router.stop(caller.channel)
    return "Stopped." if stopped else "Nobody is speaking here."


async def undo(desk: Desk, caller: Caller) -> str:
    """Take back the last thing a person said here, with every reply to it: for people and characters alike.

    Raises:
        CommandRefused: nothing was said, or it was somebody else's and the caller is no moderator.
    """
    await heard_only(desk, caller)
    await desk.router.stop(caller.channel)
    cause = await _last_exchange(desk, caller)
    if cause.author_id != caller.person.id:
        moderators_only(caller, "take back what somebody else began")
    replies = [await _as_shown(desk, delivery) for delivery in await desk.store.deliveries(cause.id)]
    await desk.store.hide_turns([cause.id, *(d.turn_id for d in replies if d.turn_id is not None)])
    await desk.router.forget_session(caller.channel)
    for delivery in replies:
        await _take_from_screen(caller, delivery)
    return "Taken back: the characters know nothing of it any more."


async def scene(desk: Desk, caller: Caller, text: str) -> str:
    """Say where the conversation plays; an empty text takes the scene away."""
    await heard_only(desk, caller)
    place = " ".join(text.split())
    if len(place) > SCENE_CHARACTERS:
        raise CommandRefused(f"The scene has {len(place)} characters; the limit is {SCENE_CHARACTERS}.")
    await desk.store.set_place(caller.channel, place)
    return f"The scene: {place}" if place else "The scene is nowhere in particular again."


async def previous_take(desk: Desk, caller: Caller, message_id: str | None = None) -> Delivery:
    """Go back to the take before, in the channel and in what the characters know. Raises ``CommandRefused``."""
    return await _step(desk, caller, message_id, -1, "That is the first take.")


async def next_take(desk: Desk, caller: Caller, message_id: str | None = None) -> Delivery:
    """Go on to the take after. Raises ``CommandRefused``."""
    return await _step(desk, caller, message_id, 1, "That is the newest take; regenerate makes another.")


async def edit(desk: Desk, caller: Caller, message_id: str, text: str) -> str:
    """Let a character have said something else. What it had said stays with the reply, for those who judge replies.

    Raises:
        CommandRefused: not a moderator, no such message here, or not a character's.
    """
    moderators_only(caller, "change what a character has said")
    said = text.strip()
    if not said:
        raise CommandRefused("There is nothing left to say; hide the message instead.")
    limit = desk.router.stage.settings.message_characters
    if len(said) > limit:
        raise CommandRefused(f"The text has {len(said):,} characters; the limit is {limit:,}.")
    delivery = await _reply(desk, caller, message_id)
    _nobody_speaks(desk, caller)
    if not await desk.store.edit_turn(caller.channel, delivery.sent_ids[0], said):
        raise CommandRefused("That reply is not part of the conversation any more.")
    await desk.store.signal(delivery.id, caller.person.id, "edit")
    await _show(desk, caller, delivery, said)
    return f"{delivery.character_name} has said that now."


async def hide(desk: Desk, caller: Caller, message_id: str) -> Turn:
    """Take a message out of what characters know, and a character's out of the channel too. Moderators only."""
    moderators_only(caller, "hide messages")
    turn = await desk.store.turn_by_message(caller.channel, message_id)
    if turn is None:
        raise CommandRefused("There is no such message in this conversation.")
    await desk.store.hide_turns([turn.id])
    await desk.router.forget_session(caller.channel)
    delivery = await desk.store.delivery_of(caller.channel, message_id) if turn.by_character else None
    if delivery is not None:
        await desk.store.signal(delivery.id, caller.person.id, "hide")
        await _take_from_screen(caller, delivery)
    return turn


async def report(desk: Desk, caller: Caller, message_id: str | None = None) -> str:
    """Tell the moderators that a reply should not have been made. It stays until they hide it, and nobody learns from it."""
    await heard_only(desk, caller)
    delivery = await _reply(desk, caller, message_id)
    if any(s.kind == "report" and s.person_id == caller.person.id for s in await desk.store.signals(delivery.id)):
        return "You have reported that already."
    await desk.store.signal(delivery.id, caller.person.id, "report")
    log.warning("a reply was reported channel=%s reply=%d", caller.channel, delivery.id)
    return "Thank you. The moderators can see it, and no model learns from it."


async def rate(desk: Desk, caller: Caller, value: Literal["up", "down"] | int | None, message_id: str | None = None) -> str:
    """Say how good a reply was: thumbs, or one to five stars; None takes it back. Kept with the very take that is shown."""
    await heard_only(desk, caller)
    stars = RATINGS.get(value, 0) if isinstance(value, str) else value
    if stars is not None and not 1 <= stars <= 5:
        raise CommandRefused("A rating is up, down, or a number from 1 to 5.")
    delivery = await _reply(desk, caller, message_id)
    await desk.store.rate(delivery.id, caller.person.id, stars)
    return "Thank you." if stars is not None else "Your rating is taken back."


# ------------------------------------------------------------------ pieces


async def _last_exchange(desk: Desk, caller: Caller) -> Turn:
    history = await desk.store.history(caller.channel, None, limit=100)
    last = next((t for t in reversed(history) if not t.by_character), None)
    if last is None:
        raise CommandRefused("Nothing has been said here that could be taken back.")
    return last


async def _reply(desk: Desk, caller: Caller, message_id: str | None) -> Delivery:
    """A finished reply in the caller's own channel; ids of other places are not known here."""
    store = desk.store
    delivery = await (store.delivery_of(caller.channel, message_id) if message_id else store.last_delivery(caller.channel))
    if delivery is None or delivery.turn_id is None or not delivery.sent_ids:
        raise CommandRefused("There is no such reply of a character here.")
    return delivery


async def _as_shown(desk: Desk, delivery: Delivery) -> Delivery:
    return next((take for take in await desk.store.takes(delivery) if take.chosen), delivery)


async def _step(desk: Desk, caller: Caller, message_id: str | None, step: int, at_the_end: str) -> Delivery:
    await heard_only(desk, caller)
    shown = await _reply(desk, caller, message_id)
    _nobody_speaks(desk, caller)
    takes = [d for d in await desk.store.takes(shown) if d.state in ("final", "recorded") and d.text]
    at = next((i for i, d in enumerate(takes) if d.chosen), len(takes) - 1)
    if not 0 <= at + step < len(takes):
        raise CommandRefused(at_the_end)
    wanted = takes[at + step]
    await _show(desk, caller, shown, wanted.text)
    await desk.store.choose(wanted)
    await desk.store.signal(wanted.id, caller.person.id, "choose")
    return wanted


async def _show(desk: Desk, caller: Caller, delivery: Delivery, text: str) -> None:
    """Bring a text into the messages that show a reply, with more of them or fewer as it needs."""

    async def noted(_sent_id: str) -> None:
        return None  # written down below, all at once

    character = desk.company.by_id(delivery.character_id)
    face = character.face if character else Face(delivery.character_id, delivery.character_id.rpartition("/")[2], delivery.character_name)
    showing = Showing(caller.port, face, noted, sent=delivery.sent_ids)
    await showing.settle(text)
    if showing.sent != delivery.sent_ids:
        await desk.store.shown_in(delivery, showing.sent)


async def _take_from_screen(caller: Caller, delivery: Delivery) -> None:
    for sent_id in delivery.sent_ids:
        try:
            await caller.port.remove(sent_id)
        except ConnectorError as error:  # it may be gone already; what characters know is settled
            log.info("a message could not be taken back channel=%s error=%s", caller.channel, error)


def _nobody_speaks(desk: Desk, caller: Caller) -> None:
    if desk.router.speaking(caller.channel):
        raise CommandRefused("Somebody is speaking here just now; wait for the end, or stop it.")
