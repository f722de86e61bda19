"""What happens in Telegram's chats, as the house hears it: messages, edits, commands, presses, and our coming and going."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from telegram import CallbackQuery, ChatMemberUpdated, Message, Update, User
from telegram.constants import ChatType

from bot.characters.cast import Character
from bot.commands.desk import Caller
from bot.commands.voice import speaks
from bot.connectors.telegram_account import Account
from bot.connectors.telegram_answers import WENT_WRONG, Asked, Office
from bot.connectors.telegram_border import PLATFORM, Address, address_of, person_of
from bot.connectors.telegram_commands import NEEDS_RIGHTS, PHOTO_LOSES, Commands, for_another_bot, introduction, typed
from bot.connectors.telegram_copies import Copies, is_for, stored_number
from bot.connectors.telegram_making import Making, is_step
from bot.connectors.telegram_presses import ABOUT_RIGHTS, pressed
from bot.connectors.telegram_tongue import in_language, language_of
from bot.errors import BotError, CommandRefused, StoreError
from bot.messages import Attachment, ChannelKey, Incoming, Person
from bot.sessions.casting import named_in

log = logging.getLogger(__name__)

LEFT_AT = "left_at"  # setting of a group: when we were removed from it
NOBODY_HERE = "Nobody of the company is here yet. /characters shows who there is, /wake NAME brings somebody in."
NO_COMMAND = "That is no command of mine; /help shows them."
ONLY_TEXT = "I can read text only. What would you like to say?"
CARDS = (".png", ".json", ".charx", ".yaml", ".yml", ".byaf")
SLOW = frozenset({"import", "export"})  # they move files: other chats do not wait for them
OWN_DATA = frozenset({"privacy", "forgetme", "memory", "help"})  # for somebody who is blocked, too


class Hearing:
    """One for the connector. ``take`` returns when what an update holds is stored."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._making = Making()
        self._commands = Commands(self._making)
        self._copies = Copies()
        self._began = datetime.now(UTC)
        self._moving = asyncio.Lock()
        self._let_in: set[int] = set()  # what groups of the operator's list have become

    async def take(self, account: Account, update: Update) -> None:
        """Raises ``StoreError``: the update has to come again."""
        if update.message is not None:
            await self._message(account, update.message)
        elif update.edited_message is not None:
            await self._edited(account, update.edited_message)
        elif update.callback_query is not None:
            await self._pressed(account, update.callback_query)
        elif update.my_chat_member is not None:
            await self._moved(account, update.my_chat_member)

    # ------------------------------------------------------------------ messages

    async def _message(self, account: Account, message: Message) -> None:
        if message.migrate_to_chat_id or message.migrate_from_chat_id:
            await self.moved(message.migrate_from_chat_id or message.chat.id, message.migrate_to_chat_id or message.chat.id)
            return
        person = person_of(message)
        if person is None or not self._concerns(message.chat.id, message.chat.type):
            return
        address = address_of(message, account.character)
        if for_another_bot(message, account.username) or not is_for(account, message, address):
            return
        if address.basic and len(self._office.accounts) > 1 and await self._is_copy(account, message, address, person):
            return
        command = typed(message, account.username)
        answers = self._making.awaits(address.key, person.id) and is_step(message) and (command is None or command[0] == "skip")
        if command is not None and not answers:
            if account.character and not address.private and "@" not in (message.text or message.caption or "").split()[0]:
                return  # a command for all: the company's bot hears it too
            await self._command(account, message, address, person, *command)
            return
        if answers:
            words = "/skip" if command is not None else message.text or message.caption or ""
            await self._asked_for(account, message, address, person, words, self._making.answered, rights=True, key="step")
            return
        if message.document is not None and self._is_card(message) and (address.private or self._called(message)):
            await self._command(account, message, address, person, "import", "")
            return
        await self._said(account, message, address, person)

    async def _said(self, account: Account, message: Message, address: Address, person: Person) -> None:
        """Something for characters."""
        port = self._office.port_to(address)
        text = self._words(message)
        if not text:
            if address.private:
                await port.notice(in_language(PHOTO_LOSES if message.photo else ONLY_TEXT, language_of(message)))
            return
        desk, key = self._office.desk, address.key
        awake = await self._awake(account, address)
        called = address.private or self._called(message)
        addressed = [*self._marked(message), *(named_in(text, desk.company.seen_in(key)) if called else [])]
        reply_to = await self._answered(account, address, message)
        if not (awake or addressed or reply_to):
            # Nobody listens: what is said here is none of our business, and is not stored.
            if called:
                await port.notice(in_language(NOBODY_HERE, language_of(message)))
            return
        incoming = Incoming(
            channel=key,
            message_id=stored_number(account, address, message.message_id),
            author=person,
            text=text,
            reply_to=reply_to,
            mentions=tuple(dict.fromkeys(c.id for c in addressed)),
            attachments=_attachments(message),
            sent_at=message.date.astimezone(UTC),
            channel_port=port,
            direct=address.private and len(awake) == 1,
        )
        try:
            turn = await desk.router.hear(incoming)
        except CommandRefused as refusal:
            await port.notice(f"({refusal})")
            return
        if turn is not None and (called or addressed or reply_to):
            self._office.later(port.show_typing(), "typing")  # before the burst has settled: somebody is listening

    async def _awake(self, account: Account, address: Address) -> Sequence[Character]:
        """Who is here. A private chat always has somebody: whoever it was chosen, or the one who answers until then."""
        company = self._office.desk.company
        awake = await company.awake(address.key)
        if awake or not address.private:
            return awake
        first = self._office.own_character(account) or self._first_to_answer(address.key)
        if first is None or not await company.allowed(address.key, [first]):
            return []
        await company.wake(address.key, first)
        return [first]

    def _first_to_answer(self, key: ChannelKey) -> Character | None:
        company = self._office.desk.company
        if self._office.settings.character:
            return company.find(key, self._office.settings.character)
        seen = [c for c in company.seen_in(key) if not c.settings.age_restricted]
        return next((c for c in seen if c.settings.awake), seen[0] if seen else None)

    def _words(self, message: Message) -> str:
        """What was said, without the names of our bots."""
        text = message.text or message.caption or ""
        names = [account.username for account in self._office.accounts.values() if account.username]
        if names:
            text = re.sub(rf"(?<!\w)@(?:{'|'.join(map(re.escape, names))})\b", "", text, flags=re.IGNORECASE)
        return text.strip(" ,:;\n") if text != (message.text or message.caption) else text.strip()

    def _called(self, message: Message) -> bool:
        """Whether a message is for one of our bots: by its name, or as a reply to it."""
        ours = {account.id for account in self._office.accounts.values()}
        answered = message.reply_to_message
        if (
            answered is not None
            and answered.from_user is not None
            and answered.forum_topic_created is None
            and answered.from_user.id in ours
        ):
            return True
        text = (message.text or message.caption or "").casefold()
        return any(f"@{a.username.casefold()}" in text for a in self._office.accounts.values() if a.username)

    def _marked(self, message: Message) -> list[Character]:
        """Characters whose own bots are named."""
        text = (message.text or message.caption or "").casefold()
        named = [a for a in self._office.accounts.values() if a.character and a.username and f"@{a.username.casefold()}" in text]
        return [c for account in named if (c := self._office.own_character(account)) is not None]

    async def _answered(self, account: Account, address: Address, message: Message) -> str | None:
        """The reply of ours that a message answers. (In a topic every message answers the one that made the topic.)"""
        answered = message.reply_to_message
        if answered is None or answered.forum_topic_created is not None:
            return None
        number = stored_number(account, address, answered.message_id)
        return None if await self._office.desk.store.delivery_of(address.key, number) is None else number

    async def _edited(self, account: Account, message: Message) -> None:
        text = self._words(message)
        if person_of(message) is None or not text or not self._concerns(message.chat.id, message.chat.type):
            return
        address = address_of(message, account.character)
        await self._office.desk.store.edit_turn(address.key, stored_number(account, address, message.message_id), text)

    # ------------------------------------------------------------------ commands

    async def _command(self, account: Account, message: Message, address: Address, person: Person, name: str, words: str) -> None:
        if not self._commands.has(name, bool(account.character), voiced=speaks(self._office.desk)):
            if address.private:
                await self._office.port_to(address).notice(in_language(NO_COMMAND, language_of(message)))
            return

        async def carry_out(asked: Asked) -> None:
            await self._commands.carry_out(name, asked)

        rights = name in NEEDS_RIGHTS
        await self._asked_for(account, message, address, person, words, carry_out, rights=rights, key=name)

    async def _asked_for(
        self,
        account: Account,
        message: Message,
        address: Address,
        person: Person,
        words: str,
        what: Callable[[Asked], Awaitable[None]],
        *,
        rights: bool,
        key: str,
    ) -> None:
        """Carry out what somebody asks, once, however often Telegram brings it; refusals are told."""
        asked = self._asked(account, message, address, person, words)
        try:
            if await self._seen_before(asked, stored_number(account, address, message.message_id), key):
                return
            if rights:
                may = await self._office.rights.of_message(account, message)
                asked = replace(asked, caller=replace(asked.caller, moderator=may))
        except BotError as error:
            asked.answer(str(error))
            return
        if key in SLOW:
            self._office.later(_carried_out(what, asked, key), key)
        else:
            await _carried_out(what, asked, key)

    async def _seen_before(self, asked: Asked, message_id: str, key: str) -> bool:
        """A command leaves its envelope in the store, without a word of it: after a crash it is not carried out twice.

        Somebody who is blocked leaves nothing, and neither do commands about one's own data.
        """
        if key in OWN_DATA or await self._office.desk.router.gate.blocked(asked.caller.person, asked.caller.channel):
            return False
        envelope = Incoming(
            channel=asked.caller.channel,
            message_id=message_id,
            author=asked.caller.person,
            text="",
            reply_to=None,
            mentions=(),
            attachments=(),
            sent_at=datetime.now(UTC),
            channel_port=asked.caller.port,
        )
        return await self._office.desk.store.remember(envelope, (), "answered", keep_words=False) is None

    def _asked(self, account: Account, message: Message, address: Address, person: Person, words: str) -> Asked:
        operator = person.id.removeprefix(f"{PLATFORM}:") in map(str, self._office.settings.operators)
        caller = Caller(person, address.key, self._office.port_to(address), moderator=address.private, operator=operator)
        return Asked(self._office, account, message, address, caller, words, language_of(message))

    async def _pressed(self, account: Account, query: CallbackQuery) -> None:
        message = query.message
        if not isinstance(message, Message):  # too old for Telegram to tell what it was
            self._office.later(_let_go(query), "toast")
            return
        if not self._concerns(message.chat.id, message.chat.type):
            return
        address = address_of(message, account.character)
        person = _person(query.from_user)
        asked = replace(self._asked(account, message, address, person, ""), language=query.from_user.language_code or "")
        if await self._seen_before(asked, f"press {query.id}", "press"):
            return
        if (query.data or "").partition(":")[0] in ABOUT_RIGHTS:
            try:
                may = await self._office.rights.of(account, message.chat.id, query.from_user)
            except CommandRefused:
                may = False
            asked = replace(asked, caller=replace(asked.caller, moderator=may))
        await pressed(query, asked)

    # ------------------------------------------------------------------ coming and going

    async def _moved(self, account: Account, change: ChatMemberUpdated) -> None:
        """We were added to a chat, made its administrator, or removed from it."""
        chat = change.chat
        self._office.rights.forget(chat.id)
        if chat.type not in (ChatType.GROUP, ChatType.SUPERGROUP) or account.character:
            return
        group = ChannelKey(PLATFORM, str(chat.id))
        here = change.new_chat_member.status not in ("left", "kicked")
        was_here = change.old_chat_member.status not in ("left", "kicked")
        await self._office.desk.store.change_channel_settings(group, {LEFT_AT: None if here else datetime.now(UTC).isoformat()})
        if not here:
            log.info("removed from a group chat=%d", chat.id)
            await self._office.desk.router.stop(group)
            return
        if was_here:
            return
        let_in = self._concerns(chat.id, chat.type)
        log.info("added to a group chat=%d%s", chat.id, "" if let_in else ", which telegram.chats leaves out")
        if let_in:
            hears_all = change.new_chat_member.status == "administrator" or _reads_all(account)
            words = introduction(hears_all, account.username)
            await self._office.port_to(Address(chat.id)).notice(words)

    async def moved(self, old: int, new: int) -> None:
        """A group has become a supergroup: everything of it goes along. Safe to be told of any number of times."""
        settings = self._office.settings
        if settings.chats and old in settings.chats and new not in settings.chats and new not in self._let_in:
            self._let_in.add(new)
            log.warning("group %d of telegram.chats has become the supergroup %d: write that number into config.toml", old, new)
        if not self._concerns(new, ChatType.SUPERGROUP):
            return
        async with self._moving:
            places = ChannelKey(PLATFORM, str(old)), ChannelKey(PLATFORM, str(new))
            rows = await self._office.desk.router.move(*places, self._office.port)
        self._office.rights.forget(old)
        if rows:
            log.info("a group has become a supergroup and keeps its memory old=%d new=%d rows=%d", old, new, rows)

    async def _is_copy(self, account: Account, message: Message, address: Address, person: Person) -> bool:
        """Whether another bot has brought a message of a basic group already; if need be, to the last process."""
        if self._copies.is_one(account, message):
            return True
        if message.date >= self._began:
            return False
        number = stored_number(account, address, message.message_id)
        return await self._office.desk.store.heard_otherwise(address.key, number, person.id, message.date, self._words(message))

    def _concerns(self, chat_id: int, kind: str) -> bool:
        """Private chats and groups that the operator lets in. Channels are for their authors alone."""
        settings = self._office.settings
        if kind == ChatType.PRIVATE:
            return not settings.people or chat_id in (*settings.people, *settings.operators)
        if kind in (ChatType.GROUP, ChatType.SUPERGROUP):
            return not settings.chats or chat_id in settings.chats or chat_id in self._let_in
        return False

    def _is_card(self, message: Message) -> bool:
        document = message.document
        return document is not None and (document.file_name or "").casefold().endswith(CARDS)


def _attachments(message: Message) -> tuple[Attachment, ...]:
    document = message.document
    if document is not None:
        return (Attachment(document.file_name or "file", document.mime_type or "", document.file_size or 0),)
    if message.photo:
        return (Attachment("photo.jpg", "image/jpeg", message.photo[-1].file_size or 0),)
    return ()


def _person(user: User) -> Person:
    return Person(f"{PLATFORM}:{user.id}", " ".join(user.full_name.split()) or str(user.id))


def _reads_all(account: Account) -> bool:
    return account.me is not None and bool(account.me.can_read_all_group_messages)


async def _carried_out(what: Callable[[Asked], Awaitable[None]], asked: Asked, key: str) -> None:
    try:
        await what(asked)
    except StoreError as error:
        log.error("a command failed command=%s error=%s", key, error)  # noqa: TRY400  a sentence, not a trace
        asked.answer(WENT_WRONG)
    except BotError as error:
        asked.answer(str(error))
    except Exception:
        asked.answer(WENT_WRONG)
        raise


async def _let_go(query: CallbackQuery) -> None:
    await query.answer()
