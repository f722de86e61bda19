"""kill -9 at each step of a reply: after the next start it is there once, and whole."""

import asyncio

import pytest

from bot.config import MemorySettings
from bot.memory.store import Store
from bot.messages import ChannelKey
from tests.connectors.discord_process import kill, troupe_process
from tests.connectors.discord_stage import configured, echo_engine, world
from tests.loopback.discord_server import LoopbackDiscord

QUESTION = "what did the harbour master say that night?"
WAITS = asyncio.Event  # one that nobody sets


@pytest.fixture
async def scene(tmp_path):
    """A channel with a character in it, and everything but the process."""
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        _, tavern, anna, _ = world(discord)
        config = configured(tmp_path, discord, echo)
        key = ChannelKey("discord", f"{tavern['guild_id']}/{tavern['id']}")
        store = await Store.open(MemorySettings(), tmp_path)
        await store.set_awake(key, ["house/mara-quill"])
        await store.close()
        yield discord, echo, config, tavern, anna, key
        assert not discord.violations, "; ".join(dict.fromkeys(discord.violations))


async def taken_up(scene):
    """Start again, and wait until the reply is whole and stored as such."""
    discord, echo, config, tavern, _, key = scene
    echo.hold = None
    async with troupe_process(config, discord.world.token):
        await discord.until(lambda: [m for m in discord.said_by(tavern) if m["content"].endswith(QUESTION)], "the whole reply", 60)
        await stored(config, key)
    (said,) = discord.said_by(tavern)
    assert said["content"].endswith(QUESTION)
    return said


async def stored(config, key):
    async with asyncio.timeout(30):
        while True:
            store = await Store.open(MemorySettings(), config.paths.data)
            try:
                status = await store.status()
            finally:
                await store.close()
            if status.replies == {"recorded": 1} and status.turns == {"answered": 2}:
                return
            await asyncio.sleep(0.05)


async def test_killed_before_the_first_word_the_reply_is_made_again(scene):
    """Claimed: nothing was shown yet."""
    discord, echo, config, tavern, anna, _ = scene
    echo.hold, echo.hold_from = WAITS(), 0
    async with troupe_process(config, discord.world.token) as process:
        await discord.until(discord.gateway.connected.is_set, "a connection", 60)
        await discord.say(tavern, anna, QUESTION)
        await asyncio.wait_for(echo.holding.wait(), 60)
        await kill(process)
    assert discord.said_by(tavern) == []

    await taken_up(scene)


async def test_killed_in_the_middle_of_a_reply_the_same_message_is_completed(scene):
    """Opened: the first words are on the screen, and its id is stored."""
    discord, echo, config, tavern, anna, key = scene
    echo.hold, echo.hold_from = WAITS(), 32
    async with troupe_process(config, discord.world.token) as process:
        await discord.until(discord.gateway.connected.is_set, "a connection", 60)
        await discord.say(tavern, anna, QUESTION)
        await asyncio.wait_for(echo.holding.wait(), 60)
        (begun,) = await discord.until(lambda: discord.said_by(tavern), "the first words", 60)
        await opened(config, key)
        await kill(process)

    said = await taken_up(scene)

    assert said["id"] == begun["id"]


async def opened(config, key):
    async with asyncio.timeout(30):
        while True:
            store = await Store.open(MemorySettings(), config.paths.data)
            try:
                if (await store.status()).replies == {"opened": 1}:
                    return
            finally:
                await store.close()
            await asyncio.sleep(0.05)


async def test_killed_between_sent_and_stored_the_message_is_found_instead_of_sent_again(scene):
    """The one ambiguous window: Discord has the message, we do not know its id. It is looked for in the channel."""
    discord, _echo, config, tavern, anna, _ = scene
    async with troupe_process(config, discord.world.token) as process:
        await discord.until(discord.gateway.connected.is_set, "a connection", 60)
        discord.trouble("POST", r"/webhooks/\d+/", hold=WAITS())
        await discord.say(tavern, anna, QUESTION)
        (begun,) = await discord.until(lambda: discord.said_by(tavern), "the message", 60)
        await kill(process)

    said = await taken_up(scene)

    assert said["id"] == begun["id"]


async def test_killed_when_all_was_done_nothing_happens_again(scene):
    """Recorded."""
    discord, _echo, config, tavern, anna, key = scene
    async with troupe_process(config, discord.world.token) as process:
        await discord.until(discord.gateway.connected.is_set, "a connection", 60)
        await discord.say(tavern, anna, QUESTION)
        await stored(config, key)
        await kill(process)

    await taken_up(scene)
