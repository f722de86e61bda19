"""Serving: the rooms and every connector together, until somebody says stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Protocol

from bot.commands.desk import MADE_UP
from bot.commands.privacy import follow_forgetting
from bot.config import Config
from bot.connectors import discord_chat
from bot.connectors.telegram_account import bot_tokens
from bot.connectors.telegram_chat import TelegramChat
from bot.connectors.web_chat import WebChat
from bot.discreet_log import tell_discreetly
from bot.engine.swap import SwappingEngine
from bot.errors import BotError, EngineStopped
from bot.house import House, open_house, serving
from bot.jobs.jobs import Jobs
from bot.jobs.plan import planned
from bot.messages import Channel, ChannelKey, Engine

log = logging.getLogger(__name__)

INTERRUPTED = 130  # what a shell expects of a process that Ctrl-C ended
OVERDUE = 1
_FORGETTING_SECONDS = 2.0  # how long words may stay in memory that a command beside this process has deleted


class Connector(Protocol):
    """What every platform's connector can do."""

    async def start(self) -> object: ...
    async def stop(self) -> None: ...
    def port(self, channel: ChannelKey) -> Channel | None: ...


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. The first stops in order, a second one at once: what is stored is whole either way.

    After the first, the process is gone within ``sessions.closing_seconds``, whatever hangs.

    Raises:
        EngineStopped: the engine's thread died; whoever supervises this process starts it again, and the turns go on.
        BotError: something could not be opened; everything that was is closed again.
    """
    stopped = _stop_signal()
    tell_discreetly(asyncio.get_running_loop())
    with serving(config.paths.data):
        async with open_house(config) as house, AsyncExitStack() as connected:
            web = WebChat(config.web, house.desk)
            connectors: dict[str, Connector] = {"web": web, **_platforms(config, house)}
            _spare_what_stays()
            url = await web.start()
            connected.push_async_callback(web.stop)
            for connector in connectors.values():
                if connector is not web:
                    connected.push_async_callback(connector.stop)
                    await connector.start()
            others = "".join(f" and on {name.capitalize()}" for name in connectors if name != "web")
            announce(f"The company is at {url}{others}  (Ctrl-C sends it home; {MADE_UP.rstrip('.').lower()})")
            taken_up = await house.router.take_up(lambda channel: _port(channel, connectors))
            if taken_up:
                log.info("turns taken up that the last process left turns=%d", taken_up)
            jobs = Jobs(planned(config, house.desk.store, engine=house.desk.engine), config.paths.data)
            connected.push_async_callback(jobs.stop)
            await jobs.start()
            engine = house.desk.engine
            forgetting = follow_forgetting(house.desk, config.paths.data, _FORGETTING_SECONDS)
            beside = [
                asyncio.create_task(_warm(house, engine), name="warm prefixes"),
                asyncio.create_task(forgetting, name="follow forgetting"),
            ]
            if isinstance(engine, SwappingEngine) and config.engine.watch_seconds:
                engine.prepare = partial(_warm, house)
                beside.append(asyncio.create_task(engine.watch(config.engine.watch_seconds), name="watch gguf/current"))
            died = await _until_stopped(stopped, house)
            _end_in_any_case(config.sessions.closing_seconds)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            if died:
                announce("The engine has died; going home.")
                raise EngineStopped("the engine's thread died, its log line says where; start Troupe again, and every turn goes on")
            announce("Going home …")
            unfinished = await house.router.finish(config.sessions.closing_seconds / 2)
            if unfinished:
                log.info("replies are left for the next start channels=%d", unfinished)


def _spare_what_stays() -> None:
    """Keep modules and cast out of the garbage collector's full rounds: going through them all held the loop up for 0.3 to 1 s."""
    gc.collect()
    gc.freeze()


async def _until_stopped(stopped: asyncio.Event, house: House) -> bool:
    """Whether it was the engine that ended."""
    engine = house.desk.engine
    asked = asyncio.create_task(stopped.wait(), name="stop signal")
    waits: set[asyncio.Task[object]] = {asked}
    if isinstance(engine, SwappingEngine):
        waits.add(asyncio.create_task(engine.ended(), name="engine's end"))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return not stopped.is_set()


def _end_in_any_case(seconds: float) -> None:
    """A thread of its own: it has to work also when the event loop is what hangs. What is stored is whole."""

    def end() -> None:
        log.error("the end took longer than sessions.closing_seconds=%g; what was left undone is taken up at the next start", seconds)
        os._exit(OVERDUE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _platforms(config: Config, house: House) -> dict[str, Connector]:
    """The platforms whose tokens are in the environment."""
    joined: dict[str, Connector] = {}
    discord_token = discord_chat.bot_token(config.discord)
    if discord_token is not None:
        joined["discord"] = discord_chat.DiscordChat(config.discord, house.desk, discord_token)
    telegram_tokens = bot_tokens(config.telegram)
    if telegram_tokens:
        joined["telegram"] = TelegramChat(config.telegram, house.desk, telegram_tokens)
    return joined


def _port(channel: ChannelKey, connectors: Mapping[str, Connector]) -> Channel | None:
    connector = connectors.get(channel.platform)
    return None if connector is None else connector.port(channel)


async def _warm(house: House, engine: Engine) -> None:
    """Read the prompts of the characters that are awake by default before anybody asks this engine something."""
    renderer = house.stage.renderers.held(engine.tokenizer).of(engine.tokenizer)
    budget = replace(house.stage.budget, context=engine.context_tokens)
    lobby = ChannelKey("web", "lobby")
    for character in await house.desk.company.awake(lobby):
        try:
            tokens = await asyncio.to_thread(renderer.prefix, character, budget)
            await engine.warm(tokens)
        except BotError as error:
            log.warning("character could not be prepared character=%s error=%s", character.id, error)


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stopped.is_set():
            os._exit(INTERRUPTED)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    return stopped
