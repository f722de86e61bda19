"""News from Telegram: nothing is lost, nothing is doubled, and no trouble becomes a busy loop."""

import asyncio
import json
import logging
import sqlite3
import statistics
import sys
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from bot.config import TelegramSettings
from bot.connectors import telegram_updates
from bot.connectors.telegram_account import bot_tokens
from bot.connectors.telegram_chat import examine
from bot.connectors.telegram_copies import Copies
from bot.connectors.telegram_updates import SECRET_HEADER
from bot.errors import ConfigError
from bot.messages import ChannelKey
from tests.connectors.telegram_stage import BASIC, GROUP, MARA_TOKEN, stage
from tests.house import HERE
from tests.loopback.telegram_server import TOKEN, Fault, LoopbackTelegram

log = logging.getLogger(__name__)

PRIVATE_KEY = ChannelKey("telegram", "5")
SECRET = "a-word-of-ours"


@pytest.fixture
def open_stage(tmp_path, tiny_model):
    def opened(**sections):
        return stage(tmp_path, tiny_model, **sections)

    return opened


@pytest.mark.parametrize(
    "update",
    [
        {"message": {"message_id": 1, "text": "no chat, no date"}},
        {"message": "a canary in a message"},
        {"message": {"message_id": 1, "date": "yesterday", "chat": {"id": 5, "type": "private"}, "text": "a canary"}},
        {"callback_query": {"id": "1"}},
        {"something_of_the_future": {"id": 1}},
        {"my_chat_member": []},
        {"edited_message": {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}}},
    ],
    ids=["torn", "text", "date", "press", "future", "list", "empty edit"],
)
async def test_an_update_that_cannot_be_read_is_left_out_and_the_next_is_heard(open_stage, update, caplog):
    """The library's own updater would ask for it again for ever."""
    async with open_stage() as here:
        here.telegram.spec = None  # it sends what the specification forbids
        here.telegram.raw(here.bot, update)
        await here.still_answers()

        polls = [c for c in here.telegram.calls if c.method == "getUpdates"]
        assert len(polls) < 20
        assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("getUpdates", 409, times=2, description="Conflict: terminated by other getUpdates request"), "somebody else asks"),
        (Fault("getUpdates", 502, times=2, body=b""), "cannot be reached"),
        (Fault("getUpdates", 429, times=1, retry_after=1), ""),
        (Fault("getUpdates", 500, times=2, description="Internal Server Error"), "cannot be reached"),
        (Fault("getUpdates", 200, times=1, body=b'{"ok": true, "result": "nonsense"}'), ""),
        (Fault("getMe", 502, times=1, body=b""), "cannot be reached"),
    ],
    ids=["another poller", "bad gateway", "flood", "internal", "nonsense", "at the start"],
)
async def test_trouble_with_telegram_passes_with_clear_words_and_no_busy_loop(open_stage, fault, words, caplog):
    async with LoopbackTelegram() as telegram:
        telegram.faults.append(fault)
        async with open_stage(server=telegram) as here:
            await here.still_answers()

            assert words in caplog.text
            assert all(b - a >= telegram_updates.FIRST_PAUSE_SECONDS for a, b in zip(fault.seen, fault.seen[1:], strict=False))
            assert TOKEN not in caplog.text and TOKEN.partition(":")[2] not in caplog.text


async def test_a_revoked_token_is_named_and_asked_about_rarely(open_stage, caplog):
    async with open_stage() as here:
        await here.still_answers()
        before = len(here.telegram.calls)
        here.bot.revoked = True
        here.bot.arrived.set()
        await here.telegram.until(lambda: "not accepted" in caplog.text)

        assert "BotFather" in caplog.text
        assert len([c for c in here.telegram.calls[before:] if c.method == "getUpdates"]) <= 1
        assert telegram_updates.REFUSED_PAUSE_SECONDS >= 60


