"""What there is in a Telegram on 127.0.0.1: bots, people, chats, messages, and the updates that wait for each bot."""

import asyncio
import copy
import re
import time
from dataclasses import dataclass, field
from typing import Any

PRIVATE, GROUP, SUPERGROUP, CHANNEL = "private", "group", "supergroup", "channel"
ANONYMOUS_ADMIN = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
CHANNEL_BOT = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
TELEGRAM = {"id": 777000, "is_bot": False, "first_name": "Telegram"}

_ENTITIES = (
    ("bot_command", re.compile(r"(?<!\S)/\w{1,32}(?:@\w+)?")),
    ("mention", re.compile(r"(?<!\w)@[A-Za-z]\w{3,31}")),
    ("url", re.compile(r"https?://\S+")),
)
# https://core.telegram.org/bots/api#chatadministratorrights: all of them are required in a ChatMemberAdministrator
_RIGHTS = (
    "can_be_edited is_anonymous can_manage_chat can_delete_messages can_manage_video_chats can_restrict_members "
    "can_promote_members can_change_info can_invite_users can_post_stories can_edit_stories can_delete_stories"
).split()


@dataclass(eq=False)
class Bot:
    token: str
    user: dict[str, Any]
    reads_all: bool = False  # privacy mode is off
    updates: list[dict[str, Any]] = field(default_factory=list)
    next_update_id: int = 1000
    webhook: dict[str, Any] | None = None
    commands: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # "<scope>|<language>"
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    polling: int = 0  # number of the newest poll: an older one that still waits is ended
    revoked: bool = False

    def add(self, update: dict[str, Any]) -> dict[str, Any]:
        """Queue an update; the same dictionary with an id of its own."""
        update = {"update_id": self.next_update_id, **update}
        self.next_update_id = max(self.next_update_id, update["update_id"]) + 1
        self.updates.append(update)
        self.arrived.set()
        return update


@dataclass(eq=False)
class Chat:
    id: int
    kind: str
    title: str = ""
    is_forum: bool = False
    members: dict[int, str] = field(default_factory=dict)  # user id -> status
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    next_message_id: int = 1
    person: dict[str, Any] | None = None
    moved_to: int = 0  # the supergroup that it has become

    def shape(self) -> dict[str, Any]:
        if self.person is not None:
            return {"id": self.id, "type": self.kind, **{k: v for k, v in self.person.items() if k in ("first_name", "username")}}
        return {"id": self.id, "type": self.kind, "title": self.title, **({"is_forum": True} if self.is_forum else {})}

    def take_id(self) -> int:
        self.next_message_id += 1
        return self.next_message_id - 1


