"""A Telegram on 127.0.0.1: the Bot API for the real python-telegram-bot over real sockets.

In a test::

    async with LoopbackTelegram() as telegram:
        bot = telegram.world.add_bot(TOKEN, "Troupe", "troupe_bot")
        anna = telegram.world.add_person(5, "Anna")
        ...                       # point the connector at telegram.api_base and telegram.file_base
        telegram.say(anna, telegram.world.private(anna, bot), "Good evening")

As a process of its own: ``python -m tests.loopback.telegram_server --port N``. It prints one JSON line with the addresses, and
``POST /control/<what>`` with JSON arguments does what the methods in ``CONTROLS`` do.
"""

import argparse
import asyncio
import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from tests.loopback.telegram_methods import INTEGERS, Methods, Refused
from tests.loopback.telegram_spec import Spec, Upload
from tests.loopback.telegram_world import Bot, Chat, World, entities

TOKEN = "4242:loopback"
PATIENCE_SECONDS = 30.0
LARGEST = 64 * 1024 * 1024


@dataclass
class Call:
    """One call as it came in. ``at`` is the loop's time in seconds."""

    method: str
    token: str
    parameters: dict[str, Any]
    at: float
    status: int = 0
    answer: Any = None


@dataclass
class Fault:
    """The next ``times`` calls of ``method`` (``*``: any), in one chat if named, get this instead of an answer."""

    method: str
    status: int
    times: int = 1
    description: str = ""
    retry_after: int | None = None
    chat_id: int | None = None
    body: bytes | None = None
    seen: list[float] = field(default_factory=list)

    def meets(self, call: Call) -> bool:
        chat = self.chat_id is None or self.chat_id == call.parameters.get("chat_id")
        return self.times > 0 and chat and self.method.casefold() in ("*", call.method.casefold())


