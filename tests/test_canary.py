"""A canary in a message: whatever goes wrong with it, no line of the log holds it, nor a token, nor the address of a webhook."""

import asyncio
import io
import logging
import sys

import pytest

from bot.discreet_log import Discreet, log_to, tell_discreetly, where
from bot.errors import BotError, ChannelGone, RateLimited
from tests.connectors import discord_stage, telegram_stage
from tests.house import RecordingPort, open_test_house, said, settings
from tests.loopback.openai_server import openai_server

CANARY = "the heron sleeps under bridge forty-one"
TOKEN = "MTA.loopback.token"
WEBHOOK = "https://discord.com/api/webhooks/112233445566778899/aVeryLong-Secret_Part0fAnAddress"


@pytest.fixture
def written():
    """Every line of the log at the default level, as a server writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Discreet([TOKEN]))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


class CruelPort(RecordingPort):
    """A platform whose errors quote what they were given, as libraries' errors do."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    async def open(self, character, text):
        if self.error is not None:
            raise self.error
        return await super().open(character, text)


@pytest.mark.parametrize(
    "error",
    [
        ChannelGone("deleted"),
        RateLimited("slow down", retry_after_seconds=9e9),
        KeyError(CANARY),
        ValueError(f"cannot send {CANARY!r} to {WEBHOOK}"),
        UnicodeEncodeError("utf-8", CANARY, 0, 1, "no"),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_a_turn_that_fails_leaves_no_word_of_it_in_the_log(tmp_path, tiny_model, written, error):
    port = CruelPort(error)
    async with open_test_house(settings(tmp_path / "data", tmp_path / "gguf", str(tiny_model))) as house:
        done = await house.router.hear(said(f"Mara, {CANARY}.", port))
        with pytest.raises(type(error)):
            await asyncio.wait_for(done, 60)
        port.error = None
        assert len(await asyncio.wait_for(await house.router.hear(said("Mara, are you there?", port)), 60)) == 1

    log = written.getvalue()
    assert "turn failed" in log or "turn crashed" in log
    assert CANARY not in log and WEBHOOK not in log


@pytest.mark.parametrize("behaviour", ["garbage", "html", "hang up", "error", "status", "no end"])
async def test_an_engine_that_fails_leaves_no_word_of_the_prompt_in_the_log(tmp_path, written, behaviour):
    async with openai_server(behaviour=behaviour, words=(CANARY, CANARY)) as server:
        remote = {"base_url": server.base_url, "model": "m", "timeout_seconds": 5}
        async with open_test_house(settings(tmp_path / "data", tmp_path / "gguf", engine={"remote": remote})) as house:
            done = await house.router.hear(said(f"Mara, {CANARY}.", RecordingPort()))
            with pytest.raises(BotError):
                await asyncio.wait_for(done, 60)

    assert "turn failed" in written.getvalue()
    assert CANARY not in written.getvalue()


async def test_neither_words_nor_token_nor_webhook_reach_the_log_on_discord(tmp_path, written):
    """With Discord refusing, rate limiting and failing in between."""
    async with discord_stage.open_stage(tmp_path) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        for status in (500, 403, 404):
            stage.discord.trouble("POST", "/webhooks/", status=status, times=1)
            await stage.discord.say(stage.tavern, stage.anna, f"Mara, {CANARY}.")
            await stage.quiet(stage.tavern)
        await stage.hear(stage.tavern, "Mara, are you there?")
        secrets = [w["token"] for w in stage.discord.world.webhooks.values()]

    log = written.getvalue()
    assert secrets and not any(secret in log for secret in secrets)
    assert CANARY not in log and TOKEN not in log


async def test_the_platforms_libraries_stay_quiet_even_where_an_operator_asks_for_everything(tmp_path, tiny_model, written):
    """discord.py writes whole events at DEBUG; our own lines have no words at any level."""
    logging.getLogger().setLevel(logging.DEBUG)
    async with discord_stage.open_stage(tmp_path / "discord") as stage:
        await stage.wake(stage.tavern, "mara-quill")
        await stage.hear(stage.tavern, f"Mara, {CANARY}.")
    (tmp_path / "telegram").mkdir()
    async with telegram_stage.stage(tmp_path / "telegram", tiny_model) as here:
        here.telegram.say(here.anna, here.private, CANARY)
        await here.answered(here.private, 1)

    lines = [line for line in written.getvalue().splitlines() if " discord." in line or " telegram" in line or " bot." in line]
    assert lines and not [line for line in lines if CANARY in line or TOKEN in line]


async def test_an_error_that_nobody_awaited_is_told_without_its_words(written):
    """asyncio would print the task together with its exception."""
    tell_discreetly(asyncio.get_running_loop())

    async def fails():
        raise ValueError(CANARY)

    task = asyncio.create_task(fails(), name="left alone")
    await asyncio.wait([task])
    del task

    assert "task=left alone" in written.getvalue() and "ValueError" in written.getvalue()
    assert CANARY not in written.getvalue()


def test_what_led_to_an_error_is_told_by_type_and_place_alone():
    def fails():
        try:
            return {}[CANARY]
        except KeyError as error:
            raise RuntimeError(CANARY) from error

    with pytest.raises(RuntimeError) as caught:
        fails()
    told = where(caught.value)

    assert told.startswith("RuntimeError\n") and "\nafter KeyError\n" in told and "test_canary.py" in told
    assert CANARY not in told


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"POST {WEBHOOK}?wait=1", "POST https://discord.com/api/webhooks/112233445566778899/***?wait=1"),
        ("GET https://api.telegram.org/bot4242:AAHsecret-Part_1/getMe", "GET https://api.telegram.org/bot4242:***/getMe"),
        (f"refused for {TOKEN}", "refused for ***"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_blotted_out_of_every_line(line, shown):
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (line,), None)

    assert Discreet([TOKEN, ""]).format(record).endswith(shown)


def test_a_crash_of_the_process_is_told_the_same_way():
    stream, before = io.StringIO(), sys.excepthook
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        log_to(stream, "INFO")
        error = ValueError(CANARY)
        sys.excepthook(ValueError, error, None)
    finally:
        sys.excepthook = before
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)

    assert "crashed" in stream.getvalue() and "ValueError" in stream.getvalue()
    assert CANARY not in stream.getvalue()
