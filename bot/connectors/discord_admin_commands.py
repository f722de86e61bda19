"""``/admin`` and ``/model``: for those who look after a server, or the machine.

Discord shows them to moderators alone; the commands ask again by themselves.
"""

from __future__ import annotations

import discord
from discord import app_commands

from bot.commands import admin, model
from bot.commands.help import COMMANDS
from bot.connectors.discord_answers import Interaction, asking, caller_of, choices
from bot.connectors.discord_border import key_of
from bot.errors import BotError, CommandRefused
from bot.memory.store import Block, BlockKind, Report

Room = discord.TextChannel | discord.VoiceChannel | discord.Thread


class AdminCommands(
    app_commands.Group,
    name="admin",
    description="For moderators: who is heard, and how much",
    default_permissions=discord.Permissions(manage_guild=True),
    guild_only=True,
):
    @app_commands.command(description=COMMANDS["admin block"].words)
    @app_commands.describe(
        person="Who is not to be heard",
        role="Everybody who has this role",
        channel="Everybody in this channel",
        minutes="For how long; for good without it",
        reason="For the other moderators",
        everywhere="In every server (operators)",
    )
    async def block(
        self,
        interaction: Interaction,
        person: discord.User | None = None,
        role: discord.Role | None = None,
        channel: Room | None = None,
        minutes: app_commands.Range[int, 1] | None = None,
        reason: str = "",
        everywhere: bool = False,
    ) -> None:
        async with asking(interaction) as asked:
            kind, subject = _subject(person, role, channel)
            made = await admin.block(asked.desk, asked.caller, kind, subject, minutes=minutes, reason=reason, everywhere=everywhere)
            await asked.answer(f"Not heard any more: {_line(made)}")

    @app_commands.command(description=COMMANDS["admin allow"].words)
    @app_commands.describe(
        person="Who is to be heard again", role="Or a role", channel="Or a channel", everywhere="In every server (operators)"
    )
    async def allow(
        self,
        interaction: Interaction,
        person: discord.User | None = None,
        role: discord.Role | None = None,
        channel: Room | None = None,
        everywhere: bool = False,
    ) -> None:
        async with asking(interaction) as asked:
            kind, subject = _subject(person, role, channel)
            await asked.answer(await admin.allow(asked.desk, asked.caller, kind, subject, everywhere=everywhere))

    @app_commands.command(description=COMMANDS["admin blocked"].words)
    async def blocked(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            blocks = await admin.blocked(asked.desk, asked.caller)
            await asked.answer("\n".join(map(_line, blocks)) or "Everybody is heard here.")

    @app_commands.command(description=COMMANDS["admin quota"].words)
    @app_commands.describe(
        person_per_minute="Messages of one person in a minute; 0: as the house has it",
        person_per_day="Messages of one person in a day",
        channel_per_minute="Messages of everybody in one channel in a minute",
    )
    async def quota(
        self,
        interaction: Interaction,
        person_per_minute: int | None = None,
        person_per_day: int | None = None,
        channel_per_minute: int | None = None,
    ) -> None:
        async with asking(interaction) as asked:
            now = await admin.quota(
                asked.desk,
                asked.caller,
                person_per_minute=person_per_minute,
                person_per_day=person_per_day,
                channel_per_minute=channel_per_minute,
            )
            await asked.answer("\n".join(f"{name.replace('_', ' ')}: {value or 'no limit'}" for name, value in now.items()))

    @app_commands.command(description=COMMANDS["admin channel"].words)
    @app_commands.describe(
        always_answer="Somebody answers even when nobody was called",
        cascade="Replies that characters give each other for one message of a person",
    )
    async def channel(self, interaction: Interaction, always_answer: bool | None = None, cascade: int | None = None) -> None:
        async with asking(interaction) as asked:
            now = await admin.channel(asked.desk, asked.caller, always_answer=always_answer, cascade=cascade)
            lines = [f"{name.replace('_', ' ')}: {value}" for name, value in now.items()]
            await asked.answer("\n".join(lines) or "This channel is as the house is.")

    @app_commands.command(description=COMMANDS["admin reports"].words)
    async def reports(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            found = await admin.reports(asked.desk, asked.caller)
            lines = [f"{admin.told_of(report)}\n{_link(report)}".rstrip() for report in found]
            await asked.answer("\n\n".join(lines) or "Nothing was reported that nobody has looked at.")

    @app_commands.command(description=COMMANDS["admin settle"].words)
    @app_commands.describe(number="Which report; the list has the numbers")
    async def settle(self, interaction: Interaction, number: int) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await admin.settle(asked.desk, asked.caller, number))

    @app_commands.command(description=COMMANDS["admin status"].words)
    async def status(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer(str(await admin.status(asked.desk, asked.caller)))


class ModelCommands(
    app_commands.Group,
    name="model",
    description="For whoever runs this Troupe: the model that speaks for everybody",
    default_permissions=discord.Permissions(manage_guild=True),
):
    @app_commands.command(description=COMMANDS["model status"].words)
    async def status(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer(str(await model.status(asked.desk, asked.caller)))

    @app_commands.command(description=COMMANDS["model use"].words)
    @app_commands.describe(name="Which one")
    async def use(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await model.use(asked.desk, asked.caller, name))

    @app_commands.command(name="try", description=COMMANDS["model try"].words)
    @app_commands.describe(name="Which one")
    async def try_out(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await model.try_out(asked.desk, asked.caller, name))

    @app_commands.command(description=COMMANDS["model rollback"].words)
    async def rollback(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await model.rollback(asked.desk, asked.caller))

    @use.autocomplete("name")
    @try_out.autocomplete("name")
    async def names(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        try:
            there = await model.status(interaction.client.desk, await caller_of(interaction))
        except BotError:  # nothing to offer to somebody who may not ask
            return []
        return choices([(name, name) for name in there.known if typed.casefold() in name.casefold()])


def _subject(person: discord.User | None, role: discord.Role | None, channel: Room | None) -> tuple[BlockKind, str]:
    given = [(kind, it) for kind, it in (("user", person), ("role", role), ("channel", channel)) if it is not None]
    if len(given) != 1:
        raise CommandRefused("Name one: a person, a role, or a channel.")
    if person is not None:
        return "user", f"discord:{person.id}"
    if role is not None:
        return "role", str(role.id)
    return "channel", str(key_of(channel))


def _link(report: Report) -> str:
    """Where the reply stands, for a click."""
    if report.channel.platform != "discord":
        return ""
    server, *rooms = report.channel.path.split("/")
    return f"https://discord.com/channels/{server}/{rooms[-1]}/{report.message_id}"


def _line(block: Block) -> str:
    until = f"until <t:{int(block.until.timestamp())}:f>" if block.until is not None else "for good"
    number = block.subject.removeprefix("discord:").rsplit("/", 1)[-1]
    who = {"user": f"<@{number}>", "role": f"<@&{number}>", "channel": f"<#{number}>"}[block.kind]
    return f"{who} {until}{f' ({block.reason})' if block.reason else ''}"
