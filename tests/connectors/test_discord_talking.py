"""Talking on Discord: who answers, under which face, and where."""

import asyncio
from itertools import pairwise

import pytest

from bot.connectors.discord_border import prefixed
from tests.connectors.discord_stage import open_stage, take_number
from tests.loopback.discord_rest import Bucket
from tests.loopback.discord_server import FORUM
from tests.loopback.discord_world import MANAGE_WEBHOOKS, SEND, VIEW


@pytest.fixture
async def stage(tmp_path):
    async with open_stage(tmp_path) as stage:
        yield stage


async def test_two_characters_answer_in_one_channel_through_one_webhook(stage):
    """Name and portrait come with each message; the webhook is the channel's."""
    await stage.wake(stage.tavern, "mara-quill", "odo-brandt")

    said = await stage.hear(stage.tavern, "Mara, Odo, good evening", more=2)

    assert {m["author"]["username"] for m in said} == {"Mara Quill", "Odo Brandt"}
    assert len({m["webhook_id"] for m in said}) == 1
    assert said[0]["avatar_url"] != said[1]["avatar_url"]
    assert "good evening" in said[0]["content"]
    assert len(stage.discord.calls("POST", r"/channels/\d+/webhooks")) == 1


async def test_portraits_are_served_by_discord_itself(stage):
    """They are the application's own emojis: no address of a stranger is ever shown, and nothing is stored twice."""
    await stage.wake(stage.tavern, "mara-quill")

    first, second = await stage.hear(stage.tavern, "one"), await stage.hear(stage.tavern, "two")

    (emoji,) = stage.discord.world.emojis.values()
    assert emoji["image"].startswith("data:image/png;base64,")
    assert first[0]["avatar_url"] == second[0]["avatar_url"] == f"https://cdn.discordapp.com/emojis/{emoji['id']}.png"


async def test_in_a_thread_characters_speak_through_the_parents_webhook(stage):
    """Threads have no webhooks of their own; who is awake there is the thread's own matter."""
    thread = await stage.discord.open_thread(stage.tavern, "corner table", stage.anna)
    await stage.wake(thread, "mara-quill", "odo-brandt")

    said = await stage.hear(thread, "Odo, Mara, who is the stranger?", more=2)

    webhook = stage.discord.world.webhooks[said[0]["webhook_id"]]
    assert webhook["channel_id"] == stage.tavern["id"]
    assert {m["author"]["username"] for m in said} == {"Mara Quill", "Odo Brandt"}
    assert stage.discord.said_by(stage.tavern) == []


async def test_a_forum_post_is_a_place_to_talk(stage):
    """A post is a thread; the webhook belongs to the forum."""
    forum = await stage.discord.open_channel(stage.guild, "stories", kind=FORUM)
    post = await stage.discord.open_thread(forum, "The lost barge", stage.anna)
    await stage.wake(post, "mara-quill")

    (said,) = await stage.hear(post, "Where did it sink?")

    assert said["author"]["username"] == "Mara Quill"


async def test_a_reply_to_a_characters_message_reaches_that_character(stage):
    """Although two are awake and the text names nobody."""
    await stage.wake(stage.tavern, "mara-quill", "odo-brandt")
    (odo,) = await stage.hear(stage.tavern, "Odo?")

    (answer,) = await stage.hear(stage.tavern, "And then?", reply_to=odo["id"])

    assert answer["author"]["username"] == "Odo Brandt"


async def test_without_manage_webhooks_the_bot_speaks_for_its_characters_and_says_what_it_needs_once(stage):
    """The name stands before the text. When the permission comes, so do the faces."""
    stage.discord.world.deny(stage.tavern, MANAGE_WEBHOOKS)
    await stage.discord.gateway.dispatch("CHANNEL_UPDATE", stage.tavern, guild_id=stage.guild["id"])
    await stage.wake(stage.tavern, "mara-quill")

    for text in ("first", "second"):
        await stage.discord.say(stage.tavern, stage.anna, text)
        await stage.discord.until(lambda text=text: [n for n in stage.discord.notices(stage.tavern) if n.endswith(f": {text}")], text)
        await stage.quiet(stage.tavern)
    notices = stage.discord.notices(stage.tavern)
    assert len([n for n in notices if "Manage Webhooks" in n]) == 1
    assert [n for n in notices if n.startswith(prefixed("Mara Quill", "Take"))]

    stage.tavern["permission_overwrites"] = []
    await stage.discord.gateway.dispatch("CHANNEL_UPDATE", stage.tavern, guild_id=stage.guild["id"])
    (said,) = await stage.hear(stage.tavern, "third")
    assert said["author"]["username"] == "Mara Quill"