async def test_news_count_as_taken_only_when_they_are_stored(open_stage, caplog):
    """A database that is locked for a while loses nothing: Telegram brings the message once more."""
    async with open_stage(memory={"busy_seconds": 0.1}) as here:
        await here.still_answers()
        await here.history(PRIVATE_KEY)
        ben = here.telegram.world.private(here.ben, here.bot)
        other = sqlite3.connect(here.config.paths.data / "troupe.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            here.telegram.say(here.anna, here.private, "Do not lose this")
            here.telegram.say(here.ben, ben, "Nor this")
            await here.telegram.until(lambda: caplog.text.count("is asked for again") >= 2)
            other.execute("ROLLBACK")
        finally:
            other.close()
        await here.answered(here.private, 2)
        await here.answered(ben, 1)

        told = [t.text for t in await here.history(PRIVATE_KEY) if not t.by_character]
        assert told == ["Are you there?", "Do not lose this"]


async def test_a_webhook_hears_only_who_knows_the_secret(tmp_path, tiny_model):
    async with LoopbackTelegram() as telegram:
        settings = {"webhook_url": "https://bot.example", "webhook_port": 0}
        async with stage(tmp_path, tiny_model, server=telegram, environment={"secret": SECRET}, telegram=settings) as here:
            hook = await telegram.until(lambda: here.bot.webhook)
            assert hook == {"url": "https://bot.example/telegram/4242", "secret_token": SECRET}
            port = here.chat._webhook._runner.addresses[0][1]
            address = f"http://127.0.0.1:{port}/telegram/4242"
            here.bot.webhook = None  # the test itself is Telegram's side of TLS
            message = telegram.say(here.anna, here.private, "Good evening")
            update = here.bot.updates[-1]

            async def bring(body, secret=SECRET):
                headers = {SECRET_HEADER: secret}
                async with aiohttp.ClientSession() as session, session.post(address, data=body, headers=headers) as response:
                    return response.status

            assert await bring(json.dumps(update), "wrong") == 403
            assert await bring(b"{broken") == 400
            assert await bring(json.dumps({"update_id": 1, "message": {}})) == 200
            assert [await bring(json.dumps(update)) for _ in range(3)] == [200, 200, 200]
            assert len(await here.answered(here.private, 1)) == 1
            [turn] = [t for t in await here.history(PRIVATE_KEY) if not t.by_character]
            assert turn.message_id == str(message["message_id"])
            assert not [c for c in telegram.calls if c.method == "getUpdates"]


@pytest.mark.parametrize(
    ("settings", "secret", "words"),
    [
        ({"webhook_url": "http://bot.example"}, SECRET, "https://"),
        ({"webhook_url": "https://bot.example"}, "", "TELEGRAM_WEBHOOK_SECRET"),
        ({"webhook_url": "https://bot.example"}, "with spaces", "letters, digits"),
    ],
)
async def test_a_webhook_that_cannot_be_meant_is_refused_at_the_start(tmp_path, tiny_model, settings, secret, words):
    with pytest.raises(ConfigError, match=words):
        async with stage(tmp_path, tiny_model, environment={"secret": secret}, telegram=settings):
            pass


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TELEGRAM_BOT_TOKEN": "hello"}, "looks like 123456:ABC"),
        ({"TELEGRAM_BOT_TOKEN": "1:a", "MARA": "1:a"}, "needs its own"),
        ({"MARA": "2:b"}, "company's own bot"),
    ],
)
def test_tokens_that_cannot_be_meant_are_refused(environment, words):
    with pytest.raises(ConfigError, match=words):
        bot_tokens(TelegramSettings(bots={"mara-quill": "MARA"}), environment)


def test_tokens_come_from_the_environment_by_name():
    settings = TelegramSettings(bots={"mara-quill": "MARA"})

    assert bot_tokens(settings, {}) == {}
    assert bot_tokens(settings, {"TELEGRAM_BOT_TOKEN": " 1:a\n", "MARA": "2:b"}) == {"": "1:a", "mara-quill": "2:b"}


