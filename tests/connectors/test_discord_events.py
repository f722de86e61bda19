"""What happens on Discord beside messages: edits, deletions, disconnections, and what was missed meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.memory.retention import LEFT_AT
from bot.messages import ChannelKey
from tests.connectors.discord_stage import configured, echo_engine, eventually, open_stage, troupe, world
from tests.loopback.discord_server import LoopbackDiscord


@pytest.fixture
async def stage(tmp_path):
    async with open_stage(tmp_path) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        yield stage


async def remembered(stage, *texts, channel=None):
    """Wait until exactly this is remembered of what people said."""
    key = stage.key(channel or stage.tavern)

    async def so():
        history = await stage.house.desk.store.history(key, None, limit=100)
        return [history] if [t.text for t in history if not t.by_character] == list(texts) else []

    return (await eventually(so, f"remembering {texts}"))[0]


async def test_an_edited_message_is_remembered_as_it_stands_now(stage):
    """What was said at first is gone."""
    message = await stage.discord.say(stage.tavern, stage.anna, "I was born in Lerwik")
    await stage.spoken(stage.tavern, 1)

    await stage.discord.change(message, "I was born in Lerwick")

    await remembered(stage, "I was born in Lerwick")


async def test_a_deleted_message_is_forgotten_and_the_conversation_goes_on(stage):
    """Its words are nowhere any more; the reply to it stays."""
    message = await stage.discord.say(stage.tavern, stage.anna, "forget that I said this")
    await stage.spoken(stage.tavern, 1)

    await stage.discord.delete(message)
    await remembered(stage)

    (said,) = await stage.hear(stage.tavern, "still here?")
    assert "still here?" in said["content"]


async def test_a_characters_message_that_a_moderator_deletes_is_forgotten_too(stage):
    """Deleting in Discord is enough."""
    (said,) = await stage.hear(stage.tavern, "say something unwise")

    await stage.discord.delete(said)

    async def forgotten():
        return not [t for t in await stage.turns(stage.tavern) if t.startswith("Mara")]

    await eventually(forgotten, "the forgetting")


async def test_messages_deleted_in_bulk_are_forgotten_all(stage):
    """As after a moderator's purge."""
    first = await stage.discord.say(stage.tavern, stage.anna, "one")
    await stage.spoken(stage.tavern, 1)
    second = await stage.discord.say(stage.tavern, stage.anna, "two")
    await stage.spoken(stage.tavern, 2)

    await stage.discord.delete(first, second)

    await remembered(stage)


async def test_a_deleted_channel_takes_its_threads_with_it(stage):
    """Nobody is awake there any more, and nothing is remembered."""
    thread = await stage.discord.open_thread(stage.tavern, "corner", stage.anna)
    await stage.wake(thread, "odo-brandt")
    await stage.hear(stage.tavern, "in the channel")
    await stage.hear(thread, "in the thread")

    await stage.discord.delete_channel(stage.tavern)

    await remembered(stage, channel=stage.tavern)
    await remembered(stage, channel=thread)

    async def nobody_awake():
        return not await stage.house.desk.company.awake(stage.key(thread))

    await eventually(nobody_awake, "everybody's leaving")


async def test_a_deleted_thread_leaves_its_channel_alone(stage):
    """Only the thread's own turns go."""
    thread = await stage.discord.open_thread(stage.tavern, "corner", stage.anna)
    await stage.wake(thread, "odo-brandt")
    await stage.hear(stage.tavern, "in the channel")
    await stage.hear(thread, "in the thread")

    await stage.discord.delete_channel(thread)

    await remembered(stage, channel=thread)
    await remembered(stage, "in the channel")


async def test_leaving_a_server_is_noted_and_coming_back_clears_the_note(stage):
    """What is stored of it stays for the stated time."""
    server = ChannelKey("discord", stage.guild["id"])
    store = stage.house.desk.store
    await stage.hear(stage.tavern, "before")

    async def noted():
        return LEFT_AT in await store.channel_settings(server)

    async def cleared():
        return not await noted()

    await stage.discord.leave(stage.guild)
    await eventually(noted, "the note")
    await remembered(stage, "before")

    stage.discord.world.guilds[stage.guild["id"]] = stage.guild
    again = stage.discord.world.guild_document(stage.guild["id"], [stage.discord.world.bot])
    del again["unavailable"]  # so it is for an invitation
    await stage.discord.gateway.dispatch("GUILD_CREATE", again, guild_id=stage.guild["id"])
    await eventually(cleared, "the end of the note")


