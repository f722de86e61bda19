"""What somebody typed after a slash, as one of the house's commands. What a command does is settled there, not here."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from telegram import Message

from bot.commands import admin, character, chat, likeness, memory, privacy, registering
from bot.commands.desk import MADE_UP, moderators_only
from bot.commands.help import help_text
from bot.commands.voice import speaks
from bot.commands.why import why
from bot.connectors.telegram_answers import Asked, downloaded
from bot.connectors.telegram_buttons import SLEEP, about_privacy, of_settings, to_answer, to_forget, to_pick
from bot.connectors.telegram_making import Making
from bot.connectors.telegram_menu import MENU, offered
from bot.connectors.telegram_tongue import in_language, is_chinese
from bot.connectors.telegram_topics import topic_of
from bot.connectors.telegram_voice import send_aloud
from bot.errors import CommandRefused
from bot.memory.store import ConsentKind, Fact

log = logging.getLogger(__name__)

NO_TAKE = "No other take came of it."
NO_MORE = "There was nothing more to say."
NEEDS_RIGHTS = frozenset("newcharacter import export delete settings hide block unblock undo cancel reports portray".split())
FOR_GROUPS = """\
I am a company of characters. /characters shows who there is, /wake NAME brings somebody into this chat. Reply to a character, \
or write its name, and it answers.

By Telegram's rule I hear only commands, replies to me and messages with @{name} in them. If characters are to hear everything \
while they are here, make me an administrator, or switch the rule off (BotFather, /setprivacy) and add me again. Whoever is awake \
here remembers what it hears; /privacy says more."""
HEARS_ALL = """\
I am a company of characters. /characters shows who there is, /wake NAME brings somebody into this chat. Whoever is awake here \
hears and remembers what is said, and may answer; /sleep NAME sends somebody away, /privacy says more."""
SEND_A_FILE = "Send the card as a file (PNG, JSON or CHARX) with /import as its caption, or answer such a file with /import."
_TYPED = re.compile(r"/(\w{1,32})(?:@(\w+))?\s*(.*)", re.DOTALL)
_GREETED = f"{MADE_UP}\n/characters shows who else there is, /help what can be done."

Command = Callable[[Asked], Awaitable[None]]


def typed(message: Message, username: str) -> tuple[str, str] | None:
    """Name and words of a command for us. None: no command, or another bot's."""
    found = _TYPED.fullmatch(message.text or message.caption or "")
    if found is None:
        return None
    name, whom, words = found.groups()
    if whom is not None and whom.casefold() != username.casefold():
        return None
    return name.casefold(), words.strip()


def for_another_bot(message: Message, username: str) -> bool:
    found = _TYPED.fullmatch(message.text or message.caption or "")
    return found is not None and found[2] is not None and found[2].casefold() != username.casefold()


