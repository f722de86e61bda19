"""Damaged input at every border: config files, requests of the page, updates of Telegram, dispatches of Discord.

Each is refused with a sentence or carried out; nothing crashes, and afterwards everything still answers.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from bot.config import load_config
from bot.connectors.telegram_updates import Updates
from bot.connectors.web_chat import WebChat
from bot.errors import ConfigError
from bot.house import open_house
from tests.connectors.discord_stage import Stage as DiscordStage
from tests.connectors.discord_stage import open_stage
from tests.connectors.telegram_stage import stage
from tests.house import HERE, settings
from tests.loopback.openai_server import openai_server

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    "",
    "\x00",
    "\ud83d",
    "x" * 5000,
    "<|im_start|>system",
    "../../etc/passwd",
    [],
    {},
    [[]],
    {"id": None},
    "2026-13-45",
    "🏴‍☠️" * 50,
)


@dataclass
class Fuzz:
    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)  # at a connector's border, of a shape that no platform sends
    crashes: list[str] = field(default_factory=list)
    speechless: list[str] = field(default_factory=list)  # refused without a sentence
    silent: list[str] = field(default_factory=list)  # did not answer afterwards

    @property
    def clean(self) -> bool:
        return not (self.crashes or self.speechless or self.silent)


class _Unforeseen(logging.Handler):
    """Errors that nobody foresaw and that ended at a border: left out, logged, and the next one is taken."""

    def __init__(self, fuzz: Fuzz) -> None:
        super().__init__(logging.ERROR)
        self._fuzz = fuzz

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._fuzz.left_out[record.name.rpartition(".")[2]] += 1


async def run_fuzz(folder: Path, *, count: int, seed: int) -> Fuzz:
    """Two fifths of ``count`` are config files; the page, Telegram and Discord share the rest."""
    random_, fuzz = random.Random(seed), Fuzz()
    watching = _Unforeseen(fuzz)
    logging.getLogger("bot").addHandler(watching)
    try:
        each = count // 5
        configs(folder / "configs", fuzz, random_, count - 3 * each)
        async with openai_server(behaviour="echo", remembers=False) as server:
            remote = {"remote": {"base_url": server.base_url, "model": "echo"}}
            await page(folder / "page", fuzz, random_, each, remote)
            (folder / "telegram").mkdir(parents=True)
            await telegram(folder / "telegram", fuzz, random_, each, remote)
        (folder / "discord").mkdir(parents=True)
        await discord(folder / "discord", fuzz, random_, each)
    finally:
        logging.getLogger("bot").removeHandler(watching)
    return fuzz


# ------------------------------------------------------------------ config files


def configs(folder: Path, fuzz: Fuzz, random_: random.Random, count: int) -> None:
    folder.mkdir(parents=True)
    shipped = (HERE / "config.toml").read_bytes()
    file = folder / "config.toml"
    for _ in range(count):
        file.write_bytes(_mutated_bytes(shipped, random_))
        fuzz.tried["config"] += 1
        try:
            load_config(file)
        except ConfigError as error:
            fuzz.refused["config"] += 1
            if str(file) not in str(error):
                fuzz.speechless.append(f"config: {error}")
        except Exception as error:  # noqa: BLE001  what this looks for
            fuzz.crashes.append(f"config: {type(error).__name__}: {error}")


def _mutated_bytes(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random_.randint(1, 6)):
        changed = changed or bytearray(b"[")
        at = random_.randrange(len(changed))
        match random_.randrange(5):
            case 0:
                changed[at] = random_.randrange(256)
            case 1:
                del changed[at : at + random_.randint(1, 60)]
            case 2:
                changed[at:at] = random_.choice((b"\n[", b"]]", b'"""', b"= = ", b"nan", b"\xff\xfe", b"99999999999999999999", b"{}", b"-"))
            case 3:
                line = changed.find(b"= ", at)
                if line >= 0:
                    end = changed.find(b"\n", line)
                    changed[line + 2 : end] = random_.choice((b"-1", b'"x"', b"true", b"[]", b"1e400", b"{ a = 1 }", b"", b"inf"))
            case 4:
                del changed[at:]
    return bytes(changed)


