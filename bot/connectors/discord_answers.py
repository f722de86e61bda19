"""Between an interaction of Discord and a command of the house: who asks, with which rights, and how the answer gets back.

Every answer is for the one who asked (ephemeral). It is promised within Discord's three seconds and given when it is there.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import discord
from discord import app_commands

from bot.commands.desk import Caller, Desk
from bot.connectors.discord_border import NOBODY, UNKNOWN_INTERACTION, UNREACHABLE, key_of, person_of, refusals
from bot.connectors.discord_client import DiscordClient
from bot.errors import BotError, CommandRefused
from bot.messages import Limits, Reply
from bot.sessions.casting import fold
from bot.sessions.split_reply import split_reply

log = logging.getLogger(__name__)

Interaction = discord.Interaction[DiscordClient]

ANSWER = Limits(length=2000)
MOST_PIECES = 5  # of one answer; what is longer comes as a file
CHOICES = 25  # that autocomplete may offer
REPLY_SECONDS = 600.0  # an interaction can be answered for fifteen minutes
WENT_WRONG = "Something went wrong with that; it is in the log of whoever runs this Troupe."


@dataclass(frozen=True, slots=True)
class Asked:
    """One interaction that is being answered."""

    interaction: Interaction
    desk: Desk
    caller: Caller

    async def answer(
        self,
        text: str,
        *,
        embed: discord.Embed | None = None,
        file: tuple[str, bytes] | None = None,
        view: discord.ui.View | None = None,
    ) -> None:
        """Say it to whoever asked, in as many messages as it takes; a very long text as a file."""
        pieces = split_reply(text, ANSWER)
        if len(pieces) > MOST_PIECES:
            file = file or ("answer.txt", text.encode())
            pieces = pieces[:1]
        attached = discord.utils.MISSING if file is None else discord.File(io.BytesIO(file[1]), file[0])
        first, *rest = pieces or ["Done."]
        await self.interaction.followup.send(
            first,
            ephemeral=True,
            allowed_mentions=NOBODY,
            embed=embed or discord.utils.MISSING,
            file=attached,
            view=view or discord.utils.MISSING,
        )
        for piece in rest:
            await self.interaction.followup.send(piece, ephemeral=True, allowed_mentions=NOBODY)

    async def until_spoken(self, turn: asyncio.Future[list[Reply]], said: str) -> None:
        """Wait for a reply that appears in the channel by itself; ``said`` when nothing came of it."""
        async with asyncio.timeout(REPLY_SECONDS):
            replies = await asyncio.shield(turn)
        if replies:
            await self.done()
        else:
            await self.answer(said)

    async def replace(self, text: str) -> None:
        """Put an answer in the place of the message whose button was pressed."""
        await self.interaction.edit_original_response(content=text[: ANSWER.length], view=None, allowed_mentions=NOBODY)

    async def done(self) -> None:
        """There is nothing to say: take the promise of an answer away."""
        if self.interaction.type is not discord.InteractionType.component:
            await self.interaction.delete_original_response()


@asynccontextmanager
async def asking(interaction: Interaction) -> AsyncGenerator[Asked]:
    """Promise an answer, find out who asks, and tell them in a sentence what was refused."""
    if not interaction.response.is_done():
        if interaction.type is discord.InteractionType.component:
            await interaction.response.defer()
        else:
            await interaction.response.defer(ephemeral=True, thinking=True)
    desk = interaction.client.desk
    try:
        asked = Asked(interaction, desk, await caller_of(interaction))
        with refusals("command"):
            yield asked
    except BotError as error:
        if not isinstance(error, CommandRefused):
            log.info("command failed command=%s error=%s: %s", _name(interaction), type(error).__name__, error)
        await interaction.followup.send(str(error)[: ANSWER.length], ephemeral=True, allowed_mentions=NOBODY)


async def caller_of(interaction: Interaction) -> Caller:
    """Who asks, with the rights that Discord gives them at this moment.

    Raises:
        CommandRefused: not here.
    """
    client = interaction.client
    key = key_of(interaction.channel)
    if key is None or not client.hearing.takes_part(interaction.guild_id):
        raise CommandRefused("Troupe does not take part here.")
    user = interaction.user
    roles = tuple(str(role.id) for role in user.roles) if isinstance(user, discord.Member) else ()
    person = person_of(user)
    await client.hearing.keep_marks(interaction.channel)
    # A direct chat has no moderator: what one sets there would hold for everybody's.
    in_server = interaction.guild_id is not None
    moderator = in_server and (interaction.permissions.manage_guild or bool(client.moderator_roles.intersection(roles)))
    return Caller(person, key, client.port(key), moderator=moderator, operator=user.id in client.operators, roles=roles)


async def character_names(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """The characters that are seen here and match what was typed so far."""
    return await _names(interaction, typed, awake=False)


async def awake_names(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """The same for those who are in the channel."""
    return await _names(interaction, typed, awake=True)


async def _names(interaction: Interaction, typed: str, *, awake: bool) -> list[app_commands.Choice[str]]:
    key = key_of(interaction.channel)
    if key is None or not interaction.client.hearing.takes_part(interaction.guild_id):
        return []
    company = interaction.client.desk.company
    characters = await company.awake(key) if awake else company.seen_in(key)
    wanted = fold(typed)
    found = [c for c in characters if wanted in fold(c.name) or wanted in c.slug]
    found.sort(key=lambda c: (not fold(c.name).startswith(wanted), fold(c.name)))
    return choices([(c.name, c.slug) for c in found])


def choices(options: Sequence[tuple[str, str]]) -> list[app_commands.Choice[str]]:
    """Pairs of what is shown and what it stands for, as many as Discord takes."""
    return [app_commands.Choice(name=shown[:100], value=value[:100]) for shown, value in options[:CHOICES]]


async def attached(desk: Desk, attachment: discord.Attachment, limit: int) -> bytes:
    """A file that came with a command. Raises ``CommandRefused`` for one that is too large, before it is fetched."""
    if attachment.size > limit:
        raise CommandRefused(f"{attachment.filename} has {attachment.size:,} bytes; the limit is {limit:,}.")
    return await attachment.read()


async def on_error(interaction: Interaction, error: Exception) -> None:
    """The last border of commands: what was not foreseen, or came too late to be answered."""
    cause = error.__cause__ or error
    if isinstance(cause, discord.NotFound) and cause.code == UNKNOWN_INTERACTION:
        log.warning("a command could not be answered in time command=%s", _name(interaction))
        return
    if isinstance(cause, discord.DiscordException | UNREACHABLE[0] | OSError):
        log.warning("command failed, Discord refused command=%s error=%s: %s", _name(interaction), type(cause).__name__, cause)
    else:
        log.error("command crashed command=%s", _name(interaction), exc_info=cause)
    try:
        if interaction.response.is_done():
            await interaction.followup.send(WENT_WRONG, ephemeral=True)
        else:
            await interaction.response.send_message(WENT_WRONG, ephemeral=True)
    except (discord.DiscordException, *UNREACHABLE) as second:
        log.warning("nor could that be said command=%s error=%s", _name(interaction), type(second).__name__)


def _name(interaction: Interaction) -> str:
    return interaction.command.qualified_name if interaction.command is not None else str(interaction.type.name)
