"""Conversations on Telegram: the real library against a Telegram of our own, a tiny real model behind it."""

import asyncio
from datetime import UTC, datetime

import pytest

from bot.messages import ChannelKey, Person
from tests.connectors.telegram_stage import FORUM, GROUP, MARA_TOKEN, stage
from tests.loopback.telegram_server import Fault
from tests.loopback.telegram_world import ANONYMOUS_ADMIN, CHANNEL_BOT, TELEGRAM

PRIVATE_KEY, GROUP_KEY = ChannelKey("telegram", "5"), ChannelKey("telegram", str(GROUP))


@pytest.fixture
def open_stage(tmp_path, tiny_model):
    def opened(**sections):
        return stage(tmp_path, tiny_model, **sections)

    return opened


async def turns(here, key):
    return [(t.author_name, t.by_character) for t in await here.history(key)]


async def test_a_private_chat_is_answered_by_somebody_from_the_first_word(open_stage):
    """The first whose card says awake answers until another is chosen; the name stands before the words, in bold by an entity."""
    async with open_stage() as here:
        here.telegram.say(here.anna, here.private, "Good evening!")
        [reply] = await here.answered(here.private, 1)
        [message] = here.telegram.sent(here.private)

        bold = message["entities"][0]
        speaker = reply.encode("utf-16-le")[2 * bold["offset"] : 2 * (bold["offset"] + bold["length"])].decode("utf-16-le")
        [awake] = await here.house.desk.company.awake(PRIVATE_KEY)
        assert (bold["type"], speaker) == ("bold", awake.name)
        assert reply.startswith(f"{awake.face.emoji} {awake.name}\n")
        assert [b["callback_data"] for b in message["reply_markup"]["inline_keyboard"][0]] == ["earlier", "later", "again", "up", "down"]
        typing = [c.at for c in here.telegram.of("sendChatAction")]
        assert typing and typing[0] < here.telegram.of("sendMessage")[0].at


async def test_two_characters_of_a_group_answer_to_their_names_and_a_private_chat_talks_to_a_third(open_stage):
    async with open_stage(reads_all=True) as here:
        group = here.group()
        await here.wake(group, "mara-quill", "odo-brandt")
        await here.wake(here.private, "zhou-meilan")

        here.telegram.say(here.anna, here.private, "Good evening")
        here.telegram.say(here.ben, group, "Odo, are you there?")
        [odo] = await here.answered(group, 1)
        here.telegram.say(here.ben, group, "And you, Mara?")
        _, mara = await here.answered(group, 2)
        [zhou] = await here.answered(here.private, 1)

        assert "Odo Brandt\n" in odo and "Mara Quill\n" in mara and "周美兰\n" in zhou
        await here.telegram.until(lambda: here.telegram.of("sendMessage", chat=group))


async def test_a_reply_to_a_character_is_answered_by_that_one(open_stage):
    async with open_stage() as here:
        group = here.group()
        await here.wake(group, "mara-quill", "odo-brandt")
        here.telegram.say(here.ben, group, "@troupe_bot Mara?")
        await here.answered(group, 1)
        said = here.telegram.sent(group)[0]["message_id"]

        here.telegram.say(here.anna, group, "Say that again.", reply_to=said)
        _, second = await here.answered(group, 2)

        assert "Mara Quill\n" in second


async def test_what_is_said_where_nobody_is_awake_is_not_stored(open_stage):
    async with open_stage(reads_all=True) as here:
        group = here.group()
        here.telegram.say(here.ben, group, "Nobody of you should know this.")
        here.telegram.say(here.ben, group, "@troupe_bot hello?")
        [notice] = await here.answered(group, 1)

        assert "/wake" in notice
        assert await turns(here, GROUP_KEY) == []
        here.telegram.say(here.ben, group, "@troupe_bot Mara, are you asleep?")
        await here.answered(group, 2)
        assert await turns(here, GROUP_KEY) == [("Ben", False), ("Mara Quill", True)]


async def test_a_topic_is_a_place_of_its_own_and_replies_stay_in_it(open_stage):
    async with open_stage(reads_all=True) as here:
        forum = here.group(chat_id=FORUM, is_forum=True)
        forum.topics |= {11: "Tea", 12: "Fish"}
        await here.wake(forum, "mara-quill", topic=11)
        await here.wake(forum, "odo-brandt", topic=12)

        here.telegram.say(here.anna, forum, "Who is here?", thread=11)
        here.telegram.say(here.anna, forum, "And here?", thread=12)
        await here.answered(forum, 2)

        replies = {m["message_thread_id"]: m["text"] for m in here.telegram.sent(forum)}
        assert "Mara Quill" in replies[11] and "Odo Brandt" in replies[12]
        assert all(c.parameters.get("message_thread_id") in (11, 12) for c in here.telegram.of("sendChatAction"))
        assert await turns(here, ChannelKey("telegram", f"{FORUM}/11")) == [("Anna", False), ("Mara Quill", True)]


