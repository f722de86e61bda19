"""What the methods of the Bot API do to the world, and how they refuse (wordings as Telegram's own server uses them)."""

from collections.abc import Callable
from typing import Any

from tests.loopback.telegram_spec import Upload
from tests.loopback.telegram_world import PRIVATE, Bot, Chat, World, entities, units

LONGEST, LONGEST_CAPTION, CALLBACK_BYTES = 4096, 1024, 64
INTEGERS = frozenset(
    "chat_id message_id message_thread_id offset limit timeout user_id draft_id max_connections cache_time icon_color "
    "drop_pending_updates show_alert disable_notification allow_sending_without_reply duration".split()
)
_ENTITY_TYPES = frozenset(
    "mention hashtag cashtag bot_command url email phone_number bold italic underline strikethrough spoiler blockquote "
    "expandable_blockquote code pre text_link text_mention custom_emoji".split()
)


class Refused(Exception):
    def __init__(
        self, status: int, description: str, *, retry_after: int | None = None, body: bytes | None = None, moved_to: int = 0
    ) -> None:
        super().__init__(description)
        self.status, self.description, self.retry_after, self.body, self.moved_to = status, description, retry_after, body, moved_to

    def envelope(self) -> dict[str, Any]:
        extra = {"parameters": {"retry_after": self.retry_after}} if self.retry_after is not None else {}
        extra |= {"parameters": {"migrate_to_chat_id": self.moved_to}} if self.moved_to else {}
        words = f"Too Many Requests: retry after {self.retry_after}" if self.retry_after is not None else self.description
        return {"ok": False, "error_code": self.status, "description": words, **extra}