async def test_a_check_says_who_the_bot_is_and_what_is_wrong():
    async with LoopbackTelegram() as telegram:
        telegram.world.add_bot(TOKEN, "Troupe", "troupe_bot")
        settings = TelegramSettings(api_base=telegram.base, file_base=telegram.file_base)  # its last part may be left out

        facts = await examine(settings, {"TELEGRAM_BOT_TOKEN": TOKEN})
        assert all(f.ok for f in facts) and "@troupe_bot" in facts[0].what and "/setprivacy" in facts[1].what
        [refused] = await examine(settings, {"TELEGRAM_BOT_TOKEN": "1:wrong"})
        assert not refused.ok and "not accepted" in refused.what
    [unreachable] = await examine(settings, {"TELEGRAM_BOT_TOKEN": TOKEN})
    assert not unreachable.ok and "cannot be reached" in unreachable.what
    [absent] = await examine(settings, {})
    assert absent.ok and "TELEGRAM_BOT_TOKEN" in absent.what


CONFIG = """
[paths]
characters = "{characters}"
models = "{data}/gguf"
data = "{data}"
[engine]
model = "{model}"
context_tokens = 4096
live_replies = 4
prefix_megabytes = 0
[sessions]
settle_seconds = {settle}
reply_tokens = {reply}
card_tokens = 2000
exemplar_tokens = 600
[telegram]
api_base = "{api_base}"
file_base = "{file_base}"
private_streaming = "{streaming}"
edit_seconds = 1
"""


@pytest.mark.parametrize("moment", ["stored", "growing"])
async def test_a_killed_process_answers_once_when_it_is_back(tmp_path, tiny_model, moment):
    """kill -9 between "stored" and "answered", and while a reply grows by edits: the next process brings it to its end."""
    async with LoopbackTelegram() as telegram:
        bot = telegram.world.add_bot(TOKEN, "Troupe", "troupe_bot")
        anna = telegram.world.add_person(5, "Anna")
        private = telegram.world.private(anna, bot)
        streaming = "edit" if moment == "growing" else "none"

        async def start(settle, reply):
            values = {"characters": HERE / "characters", "data": tmp_path, "model": tiny_model, "settle": settle, "reply": reply}
            config = tmp_path / "config.toml"
            config.write_text(CONFIG.format(**values, api_base=telegram.api_base, file_base=telegram.file_base, streaming=streaming))
            arguments = ("-m", "tests.connectors.telegram_server_process", str(config))
            return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=HERE, stderr=asyncio.subprocess.DEVNULL)

        telegram.unanswered.add("editMessageText")  # the first process gets no further than its first edit, however fast it is
        first = await start(600 if moment == "stored" else 0, 1500)
        telegram.say(anna, private, "Do not forget me")
        await telegram.until(lambda: telegram.of("sendChatAction") if moment == "stored" else telegram.of("editMessageText"))
        first.kill()
        await first.wait()
        telegram.unanswered.clear()
        assert len(telegram.sent(private)) == (0 if moment == "stored" else 1)

        second = await start(0, 24)
        try:
            await telegram.until(
                lambda: (
                    len(telegram.sent(private)) == 1 and (moment == "stored" or "again" in str(telegram.sent(private)[0]["reply_markup"]))
                )
            )
            telegram.say(anna, private, "And now?")
            await telegram.until(lambda: len(telegram.sent(private)) == 2)
        finally:
            second.kill()
            await second.wait()
        assert len(telegram.sent(private)) == 2
        assert telegram.problems == []


async def test_somebody_is_seen_to_type_at_once_while_eight_chats_are_answered(open_stage, caplog):
    """Measured, not judged: the figure stands in the log of the test run."""
    caplog.set_level(logging.INFO)
    async with open_stage(sessions={"reply_tokens": 300, "settle_seconds": 0.3}) as here:
        world = here.telegram.world
        for n in range(8):
            person = world.add_person(100 + n, f"Busy {n}")
            here.telegram.say(person, world.private(person, here.bot), "Tell me everything")
        await here.telegram.until(lambda: len(here.telegram.of("sendChatAction")) >= 8)
        waits = []
        for n in range(20):
            person = world.add_person(200 + n, f"Guest {n}")
            chat = world.private(person, here.bot)
            began = asyncio.get_running_loop().time()
            here.telegram.say(person, chat, "Hello")
            [first, *_] = await here.telegram.until(lambda chat=chat: here.telegram.of("sendChatAction", chat=chat))
            waits.append(first.at - began)

        assert len(waits) == 20
        log.info("update to chat action: median %.0f ms, worst %.0f ms", 1000 * statistics.median(waits), 1000 * max(waits))