async def test_each_character_may_have_a_topic_of_its_own(open_stage):
    async with open_stage(telegram={"topics": "character"}) as here:
        forum = here.group(chat_id=FORUM, is_forum=True)
        here.telegram.say(here.anna, forum, "/wake mara-quill")
        [refused] = await here.answered(forum, 1)
        assert "manage topics" in refused

        forum.members[here.bot.user["id"]] = "administrator"
        here.telegram.say(here.anna, forum, "/wake mara-quill")
        await here.telegram.until(lambda: here.telegram.of("sendPhoto"))

        [topic] = forum.topics
        assert forum.topics[topic] == "Mara Quill"
        assert here.telegram.of("sendPhoto")[0].parameters["message_thread_id"] == topic
        here.telegram.say(here.anna, forum, "Hello", thread=topic)
        await here.telegram.until(lambda: here.telegram.of("sendMessage", chat=forum)[-1].parameters.get("message_thread_id") == topic)


async def test_the_same_message_twice_is_answered_once(open_stage):
    """By update number, and by message where Telegram gives it another number."""
    async with open_stage() as here:
        message = here.telegram.say(here.anna, here.private, "Hello")
        update = dict(here.bot.updates[-1]) if here.bot.updates else {"update_id": 1000, "message": message}
        here.telegram.raw(here.bot, update)
        here.telegram.raw(here.bot, {"message": message})
        await here.answered(here.private, 1)

        here.telegram.say(here.anna, here.private, "Still there?")
        assert len(await here.answered(here.private, 2)) == 2
        assert len([t for t in await turns(here, PRIVATE_KEY) if not t[1]]) == 2


async def test_an_edit_changes_what_is_remembered_also_when_it_comes_first(open_stage):
    async with open_stage() as here:
        message = here.telegram.say(here.anna, here.private, "My cat is grey")
        await here.answered(here.private, 1)
        here.telegram.edit(here.private, message["message_id"], "My cat is black")
        here.telegram.raw(here.bot, {"edited_message": {**message, "message_id": 900, "edit_date": 1}})
        await here.still_answers()

        history = await here.history(PRIVATE_KEY)
        assert history[0].text == "My cat is black"


async def test_an_edit_does_not_bring_back_words_that_are_not_to_be_kept(open_stage):
    async with open_stage() as here:
        here.telegram.say(here.anna, here.private, "/start privacy")
        await here.answered(here.private, 1)
        await here.house.desk.store.record_consent(person(here), "remember", False, channel=None, wording="test")
        message = here.telegram.say(here.anna, here.private, "Keep nothing")
        await here.answered(here.private, 2)
        here.telegram.edit(here.private, message["message_id"], "a canary in a coal mine")
        await here.still_answers()

        everything = await here.house.desk.store.everything_of("telegram:5")
        assert "canary" not in str(everything)


def person(here):
    return Person("telegram:5", here.anna["first_name"])


async def test_a_backlog_from_before_a_standstill_is_recorded_and_not_answered(open_stage):
    async with open_stage() as here:
        await here.wake(here.private, "mara-quill")
        long_ago = datetime.now(UTC).timestamp() - 3600
        for n in range(5):
            here.telegram.say(here.anna, here.private, f"Old news {n}", date=long_ago)
        here.telegram.say(here.anna, here.private, "And now?")
        await here.answered(here.private, 1)
        await here.still_answers()

        said = await turns(here, PRIVATE_KEY)
        assert len([t for t in said if not t[1]]) == 7
        assert len([t for t in said if t[1]]) == 2