# ------------------------------------------------------------------ the page


async def page(folder: Path, fuzz: Fuzz, random_: random.Random, count: int, engine: dict[str, Any]) -> None:
    config = settings(folder / "data", folder / "gguf", engine=engine, web={"port": 0})
    async with open_house(config) as house, aiohttp.ClientSession() as session:
        web = WebChat(config.web, house.desk)
        url = await web.start()
        try:
            for _ in range(count):
                fuzz.tried["page"] += 1
                await _request(session, url, fuzz, random_)
            body = {"id": uuid4().hex, "text": "Mara, #1: are you there?", "name": "Anna"}
            async with session.get(f"{url}/api/channels/still/events") as events:
                async with session.post(f"{url}/api/channels/still/messages", json=body) as response:
                    if response.status != 202:
                        fuzz.silent.append("page")
                async with asyncio.timeout(60):
                    async for line in events.content:
                        if line.startswith(b"event: final"):
                            break
        finally:
            await web.stop()


async def _request(session: aiohttp.ClientSession, url: str, fuzz: Fuzz, random_: random.Random) -> None:
    paths = ("messages", "stop", "regenerate", "continue", "reset", "awake", "why/" + "x" * 12, "nothing")
    path = random_.choice(paths)
    whole = {"id": uuid4().hex, "text": "Good evening.", "name": "Anna", "reply_to": None}
    body = _mutated({**whole, "character": "ada", "awake": True, "message_id": "x" * 9}, random_, 0.1)
    keep = {"messages": ("id", "text", "name", "reply_to"), "awake": ("character", "awake"), "reset": ("character",)}
    if isinstance(body, dict) and random_.random() < 0.9:
        body = {k: v for k, v in body.items() if k in keep.get(path, ("message_id",))}
    data = json.dumps(body).encode("utf-8", "surrogatepass")
    if random_.random() < 0.2:
        data = _mutated_bytes(data or b"{", random_)
    channel = random_.choice(("lobby", "attic", "room", "caf%C3%A9", "%2e%2e", "x" * 60, "%00"))
    kind = random_.choice(("application/json",) * 9 + ("text/plain",))
    method = random_.choice(("POST",) * 8 + ("GET", "PUT"))
    headers = {"Content-Type": kind, "X-Troupe-Person": random_.choice(("anna-anna",) * 6 + ("x", "ä" * 9, "a" * 65))}
    async with session.request(method, f"{url}/api/channels/{channel}/{path}", data=data, headers=headers) as response:
        answer = await response.read()
        if response.status == 500:
            fuzz.crashes.append(f"page: {method} {path} gave 500")
        if response.status >= 400:
            fuzz.refused["page"] += 1
            if b"error" not in answer and method != "HEAD":
                fuzz.speechless.append(f"page: {method} {path} {response.status} {answer[:100]!r}")


def _mutated(document: Any, random_: random.Random, chance: float = 0.25) -> Any:
    """The document with some of its values replaced by odd ones, and some keys gone."""
    if random_.random() < chance / 5:
        return random_.choice(ODD)
    if isinstance(document, dict):
        return {
            key: random_.choice(ODD) if random_.random() < chance else _mutated(value, random_, chance)
            for key, value in document.items()
            if random_.random() > chance / 4
        }
    if isinstance(document, list):
        return [_mutated(value, random_, chance) for value in document]
    return document


def _values(document: Any) -> int:
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return 1 + sum(map(_values, inner))


# ------------------------------------------------------------------ Telegram


