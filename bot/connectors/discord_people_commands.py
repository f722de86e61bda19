"""``/memory`` and ``/privacy``: what is known of a person, for that person. Every answer is theirs alone to see."""

from __future__ import annotations

import re
from typing import Any, Literal

import discord
from discord import app_commands

from bot.commands import likeness, memory, privacy
from bot.commands.help import COMMANDS
from bot.connectors.discord_answers import Interaction, asking, caller_of, character_names, choices
from bot.errors import BotError
from bot.memory.store import Fact

KINDS: dict[str, Literal["remember", "train"]] = {"remember": "remember", "train": "train"}


class MemoryCommands(app_commands.Group, name="memory", description="What characters remember about you"):
    @app_commands.command(name="list", description=COMMANDS["memory list"].words)
    @app_commands.describe(character="Only what this one remembers", everywhere="Also what was told elsewhere")
    @app_commands.autocomplete(character=character_names)
    async def show(self, interaction: Interaction, character: str | None = None, everywhere: bool = False) -> None:
        async with asking(interaction) as asked:
            facts = await memory.facts(asked.desk, asked.caller, character, everywhere=everywhere)
            await asked.answer("\n".join(map(_line, facts)) or "Nobody here remembers anything particular about you.")

    @app_commands.command(description=COMMANDS["memory add"].words)
    @app_commands.describe(
        character="Who is to remember it",
        text="One or two sentences",
        pinned="Always in mind, not only when it comes up",
        everywhere="Wherever this character meets you, not only here",
        of_place="About this channel, not about you (moderators)",
    )
    @app_commands.autocomplete(character=character_names)
    async def add(
        self,
        interaction: Interaction,
        character: str,
        text: str,
        pinned: bool = False,
        everywhere: bool = False,
        of_place: bool = False,
    ) -> None:
        async with asking(interaction) as asked:
            fact = await memory.add(asked.desk, asked.caller, character, text, pinned=pinned, everywhere=everywhere, of_place=of_place)
            await asked.answer(f"Remembered as number `{fact.id}`.")

    @app_commands.command(description=COMMANDS["memory edit"].words)
    @app_commands.describe(number="Which one; the list has the numbers", text="What it says from now on")
    async def edit(self, interaction: Interaction, number: int, text: str) -> None:
        async with asking(interaction) as asked:
            await asked.answer(_line(await memory.edit(asked.desk, asked.caller, number, text)))

    @app_commands.command(description=COMMANDS["memory pin"].words)
    @app_commands.describe(number="Which one; the list has the numbers", pinned="No: only when it comes up")
    async def pin(self, interaction: Interaction, number: int, pinned: bool = True) -> None:
        async with asking(interaction) as asked:
            await asked.answer(_line(await memory.pin(asked.desk, asked.caller, number, pinned=pinned)))

    @app_commands.command(description=COMMANDS["memory remove"].words)
    @app_commands.describe(number="Which one; the list has the numbers")
    async def remove(self, interaction: Interaction, number: int) -> None:
        async with asking(interaction) as asked:
            gone = await memory.remove(asked.desk, asked.caller, number)
            await asked.answer(f"Memory `{gone.id}` is forgotten.")

    @edit.autocomplete("number")
    @pin.autocomplete("number")
    @remove.autocomplete("number")
    async def numbers(self, interaction: Interaction, typed: int | str) -> list[app_commands.Choice[int]]:
        try:
            facts = await memory.facts(interaction.client.desk, await caller_of(interaction), everywhere=True)
        except BotError:  # nothing to offer to somebody who may not ask
            return []
        found = [(f"{f.id}: {f.text}", str(f.id)) for f in facts if str(typed).strip() in f"{f.id}: {f.text}"]
        return [app_commands.Choice(name=c.name, value=int(c.value)) for c in choices(found)]


class PrivacyCommands(app_commands.Group, name="privacy", description="What is stored about you"):
    @app_commands.command(description=COMMANDS["privacy status"].words)
    async def status(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer(str(await privacy.status(asked.desk, asked.caller)))

    @app_commands.command(description=COMMANDS["privacy consent"].words)
    @app_commands.describe(to="What the question is about; you are shown the text before you answer")
    async def consent(self, interaction: Interaction, to: Literal["remember", "train"]) -> None:
        async with asking(interaction) as asked:
            view = discord.ui.View(timeout=None)
            for granted in (True, False):
                view.add_item(PrivacyButton(to, granted=granted))
            await asked.answer(privacy.WORDINGS[to].text, view=view)

    @app_commands.command(description=COMMANDS["privacy likeness"].words)
    async def likeness(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            questions = await likeness.questions(asked.desk, asked.caller)
            for question in questions:
                view = discord.ui.View(timeout=None)
                for granted in (True, False):
                    view.add_item(LikenessButton(question.id, granted=granted))
                await asked.answer(f"{likeness.wording_of(question)}\n{likeness.state_of(question)}", view=view)
            if not questions:
                await asked.answer(likeness.NOBODY_ASKED)

    @app_commands.command(description=COMMANDS["privacy export"].words)
    async def export(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            await asked.answer("Everything that is stored about you:", file=await privacy.export(asked.desk, asked.caller))

    @app_commands.command(description=COMMANDS["privacy forget"].words)
    async def forget(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            view = discord.ui.View(timeout=None)
            view.add_item(PrivacyButton("forget", granted=True))
            await asked.answer("This removes everything that is stored about you, here and everywhere. There is no way back.", view=view)


class PrivacyButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"troupe-privacy:(?P<what>[a-z]+):(?P<granted>yes|no)"):
    """The answer to a question about somebody's own data. Only they see the question, so only they can answer it."""

    def __init__(self, what: str, *, granted: bool) -> None:
        label = "Remove everything" if what == "forget" else "I agree" if granted else "I do not agree"
        style = discord.ButtonStyle.danger if what == "forget" else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"troupe-privacy:{what}:{'yes' if granted else 'no'}"))
        self._what, self._granted = what, granted

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str]) -> PrivacyButton:
        return cls(match["what"], granted=match["granted"] == "yes")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with asking(interaction) as asked:
            if self._what == "forget":
                await asked.replace(str(await privacy.forget(asked.desk, asked.caller)))
            elif self._what in KINDS:
                await asked.replace(await privacy.consent(asked.desk, asked.caller, KINDS[self._what], self._granted))


class LikenessButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"troupe-likeness:(?P<number>\d{1,18}):(?P<granted>yes|no)"):
    """The answer to whether a character may be made from somebody's messages. It counts only from them."""

    def __init__(self, number: int, *, granted: bool) -> None:
        label = "I agree" if granted else "I do not agree"
        button: discord.ui.Button[Any] = discord.ui.Button(label=label, custom_id=f"troupe-likeness:{number}:{'yes' if granted else 'no'}")
        super().__init__(button)
        self._number, self._granted = number, granted

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str]
    ) -> LikenessButton:
        return cls(int(match["number"]), granted=match["granted"] == "yes")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with asking(interaction) as asked:
            await asked.replace(await likeness.answer(asked.desk, asked.caller, self._number, self._granted))


def _line(fact: Fact) -> str:
    whose = fact.character_id.rpartition("/")[2]
    return f"`{fact.id}` **{whose}**{' 📌' if fact.pinned else ''}{'' if fact.channel else ' (everywhere)'}  {fact.text}"
