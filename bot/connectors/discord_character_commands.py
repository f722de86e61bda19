"""``/character`` and ``/lore``: who there is, who is here, and what they know."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.characters.cast import Character
from bot.commands import character, likeness, lore, registering
from bot.commands.desk import MADE_UP, Desk, moderators_only
from bot.commands.help import COMMANDS
from bot.connectors.discord_answers import Interaction, asking, attached, awake_names, caller_of, character_names, choices, on_error
from bot.connectors.discord_border import NOBODY, key_of, person_of
from bot.errors import BotError, CommandRefused

INPUT_CHARACTERS = 4000  # that one field of a form may have
FORM_SECONDS = 3600.0  # that somebody may take to fill one in
TEXT_BYTES = 256 * 1024  # of a definition that comes as a file
PORTRAIT_BYTES = 8 * 1024 * 1024
FIRST_HERE = f"-# {MADE_UP} Whoever is awake here hears and remembers what is said; `/privacy status` says more."


class CharacterCommands(app_commands.Group, name="character", description="The company: who there is, and who is here"):
    @app_commands.command(name="list", description=COMMANDS["character list"].words)
    async def show(self, interaction: Interaction) -> None:
        async with asking(interaction) as asked:
            there = await character.characters(asked.desk, asked.caller)
            lines = [_presence(p) for p in there]
            await asked.answer("\n".join([*lines, f"-# ● is in this channel. {MADE_UP}"]))

    @app_commands.command(description=COMMANDS["character info"].words)
    @app_commands.describe(name="Who")
    @app_commands.autocomplete(name=character_names)
    async def info(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            about = await character.info(asked.desk, asked.caller, name)
            await asked.answer(f"**{about.character.name}**", embed=await _card(interaction, about))

    @app_commands.command(description=COMMANDS["character wake"].words)
    @app_commands.describe(name="Who")
    @app_commands.autocomplete(name=character_names)
    async def wake(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            woken = await character.wake(asked.desk, asked.caller, name)
            # From here on this channel is read, also what is said in it while we are away.
            await asked.desk.store.set_last_seen(asked.caller.channel, str(interaction.id))
            await asked.caller.port.open(woken.character.face, woken.greeting)
            if woken.first_here:  # for everybody in the channel, not only for whoever asked
                await asked.caller.port.notice(FIRST_HERE)
            await asked.answer(f"{woken.character.name} is here. {MADE_UP}")

    @app_commands.command(description=COMMANDS["character sleep"].words)
    @app_commands.describe(name="Who")
    @app_commands.autocomplete(name=awake_names)
    async def sleep(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            gone = await character.sleep(asked.desk, asked.caller, name)
            await asked.answer(f"{gone.name} leaves.")

    @app_commands.command(description=COMMANDS["character create"].words)
    @app_commands.describe(
        name="As it is to be shown",
        categories="For lists, with commas between them",
        portrait="A picture; without one, one is drawn",
        definition="A long definition as a text file",
        age_restricted="Only for channels that are age-restricted",
    )
    async def create(
        self,
        interaction: Interaction,
        name: app_commands.Range[str, 1, 80],
        categories: str = "",
        portrait: discord.Attachment | None = None,
        definition: discord.Attachment | None = None,
        age_restricted: bool = False,
    ) -> None:
        if not await _may_fill_in(interaction):
            return
        given = {"name": name, "categories": _listed(categories), "age_restricted": age_restricted}
        await interaction.response.send_modal(CharacterForm(name, given, portrait, definition))

    @app_commands.command(name="import", description=COMMANDS["character import"].words)
    @app_commands.describe(card="A character card: PNG, JSON or CHARX", name="Another name than the card's")
    async def import_card(
        self, interaction: Interaction, card: discord.Attachment, name: app_commands.Range[str, 1, 80] | None = None
    ) -> None:
        async with asking(interaction) as asked:
            moderators_only(asked.caller, "register characters")
            data = await attached(asked.desk, card, asked.desk.company.limits.card_bytes)
            people = members(interaction)
            registered = await registering.import_card(asked.desk, asked.caller, data, card.filename, name=name, members=people)
            await asked.answer(f"{registered}\n`/character wake {registered.character.slug}` brings it into this channel.")

    @app_commands.command(description=COMMANDS["character portray"].words)
    @app_commands.describe(person="Whose messages; they are asked, and only they can agree", name="What the character is called")
    async def portray(self, interaction: Interaction, person: discord.User, name: app_commands.Range[str, 1, 80]) -> None:
        async with asking(interaction) as asked:
            who = person_of(person)
            made = await likeness.portray(
                asked.desk, asked.caller, who.id, name, person_name=who.name, members=members(interaction)
            )  # fmt: skip
            await asked.answer(str(made))

    @app_commands.command(description=COMMANDS["character export"].words)
    @app_commands.describe(name="Who", as_json="The card alone, without the picture")
    @app_commands.autocomplete(name=character_names)
    async def export(self, interaction: Interaction, name: str, as_json: bool = False) -> None:
        async with asking(interaction) as asked:
            file = await registering.export_card(asked.desk, asked.caller, name, png=not as_json)
            await asked.answer("The card, as other programs read it:", file=file)

    @app_commands.command(description=COMMANDS["character edit"].words)
    @app_commands.describe(name="Who", new_name="Another name", categories="In place of the present ones", age_restricted="For adults only")
    @app_commands.autocomplete(name=character_names)
    async def edit(
        self,
        interaction: Interaction,
        name: str,
        new_name: app_commands.Range[str, 1, 80] | None = None,
        categories: str | None = None,
        age_restricted: bool | None = None,
    ) -> None:
        if not await _may_fill_in(interaction, name):
            return
        key = key_of(interaction.channel)
        assert key is not None, "a caller has a channel"
        now = interaction.client.desk.company.find(key, name)
        given = {"new_name": new_name, "age_restricted": age_restricted, "categories": None if categories is None else _listed(categories)}
        await interaction.response.send_modal(EditForm(now, given))

    @app_commands.command(description=COMMANDS["character avatar"].words)
    @app_commands.describe(name="Who", portrait="The picture")
    @app_commands.autocomplete(name=character_names)
    async def avatar(self, interaction: Interaction, name: str, portrait: discord.Attachment) -> None:
        async with asking(interaction) as asked:
            registering.to_change(asked.desk, asked.caller, name)
            picture = await attached(asked.desk, portrait, PORTRAIT_BYTES)
            changed = await registering.avatar(asked.desk, asked.caller, name, picture)
            await asked.answer(f"{changed.character.name} has a new portrait.")

    @app_commands.command(description=COMMANDS["character delete"].words)
    @app_commands.describe(name="Who")
    @app_commands.autocomplete(name=character_names)
    async def delete(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            gone = await registering.delete(asked.desk, asked.caller, name)
            await asked.answer(f"{gone.name} is not part of the company any more.")

    @app_commands.command(description=COMMANDS["character share"].words)
    @app_commands.describe(name="Who")
    @app_commands.autocomplete(name=character_names)
    async def share(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            await asked.answer(str(await registering.share(asked.desk, asked.caller, name)))


class LoreCommands(app_commands.Group, name="lore", description="What a character knows when it comes up"):
    @app_commands.command(name="list", description=COMMANDS["lore list"].words)
    @app_commands.autocomplete(name=character_names)
    async def show(self, interaction: Interaction, name: str) -> None:
        async with asking(interaction) as asked:
            entries = await lore.entries(asked.desk, asked.caller, name)
            lines = [f"`{e.id}` **{'always' if e.constant else ', '.join(e.keys)}**  {e.content}" for e in entries]
            await asked.answer("\n".join(lines) or "There is nothing in this character's book.")

    @app_commands.command(description=COMMANDS["lore add"].words)
    @app_commands.describe(
        name="Who", keys="Words that bring it up, with commas between them", content="What to know", always="Always in mind"
    )
    @app_commands.autocomplete(name=character_names)
    async def add(self, interaction: Interaction, name: str, content: str, keys: str = "", always: bool = False) -> None:
        async with asking(interaction) as asked:
            entry = await lore.add(asked.desk, asked.caller, name, _listed(keys), content, constant=always)
            await asked.answer(f"That is entry `{entry.id}` now.")

    @app_commands.command(description=COMMANDS["lore edit"].words)
    @app_commands.describe(name="Who", entry="Its number", keys="In place of the present ones", content="In place of the present text")
    @app_commands.autocomplete(name=character_names)
    async def edit(
        self,
        interaction: Interaction,
        name: str,
        entry: str,
        keys: str | None = None,
        content: str | None = None,
        always: bool | None = None,
        enabled: bool | None = None,
    ) -> None:
        async with asking(interaction) as asked:
            changed = await lore.edit(
                asked.desk,
                asked.caller,
                name,
                entry,
                keys=None if keys is None else _listed(keys),
                content=content,
                constant=always,
                enabled=enabled,
            )
            await asked.answer(f"Entry `{changed.id}` is changed.")

    @app_commands.command(description=COMMANDS["lore remove"].words)
    @app_commands.describe(name="Who", entry="Its number")
    @app_commands.autocomplete(name=character_names)
    async def remove(self, interaction: Interaction, name: str, entry: str) -> None:
        async with asking(interaction) as asked:
            gone = await lore.remove(asked.desk, asked.caller, name, entry)
            await asked.answer(f"Entry `{gone.id}` is taken out.")

    @edit.autocomplete("entry")
    @remove.autocomplete("entry")
    async def entries(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        name = getattr(interaction.namespace, "name", "")
        try:
            there = await lore.entries(interaction.client.desk, await caller_of(interaction), name)
        except BotError:  # not a moderator, or no such character yet: there is nothing to offer
            return []
        shown = [(f"{e.id}: {', '.join(e.keys) or 'always'} – {e.content}", e.id) for e in there]
        return choices([(words, value) for words, value in shown if typed.casefold() in words.casefold()])


class CharacterForm(discord.ui.Modal):
    """The texts of a new character; a form has room for five."""

    def __init__(
        self, title: str, given: dict[str, Any], portrait: discord.Attachment | None, definition: discord.Attachment | None
    ) -> None:
        super().__init__(title=title[:45], timeout=FORM_SECONDS)
        self._given, self._portrait, self._definition = given, portrait, definition
        self.texts = _inputs({})
        for one in self.texts.values():
            self.add_item(one)

    async def on_submit(self, interaction: Interaction) -> None:  # type: ignore[override]  # our client's kind of interaction
        async with asking(interaction) as asked:
            moderators_only(asked.caller, "register characters")
            texts: dict[str, Any] = {name: one.value for name, one in self.texts.items()}
            if self._definition is not None:
                texts["definition"] = "\n\n".join(filter(None, (texts["definition"], await _text(asked.desk, self._definition))))
            picture = await attached(asked.desk, self._portrait, PORTRAIT_BYTES) if self._portrait is not None else None
            registered = await registering.create(
                asked.desk, asked.caller, portrait=picture, members=members(interaction), **self._given, **texts
            )
            await asked.answer(f"{registered}\n`/character wake {registered.character.slug}` brings it into this channel.")

    async def on_error(self, interaction: Interaction, error: Exception) -> None:  # type: ignore[override]
        await on_error(interaction, error)


class EditForm(discord.ui.Modal):
    """The texts of a character as they stand, to be changed. One too long for a form stays out of it, and as it is."""

    def __init__(self, now: Character, given: dict[str, Any]) -> None:
        super().__init__(title=f"Edit {now.name}"[:45], timeout=FORM_SECONDS)
        self._slug, self._given = now.slug, given
        card = now.card
        present = {
            "tagline": now.settings.tagline,
            "greeting": card.first_mes,
            "description": card.description,
            "definition": card.personality,
            "example_dialogue": card.mes_example,
        }
        self._before = {name: text for name, text in present.items() if len(text) <= INPUT_CHARACTERS}
        self.texts = {name: one for name, one in _inputs(self._before).items() if name in self._before}
        for one in self.texts.values():
            self.add_item(one)

    async def on_submit(self, interaction: Interaction) -> None:  # type: ignore[override]
        async with asking(interaction) as asked:
            changed: dict[str, Any] = {n: one.value for n, one in self.texts.items() if one.value.strip() != self._before[n].strip()}
            changed |= {name: value for name, value in self._given.items() if value is not None}
            if not changed:
                raise CommandRefused("Nothing was changed.")
            registered = await registering.edit(asked.desk, asked.caller, self._slug, members=members(interaction), **changed)
            await asked.answer("\n".join([f"{registered.character.name} is changed.", *(f"Note: {w}" for w in registered.warnings)]))

    async def on_error(self, interaction: Interaction, error: Exception) -> None:  # type: ignore[override]
        await on_error(interaction, error)


def _inputs(now: dict[str, str]) -> dict[str, discord.ui.TextInput[Any]]:
    long = discord.TextStyle.paragraph

    def one(name: str, label: str, hint: str, style: discord.TextStyle, most: int) -> discord.ui.TextInput[Any]:
        shown = now.get(name, "")
        return discord.ui.TextInput(
            label=label,
            custom_id=name,
            placeholder=hint,
            style=style,
            required=False,
            max_length=max(most, len(shown)),
            default=shown or None,
        )

    return {
        "tagline": one("tagline", "Tagline", "One line for lists", discord.TextStyle.short, 200),
        "greeting": one("greeting", "Greeting", "How it opens a conversation", long, INPUT_CHARACTERS),
        "description": one("description", "Description", "Who it is", long, INPUT_CHARACTERS),
        "definition": one("definition", "Definition", "Manner, history, what else it keeps to", long, INPUT_CHARACTERS),
        "example_dialogue": one("example_dialogue", "Example dialogue", "{{user}}: Good evening.", long, INPUT_CHARACTERS),
    }


async def _may_fill_in(interaction: Interaction, name: str | None = None) -> bool:
    """Before a form is opened: whether sending it could lead to anything. A form must be the first answer, so nothing is promised."""
    try:
        caller = await caller_of(interaction)
        if name is None:
            moderators_only(caller, "register characters")
        else:
            registering.to_change(interaction.client.desk, caller, name)
    except BotError as error:
        await interaction.response.send_message(str(error)[:2000], ephemeral=True, allowed_mentions=NOBODY)
        return False
    return True


async def _card(interaction: Interaction, about: character.CharacterInfo) -> discord.Embed:
    who = about.character
    embed = discord.Embed(title=f"{who.face.emoji} {who.name}".strip()[:256], description=about.greeting[:2000])
    embed.add_field(name="Tagline", value=who.settings.tagline[:1000] or "–", inline=False)
    embed.add_field(name="In this channel", value="yes" if about.awake else "no")
    if who.settings.categories:
        embed.add_field(name="Categories", value=", ".join(who.settings.categories)[:1000])
    embed.set_footer(text=about.notice)
    portrait = await interaction.client.presence.portrait(who.face)
    return embed.set_thumbnail(url=portrait) if portrait is not None else embed


async def _text(desk: Desk, attachment: discord.Attachment) -> str:
    data = await attached(desk, attachment, TEXT_BYTES)
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise CommandRefused(f"{attachment.filename} is not UTF-8 text.") from error


def members(interaction: Interaction) -> tuple[str, ...]:
    """Names of people here that we know of, which no character may take. Discord tells a bot only of those it has met."""
    known = interaction.guild.members if interaction.guild is not None else ()
    own = interaction.client.user
    names = {person_of(m).name for m in (*known, interaction.user) if own is None or m.id != own.id}
    return tuple(sorted(names))


def _presence(there: character.Presence) -> str:
    who = there.character
    return f"{'●' if there.awake else '○'} {who.face.emoji} **{who.name}** (`{who.slug}`)  {who.settings.tagline}"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