async def telegram(folder: Path, fuzz: Fuzz, random_: random.Random, count: int, engine: dict[str, Any]) -> None:
    quotas = {"person_messages_per_minute": 0, "channel_messages_per_minute": 0}
    async with stage(folder, folder / "none", engine=engine, sessions=quotas) as here:
        account = next(iter(here.chat.accounts.values()))
        updates = Updates(account, here.chat._hearing.take)
        await here.still_answers()
        for number in range(count):
            fuzz.tried["telegram"] += 1
            update = _mutated(_update(number, random_), random_, 0.12)
            try:
                again = await updates.batch([update])
            except Exception as error:  # noqa: BLE001  what this looks for
                fuzz.crashes.append(f"telegram: {type(error).__name__}: {str(error)[:200]}")
                continue
            if again is not None:
                fuzz.silent.append(f"telegram: update {number} would come for ever")
        await here.still_answers()


def _update(number: int, random_: random.Random) -> dict[str, Any]:
    person = {"id": 5, "is_bot": False, "first_name": "Anna", "username": "anna", "language_code": "en"}
    chat = random_.choice(({"id": 5, "type": "private", "first_name": "Anna"}, {"id": -1005, "type": "supergroup", "title": "Harbour"}))
    text = random_.choice(("Good evening.", "/wake mara-quill", "/help", "/create", "@troupe_bot hello", "/forgetme", "🏴‍☠️"))
    message: dict[str, Any] = {"message_id": 10_000 + number, "date": 1_900_000_000, "chat": chat, "from": person, "text": text}
    if random_.random() < 0.3:
        message["entities"] = [{"type": "bot_command", "offset": 0, "length": 5}]
    if random_.random() < 0.2:
        message["reply_to_message"] = {"message_id": 3, "date": 1, "chat": chat, "from": {**person, "is_bot": True}, "text": "Aye"}
    if random_.random() < 0.1:
        message["document"] = {"file_id": "f", "file_unique_id": "u", "file_name": "card.png", "file_size": 10}
    kinds: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"message": message},
        lambda: {"edited_message": {**message, "edit_date": 1_900_000_001}},
        lambda: {"callback_query": {"id": str(number), "from": person, "chat_instance": "c", "data": "again", "message": message}},
        lambda: {
            "my_chat_member": {
                "chat": chat,
                "from": person,
                "date": 1_900_000_000,
                "old_chat_member": {"user": person, "status": "left"},
                "new_chat_member": {"user": person, "status": "member"},
            }
        },
    )
    return {"update_id": 500_000 + number, **random_.choice((*kinds[:1] * 5, *kinds))()}


# ------------------------------------------------------------------ Discord

THROUGH_THE_GATEWAY = 2  # events that the library cannot parse end its connection: so many go the whole way, pauses and all


async def discord(folder: Path, fuzz: Fuzz, random_: random.Random, count: int) -> None:
    """Events of a server of their own, so that what they delete is not where it is asked for an answer afterwards.

    They are handed to the library's parsers, as its connection does: an event that these cannot read ends a connection, and
    a new one is made after a pause; thousands of pauses would show nothing that two do not.
    """
    async with open_stage(folder) as here:
        await here.wake(here.tavern, "mara-quill")
        await here.hear(here.tavern, "before")
        unread = await _discord_events(here, fuzz, random_, count)
        try:
            for event, data in unread[:THROUGH_THE_GATEWAY]:
                await here.discord.gateway.dispatch(event, data)
                await here.hear(here.tavern, f"and after {event}")
            await here.hear(here.tavern, "and afterwards")
        except TimeoutError as error:
            fuzz.silent.append(f"discord: {error}")
        here.discord.rest.violations.clear()  # made-up ids in, odd calls out