class Commands:
    """One for the connector."""

    def __init__(self, making: Making) -> None:
        self._making = making
        self._known: Mapping[str, Command] = MappingProxyType({entry.name: getattr(self, f"_{entry.name}") for entry in MENU})

    def has(self, name: str, own_bot: bool, *, voiced: bool) -> bool:
        return any(entry.name == name for entry in offered(own=own_bot, voiced=voiced))

    async def carry_out(self, name: str, asked: Asked) -> None:
        """Raises ``BotError``: what the person is told."""
        await self._known[name](asked)

    # ------------------------------------------------------------------ beginning

    async def _start(self, asked: Asked) -> None:
        if not asked.private:
            asked.answer(
                introduction(asked.account.me is not None and bool(asked.account.me.can_read_all_group_messages), asked.account.username)
            )
            return
        own = asked.office.own_character(asked.account)
        if own is not None:
            asked.show(own, f"{own.greeting(asked.caller.person.name)}\n\n{in_language(MADE_UP, asked.language)}")
        elif asked.words in ("privacy", "memory", "forgetme", "help"):
            await self._known[asked.words](replace(asked, words=""))
        elif asked.words:
            await self._choose(asked, asked.words)
        else:
            everybody = [p.character for p in await character.characters(asked.desk, asked.caller)]
            asked.answer(f"Who would you like to talk to? You can change that at any time.\n{_GREETED}", to_pick(everybody))

    async def _help(self, asked: Asked) -> None:
        chinese = is_chinese(asked.language)
        lines = [
            f"/{e.name}: {e.chinese if chinese else e.words}"
            for e in offered(own=bool(asked.account.character), voiced=speaks(asked.desk))
            if asked.private or "g" in e.where or asked.caller.moderates
        ]
        opening = help_text(asked.desk, asked.caller).partition("\n")[0]
        asked.answer("\n".join([opening, *lines, MADE_UP]))

    # ------------------------------------------------------------------ characters

    async def _character(self, asked: Asked) -> None:
        if not asked.words:
            await self._characters(asked)
        elif asked.private:
            await self._choose(asked, asked.words)
        else:
            info = await character.info(asked.desk, asked.caller, asked.words)
            asked.show(info.character, about(info, asked.language), None if info.awake else to_pick([info.character]))

    async def _choose(self, asked: Asked, name: str) -> None:
        info = await character.choose(asked.desk, asked.caller, name)
        asked.show(info.character, f"{info.greeting}\n\n{in_language(info.notice, asked.language)}")

    async def _characters(self, asked: Asked) -> None:
        present = await character.characters(asked.desk, asked.caller)
        lines = [f"{'●' if p.awake else '○'} {p.character.face.emoji} {p.character.name}  {p.character.settings.tagline}" for p in present]
        asked.answer("\n".join(lines) or "There is nobody yet.", to_pick([p.character for p in present if asked.private or not p.awake]))

    async def _wake(self, asked: Asked) -> None:
        if not asked.words:
            present = await character.characters(asked.desk, asked.caller)
            asked.answer("Who is to come?", to_pick([p.character for p in present if not p.awake]))
            return
        await wake(asked, asked.words)

    async def _sleep(self, asked: Asked) -> None:
        if not asked.words:
            here = await asked.desk.company.awake(asked.caller.channel)
            asked.answer("Who is to leave?" if here else "Nobody is here.", to_pick(here, SLEEP) if here else None)
            return
        asked.answer(f"{(await character.sleep(asked.desk, asked.caller, asked.words)).name} leaves.")

    # ------------------------------------------------------------------ the conversation

    async def _reset(self, asked: Asked) -> None:
        asked.answer(await chat.reset(asked.desk, asked.caller, asked.words or None))

    async def _regenerate(self, asked: Asked) -> None:
        asked.unless_spoken(await chat.regenerate(asked.desk, asked.caller, await _reply_meant(asked)), NO_TAKE)

    async def _continue(self, asked: Asked) -> None:
        asked.unless_spoken(await chat.go_on(asked.desk, asked.caller, await _reply_meant(asked)), NO_MORE)

    async def _hear(self, asked: Asked) -> None:
        await send_aloud(asked, await _reply_meant(asked))

    async def _stop(self, asked: Asked) -> None:
        asked.answer(await chat.stop(asked.desk, asked.caller))

    async def _undo(self, asked: Asked) -> None:
        asked.answer(await chat.undo(asked.desk, asked.caller))

    async def _scene(self, asked: Asked) -> None:
        asked.answer(await chat.scene(asked.desk, asked.caller, asked.words))

    async def _why(self, asked: Asked) -> None:
        asked.answer(str(await why(asked.desk, asked.caller, await _reply_meant(asked))))

    async def _report(self, asked: Asked) -> None:
        asked.answer(await chat.report(asked.desk, asked.caller, await _reply_meant(asked)))

    # ------------------------------------------------------------------ one's own data

    async def _memory(self, asked: Asked) -> None:
        verb, _, rest = asked.words.partition(" ")
        match verb.casefold():
            case "add" if rest.strip():
                name, text = await _to_whom(asked, rest.strip())
                fact = await memory.add(asked.desk, asked.caller, name, text)
                asked.answer(f"Remembered as number {fact.id}.")
            case "edit" if rest.strip():
                number, _, text = rest.strip().partition(" ")
                changed = await memory.edit(asked.desk, asked.caller, _number(number), text)
                asked.privately(_fact(changed), ask_again="memory")
            case "pin" | "unpin":
                fact = await memory.pin(asked.desk, asked.caller, _number(rest), pinned=verb.casefold() == "pin")
                asked.privately(_fact(fact), ask_again="memory")
            case "remove" | "forget":
                gone = await memory.remove(asked.desk, asked.caller, _number(rest))
                asked.answer(f"Memory {gone.id} is forgotten.")
            case _:
                facts = await memory.facts(asked.desk, asked.caller, asked.words or None, everywhere=asked.private)
                known = "\n".join(map(_fact, facts)) or "Nobody here remembers anything particular about you."
                asked.privately(f"{known}\n\n{MEMORY_HELP}", ask_again="memory")

    async def _privacy(self, asked: Asked) -> None:
        if asked.words in privacy.WORDINGS:
            kind: ConsentKind = "train" if asked.words == "train" else "remember"
            asked.privately(privacy.WORDINGS[kind].text, to_answer(kind), ask_again="privacy")
            return
        status = await privacy.status(asked.desk, asked.caller)
        asked.privately(str(status), about_privacy(), ask_again="privacy")

    async def _forgetme(self, asked: Asked) -> None:
        asked.privately(FORGET_QUESTION, to_forget(), ask_again="forgetme")

    # ------------------------------------------------------------------ looking after a chat

    async def _settings(self, asked: Asked) -> None:
        words = dict(pair.partition("=")[::2] for pair in asked.words.split())
        if not words:
            text, always, adults = await settings_of(asked)
            asked.answer(text, of_settings(always=always, adults=adults) if asked.caller.moderates else None)
            return
        for name, value in words.items():
            await change_setting(asked, name, value)
        asked.answer((await settings_of(asked))[0])

    async def _newcharacter(self, asked: Asked) -> None:
        self._making.begin(asked)

    async def _cancel(self, asked: Asked) -> None:
        asked.answer("Left: nothing was registered." if self._making.cancel(asked) else "There is nothing to leave.")

    async def _import(self, asked: Asked) -> None:
        answered = asked.message.reply_to_message
        document = asked.message.document or (answered.document if answered is not None else None)
        if document is None:
            photo = asked.message.photo or (answered.photo if answered is not None else ())
            asked.answer(PHOTO_LOSES if photo else SEND_A_FILE)
            return
        moderators_only(asked.caller, "register characters")
        limit = asked.desk.company.limits.card_bytes
        data = await downloaded(asked.account, document.file_id, document.file_size, limit)
        members = [asked.caller.person.name]
        made = await registering.import_card(
            asked.desk, asked.caller, data, document.file_name or "card", name=asked.words or None, members=members
        )
        asked.show(made.character, str(made), to_pick([made.character]))

    async def _export(self, asked: Asked) -> None:
        name, data = await registering.export_card(asked.desk, asked.caller, _named(asked), png=True)
        asked.answer_with_file("The card; other programs read it too.", name, data)

    async def _delete(self, asked: Asked) -> None:
        asked.answer(f"{(await registering.delete(asked.desk, asked.caller, _named(asked))).name} has left the company.")

    async def _hide(self, asked: Asked) -> None:
        """Telegram does not tell bots of deleted messages: whoever deletes one says it with this first."""
        if asked.about is None:
            raise CommandRefused("Give this command as a reply to the message.")
        hidden = await chat.hide(asked.desk, asked.caller, asked.about)
        shown = "" if hidden.by_character else " The message itself stays until its author or an administrator deletes it."
        asked.answer(f"Hidden: no character knows of it any more.{shown}")

    async def _reports(self, asked: Asked) -> None:
        if asked.words:
            asked.answer(await admin.settle(asked.desk, asked.caller, _number(asked.words)))
            return
        found = await admin.reports(asked.desk, asked.caller)
        asked.privately("\n\n".join(map(admin.told_of, found)) or NOTHING_REPORTED, ask_again="help")

    async def _portray(self, asked: Asked) -> None:
        person = f"telegram:{_author_meant(asked)}"
        asked.answer(str(await likeness.portray(asked.desk, asked.caller, person, _named(asked), person_name=_name_meant(asked))))

    async def _block(self, asked: Asked) -> None:
        minutes = float(asked.words) if asked.words.isdecimal() else None
        await admin.block(asked.desk, asked.caller, "user", _author_meant(asked), minutes=minutes)
        asked.answer("Not heard any more" + (f" for {minutes:.0f} minutes." if minutes else "."))

    async def _unblock(self, asked: Asked) -> None:
        asked.answer(await admin.allow(asked.desk, asked.caller, "user", _author_meant(asked)))