async def test_servers_that_removed_us_while_we_were_away_are_noted_once(tmp_path):
    """Discord names every server at its greeting, those in trouble too. The note keeps its date, and goes when we are invited again."""
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        guild, _, _, moderator = world(discord)
        lost, troubled = (discord.world.add_guild(name, owner=moderator) for name in ("Lost", "Troubled"))
        config = configured(tmp_path, discord, echo)
        servers = {g["id"]: ChannelKey("discord", g["id"]) for g in (guild, lost, troubled)}

        async def noted(house):
            return {s: await house.desk.store.channel_settings(key) for s, key in servers.items()}

        async with troupe(config, discord) as (house, _chat):
            for each in (guild, lost, troubled):
                await house.desk.store.set_last_seen(ChannelKey("discord", f"{each['id']}/1"), "1")
        del discord.world.guilds[lost["id"]]
        discord.gateway.out_of_order.add(troubled["id"])
        dates = set()
        for _ in range(2):
            discord.world.commands[""] = []
            async with troupe(config, discord) as (house, _chat):

                async def so(house=house):
                    return LEFT_AT in (await noted(house))[lost["id"]]

                await eventually(so, "the note")
                now = await noted(house)
                assert now[guild["id"]] == now[troubled["id"]] == {}
                dates.add(now[lost["id"]][LEFT_AT])
        assert len(dates) == 1

        discord.world.guilds[lost["id"]] = lost
        async with troupe(config, discord) as (house, _chat):

            async def cleared():
                return (await noted(house))[lost["id"]] == {}

            await eventually(cleared, "the end of the note")


@pytest.mark.parametrize("trouble", ["asked to reconnect", "connection broken", "session invalid but resumable"])
async def test_after_a_resume_nothing_is_lost_and_nothing_answered_twice(stage, trouble):
    """What was said meanwhile comes by RESUME."""
    await stage.hear(stage.tavern, "before")
    gateway = stage.discord.gateway
    match trouble:
        case "asked to reconnect":
            await gateway.ask_to_reconnect()
        case "connection broken":
            await gateway.drop()
        case _:
            await gateway.invalidate(resumable=True)
    await stage.discord.say(stage.tavern, stage.anna, "while you were away")
    await stage.hear(stage.tavern, "and after", more=2)

    assert gateway.resumed == 1
    assert next(m["content"] for m in stage.discord.said_by(stage.tavern)) == "Take 1: before"
    history = await remembered(stage, "before", "while you were away", "and after")
    assert len({t.message_id for t in history}) == len(history)


async def test_a_new_session_reads_what_was_missed_in_order_and_answers_what_is_fresh(stage):
    """Sessions are forgotten, as after a restart of Discord. What is too old is remembered and not answered."""
    await stage.hear(stage.tavern, "before")
    await stage.discord.gateway.forget_sessions()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    last = list(stage.discord.world.messages[stage.tavern["id"]])[-1]
    old = await stage.discord.say(stage.tavern, stage.anna, "long ago", quietly=True)
    old["timestamp"] = hour_ago.isoformat()
    assert int(old["id"]) > int(last)
    await stage.discord.say(stage.tavern, stage.anna, "just now", quietly=True)
    await asyncio.wait_for(stage.discord.gateway.connected.wait(), 30)
    await stage.hear(stage.tavern, "and live", more=1)
    await stage.discord.until(lambda: stage.discord.gateway.identified == 2, "a new session")

    await remembered(stage, "before", "long ago", "just now", "and live")
    await stage.quiet(stage.tavern)
    answered = [m["content"].partition(": ")[2] for m in stage.discord.said_by(stage.tavern)]
    assert answered[-1] == "and live" and len(answered) == len(set(answered))