async def _discord_events(here: DiscordStage, fuzz: Fuzz, random_: random.Random, count: int) -> list[tuple[str, Any]]:
    """Returns the events that the library could not read."""
    state = (await here.chat.ready())._connection
    world = here.discord.world
    unread: list[tuple[str, Any]] = []
    other = world.add_guild("Fuzzland", owner=here.moderator)
    channel = world.add_channel(other, "swamp")
    thread = world.add_thread(channel, "bog", here.anna)
    for number in range(count):
        fuzz.tried["discord"] += 1
        if number % 50 == 0:  # whatever the last ones have deleted
            state.parsers["GUILD_CREATE"](copy.deepcopy(world.guild_document(other["id"], [world.bot])))
            state.parsers["THREAD_CREATE"](copy.deepcopy(thread))
        event, whole = _discord_event(here, channel, thread, random_)
        data = _mutated(copy.deepcopy(whole), random_, 2 / _values(whole))
        try:
            state.parsers[event](copy.deepcopy(data))
        except Exception:  # noqa: BLE001  the library's own parser; a connection would end and be made again
            fuzz.left_out[f"discord.py, {event}"] += 1
            unread.append((event, data))
        if number % 20 == 0:
            await asyncio.sleep(0.02)  # what was read is carried out beside this
    return unread


def _discord_event(
    here: DiscordStage, channel: dict[str, Any], thread: dict[str, Any], random_: random.Random
) -> tuple[str, dict[str, Any]]:
    world = here.discord.world
    place = random_.choice((channel, channel, thread))
    text = random_.choice(("Good evening.", "Mara, are you there?", f"<@{world.bot['id']}> hello", "((aside))", "", "🏴‍☠️"))
    message = world.event_message(world.add_message(place["id"], here.anna, text, mentions=[world.bot] if "<@" in text else ()))
    ids = {"channel_id": place["id"], "guild_id": place["guild_id"]}
    data = random_.choice(
        (
            {
                "type": 1,
                "name": "character",
                "options": [{"name": "wake", "type": 1, "options": [{"name": "name", "type": 3, "value": "ada"}]}],
            },
            {
                "type": 1,
                "name": "memory",
                "options": [{"name": "remove", "type": 1, "options": [{"name": "number", "type": 4, "value": 1}]}],
            },
            {"type": 1, "name": "help", "options": []},
            {"type": 3, "name": "Why", "target_id": message["id"], "resolved": {"messages": {message["id"]: message}}},
            {"custom_id": "troupe:again", "component_type": 2, "id": 1},
        )
    )
    interaction = {
        **ids,
        "id": world.snowflake(),
        "application_id": world.application_id,
        "type": 3 if "custom_id" in data else random_.choice((2, 2, 4)),
        "token": "loopback",
        "version": 1,
        "attachment_size_limit": 10 * 1024 * 1024,
        "channel": {**place, "permissions": "0"},
        "locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {},
        "app_permissions": "0",
        "context": 0,
        "guild": {"id": place["guild_id"], "locale": "en-US", "features": []},
        "member": {**world.member(place["guild_id"], here.anna), "permissions": "0"},
        "message": message,
        "data": {"id": "1", **data},
    }
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("MESSAGE_CREATE", message),
        ("MESSAGE_CREATE", message),
        ("MESSAGE_CREATE", message),
        ("MESSAGE_UPDATE", {**message, "edited_timestamp": message["timestamp"]}),
        ("MESSAGE_DELETE", {**ids, "id": message["id"]}),
        ("MESSAGE_DELETE_BULK", {**ids, "ids": [message["id"], "17"]}),
        ("INTERACTION_CREATE", interaction),
        ("INTERACTION_CREATE", interaction),
        ("CHANNEL_UPDATE", channel),
        ("CHANNEL_DELETE", channel),
        ("THREAD_UPDATE", thread),
        ("THREAD_DELETE", thread),
        ("GUILD_UPDATE", world.guild_document(place["guild_id"], [world.bot])),
        ("GUILD_DELETE", {"id": place["guild_id"]}),
        ("WEBHOOKS_UPDATE", ids),
    )
    return random_.choice(kinds)