NOTHING_REPORTED = "Nothing was reported that nobody has looked at."
PHOTO_LOSES = (
    "That came as a photo, and Telegram paints photos anew: a character card inside is lost on the way. "
    "Please send the picture as a file (paperclip, File), and I can read it."
)
FORGET_QUESTION = "This removes everything that is stored about you, here and everywhere. There is no way back."
MEMORY_HELP = "/memory add TEXT · edit NUMBER TEXT · pin NUMBER · unpin NUMBER · remove NUMBER"


def introduction(hears_all: bool, username: str) -> str:
    """What a group is told; with the rule of Telegram that most questions come from."""
    return HEARS_ALL if hears_all else FOR_GROUPS.format(name=username)


def about(info: character.CharacterInfo, language: str) -> str:
    """A character on a few lines."""
    tagline = info.character.settings.tagline
    return "\n\n".join(part for part in (tagline, info.greeting, in_language(info.notice, language)) if part)


async def wake(asked: Asked, name: str) -> None:
    """Bring somebody in; in a forum, perhaps into a topic of its own."""
    wanted = asked.desk.company.find(asked.caller.channel, name)
    there = await topic_of(asked, wanted)
    info = await character.wake(there.desk, there.caller, wanted.slug)
    there.show(info.character, f"{info.greeting}\n\n{in_language(info.notice, asked.language)}")