class World:
    def __init__(self) -> None:
        self.bots: dict[str, Bot] = {}
        self.people: dict[int, dict[str, Any]] = {}
        self.chats: dict[tuple[int, int], Chat] = {}  # (chat, bot for a private chat or 0)
        self.files: dict[str, tuple[str, bytes]] = {}  # file id -> path, content
        self.refuse_voice: set[int] = set()  # people whose privacy settings take no voice messages
        self.now = time.time

    # ------------------------------------------------------------------ making

    def add_bot(self, token: str, name: str, username: str, *, reads_all: bool = False) -> Bot:
        user = {"id": int(token.partition(":")[0]), "is_bot": True, "first_name": name, "username": username}
        self.bots[token] = Bot(token, user, reads_all)
        return self.bots[token]

    def add_person(self, user_id: int, name: str, username: str = "", language: str = "en") -> dict[str, Any]:
        person = {"id": user_id, "is_bot": False, "first_name": name, "language_code": language}
        self.people[user_id] = person | ({"username": username} if username else {})
        return self.people[user_id]

    def add_group(self, chat_id: int, title: str, *members: dict[str, Any], kind: str = SUPERGROUP, is_forum: bool = False) -> Chat:
        chat = Chat(chat_id, kind, title, is_forum)
        chat.members = {m["id"]: "creator" if n == 0 else "member" for n, m in enumerate(members)}
        self.chats[chat_id, 0] = chat
        return chat

    def chat(self, chat_id: int, bot: Bot) -> Chat | None:
        """A chat as a bot sees it; a private one is there as soon as the person has written."""
        return self.chats.get((chat_id, 0)) or self.chats.get((chat_id, bot.user["id"]))

    def private(self, person: dict[str, Any], bot: Bot) -> Chat:
        key = (person["id"], bot.user["id"])
        if key not in self.chats:
            self.chats[key] = Chat(person["id"], PRIVATE, person=person, members={person["id"]: "member"})
        return self.chats[key]

    def add_file(self, path: str, data: bytes) -> dict[str, Any]:
        file_id = f"file{len(self.files) + 1}"
        self.files[file_id] = (path, data)
        return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": len(data)}

    # ------------------------------------------------------------------ happenings

    def message(self, chat: Chat, sender: dict[str, Any] | None, content: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A message that exists from now on. ``more``: reply_to, thread, date, sender_chat, message_id."""
        message: dict[str, Any] = {
            "message_id": more.get("message_id") or chat.take_id(),
            "date": int(more.get("date") or self.now()),
            "chat": chat.shape(),
            **({"from": sender} if sender is not None else {}),
            **content,
        }
        if more.get("sender_chat"):
            message["sender_chat"] = more["sender_chat"]
        answered = chat.messages.get(more.get("reply_to") or 0)
        thread = more.get("thread") or (answered or {}).get("message_thread_id")
        if thread:
            message["message_thread_id"] = thread
            if chat.is_forum:
                message["is_topic_message"] = True
        if answered is not None:
            message["reply_to_message"] = {k: v for k, v in answered.items() if k not in ("reply_to_message", "reply_markup")}
        chat.messages[message["message_id"]] = message
        return message

    def tell(self, chat: Chat, kind: str, what: dict[str, Any], bot: Bot | None = None) -> list[dict[str, Any]]:
        """Queue an update for every bot that would get it (or for one)."""
        told = []
        for each in self._bots_of(chat):
            if bot in (None, each) and (kind not in ("message", "edited_message") or self._sees(each, chat, what)):
                told.append(each.add({kind: self._numbered(each, chat, copy.deepcopy(what))}))  # as it is now: it may change
        return told

    def _numbered(self, bot: Bot, chat: Chat, what: dict[str, Any]) -> dict[str, Any]:
        """In a basic group every account counts messages by itself; the first bot counts as ``chat.messages`` does."""
        if chat.kind == GROUP:
            ahead = 1000 * list(self.bots.values()).index(bot)
            for message in (what, what.get("reply_to_message", {})):
                if "message_id" in message:
                    message["message_id"] += ahead
        return what

    def _bots_of(self, chat: Chat) -> list[Bot]:
        if chat.kind == PRIVATE:
            return [b for b in self.bots.values() if self.chats.get((chat.id, b.user["id"])) is chat]
        return [b for b in self.bots.values() if chat.members.get(b.user["id"], "left") not in ("left", "kicked")]

    def _sees(self, bot: Bot, chat: Chat, message: dict[str, Any]) -> bool:
        """Privacy mode: commands, mentions and replies only (https://core.telegram.org/bots/features#privacy-mode)."""
        if chat.kind == PRIVATE or bot.reads_all or chat.members.get(bot.user["id"]) == "administrator":
            return True
        text = message.get("text") or message.get("caption") or ""
        replied = message.get("reply_to_message", {}).get("from", {}).get("id")
        if replied == bot.user["id"]:
            return True
        if text.startswith("/"):
            named = text.split()[0].partition("@")[2]
            return not named or named.casefold() == bot.user["username"].casefold()
        return f"@{bot.user['username']}".casefold() in text.casefold()

    def member(self, chat: Chat, user_id: int) -> dict[str, Any]:
        user = self.people.get(user_id) or next((b.user for b in self.bots.values() if b.user["id"] == user_id), None)
        status = chat.members.get(user_id, "left")
        shape: dict[str, Any] = {"status": status, "user": user or {"id": user_id, "is_bot": False, "first_name": "?"}}
        if status == "administrator":
            shape |= {right: right != "is_anonymous" for right in _RIGHTS}
        if status == "creator":
            shape["is_anonymous"] = False
        return shape


def entities(text: str) -> list[dict[str, Any]]:
    """What Telegram itself finds in a person's text; places in UTF-16 units."""
    found = []
    for kind, pattern in _ENTITIES:
        for match in pattern.finditer(text):
            found.append({"type": kind, "offset": units(text[: match.start()]), "length": units(match.group())})
    return sorted(found, key=lambda e: e["offset"])


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