class Methods:
    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, Callable[[Bot, dict[str, Any]], Any]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def has(self, method: str) -> bool:
        return method.casefold() in self._known

    def carry_out(self, bot: Bot, method: str, given: dict[str, Any]) -> Any:
        return self._known[method.casefold()](bot, given)

    # ------------------------------------------------------------------ the bot itself

    def do_getme(self, bot: Bot, _given: dict[str, Any]) -> dict[str, Any]:
        no = (
            "supports_inline_queries can_connect_to_business has_main_web_app has_topics_enabled "
            "allows_users_to_create_topics can_manage_bots"
        )
        rest = dict.fromkeys(no.split(), False)
        return {**bot.user, "can_join_groups": True, **rest, "can_read_all_group_messages": bot.reads_all}

    def do_setwebhook(self, bot: Bot, given: dict[str, Any]) -> bool:
        bot.webhook = {"url": given["url"], "secret_token": given.get("secret_token", "")} if given.get("url") else None
        return True

    def do_deletewebhook(self, bot: Bot, _given: dict[str, Any]) -> bool:
        bot.webhook = None
        return True

    def do_getwebhookinfo(self, bot: Bot, _given: dict[str, Any]) -> dict[str, Any]:
        url = bot.webhook["url"] if bot.webhook else ""
        return {"url": url, "has_custom_certificate": False, "pending_update_count": len(bot.updates)}

    def do_setmycommands(self, bot: Bot, given: dict[str, Any]) -> bool:
        for command in given["commands"]:
            name, words = command["command"], command["description"]
            if not (1 <= len(name) <= 32 and name == name.lower() and name.replace("_", "").isalnum() and name.isascii()):
                raise Refused(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(words) <= 256:
                raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        bot.commands[f"{given.get('scope', {}).get('type', 'default')}|{given.get('language_code', '')}"] = given["commands"]
        return True

    # ------------------------------------------------------------------ messages

    def do_sendmessage(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        chat = self._writable(bot, given)
        text = _spoken(given.get("text", ""))
        return self._send(bot, chat, given, {"text": text, **_entities("entities", text, given)})

    def do_sendphoto(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        chat = self._writable(bot, given)
        file = self._file(given["photo"], "photos")
        return self._send(bot, chat, given, {"photo": [{**file, "width": 512, "height": 512}], **_caption(given)})

    def do_senddocument(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        chat = self._writable(bot, given)
        given_file = given["document"]
        name = given_file.name if isinstance(given_file, Upload) else "file"
        return self._send(bot, chat, given, {"document": {**self._file(given_file, "documents"), "file_name": name}, **_caption(given)})

    def do_sendvoice(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        """Shown as a voice message if it is Ogg/Opus, MP3 or M4A: https://core.telegram.org/bots/api#sendvoice."""
        chat = self._writable(bot, given)
        if chat.kind == PRIVATE and chat.id in self._world.refuse_voice:
            raise Refused(400, "Bad Request: VOICE_MESSAGES_FORBIDDEN")
        upload = given["voice"]
        if isinstance(upload, Upload) and not (upload.data[:4] == b"OggS" and b"OpusHead" in upload.data[:64]):
            raise Refused(400, "Bad Request: wrong type of the voice file")
        shape = {**self._file(upload, "voice"), "duration": given.get("duration", 0), "mime_type": "audio/ogg"}
        return self._send(bot, chat, given, {"voice": shape, **_caption(given)})

    def do_sendaudio(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        """MP3 or M4A: https://core.telegram.org/bots/api#sendaudio."""
        chat = self._writable(bot, given)
        upload = given["audio"]
        if isinstance(upload, Upload) and not upload.name.endswith((".mp3", ".m4a")):
            raise Refused(400, "Bad Request: wrong type of the audio file")
        shape = {**self._file(upload, "music"), "duration": given.get("duration", 0), "file_name": upload.name}
        return self._send(bot, chat, given, {"audio": shape, **_caption(given)})

    def do_sendmessagedraft(self, bot: Bot, given: dict[str, Any]) -> bool:
        chat = self._writable(bot, given)
        if chat.kind != PRIVATE:
            raise Refused(400, "Bad Request: method is available only in private chats")
        if not given.get("draft_id"):
            raise Refused(400, "Bad Request: DRAFT_ID_INVALID")
        if given.get("text"):
            _entities("entities", _spoken(given["text"]), given)
        return True

    def do_sendchataction(self, bot: Bot, given: dict[str, Any]) -> bool:
        self._writable(bot, given)
        return True

    def do_editmessagetext(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        message = self._own(bot, given)
        if "text" not in message:
            raise Refused(400, "Bad Request: there is no text in the message to edit")
        text = _spoken(given.get("text", ""))
        new = {"text": text, **_entities("entities", text, given), **_markup(given)}
        return self._change(message, new, ("text", "entities", "reply_markup"))

    def do_editmessagereplymarkup(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        return self._change(self._own(bot, given), _markup(given), ("reply_markup",))

    def _change(self, message: dict[str, Any], new: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
        if all(message.get(name) == new.get(name) for name in fields):
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the same "
                "as a current content and reply markup of the message",
            )
        for name in fields:
            message.pop(name, None)
        message |= {**new, "edit_date": int(self._world.now())}
        return message

    def do_deletemessage(self, bot: Bot, given: dict[str, Any]) -> bool:
        chat = self._chat(bot, given)
        if given["message_id"] not in chat.messages:
            raise Refused(400, "Bad Request: message to delete not found")
        del chat.messages[given["message_id"]]
        return True

    def do_answercallbackquery(self, _bot: Bot, given: dict[str, Any]) -> bool:
        if units(given.get("text", "")) > 200:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        return True

    def do_getfile(self, _bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        known = self._world.files.get(given["file_id"])
        if known is None:
            raise Refused(400, "Bad Request: invalid file_id")
        path, data = known
        return {"file_id": given["file_id"], "file_unique_id": f"u{given['file_id']}", "file_size": len(data), "file_path": path}

    # ------------------------------------------------------------------ chats

    def do_getchat(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        kinds = "unlimited_gifts limited_gifts unique_gifts premium_subscription gifts_from_channels"
        gifts = dict.fromkeys(kinds.split(), True)
        return {**self._chat(bot, given).shape(), "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}

    def do_getchatmember(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        return self._world.member(self._chat(bot, given), given["user_id"])

    def do_getchatadministrators(self, bot: Bot, given: dict[str, Any]) -> list[dict[str, Any]]:
        chat = self._chat(bot, given)
        return [self._world.member(chat, i) for i, status in chat.members.items() if status in ("creator", "administrator")]

    def do_createforumtopic(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(bot, given)
        if not chat.is_forum:
            raise Refused(400, "Bad Request: the chat is not a forum")
        if chat.members.get(bot.user["id"]) != "administrator":
            raise Refused(400, "Bad Request: not enough rights to create a topic")
        topic = chat.take_id()
        chat.topics[topic] = given["name"]
        return {"message_thread_id": topic, "name": given["name"], "icon_color": 7322096}

    # ------------------------------------------------------------------ shared

    def _chat(self, bot: Bot, given: dict[str, Any]) -> Chat:
        chat = self._world.chat(given["chat_id"], bot)
        if chat is None:
            raise Refused(400, "Bad Request: chat not found")
        if chat.moved_to:
            raise Refused(400, "Bad Request: group chat was upgraded to a supergroup chat", moved_to=chat.moved_to)
        return chat

    def _writable(self, bot: Bot, given: dict[str, Any]) -> Chat:
        chat = self._chat(bot, given)
        if chat.kind == PRIVATE:
            if chat.members.get(chat.id) == "kicked":
                raise Refused(403, "Forbidden: bot was blocked by the user")
        elif chat.members.get(bot.user["id"], "left") in ("left", "kicked"):
            raise Refused(403, f"Forbidden: bot was kicked from the {chat.kind} chat")
        thread = given.get("message_thread_id")
        if thread and chat.is_forum and thread not in chat.topics:
            raise Refused(400, "Bad Request: message thread not found")
        return chat

    def _send(self, bot: Bot, chat: Chat, given: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        reply = given.get("reply_parameters") or {}
        if reply and reply["message_id"] not in chat.messages and not reply.get("allow_sending_without_reply"):
            raise Refused(400, "Bad Request: message to be replied not found")
        keyboard = {k: v for k, v in _markup(given).items() if "inline_keyboard" in v}
        more = {"thread": given.get("message_thread_id"), "reply_to": reply.get("message_id")}
        return self._world.message(chat, bot.user, {**content, **keyboard}, **more)

    def _own(self, bot: Bot, given: dict[str, Any]) -> dict[str, Any]:
        message = self._chat(bot, given).messages.get(given["message_id"])
        if message is None:
            raise Refused(400, "Bad Request: message to edit not found")
        if message.get("from", {}).get("id") != bot.user["id"]:
            raise Refused(400, "Bad Request: message can't be edited")
        return message

    def _file(self, given: Any, folder: str) -> dict[str, Any]:
        if isinstance(given, Upload):
            return self._world.add_file(f"{folder}/{len(self._world.files)}-{given.name}", given.data)
        if given not in self._world.files:
            raise Refused(400, "Bad Request: wrong file identifier/HTTP URL specified")
        return {"file_id": given, "file_unique_id": f"u{given}", "file_size": len(self._world.files[given][1])}


def _spoken(text: str) -> str:
    if not text.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if units(text) > LONGEST:
        raise Refused(400, "Bad Request: message is too long")
    return text


def _caption(given: dict[str, Any]) -> dict[str, Any]:
    text = given.get("caption", "")
    if units(text) > LONGEST_CAPTION:
        raise Refused(400, "Bad Request: message caption is too long")
    return {"caption": text, **_entities("caption_entities", text, given)} if text else {}


def _entities(field: str, text: str, given: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, and what Telegram finds by itself outside of code."""
    if given.get("parse_mode"):
        raise Refused(400, "Bad Request: can't parse entities: this server knows none of the parse modes")
    asked = given.get(field) or []
    for entity in asked:
        if entity["type"] not in _ENTITY_TYPES or entity["length"] < 1 or entity["offset"] + entity["length"] > units(text):
            raise Refused(400, f"Bad Request: can't parse entities: wrong {entity['type']} entity")
    code = [(e["offset"], e["offset"] + e["length"]) for e in asked if e["type"] in ("code", "pre")]
    found = [e for e in entities(text) if not any(a <= e["offset"] < b for a, b in code)]
    whole = sorted([*asked, *found], key=lambda e: e["offset"])
    return {field: whole} if whole else {}


def _markup(given: dict[str, Any]) -> dict[str, Any]:
    markup = given.get("reply_markup")
    if not markup:
        return {}
    for row in markup.get("inline_keyboard", []):
        for button in row:
            if len(button.get("callback_data", "").encode()) > CALLBACK_BYTES:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return {"reply_markup": markup}