async def test_a_message_older_than_the_limit_is_recorded_but_not_answered(tmp_path):
    """The bot was away for long: the discord snowflake says when something was sent."""
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        _, tavern, anna, _moderator = world(discord)
        config = configured(tmp_path, discord, echo)
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        key = ChannelKey("discord", f"{tavern['guild_id']}/{tavern['id']}")
        async with troupe(config, discord) as (house, _chat):
            await house.desk.company.wake(key, house.desk.company.find(key, "mara-quill"))
            await house.desk.store.set_last_seen(key, discord.world.snowflake(hour_ago - timedelta(minutes=1)))
        await discord.say(tavern, anna, "an hour ago", sent_at=hour_ago, quietly=True)
        await discord.say(tavern, anna, "a moment ago", quietly=True)

        async with troupe(config, discord) as (house, _chat):
            await discord.until(lambda: discord.said_by(tavern), "an answer")
            await discord.until(lambda: not house.router.speaking(key), "the end")
            history = await house.desk.store.history(key, None, limit=10)

        assert [t.text for t in history] == ["an hour ago", "a moment ago", "Take 1: a moment ago"]
        assert discord.violations == []


async def test_a_dispatch_that_the_library_cannot_parse_costs_a_pause_and_nothing_else(stage):
    """discord.py ends with the parser's error; a new client is made and reads what was said meanwhile."""
    await stage.hear(stage.tavern, "before")

    await stage.discord.gateway.dispatch("MESSAGE_CREATE", {"id": "nonsense"}, guild_id=stage.guild["id"])
    await stage.discord.until(lambda: stage.discord.gateway.identified == 2, "a new session")
    (said,) = await stage.hear(stage.tavern, "and after")

    assert "and after" in said["content"]


async def test_a_gateway_that_cannot_be_reached_at_first_is_tried_again(tmp_path):
    """The library's own retry would go one frame deeper each time; ours makes a new client."""
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        _, tavern, anna, _ = world(discord)
        discord.gateway.refused_connects = 1
        config = configured(tmp_path, discord, echo)
        async with troupe(config, discord) as (house, _chat):
            key = ChannelKey("discord", f"{tavern['guild_id']}/{tavern['id']}")
            await house.desk.company.wake(key, house.desk.company.find(key, "mara-quill"))
            await discord.say(tavern, anna, "at last")
            await discord.until(lambda: discord.said_by(tavern), "an answer")


async def test_a_wrong_token_leaves_the_house_open_and_says_which_variable_to_set(tmp_path, caplog):
    """Discord is then simply not joined; asking often would only get us banned."""
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        world(discord)
        config = configured(tmp_path, discord, echo)
        async with troupe(config, discord, connected=False, token="wrong.token") as (house, chat):
            await discord.until(lambda: discord.calls("GET", "/users/@me"), "a login")
            await discord.until(lambda: "DISCORD_BOT_TOKEN" in caplog.text, "a sentence in the log")
            assert chat.port(ChannelKey("discord", "1/2")) is not None
            assert await house.desk.store.history(ChannelKey("web", "lobby"), None, limit=1) == []
        assert "wrong.token" not in caplog.text


async def test_a_missing_intent_is_named(tmp_path, caplog):
    """The portal must allow the bot to read messages."""
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        world(discord)
        discord.world.intents_allowed &= ~(1 << 15)
        async with troupe(configured(tmp_path, discord, echo), discord, connected=False):
            await discord.until(lambda: "Message Content Intent" in caplog.text, "a sentence in the log")


async def test_going_home_while_the_library_reconnects_does_not_hang(stage):
    """discord.py swallows a cancellation that comes just then: `stop` once waited for ever."""
    await stage.hear(stage.tavern, "before")
    stage.discord.gateway.silent = True
    await stage.discord.gateway.drop()
    await stage.discord.until(lambda: stage.discord.gateway.connections, "another connection")

    async with asyncio.timeout(30):
        await stage.chat.stop()


async def test_commands_are_registered_once_however_often_discord_greets_us(stage):
    """on_ready comes again with each session."""
    await stage.discord.gateway.forget_sessions()
    await stage.discord.until(lambda: stage.discord.gateway.identified == 2, "a new session")
    await stage.hear(stage.tavern, "hello again")

    assert len(stage.discord.calls("PUT", "/commands")) == 1
    assert len(stage.discord.said_by(stage.tavern)) == 1


async def test_what_people_say_is_in_no_log(stage, caplog):
    """At the default level: neither words, nor tokens, nor a webhook's secret."""
    caplog.set_level("INFO")
    await stage.hear(stage.tavern, "the canary sings at midnight")
    await stage.discord.gateway.drop()
    await stage.hear(stage.tavern, "the canary sings again")

    ours = "\n".join(r.getMessage() for r in caplog.records)
    assert "canary" not in ours and stage.discord.world.token not in ours and "wwwwwwww" not in ours