async def test_anonymous_admins_and_channels_speak_and_other_bots_do_not(open_stage):
    async with open_stage(reads_all=True) as here:
        group = here.group()
        await here.wake(group, "mara-quill")
        stranger = {"id": 99, "is_bot": True, "first_name": "Other", "username": "other_bot"}
        here.telegram.say(stranger, group, "Mara, I am a bot")
        here.telegram.say(ANONYMOUS_ADMIN, group, "Mara, as the group", sender_chat=group.shape())
        await here.answered(group, 1)
        channel = {"id": -100777, "type": "channel", "title": "News of the harbour"}
        here.telegram.say(CHANNEL_BOT, group, "Mara, as a channel", sender_chat=channel)
        await here.answered(group, 2)
        here.telegram.say(TELEGRAM, group, "Mara, forwarded by itself", sender_chat=channel)
        await here.answered(group, 3)

        people = [name for name, by_character in await turns(here, GROUP_KEY) if not by_character]
        assert people == ["Harbour", "News of the harbour", "News of the harbour"]
        here.telegram.raw(here.bot, {"channel_post": {"message_id": 1, "date": 1, "chat": channel, "text": "x"}})
        here.telegram.raw(here.bot, {"message": {"message_id": 77, "date": 1, "chat": group.shape(), "text": "from nobody"}})
        await here.still_answers()


@pytest.mark.parametrize(
    "text",
    ["<b>&amp; <script>", "*_[x](y)~`>#+-=|{}.!", "@everyone @anna_here /stop@other_bot", "👩‍👩‍👧‍👦" * 40, "\u202e\u0000x", "a" * 4096],
    ids=["html", "markdown", "mentions", "graphemes", "direction", "long"],
)
async def test_hostile_text_is_answered_like_any_other(open_stage, text):
    async with open_stage() as here:
        here.telegram.say(here.anna, here.private, text)
        await here.answered(here.private, 1)
        await here.still_answers()


async def test_a_chat_that_asks_us_to_wait_holds_no_other(open_stage):
    """The reply lands when the wait is over, and meanwhile others get theirs."""
    async with open_stage() as here:
        ben = here.telegram.world.private(here.ben, here.bot)
        here.telegram.faults.append(Fault("sendMessage", 429, times=1, retry_after=2, chat_id=here.private.id))
        here.telegram.say(here.anna, here.private, "Hello")
        await here.telegram.until(lambda: here.telegram.faults[0].seen)
        here.telegram.say(here.ben, ben, "Hello")
        await here.answered(ben, 1)
        assert here.telegram.shown(here.private) == []

        await here.answered(here.private, 1)

        sent = here.telegram.of("sendMessage", chat=here.private)[0]
        assert sent.at - here.telegram.faults[0].seen[0] >= 2


async def test_a_reply_whose_entities_are_refused_goes_plain_instead_of_being_lost(open_stage):
    async with open_stage() as here:
        refusal = "Bad Request: can't parse entities: can't find end of the entity"
        here.telegram.faults.append(Fault("sendMessage", 400, description=refusal))
        here.telegram.say(here.anna, here.private, "Hello")
        [reply] = await here.answered(here.private, 1)

        assert here.telegram.sent(here.private)[0].get("entities", []) == []
        assert "\n" in reply


async def test_a_person_who_blocks_the_bot_fails_their_own_turn_alone(open_stage):
    async with open_stage() as here:
        ben = here.telegram.world.private(here.ben, here.bot)
        ben.members[here.ben["id"]] = "kicked"
        here.telegram.say(here.ben, ben, "Hello")
        await here.telegram.until(lambda: [c for c in here.telegram.calls if c.method == "sendMessage" and c.status == 403])
        await here.still_answers()

        assert here.telegram.shown(ben) == []


async def test_a_growing_reply_is_a_draft_and_the_message_comes_whole(open_stage):
    slow = {"reply_tokens": 400}
    async with open_stage(telegram={"private_streaming": "draft", "edit_seconds": 1}, sessions=slow) as here:
        here.telegram.say(here.anna, here.private, "Tell me everything")
        [reply] = await here.answered(here.private, 1)

        drafts = here.telegram.of("sendMessageDraft")
        assert drafts and len({d.parameters["draft_id"] for d in drafts}) == 1
        head = reply.split("\n")[0]
        assert all(d.parameters["text"].startswith(head) for d in drafts)
        assert len(here.telegram.of("sendMessage")) == 1 and here.telegram.of("editMessageText") == []