class LoopbackTelegram:
    def __init__(self, port: int = 0) -> None:
        self.world = World()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.unanswered: set[str] = set()  # methods that are carried out, and whose answer never leaves
        self.spec = Spec.load()
        self._methods = Methods(self.world)
        self._port = port
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self._waiting: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "LoopbackTelegram":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application(client_max_size=LARGEST)
        app.router.add_post("/control/{what}", self._control)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        self._closing = True
        for bot in self.world.bots.values():
            bot.arrived.set()
        if self._runner is not None:
            await self._runner.cleanup()
        for task in self._waiting:
            task.cancel()

    @property
    def base(self) -> str:
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def api_base(self) -> str:
        return f"{self.base}/bot"

    @property
    def file_base(self) -> str:
        return f"{self.base}/file/bot"

    # ------------------------------------------------------------------ what people do

    def say(self, sender: dict[str, Any] | None, chat: Chat, text: str, **more: Any) -> dict[str, Any]:
        """Somebody writes. ``more``: reply_to, thread, date, sender_chat, message_id, bot (only that one is told)."""
        bot = more.pop("bot", None)
        found = entities(text)
        message = self.world.message(chat, sender, {"text": text, **({"entities": found} if found else {})}, **more)
        self._told(self.world.tell(chat, "message", message, bot))
        return message

    def send(self, sender: dict[str, Any], chat: Chat, content: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A message that is no text: ``content`` holds its fields (document, photo, sticker ...)."""
        message = self.world.message(chat, sender, content, **more)
        self._told(self.world.tell(chat, "message", message))
        return message

    def document(self, sender: dict[str, Any], chat: Chat, name: str, data: bytes, caption: str = "", **more: Any) -> dict[str, Any]:
        """Somebody sends a file as a file."""
        shape = {**self.world.add_file(f"documents/{name}", data), "file_name": name}
        return self.send(sender, chat, {"document": shape, **_captioned(caption)}, **more)

    def photo(self, sender: dict[str, Any], chat: Chat, data: bytes, caption: str = "", **more: Any) -> dict[str, Any]:
        shape = {**self.world.add_file("photos/photo.jpg", data), "width": 640, "height": 640}
        return self.send(sender, chat, {"photo": [shape], **_captioned(caption)}, **more)

    def edit(self, chat: Chat, message_id: int, text: str) -> None:
        """Whoever wrote a message changes it."""
        message = chat.messages[message_id]
        message |= {"text": text, "edit_date": int(self.world.now())}
        self._told(self.world.tell(chat, "edited_message", message))

    def press(self, sender: dict[str, Any], chat: Chat, message_id: int, data: str) -> str:
        """Somebody presses the button with ``data``. Returns the query's id."""
        message = chat.messages[message_id]
        owner = next(b for b in self.world.bots.values() if b.user["id"] == message["from"]["id"])
        offered = [b.get("callback_data") for row in message.get("reply_markup", {}).get("inline_keyboard", []) for b in row]
        assert data in offered, f"{data} is not among the buttons {offered}"
        query_id = f"q{owner.next_update_id}"
        query = {"id": query_id, "from": sender, "message": copy.deepcopy(message), "chat_instance": str(chat.id), "data": data}
        self._told([owner.add({"callback_query": query})])
        return query_id

    def raw(self, bot: Bot, update: dict[str, Any]) -> None:
        """Queue whatever a test brings, as it is. An ``update_id`` of its own is kept."""
        bot.add(update)

    def join(self, chat: Chat, bot: Bot, by: dict[str, Any], status: str = "member") -> None:
        """A bot is added, made administrator, or (``left``, ``kicked``) removed."""
        old = self.world.member(chat, bot.user["id"])
        chat.members[bot.user["id"]] = status
        new = self.world.member(chat, bot.user["id"])
        new |= {"until_date": 0} if status == "kicked" else {}
        change = {"chat": chat.shape(), "from": by, "date": int(self.world.now()), "old_chat_member": old, "new_chat_member": new}
        self._told([bot.add({"my_chat_member": change})])

    def upgrade(self, chat: Chat, new_id: int, *, quietly: bool = False) -> Chat:
        """A group becomes a supergroup: another chat with the same people, numbered anew. Both say so, unless ``quietly``."""
        new = self.world.add_group(new_id, chat.title)
        new.members = dict(chat.members)
        chat.moved_to = new_id
        for place, content in ((chat, {"migrate_to_chat_id": new_id}), (new, {"migrate_from_chat_id": chat.id})):
            message = self.world.message(place, None, content)
            for bot in [b for b in self.world.bots.values() if place.members.get(b.user["id"]) and not quietly]:
                self._told([bot.add({"message": message})])
        return new

    def _told(self, updates: list[dict[str, Any]]) -> None:
        if self.spec is not None:
            for update in updates:
                self.problems += self.spec.update(update)
        for bot in self.world.bots.values():
            if bot.webhook is not None and bot.updates:
                task = asyncio.ensure_future(self._push(bot))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)

    async def _push(self, bot: Bot) -> None:
        """Webhook delivery: the same update until it is taken."""
        async with ClientSession() as session:
            while bot.updates and bot.webhook is not None and not self._closing:
                update = bot.updates[0]
                headers = {"X-Telegram-Bot-Api-Secret-Token": bot.webhook["secret_token"]} if bot.webhook.get("secret_token") else {}
                with suppress(OSError):
                    async with session.post(bot.webhook["url"], json=update, headers=headers, ssl=False) as response:
                        if response.status == 200 and bot.updates and bot.updates[0] is update:
                            bot.updates.pop(0)
                await asyncio.sleep(0.01)

    # ------------------------------------------------------------------ what a test looks at

    def of(self, *methods: str, chat: Chat | None = None) -> list[Call]:
        """Calls that were carried out."""
        wanted = {m.casefold() for m in methods}
        here = [c for c in self.calls if c.method.casefold() in wanted and c.status == 200]
        return [c for c in here if chat is None or c.parameters.get("chat_id") == chat.id]

    def shown(self, chat: Chat) -> list[str]:
        """What our bots have written in a chat, as it stands now."""
        return [text for m in self.sent(chat) if (text := m.get("text") or m.get("caption") or "")]

    def sent(self, chat: Chat) -> list[dict[str, Any]]:
        """The messages of our bots in a chat."""
        ours = {bot.user["id"] for bot in self.world.bots.values()}
        return [m for m in chat.messages.values() if m.get("from", {}).get("id") in ours]

    async def until(self, true: Callable[[], Any], what: str = "") -> Any:
        """Wait for calls to come in until ``true`` gives something."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (result := true()):
                    self._changed.clear()
                    with suppress(TimeoutError):  # not everything that a test waits for is a call
                        await asyncio.wait_for(self._changed.wait(), 0.05)
                return result
        except TimeoutError:
            last = [(c.method, c.status) for c in self.calls[-20:]]
            raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s for {what or 'something'}; last calls: {last}") from None

    # ------------------------------------------------------------------ the Bot API

    async def _call(self, request: web.Request) -> web.StreamResponse:
        token, method = request.match_info["token"], request.match_info["method"]
        raw = await _parameters(request)
        call = Call(method, token, {name: _value(name, text) for name, text in raw.items()}, asyncio.get_running_loop().time())
        if self.spec is not None:
            self.problems += self.spec.call(method, raw)
        self.calls.append(call)
        try:
            call.answer = await self._answer(call)
            call.status = 200
            if self.spec is not None:
                self.problems += self.spec.answer(method, call.answer)
            self._changed.set()
            while method in self.unanswered and not self._closing:  # noqa: ASYNC110  a test takes the method out whenever it likes
                await asyncio.sleep(0.02)
            return web.json_response({"ok": True, "result": call.answer})
        except Refused as refused:
            call.status = refused.status
            if refused.body is not None:
                return web.Response(status=refused.status, body=refused.body)
            return web.json_response(refused.envelope(), status=refused.status)
        finally:
            self._changed.set()

    async def _answer(self, call: Call) -> Any:
        fault = next((f for f in self.faults if f.meets(call)), None)
        if fault is not None:
            fault.times -= 1
            fault.seen.append(call.at)
            raise Refused(fault.status, fault.description or "scripted", retry_after=fault.retry_after, body=fault.body)
        bot = self.world.bots.get(call.token)
        if bot is None or bot.revoked:
            raise Refused(401, "Unauthorized")
        if call.method.casefold() == "getupdates":
            return await self._updates(bot, call.parameters)
        if self._methods.has(call.method):
            return self._methods.carry_out(bot, call.method, call.parameters)
        if self.spec is None or "Boolean" in self.spec.returns(call.method):
            return True
        raise Refused(404, "Not Found")

    async def _updates(self, bot: Bot, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if bot.webhook is not None:
            raise Refused(
                409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        bot.polling += 1
        mine = bot.polling
        bot.arrived.set()
        offset, limit = int(parameters.get("offset") or 0), int(parameters.get("limit") or 100)
        if offset:
            bot.updates = [u for u in bot.updates if u["update_id"] >= offset]
        end = asyncio.get_running_loop().time() + float(parameters.get("timeout") or 0)
        while not bot.updates and not self._closing:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                break
            bot.arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(bot.arrived.wait(), left)
            if bot.polling != mine:
                raise Refused(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
            if bot.revoked:
                raise Refused(401, "Unauthorized")
        return bot.updates[:limit]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        data = next((data for known, data in self.world.files.values() if known == path), None)
        if data is None or request.match_info["token"] not in self.world.bots:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        return web.Response(body=data)

    # ------------------------------------------------------------------ as a process of its own

    async def _control(self, request: web.Request) -> web.StreamResponse:
        """What a test in another process may do and see."""
        what, given = request.match_info["what"], await request.json()
        world = self.world
        if what == "bot":
            bot = world.add_bot(given["token"], given["name"], given["username"], reads_all=given.get("reads_all", False))
            return web.json_response(bot.user)
        if what == "person":
            return web.json_response(world.add_person(given["id"], given["name"], given.get("username", "")))
        if what == "group":
            members = [world.people[i] for i in given["people"]]
            chat = world.add_group(given["id"], given["title"], *members, is_forum=given.get("is_forum", False))
            chat.members |= {b.user["id"]: "member" for b in world.bots.values()}
            return web.json_response(chat.shape())
        if what in ("say", "edit", "press"):
            bot = world.bots[given["token"]]
            person = world.people[given["person"]]
            chat = world.chats.get((given.get("chat", 0), 0)) or world.private(person, bot)
            if what == "edit":
                self.edit(chat, given["message_id"], given["text"])
                return web.json_response({})
            if what == "press":
                return web.json_response({"id": self.press(person, chat, given["message_id"], given["data"])})
            more = {k: given[k] for k in ("reply_to", "thread", "date", "message_id") if k in given}
            return web.json_response(self.say(person, chat, given["text"], **more))
        if what == "fault":
            self.faults.append(Fault(**given))
            return web.json_response({})
        if what == "seen":
            chats = {f"{chat_id}/{bot}": list(chat.messages.values()) for (chat_id, bot), chat in world.chats.items()}
            calls = [{"method": c.method, "parameters": _plain(c.parameters), "status": c.status, "at": c.at} for c in self.calls]
            return web.json_response({"chats": chats, "calls": calls, "problems": self.problems})
        return web.json_response({"error": f"nothing is called {what}; known: {', '.join(CONTROLS)}"}, status=404)


CONTROLS = ("bot", "person", "group", "say", "edit", "press", "fault", "seen")


async def _parameters(request: web.Request) -> dict[str, str | Upload]:
    found: dict[str, str | Upload] = dict(request.query)
    if request.content_type == "application/json":
        body = await request.json()
        return found | {k: v if isinstance(v, str) else json.dumps(v) for k, v in body.items()}
    if request.method == "POST":
        for name, value in (await request.post()).items():
            found[name] = value if isinstance(value, str) else Upload(value.filename, value.file.read())
    return found


def _value(name: str, text: str | Upload) -> Any:
    """What a parameter means; nested objects come as JSON text."""
    if isinstance(text, Upload):
        return text
    if name in INTEGERS or text[:1] in ("{", "["):
        with suppress(ValueError):
            return json.loads(text)
    return text


def _captioned(caption: str) -> dict[str, Any]:
    found = entities(caption)
    return {"caption": caption, **({"caption_entities": found} if found else {})} if caption else {}


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    return {k: f"<file {v.name}, {len(v.data)} bytes>" if isinstance(v, Upload) else v for k, v in parameters.items()}


async def _serve(port: int) -> None:
    async with LoopbackTelegram(port) as telegram:
        addresses = {"api_base": telegram.api_base, "file_base": telegram.file_base, "control": f"{telegram.base}/control/"}
        print(json.dumps(addresses), flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A Telegram on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().port))
