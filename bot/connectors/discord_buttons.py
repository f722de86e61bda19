"""What stands under a reply. The buttons say by their ids what they do, so those of an earlier process work as well."""

from __future__ import annotations

import re
from typing import Any

import discord

from bot.commands import chat
from bot.connectors.discord_answers import asking
from bot.connectors.discord_chat_commands import NO_TAKE, known_id
from bot.connectors.discord_voice import send_aloud

EARLIER, AGAIN, LATER, GOOD, BAD, HEAR = "earlier", "again", "later", "good", "bad", "hear"
SIGNS = {EARLIER: "◀️", AGAIN: "🔄", LATER: "▶️", GOOD: "👍", BAD: "👎", HEAR: "🔊"}


class ReplyButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"troupe:(?P<what>[a-z]+)"):
    def __init__(self, what: str) -> None:
        super().__init__(discord.ui.Button(emoji=SIGNS.get(what), style=discord.ButtonStyle.secondary, custom_id=f"troupe:{what}"))
        self._what = what

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str]) -> ReplyButton:
        return cls(match["what"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        if interaction.message is None:
            return
        message_id = known_id(interaction, interaction.message)
        async with asking(interaction) as asked:
            match self._what:
                case "again":
                    await asked.until_spoken(await chat.regenerate(asked.desk, asked.caller, message_id), NO_TAKE)
                case "earlier":
                    await chat.previous_take(asked.desk, asked.caller, message_id)
                case "later":
                    await chat.next_take(asked.desk, asked.caller, message_id)
                case "good":
                    await asked.answer(await chat.rate(asked.desk, asked.caller, "up", message_id))
                case "bad":
                    await asked.answer(await chat.rate(asked.desk, asked.caller, "down", message_id))
                case "hear":
                    await send_aloud(asked, message_id)


def reply_buttons(*, voiced: bool) -> discord.ui.View:
    """``voiced``: somebody speaks aloud here. Discord takes five buttons in a row; the sixth begins another."""
    view = discord.ui.View(timeout=None)
    for what in SIGNS:
        if voiced or what != HEAR:
            view.add_item(ReplyButton(what))
    return view
