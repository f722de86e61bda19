"""The commands, context menus and buttons that Discord shows. What they do stands in ``bot.commands``."""

from __future__ import annotations

from discord import app_commands

from bot.commands.help import COMMANDS, help_text
from bot.commands.voice import speaks
from bot.commands.why import why
from bot.connectors.discord_admin_commands import AdminCommands, ModelCommands
from bot.connectors.discord_answers import Interaction, asking, on_error
from bot.connectors.discord_buttons import ReplyButton
from bot.connectors.discord_character_commands import CharacterCommands, LoreCommands
from bot.connectors.discord_chat_commands import MENUS, ChatCommands
from bot.connectors.discord_client import DiscordClient
from bot.connectors.discord_people_commands import LikenessButton, MemoryCommands, PrivacyButton, PrivacyCommands


def add_commands(client: DiscordClient) -> None:
    """Everything that a connected client answers."""
    add_commands_to(client.tree, voiced=speaks(client.desk))
    client.add_dynamic_items(ReplyButton, PrivacyButton, LikenessButton)


def add_commands_to(tree: app_commands.CommandTree[DiscordClient], *, voiced: bool) -> None:
    """Everything that ``troupe discord sync`` registers. ``voiced``: somebody speaks aloud here."""
    chat = ChatCommands()
    if not voiced:
        chat.remove_command("hear")
    tree.add_command(chat)
    for group in (CharacterCommands, MemoryCommands, PrivacyCommands, LoreCommands, AdminCommands, ModelCommands):
        tree.add_command(group())
    tree.add_command(why_command)
    tree.add_command(help_command)
    for name, callback in MENUS.items():
        tree.add_command(app_commands.ContextMenu(name=name, callback=callback))
    tree.error(on_error)


@app_commands.command(name="why", description=COMMANDS["why"].words)
async def why_command(interaction: Interaction) -> None:
    async with asking(interaction) as asked:
        await asked.answer(str(await why(asked.desk, asked.caller)))


@app_commands.command(name="help", description=COMMANDS["help"].words)
@app_commands.describe(command="Only what begins with this word")
async def help_command(interaction: Interaction, command: str = "") -> None:
    async with asking(interaction) as asked:
        await asked.answer(help_text(asked.desk, asked.caller, command))
