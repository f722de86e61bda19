"""``/chat`` and the context menus of a message: commands about the conversation of a channel."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import discord
from discord import app_commands

from bot.commands import chat
from bot.commands.desk import moderators_only
from bot.commands.help import COMMANDS
from bot.commands.why import why
from bot.connectors.discord_answers import Interaction, asking, awake_names, caller_of, on_error
from bot.connectors.discord_border import NOBODY
from bot.connectors.discord_voice import send_aloud
from bot.errors import BotError

NO_TAKE = "No other take came of it."
NO_MORE = "There was nothing more to say."
INPUT_CHARACTERS = 4000
FORM_SECONDS = 3600.0  # that somebody may take to fill one in


class ChatCommands(app_commands.Group, name="chat", description="The conversation in this channel"):
    @app_commands.command(description=COMMANDS["chat regenerate"].words)
    async def regenerate(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.until_spoken(await chat.regenerate(asked.desk, asked.caller), NO_TAKE)

    @app_commands.command(name="continue", description=COMMANDS["chat continue"].words)
    async def go_on(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.until_spoken(await chat.go_on(asked.desk, asked.caller), NO_MORE)

    @app_commands.command(description=COMMANDS["chat stop"].words)
    async def stop(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await chat.stop(asked.desk, asked.caller))

    @app_commands.command(description=COMMANDS["chat undo"].words)
    async def undo(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await chat.undo(asked.desk, asked.caller))

    @app_commands.command(description=COMMANDS["chat scene"].words)
    @app_commands.describe(text="Where it plays; nothing takes the scene away")
    async def scene(self, interaction: Interaction, text: str = "") -> None:
        async with asking(interaction) as asked:
            await asked.answer(await chat.scene(asked.desk, asked.caller, text))

    @app_commands.command(description=COMMANDS["chat reset"].words)
    @app_commands.describe(character="Only this one; everybody here without it")
    @app_commands.autocomplete(character=awake_names)
    async def reset(self, interaction: Interaction, character: str | None = None) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await chat.reset(asked.desk, asked.caller, character))

    @app_commands.command(description=COMMANDS["chat take"].words)
    async def take(self, interaction: Interaction, which: Literal["earlier", "later"]) -> None:
        async with asking(interaction) as asked:
            await (chat.previous_take if which == "earlier" else chat.next_take)(asked.desk, asked.caller)
            await asked.done()

    @app_commands.command(description=COMMANDS["chat rate"].words)
    @app_commands.describe(stars="From 1 (bad) to 5 (good)")
    async def rate(self, interaction: Interaction, stars: app_commands.Range[int, 1, 5]) -> None:
        async with asking(interaction) as asked:
            await asked.answer(await chat.rate(asked.desk, asked.caller, stars))

    @app_commands.command(description=COMMANDS["chat hear"].words)
    async def hear(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await send_aloud(asked, None)
            await asked.done()

    @app_commands.command(description=COMMANDS["chat report"].words)
    @app_commands.describe(message="Its link (⋯, Copy Message Link); the last reply here without it")
    async def report(self, interaction: Interaction, message: str = "") -> None:
        async with asking(interaction) as asked:
            await asked.answer(await chat.report(asked.desk, asked.caller, _linked(interaction, message)))


class EditForm(discord.ui.Modal):
    """What a character has said, to be changed."""

    def __init__(self, message_id: str, text: str) -> None:
        super().__init__(title="Edit a reply", timeout=FORM_SECONDS)
        self._message_id = message_id
        self.text: discord.ui.TextInput[Any] = discord.ui.TextInput(
            label="What was said",
            custom_id="text",
            style=discord.TextStyle.paragraph,
            default=text[:INPUT_CHARACTERS],
            max_length=INPUT_CHARACTERS,
        )
        self.add_item(self.text)

    async def on_submit(self, interaction: Interaction) -> None:  # type: ignore[override]  # our client's kind of interaction
        async with asking(interaction) as asked:
            await asked.answer(await chat.edit(asked.desk, asked.caller, self._message_id, self.text.value))

    async def on_error(self, interaction: Interaction, error: Exception) -> None:  # type: ignore[override]
        await on_error(interaction, error)


async def again_menu(interaction: Interaction, message: discord.Message) -> None:
    async with asking(interaction) as asked:
        await asked.until_spoken(await chat.regenerate(asked.desk, asked.caller, known_id(interaction, message)), NO_TAKE)


async def continue_menu(interaction: Interaction, message: discord.Message) -> None:
    async with asking(interaction) as asked:
        await asked.until_spoken(await chat.go_on(asked.desk, asked.caller, known_id(interaction, message)), NO_MORE)


async def edit_menu(interaction: Interaction, message: discord.Message) -> None:
    """A form must be the first answer, so what could be refused is asked before it is shown."""
    try:
        caller = await caller_of(interaction)
        moderators_only(caller, "change what a character has said")
        turn = await interaction.client.desk.store.turn_by_message(caller.channel, known_id(interaction, message))
    except BotError as error:
        await interaction.response.send_message(str(error), ephemeral=True, allowed_mentions=NOBODY)
        return
    if turn is None or not turn.by_character:
        await interaction.response.send_message("There is no such reply of a character here.", ephemeral=True)
        return
    await interaction.response.send_modal(EditForm(known_id(interaction, message), turn.text))


async def hide_menu(interaction: Interaction, message: discord.Message) -> None:
    """Moderators hide it; everybody else, who cannot, tells them of it."""
    async with asking(interaction) as asked:
        if not asked.caller.moderates:
            await asked.answer(await chat.report(asked.desk, asked.caller, known_id(interaction, message)))
            return
        hidden = await chat.hide(asked.desk, asked.caller, known_id(interaction, message))
        shown = "" if hidden.by_character else " The message itself is its author's; moderators delete it in Discord."
        await asked.answer(f"Hidden: no character knows of it any more.{shown}")


async def why_menu(interaction: Interaction, message: discord.Message) -> None:
    async with asking(interaction) as asked:
        await asked.answer(str(await why(asked.desk, asked.caller, known_id(interaction, message))))


# Discord takes five for messages.
MENUS: dict[str, Callable[[Interaction, discord.Message], Coroutine[Any, Any, None]]] = {
    "Regenerate": again_menu,
    "Continue": continue_menu,
    "Edit": edit_menu,
    "Hide or report": hide_menu,
    "Why": why_menu,
}


def known_id(interaction: Interaction, message: discord.Message) -> str:
    """The id under which the house has a message."""
    return str(interaction.client.presence.original(message.id))


def _linked(interaction: Interaction, message: str) -> str | None:
    """The id under which the house has a message that somebody named by its link or number; None: they named none."""
    numbers = re.findall(r"\d{5,25}", message)
    return str(interaction.client.presence.original(int(numbers[-1]))) if numbers else None