async def test_nothing_that_people_say_and_no_token_is_logged(open_stage, caplog):
    caplog.set_level(logging.DEBUG, logger="bot")
    async with open_stage() as here:
        group = here.group()
        here.telegram.say(here.anna, here.private, "a canary sings")
        here.telegram.say(here.anna, here.private, "/memory add a canary sings")
        here.telegram.say(here.anna, group, "@troupe_bot a canary sings")
        here.telegram.faults.append(Fault("sendMessage", 400, description="Bad Request: chat not found", chat_id=GROUP))
        await here.still_answers()

    assert "canary" not in caplog.text and TOKEN not in caplog.text


SUPERGROUP = -1_001_000_000_009
OLD_KEY, NEW_KEY = ChannelKey("telegram", str(BASIC)), ChannelKey("telegram", str(SUPERGROUP))


async def test_a_group_that_becomes_a_supergroup_keeps_who_is_awake_and_what_was_said(open_stage):
    """Both chats tell of it, and every bot is told: it happens once. Numbers of messages begin anew and are no duplicates."""
    async with open_stage() as here:
        group = here.basic_group()
        await here.wake(group, "mara-quill")
        await here.house.desk.store.change_channel_settings(OLD_KEY, {"cascade": 0})
        here.telegram.say(here.anna, group, "@troupe_bot the boat is blue")
        await here.answered(group, 1)
        before = await here.history(OLD_KEY)

        supergroup = here.telegram.upgrade(group, SUPERGROUP)
        here.telegram.say(here.anna, supergroup, "@troupe_bot and the oars?")
        await here.answered(supergroup, 1)
        here.telegram.say(here.anna, supergroup, "@troupe_bot and the sail?")
        await here.answered(supergroup, 2)

        texts = [turn.text for turn in await here.history(NEW_KEY)]
        assert texts[:2] == [turn.text for turn in before] and len(texts) == 6
        assert await here.history(OLD_KEY) == []
        assert [c.slug for c in await here.house.desk.company.awake(NEW_KEY)] == ["mara-quill"]
        assert await here.house.desk.store.channel_settings(NEW_KEY) == {"cascade": 0}
        await here.still_answers()


async def test_a_reply_that_meets_the_move_is_said_in_the_new_place(open_stage):
    """The word of the move was missed: Telegram says it as it refuses the reply."""
    async with open_stage(sessions={"settle_seconds": 0.5}) as here:
        group = here.basic_group()
        await here.wake(group, "mara-quill")
        here.telegram.say(here.anna, group, "@troupe_bot are you there?")

        async def stored():
            return (await here.house.desk.store.status()).turns.get("heard")

        async with asyncio.timeout(30):
            while not await stored():  # noqa: ASYNC110  the database tells nobody
                await asyncio.sleep(0.01)
        supergroup = here.telegram.upgrade(group, SUPERGROUP, quietly=True)

        await here.answered(supergroup, 1)

        assert [turn.by_character for turn in await here.history(NEW_KEY)] == [False, True]
        assert here.telegram.shown(group) == []


async def test_an_operators_list_of_groups_lets_the_supergroup_in_and_says_what_to_write(open_stage, caplog):
    async with open_stage(telegram={"chats": [BASIC]}) as here:
        group = here.basic_group()
        await here.wake(group, "mara-quill")
        supergroup = here.telegram.upgrade(group, SUPERGROUP)
        here.telegram.say(here.anna, supergroup, "@troupe_bot still with us?")
        await here.answered(supergroup, 1)

        assert f"has become the supergroup {SUPERGROUP}" in caplog.text