async def settings_of(asked: Asked) -> tuple[str, bool, bool]:
    """The chat's settings as text; whether everything is answered; whether it is a place for adults."""
    own = await asked.desk.store.channel_settings(asked.caller.channel)
    house = asked.desk.router.stage.settings
    always, cascade = bool(own.get("always_answer", house.always_answer)), own.get("cascade", house.cascade)
    adults = await asked.desk.company.for_adults(asked.caller.channel)
    here = ", ".join(c.name for c in await asked.desk.company.awake(asked.caller.channel)) or "nobody"
    text = (
        f"Here: {here}.\n"
        f"Somebody answers {'every message' if always else 'when called'} (always={'yes' if always else 'no'}).\n"
        f"For one message, characters answer each other {cascade} times (cascade={cascade}).\n"
        f"{'A place for adults' if adults else 'Not marked as a place for adults'} (adults={'yes' if adults else 'no'}).\n"
        "Administrators change it like this: /settings always=no cascade=1"
    )
    return text, always, adults


async def change_setting(asked: Asked, name: str, value: str) -> None:
    """Raises ``CommandRefused``."""
    yes = value.casefold() in ("yes", "on", "1", "true")
    match name.casefold():
        case "always":
            await admin.channel(asked.desk, asked.caller, always_answer=yes)
        case "adults":
            await admin.channel(asked.desk, asked.caller, adults=yes)
        case "cascade" if value.isdecimal():
            await admin.channel(asked.desk, asked.caller, cascade=int(value))
        case "person_minute" | "person_day" | "chat_minute" if value.isdecimal():
            per = {"person_minute": "person_per_minute", "person_day": "person_per_day", "chat_minute": "channel_per_minute"}
            await admin.quota(asked.desk, asked.caller, **{per[name.casefold()]: int(value)})
        case _:
            raise CommandRefused(
                f"There is no setting {name}={value}; there are always, adults, cascade, person_minute, person_day, chat_minute."
            )


async def _reply_meant(asked: Asked) -> str | None:
    """The reply of a character that the command was an answer to; None for the last one."""
    if asked.about is None:
        return None
    return asked.about if await asked.desk.store.delivery_of(asked.caller.channel, asked.about) is not None else None


async def _to_whom(asked: Asked, text: str) -> tuple[str, str]:
    """``NAME: text``, or the one who is here."""
    name, colon, said = text.partition(":")
    if colon and any(c.slug == name.strip() or c.name == name.strip() for c in asked.desk.company.seen_in(asked.caller.channel)):
        return name.strip(), said
    here = await asked.desk.company.awake(asked.caller.channel)
    if len(here) != 1:
        raise CommandRefused("Say who is to remember it: /memory add NAME: text")
    return here[0].slug, text


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise CommandRefused("Name the memory by its number; /memory lists them.")
    return int(text.strip())


def _fact(fact: Fact) -> str:
    whose = fact.character_id.rpartition("/")[2]
    return f"{fact.id}  {whose}{' 📌' if fact.pinned else ''}{'' if fact.channel else ' (everywhere)'}: {fact.text}"


def _named(asked: Asked) -> str:
    if not asked.words:
        raise CommandRefused("Name the character behind the command.")
    return asked.words


def _author_meant(asked: Asked) -> str:
    answered = asked.message.reply_to_message
    if answered is None or answered.from_user is None or answered.from_user.is_bot:
        raise CommandRefused("Give this command as a reply to a message of the person.")
    return str(answered.from_user.id)


def _name_meant(asked: Asked) -> str:
    answered = asked.message.reply_to_message
    return answered.from_user.full_name if answered is not None and answered.from_user is not None else ""