async def test_bots_and_webhooks_are_never_answered(stage):
    """Neither ourselves, nor another bot, nor a webhook of somebody else that bears a character's name."""
    await stage.wake(stage.tavern, "mara-quill")
    other = stage.discord.world.add_user("Other Bot", bot=True)
    hook = stage.discord.world.add_webhook(stage.tavern["id"], "Mara Quill")

    await stage.discord.say(stage.tavern, other, "Mara, hello")
    await stage.discord.say(stage.tavern, stage.discord.world.bot, "Mara, hello")
    author = {**other, "id": hook["id"], "username": "Mara Quill"}
    await stage.discord.say(stage.tavern, author, "Mara, hello", webhook_id=hook["id"], application_id=None)
    (said,) = await stage.hear(stage.tavern, "Mara, hello from a person", by="Mara Quill")

    assert take_number(said) == 1
    assert len(await stage.turns(stage.tavern)) == 2


async def test_where_nobody_is_awake_nothing_is_stored(stage):
    """The bot sees every message of a server; those that no character hears are none of its business."""
    await stage.discord.say(stage.tavern, stage.anna, "a private word")
    await stage.settled()

    assert await stage.turns(stage.tavern) == []


async def test_a_mention_of_the_bot_with_a_name_calls_that_character_once(stage):
    """Also where it is not awake. Without a name, and with nobody there, the bot says how to bring somebody in."""
    bot = stage.discord.world.bot["id"]
    (said,) = await stage.hear(stage.tavern, f"<@{bot}> Mara, are you about?")
    assert said["author"]["username"] == "Mara Quill"
    assert "are you about?" in said["content"] and "Troupe" not in said["content"]

    await stage.discord.say(stage.tavern, stage.anna, f"<@{bot}> hello?")
    await stage.discord.until(lambda: [n for n in stage.discord.notices(stage.tavern) if "/character wake" in n], "the hint")


async def test_a_direct_chat_is_a_place_too(stage):
    """No webhooks there: the bot speaks, with the name before the words."""
    direct = stage.discord.world.dm(stage.anna)
    await stage.discord.gateway.dispatch("CHANNEL_CREATE", direct)
    asked = await stage.discord.slash(direct, stage.anna, "character wake", name="mara-quill")
    await asked.answer()

    await stage.discord.say(direct, stage.anna, "just you and me")

    await stage.discord.until(lambda: [n for n in stage.discord.notices(direct) if "just you and me" in n], "an answer")
    await stage.quiet(direct)
    assert stage.discord.notices(direct)[-1].startswith(prefixed("Mara Quill", "Take"))


async def test_what_characters_say_pings_nobody(stage):
    """Every message and every edit that leaves the house allows no mention at all."""
    await stage.wake(stage.tavern, "mara-quill")
    stage.echo.tail = f" @everyone @here <@{stage.anna['id']}> <@&{stage.guild['id']}>"

    await stage.hear(stage.tavern, "tell them")

    sent = [c for c in stage.discord.rest.calls if c.method in ("POST", "PATCH") and c.body and "content" in c.body]
    assert sent and all(c.body["allowed_mentions"] == {"parse": []} for c in sent)


async def test_hidden_links_show_their_address(stage):
    """The policy for links: a label may not hide where it leads."""
    await stage.wake(stage.tavern, "mara-quill")
    stage.echo.tail = " [the map](https://example.org/map)"

    (said,) = await stage.hear(stage.tavern, "where?")

    assert said["content"].endswith("the map (https://example.org/map)")


async def test_a_long_reply_becomes_several_messages_that_lose_nothing(stage):
    """None longer than Discord takes; every piece but the last has the same face."""
    await stage.wake(stage.tavern, "mara-quill")
    stage.echo.tail = "".join(f" word{i}." for i in range(700))

    said = await stage.hear(stage.tavern, "tell me everything", more=3)

    texts = [m["content"] for m in stage.discord.said_by(stage.tavern)]
    assert all(len(t) <= 2000 for t in texts)
    joined = "".join(texts)
    assert joined.endswith("word699.") and "".join(joined.split()).count("word") == 700
    assert {m["author"]["username"] for m in said} == {"Mara Quill"}


