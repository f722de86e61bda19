"""`troupe run` as an operator starts it, from a card to being forgotten, with Discord's own description as the judge."""

import signal

import pytest

from bot.config import MemorySettings
from bot.memory.store import Store
from bot.messages import ChannelKey
from tests.connectors.discord_process import troupe_process
from tests.connectors.discord_stage import configured, echo_engine, eventually, take_number, world
from tests.connectors.test_discord_commands import CARD
from tests.loopback.discord_server import LoopbackDiscord


@pytest.fixture
async def scene(tmp_path):
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        guild, tavern, anna, moderator = world(discord)
        yield discord, configured(tmp_path, discord, echo), guild, tavern, anna, moderator
        assert not discord.violations, "; ".join(dict.fromkeys(discord.violations))


async def test_from_a_card_to_being_forgotten(scene):
    """Register by command with a card, wake it and another, talk to both, regenerate, rate, ask why, forget me; go home."""
    discord, config, guild, tavern, anna, moderator = scene

    async def command(user, name, /, **options):
        return (await (await discord.slash(tavern, user, name, **options)).answer(60))["content"]

    async with troupe_process(config, discord.world.token) as process:
        await discord.until(lambda: discord.world.commands[""], "the commands' registration", 90)
        assert "Runa Holt" in await command(moderator, "character import", card=("runa.json", CARD))
        assert "is here" in await command(anna, "character wake", name="runa-holt")
        assert "is here" in await command(anna, "character wake", name="mara-quill")
        for name in ("Runa Holt", "Mara Quill"):
            before = len(discord.said_by(tavern, name))
            await discord.say(tavern, anna, f"{name.split()[0]}, a word with you about the tide")
            said = await discord.until(lambda n=name, b=before: discord.said_by(tavern, n)[b:], f"{name}'s answer", 60)
            await discord.until(lambda s=said: s[0]["content"].endswith("about the tide"), "the whole of it", 60)
        last = discord.said_by(tavern, "Mara Quill")[-1]
        first_take = take_number(last)
        asked = await discord.slash(tavern, anna, "chat regenerate")
        await asked.until(lambda i: i.callback is not None and i.messages == [], 60)
        assert take_number(last) > first_take
        pressed = await discord.press(anna, last, "troupe:good")
        assert "Thank you" in (await pressed.answer())["content"]
        assert "Mara Quill said this with the model" in await command(anna, "why")
        question = await (await discord.slash(tavern, anna, "privacy forget")).answer()
        await discord.press(anna, question, "Remove everything")
        await discord.until(lambda: "Forgotten" in question["content"], "the forgetting", 60)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    store = await Store.open(MemorySettings(), config.paths.data)
    try:
        key = ChannelKey("discord", f"{guild['id']}/{tavern['id']}")

        async def nothing_of_anna():
            return not [t for t in await store.history(key, None, limit=100) if not t.by_character]

        await eventually(nothing_of_anna, "the forgetting")
        assert await store.person(f"discord:{anna['id']}") is None
    finally:
        await store.close()
