"""What `troupe check` and `troupe discord sync` find out: beside a running server, and before there is one."""

import pytest

from bot.config import DiscordSettings
from bot.connectors.discord_check import discord_facts, invite_address, sync_commands
from bot.errors import ConfigError, ConnectorError
from tests.loopback.discord_server import TOKEN, LoopbackDiscord
from tests.loopback.discord_world import EMBED, MANAGE_WEBHOOKS


@pytest.fixture
async def discord():
    async with LoopbackDiscord() as discord:
        yield discord
        assert not discord.violations, "; ".join(dict.fromkeys(discord.violations))


def addresses(discord):
    return DiscordSettings(api_base=discord.api_base, gateway_url=discord.gateway_url)


async def test_a_channel_that_lacks_permissions_is_named_with_them(discord):
    """As Discord's own settings name them."""
    guild = discord.world.add_guild("Harbour")
    discord.world.add_channel(guild, "good")
    bad = discord.world.add_channel(guild, "bad")
    discord.world.deny(bad, MANAGE_WEBHOOKS | EMBED)

    facts = await discord_facts(addresses(discord), TOKEN, voiced=True)

    assert [str(one) for one in facts.lacking] == ["Harbour #bad: grant Embed Links, Manage Webhooks"]
    assert facts.servers == ("Harbour",) and facts.message_content
    assert any("discord sync" in problem for problem in facts.problems)


async def test_registering_the_commands_makes_that_problem_go_away(discord):
    """And doing it again does no harm."""
    discord.world.add_channel(discord.world.add_guild("Harbour"), "tavern")

    first, second = await sync_commands(addresses(discord), TOKEN, voiced=True), await sync_commands(addresses(discord), TOKEN, voiced=True)

    assert first == second == len(discord.world.commands[""])
    assert (await discord_facts(addresses(discord), TOKEN, voiced=True)).problems == ()


async def test_without_the_intent_and_without_a_server_both_are_said(discord):
    """With the address to invite the bot by."""
    discord.world.intents_allowed &= ~(1 << 15)

    problems = "\n".join((await discord_facts(addresses(discord), TOKEN, voiced=True)).problems)

    assert "Message Content Intent" in problems and f"client_id={discord.world.application_id}" in problems


def test_the_invitation_asks_for_what_is_used_and_for_no_more():
    """No Administrator."""
    address = invite_address(123)

    assert "permissions=275415288832" in address or "permissions=" in address
    assert int(address.partition("permissions=")[2].partition("&")[0]) & (1 << 3) == 0
    assert "applications.commands" in address


async def test_a_wrong_token_is_a_sentence_that_names_the_variable(discord):
    """And the token itself is not in it."""
    with pytest.raises(ConfigError, match="DISCORD_BOT_TOKEN") as raised:
        await discord_facts(addresses(discord), "not.the.token", voiced=True)

    assert "not.the.token" not in str(raised.value)


async def test_a_discord_that_cannot_be_reached_is_a_sentence_too():
    """The machine may be offline."""
    with pytest.raises(ConnectorError, match="cannot be reached"):
        await discord_facts(DiscordSettings(api_base="http://127.0.0.1:9/api/v10"), TOKEN, voiced=True)