async def test_several_bots_in_a_basic_group_make_one_turn_of_one_message(open_stage):
    """Each is told under another number. The company's bot speaks there for everybody; supergroups show true faces."""
    async with open_stage(environment={"mara-quill": MARA_TOKEN}) as here:
        mara = here.telegram.world.bots[MARA_TOKEN]
        here.bot.reads_all = mara.reads_all = True
        group = here.basic_group(mara)
        await here.wake(group, "mara-quill")

        here.telegram.say(here.anna, group, "@mara_quill_bot how is the sea?")
        await here.answered(group, 1)
        here.telegram.say(here.anna, group, "And the lamp?")
        await here.answered(group, 2)
        here.bot.reads_all = False  # now the company's bot is not told
        here.telegram.say(here.anna, group, "@mara_quill_bot and the stairs?")
        await here.answered(group, 3)
        await here.still_answers()

        history = await here.history(OLD_KEY)
        assert [turn.text for turn in history if not turn.by_character] == ["how is the sea?", "And the lamp?", "and the stairs?"]
        assert len(history) == 6
        assert {m["from"]["username"] for m in here.telegram.sent(group)} == {"troupe_bot"}


async def test_a_copy_that_comes_after_a_restart_is_no_second_turn(open_stage):
    """The company's bot had brought it to the last process; Mara's brings it to this one."""
    async with open_stage(environment={"mara-quill": MARA_TOKEN}) as here:
        mara = here.telegram.world.bots[MARA_TOKEN]
        group = here.basic_group(mara)
        await here.wake(group, "mara-quill")
        here.telegram.say(here.anna, group, "@troupe_bot @mara_quill_bot still awake?", bot=here.bot)
        await here.answered(group, 1)
        [said] = [m for m in group.messages.values() if m["from"]["id"] == here.anna["id"]]
        here.chat._hearing._copies = Copies()
        here.chat._hearing._began = datetime.now(UTC) + timedelta(hours=1)
        here.telegram._told(here.telegram.world.tell(group, "message", said, mara))
        await here.still_answers()

        assert len(await here.history(OLD_KEY)) == 2


def first_button(chat):
    shown = next(m for m in chat.messages.values() if m.get("reply_markup"))
    return shown["reply_markup"]["inline_keyboard"][0][0]["callback_data"]


async def test_whoever_reads_chinese_is_helped_in_chinese(open_stage):
    """By the language that Telegram tells; characters speak as their cards say."""
    async with open_stage() as here:
        mei = here.telegram.world.add_person(8, "美", language="zh-hans")
        chat = here.telegram.world.private(mei, here.bot)
        here.telegram.say(mei, chat, "/start")
        [start] = await here.answered(chat, 1)
        here.telegram.say(mei, chat, "/help")
        _, help_ = await here.answered(chat, 2)
        here.telegram.say(mei, chat, "/nonsense")
        *_, unknown = await here.answered(chat, 3)
        here.telegram.say(mei, chat, "/forgetme")
        *_, sure = await here.answered(chat, 4)
        here.telegram.say(mei, chat, "/settings")
        await here.answered(chat, 5)
        pressed = here.telegram.press(mei, chat, here.telegram.sent(chat)[0]["message_id"], first_button(chat))
        await here.telegram.until(
            lambda: [c for c in here.telegram.of("answerCallbackQuery") if c.parameters["callback_query_id"] == pressed]
        )
        *_, chosen = await here.answered(chat, 6)
        here.telegram.say(here.anna, here.private, "/help")
        [english] = await here.answered(here.private, 1)

        assert start.startswith("你想和谁说话") and "角色说的一切都是虚构的。" in start
        assert "/wake: 请一位角色进来" in help_ and "直接说话" in help_ and help_.endswith("角色说的一切都是虚构的。")
        assert sure.startswith("这会删除") and chosen.endswith("角色说的一切都是虚构的。")
        assert unknown == "没有这个命令；/help 列出全部命令。"
        assert "Everything characters say is made up." in english and "直接" not in english
        offered = here.bot.commands["all_private_chats|zh"]
        assert {"command": "help", "description": "这里能说什么、做什么"} in offered
