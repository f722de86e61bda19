"""Commands about a conversation: start anew, say it again, go on, stop."""

from __future__ import annotations

import asyncio

from bot.commands.desk import Caller, Desk
from bot.messages import Reply


async def reset(desk: Desk, caller: Caller, name: str | None = None) -> str:
    """The characters here (or one of them) begin anew: nothing said before is read again. Nothing is deleted."""
    character = desk.company.find(caller.channel, name) if name else None
    await desk.router.stop(caller.channel)
    await desk.store.reset(caller.channel, character.id if character else None)
    await desk.router.forget_session(caller.channel)
    return f"{character.name if character else 'Everybody here'} starts afresh from now on."


async def regenerate(desk: Desk, caller: Caller, message_id: str | None = None) -> asyncio.Future[list[Reply]]:
    """Another take of a reply, shown in its place. The takes before are kept. Raises ``CommandRefused``."""
    return await desk.router.again(caller.channel, caller.port, message_id=message_id)


async def go_on(desk: Desk, caller: Caller, message_id: str | None = None) -> asyncio.Future[list[Reply]]:
    """The character that spoke last (or that message's) says more. Raises ``CommandRefused``."""
    return await desk.router.again(caller.channel, caller.port, message_id=message_id, go_on=True)


async def stop(desk: Desk, caller: Caller) -> str:
    stopped = await desk.router.stop(caller.channel)
    return "Stopped." if stopped else "Nobody is speaking here."