async def test_a_growing_reply_is_edited_in_step_and_always_lands_whole(tmp_path):
    """At most one edit per interval, and the final text is there although Discord said 429 in between."""
    async with open_stage(tmp_path) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        stage.discord.rest.buckets.append(Bucket("PATCH", r"/webhooks/\d+/[^/]+/messages", 2, 2.0))
        stage.echo.pause_seconds, stage.echo.tail = 0.15, " and" * 120
        await stage.hear(stage.tavern, "slowly")

        edits = [c.at for c in stage.discord.calls("PATCH", r"/webhooks/\d+/[^/]+/messages")]
        (said,) = stage.discord.said_by(stage.tavern)
        assert said["content"].endswith(" and" * 120)
        between = [b - a for a, b in pairwise(edits[:-1])]
        assert len(edits) >= 3 and min(between) >= 1.0


async def test_a_deleted_webhook_is_made_anew_and_the_reply_arrives(stage):
    """10015: it was deleted. 50027: its token changed. Neither costs the reply, and the character stays."""
    await stage.wake(stage.tavern, "mara-quill")
    await stage.hear(stage.tavern, "one")
    stage.discord.world.webhooks.clear()
    await stage.hear(stage.tavern, "two")
    next(iter(stage.discord.world.webhooks.values()))["token"] = "changed-" + "x" * 60

    (said,) = await stage.hear(stage.tavern, "three")

    assert "three" in said["content"]
    assert [c.slug for c in await stage.house.desk.company.awake(stage.key(stage.tavern))] == ["mara-quill"]


async def test_a_webhook_that_is_deleted_in_mid_reply_loses_no_word(stage):
    """What it wrote can be edited by nobody any more: the whole reply is said anew, and a reply to it still finds its speaker."""
    await stage.wake(stage.tavern, "mara-quill", "odo-brandt")
    stage.echo.hold = asyncio.Event()
    await stage.discord.say(stage.tavern, stage.anna, "Mara, a story that is long enough to grow")
    await asyncio.wait_for(stage.echo.holding.wait(), 20)
    await stage.discord.until(lambda: stage.discord.said_by(stage.tavern), "the first words")
    stage.discord.world.webhooks.clear()
    stage.echo.hold.set()
    await stage.quiet(stage.tavern)
    stage.echo.hold = None

    (said,) = stage.discord.said_by(stage.tavern)
    assert said["content"].endswith("long enough to grow")
    (answer,) = await stage.hear(stage.tavern, "go on", reply_to=said["id"])
    assert answer["author"]["username"] == "Mara Quill"


async def test_where_others_spoke_since_a_small_line_says_whom_it_answers(stage):
    """Webhooks cannot reply. Where nobody else spoke in between, there is no such line."""
    await stage.wake(stage.tavern, "mara-quill")
    ben = stage.discord.world.add_user("Ben")
    stage.echo.hold, stage.echo.hold_from = asyncio.Event(), 0
    await stage.discord.say(stage.tavern, stage.anna, "my question")
    await asyncio.wait_for(stage.echo.holding.wait(), 20)
    await stage.discord.say(stage.tavern, ben, "my question too")
    await stage.settled()
    stage.echo.hold.set()

    first, second = await stage.spoken(stage.tavern, 2, last=2)

    assert first["embeds"][0]["author"]["name"] == "↪ Anna"
    assert second["embeds"] == []


async def test_typing_is_shown_while_a_reply_is_made_and_no_longer(stage):
    """It begins before the first word."""
    await stage.wake(stage.tavern, "mara-quill")
    stage.echo.hold = asyncio.Event()
    await stage.discord.say(stage.tavern, stage.anna, "take your time with this one")
    await stage.discord.until(lambda: stage.discord.calls("POST", "/typing"), "typing")

    stage.echo.hold.set()
    await stage.spoken(stage.tavern, 1)
    await stage.settled()

    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("typing")]


async def test_typing_is_shown_at_once_also_while_a_burst_of_messages_settles(tmp_path):
    """People see that they were heard before anybody has begun to answer; what is said beside the play shows nothing."""
    async with open_stage(tmp_path, sessions={"settle_seconds": 3600}) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        await stage.discord.say(stage.tavern, stage.anna, "((brb))")
        await stage.settled()
        assert stage.discord.calls("POST", "/typing") == []

        await stage.discord.say(stage.tavern, stage.anna, "Mara?")

        await stage.discord.until(lambda: stage.discord.calls("POST", "/typing"), "typing")
        assert stage.echo.asked == 0