async def test_where_there_are_no_drafts_replies_grow_by_edits_and_can_be_stopped(open_stage):
    long = {"reply_tokens": 1500}
    async with open_stage(telegram={"private_streaming": "draft", "edit_seconds": 1}, sessions=long) as here:
        here.telegram.faults.append(Fault("sendMessageDraft", 404, times=99, description="Not Found"))
        here.telegram.faults.append(Fault("editMessageText", 429, times=1, retry_after=1))
        here.telegram.say(here.anna, here.private, "Tell me everything")
        await here.answered(here.private, 1)
        sent = here.telegram.sent(here.private)[0]["message_id"]
        assert here.private.messages[sent]["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "stop"

        here.telegram.press(here.anna, here.private, sent, "stop")
        await here.telegram.until(lambda: len(here.private.messages[sent]["reply_markup"]["inline_keyboard"][0]) == 5)

        last = (await here.history(PRIVATE_KEY))[-1]
        assert here.private.messages[sent]["text"].endswith(last.text[-20:])
        assert len(here.telegram.of("sendMessageDraft")) == 0


async def test_a_reply_whose_process_died_before_its_buttons_gets_them_when_it_is_to_be_stopped(open_stage):
    async with open_stage() as here:
        here.telegram.say(here.anna, here.private, "Hello")
        await here.answered(here.private, 1)
        await here.history(PRIVATE_KEY)
        [message] = here.telegram.sent(here.private)
        finished = message["reply_markup"]
        message["reply_markup"] = {"inline_keyboard": [[{"text": "⏹", "callback_data": "stop"}]]}

        here.telegram.press(here.anna, here.private, message["message_id"], "stop")
        await here.telegram.until(lambda: here.private.messages[message["message_id"]]["reply_markup"] == finished)
        await here.still_answers()


async def test_groups_see_no_growing_replies(open_stage):
    async with open_stage(telegram={"private_streaming": "draft"}, sessions={"reply_tokens": 300}) as here:
        group = here.group()
        await here.wake(group, "mara-quill")
        here.telegram.say(here.anna, group, "@troupe_bot hello")
        await here.answered(group, 1)
        await here.still_answers()

        assert here.telegram.of("sendMessageDraft", "editMessageText", chat=group) == []


async def test_a_character_with_a_bot_of_its_own_speaks_through_it(open_stage):
    async with open_stage(environment={"mara-quill": MARA_TOKEN}) as here:
        mara = here.telegram.world.bots[MARA_TOKEN]
        group = here.group()
        group.members[mara.user["id"]] = "member"
        await here.wake(group, "mara-quill", "odo-brandt")

        here.telegram.say(here.anna, group, "@mara_quill_bot how is the sea?")
        [own] = await here.answered(group, 1)
        here.telegram.say(here.anna, group, "@troupe_bot Odo?")
        _, odo = await here.answered(group, 2)
        privately = here.telegram.world.private(here.ben, mara)
        here.telegram.say(here.ben, privately, "Only us?")
        [alone] = await here.answered(privately, 1)

        assert "Mara Quill\n" not in own and "Odo Brandt\n" in odo and "Mara Quill\n" not in alone
        senders = [m["from"]["username"] for m in here.telegram.sent(group)]
        assert senders == ["mara_quill_bot", "troupe_bot"]
        assert await turns(here, ChannelKey("telegram", "6/@mara-quill")) == [("Ben", False), ("Mara Quill", True)]

        here.telegram.join(group, mara, here.anna, "left")
        here.telegram.say(here.anna, group, "@troupe_bot Mara, still here?")
        *_, last = await here.answered(group, 3)
        assert "Mara Quill\n" in last


async def test_thirty_chats_at_once_lose_nothing_and_double_nothing(open_stage):
    """Ten messages in each of thirty private chats: every one is a turn, and everything said is answered."""
    sessions = {"settle_seconds": 0.2, "person_messages_per_minute": 0, "reply_tokens": 8}
    async with open_stage(sessions=sessions) as here:
        world = here.telegram.world
        people = [world.add_person(1000 + n, f"Person {n}") for n in range(30)]
        chats = [world.private(p, here.bot) for p in people]
        for n in range(10):
            for p, chat in zip(people, chats, strict=True):
                here.telegram.say(p, chat, f"Message {n}")
            await asyncio.sleep(0)

        await all_answered(here, 300)
        for chat in chats:
            history = await here.history(ChannelKey("telegram", str(chat.id)))
            assert [t.text for t in history if not t.by_character] == [f"Message {n}" for n in range(10)]
            replies = [t for t in history if t.by_character]
            assert len(here.telegram.shown(chat)) == len(replies) >= 1


async def all_answered(here, turns):
    """The database is asked, for a chat may be answered long after its last message came in."""
    async with asyncio.timeout(300):
        while True:
            states = (await here.house.desk.store.status()).turns
            if states.get("answered", 0) >= turns and not states.get("heard"):
                return
            await asyncio.sleep(0.2)
