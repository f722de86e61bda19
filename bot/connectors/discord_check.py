"""What ``troupe check`` says of Discord, and ``troupe discord sync``: REST alone, so both work beside a running server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import discord
from discord import app_commands

from bot.config import DiscordSettings
from bot.connectors.discord_border import refusals
from bot.connectors.discord_chat import point_library
from bot.connectors.discord_client import DiscordClient
from bot.connectors.discord_commands import add_commands_to
from bot.errors import ConfigError

# Exactly what is used: webhooks for faces, embeds for the line that says whom a reply answers, files for exports.
NEEDED = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    manage_webhooks=True,
    read_message_history=True,
    embed_links=True,
    attach_files=True,
)
TALKED_IN = (discord.TextChannel, discord.VoiceChannel, discord.ForumChannel)


@dataclass(frozen=True, slots=True)
class Lacking:
    """A channel in which something will not work."""

    server: str
    channel: str
    permissions: tuple[str, ...]  # as Discord's settings name them

    def __str__(self) -> str:
        return f"{self.server} #{self.channel}: grant {', '.join(self.permissions)}"


@dataclass(frozen=True, slots=True)
class DiscordFacts:
    bot: str
    message_content: bool  # whether the portal allows the intent
    servers: tuple[str, ...]
    lacking: tuple[Lacking, ...]
    commands_registered: int
    commands_offered: int
    invite: str

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps Troupe from working, each as a sentence that says what to do."""
        found: list[str] = []
        if not self.message_content:
            found.append("Switch on Message Content Intent for this bot (developer portal, page Bot); without it characters hear nothing.")
        if not self.servers:
            found.append(f"The bot is in no server yet; invite it with {self.invite}")
        if self.commands_registered < self.commands_offered:
            found.append("Commands are not registered; run `troupe discord sync`, or start Troupe once.")
        return (*found, *map(str, self.lacking))


async def discord_facts(settings: DiscordSettings, token: str, *, voiced: bool) -> DiscordFacts:
    """Ask Discord who we are and what we may do. ``voiced``: somebody speaks aloud here, and has a command.

    Raises:
        ConfigError: the token is not accepted. ``ConnectorError``: Discord cannot be reached.
    """
    async with _logged_in(settings, token) as client:
        application = await client.application_info()
        servers: list[str] = []
        lacking: list[Lacking] = []
        async for listed in client.fetch_guilds(limit=None):
            if settings.servers and listed.id not in settings.servers:
                continue
            servers.append(listed.name)
            lacking += await _lacking(client, listed.id)
        tree = _tree(client, voiced=voiced)
        registered = {(command.type, command.name) for command in await tree.fetch_commands()}
        menus = {(c.type, c.name) for c in tree.get_commands() if isinstance(c, app_commands.ContextMenu)}
        offered = menus | {(discord.AppCommandType.chat_input, c.name) for c in tree.get_commands(type=discord.AppCommandType.chat_input)}
        flags = application.flags
        return DiscordFacts(
            bot=str(client.user),
            message_content=flags.gateway_message_content or flags.gateway_message_content_limited,
            servers=tuple(servers),
            lacking=tuple(lacking),
            commands_registered=len(registered & offered),
            commands_offered=len(offered),
            invite=invite_address(application.id),
        )


async def sync_commands(settings: DiscordSettings, token: str, *, voiced: bool) -> int:
    """Register every command with Discord; returns how many there are. Raises like ``discord_facts``."""
    async with _logged_in(settings, token) as client:
        return len(await _tree(client, voiced=voiced).sync())


def invite_address(application_id: int) -> str:
    """Where a server's owner adds the bot, with the permissions that it uses and no other."""
    return discord.utils.oauth_url(application_id, permissions=NEEDED, scopes=("bot", "applications.commands"))


async def _lacking(client: discord.Client, guild_id: int) -> list[Lacking]:
    assert client.user is not None, "logged in"
    guild = await client.fetch_guild(guild_id, with_counts=False)
    me = await guild.fetch_member(client.user.id)
    found: list[Lacking] = []
    for channel in await guild.fetch_channels():
        if not isinstance(channel, TALKED_IN):
            continue
        has = channel.permissions_for(me)
        missing = tuple(name.replace("_", " ").title() for name, needed in NEEDED if needed and not getattr(has, name))
        if missing and has.view_channel:  # a channel that we may not see is not one we were asked into
            found.append(Lacking(guild.name, channel.name, missing))
    return found


def _tree(client: discord.Client, *, voiced: bool) -> app_commands.CommandTree[DiscordClient]:
    # Only registered from here, never called: what the commands ask of the client does not matter.
    tree = cast("app_commands.CommandTree[DiscordClient]", app_commands.CommandTree(client))
    add_commands_to(tree, voiced=voiced)
    return tree


@asynccontextmanager
async def _logged_in(settings: DiscordSettings, token: str) -> AsyncIterator[discord.Client]:
    point_library(settings)
    client = discord.Client(intents=discord.Intents.none())
    async with client:
        with refusals("Discord"):
            try:
                await client.login(token)
            except discord.LoginFailure as error:
                raise ConfigError(f"Discord does not accept the token; set {settings.token_env} to the bot's token") from error
            yield client