async def test_a_channel_that_refuses_typing_and_then_everything_leaves_the_others_alone(stage):
    """A reply that cannot be shown is logged; the next channel is answered."""
    other = await stage.discord.open_channel(stage.guild, "quay")
    await stage.wake(stage.tavern, "mara-quill")
    await stage.wake(other, "mara-quill")
    await stage.hear(stage.tavern, "before")
    stage.discord.world.deny(stage.tavern, VIEW | SEND | MANAGE_WEBHOOKS)
    stage.discord.world.webhooks.clear()
    await stage.discord.say(stage.tavern, stage.anna, "are you there?")
    await stage.quiet(stage.tavern)

    (said,) = await stage.hear(other, "and here?")

    assert "and here?" in said["content"]


async def test_a_lost_answer_of_discord_does_not_double_a_message(stage):
    """The message was posted and the connection broke before Discord could say so: it is found instead of sent again."""
    await stage.wake(stage.tavern, "mara-quill")
    await stage.hear(stage.tavern, "before")
    stage.discord.trouble("POST", r"/webhooks/\d+/", lost=True)

    await stage.hear(stage.tavern, "after the break")

    assert [m["content"] for m in stage.discord.said_by(stage.tavern)] == ["Take 1: before", "Take 2: after the break"]


async def test_server_errors_of_discord_delay_a_reply_and_lose_nothing(stage):
    """Two 502 in a row; the library tries again."""
    await stage.wake(stage.tavern, "mara-quill")
    stage.discord.trouble("POST", r"/webhooks/\d+/", status=502, times=2)

    (said,) = await stage.hear(stage.tavern, "through thick and thin")

    assert said["content"] == "Take 1: through thick and thin"


async def test_text_out_of_character_is_not_answered(stage):
    """In double parentheses people talk beside the play."""
    await stage.wake(stage.tavern, "mara-quill")
    await stage.discord.say(stage.tavern, stage.anna, "((Mara, brb phone))")
    (said,) = await stage.hear(stage.tavern, "back again")

    assert take_number(said) == 1


async def test_a_message_that_comes_twice_is_answered_once(stage):
    """As after a RESUME that replays too much."""
    await stage.wake(stage.tavern, "mara-quill")
    message = await stage.discord.say(stage.tavern, stage.anna, "once")
    await stage.discord.tell_message(message)
    await stage.spoken(stage.tavern, 1)
    (second,) = await stage.hear(stage.tavern, "twice")

    assert take_number(second) == 2


async def test_fifty_channels_at_once_keep_their_order_and_lose_nothing(tmp_path):
    """None lost, none doubled, none out of order in a channel."""
    async with open_stage(tmp_path, discord={"buttons": False}) as stage:
        channels = [await stage.discord.open_channel(stage.guild, f"room-{i}") for i in range(50)]
        await stage.settled()
        for channel in channels:
            await stage.wake(channel, "mara-quill")

        async def talk(channel):
            for i in range(2):
                await stage.hear(channel, f"line {i} of {channel['name']}")

        await asyncio.gather(*(talk(channel) for channel in channels))

        for channel in channels:
            told = [m["content"].partition(": ")[2] for m in stage.discord.said_by(channel)]
            assert told == [f"line {i} of {channel['name']}" for i in range(2)]


async def test_a_flood_leaves_the_bot_responsive_and_its_queue_bounded(tmp_path):
    """A thousand messages at once in one channel; a command behind them is answered, and the channel goes on.

    How soon is what ``benchmarks/campaign.py --only flood`` measures: Discord's three seconds would test this machine.
    """
    async with open_stage(tmp_path, sessions={"inbox": 8, "channel_messages_per_minute": 60}) as stage:
        stage.discord.rest.interaction_seconds = 60.0
        await stage.wake(stage.tavern, "mara-quill")
        for i in range(1000):
            await stage.discord.say(stage.tavern, stage.anna, f"raid {i}")

        asked = await stage.discord.slash(stage.tavern, stage.moderator, "admin status")
        await asked.answer(seconds=60)
        await stage.quiet(stage.tavern)

        assert len(await stage.turns(stage.tavern)) < 200
        assert len([n for n in stage.discord.notices(stage.tavern) if n.startswith("(")]) <= 3
