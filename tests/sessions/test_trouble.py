"""Trouble in the middle of a turn: it waits, goes on, or is given up with a sentence; never two replies, never silence."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from bot.errors import StoreBusy
from bot.messages import ChannelKey
from bot.sessions import router
from tests.house import LOBBY, RecordingPort, open_test_house, said, settings
from tests.loopback.openai_server import openai_server

MARA = "house/mara-quill"


@pytest.fixture
async def engine():
    async with openai_server(behaviour="echo") as server:
        yield server


@pytest.fixture
def config(tmp_path, engine):
    remote = {"remote": {"base_url": engine.base_url, "model": "m"}}
    return settings(tmp_path / "data", tmp_path / "gguf", engine=remote, memory={"busy_seconds": 0.05})


class Wire(RecordingPort):
    """Locks the database from outside when the first words are on the screen, and lets go when the channel was told."""

    def __init__(self, file):
        super().__init__()
        self.lock = None
        self.file = file

    async def open(self, character, text):
        if self.file is not None:
            self.lock = sqlite3.connect(self.file, isolation_level=None)
            self.lock.execute("BEGIN IMMEDIATE")
            self.file = None
        return await super().open(character, text)

    async def notice(self, text):
        await super().notice(text)
        if self.lock is not None:
            self.lock.execute("ROLLBACK")
            self.lock.close()
            self.lock = None


async def settled(house, channel=LOBBY):
    async with asyncio.timeout(60):
        while house.router.speaking(channel):  # noqa: ASYNC110  what the channel does tells nobody
            await asyncio.sleep(0.01)


async def test_a_database_that_is_locked_in_mid_reply_delays_the_reply_and_does_not_double_it(config, monkeypatch):
    """The first piece was sent and its id could not be stored: the id is kept in mind until it can be."""
    monkeypatch.setattr(router, "PAUSES_SECONDS", (0.01,))
    async with open_test_house(config) as house:
        port = Wire(config.paths.data / "troupe.db")
        done = await house.router.hear(said("Mara, #1?", port))
        with pytest.raises(StoreBusy):
            await asyncio.wait_for(done, 60)
        await settled(house)

        assert port.notices == [router.WAITING]
        assert len(port.messages) == 1
        [text] = port.messages.values()
        history = await house.desk.store.history(LOBBY, MARA, limit=9)
        assert "#1" in text and [t.text for t in history] == ["Mara, #1?", text]
        assert (await house.desk.store.status()).turns == {"answered": 2}


async def test_a_message_that_cannot_be_stored_is_refused_and_its_channel_told_once(config):
    port = RecordingPort()
    async with open_test_house(config) as house:
        with closing(sqlite3.connect(config.paths.data / "troupe.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for n in range(3):
                with pytest.raises(StoreBusy):
                    await house.router.hear(said("Mara?", port, message_id=f"m{n}"))
            other.execute("ROLLBACK")

        assert port.notices == [router.UNHEARD]
        assert len(await asyncio.wait_for(await house.router.hear(said("Mara, #2?", port, message_id="m0")), 60)) == 1


async def test_what_was_begun_before_a_crash_is_finished_before_what_was_said_after_it(config):
    """Two messages are left over, the first half answered: two replies, and not one for both with the half one left standing."""
    port = RecordingPort()
    async with open_test_house(config) as house:
        store = house.desk.store
        first = await store.remember(said("Mara, #1?", port, message_id="m1"), [MARA])
        await store.remember(said("Mara, #2?", port, message_id="m2"), [MARA])
        half = await store.claim(first, 0, MARA, name="Mara Quill", seed=1)
        port.messages["half"] = "Aye, "
        await store.opened(half, "half")
    async with open_test_house(config) as house:
        assert await house.router.take_up(lambda _: port) == 2
        await settled(house)

        assert len(port.messages) == 2 and "#1" in port.messages["half"]
        assert (await house.desk.store.status()).replies == {"recorded": 2}


class Platform(RecordingPort):
    """Lets us look at what we have sent."""

    async def find_sent(self, character, after_message_id):
        return [sent_id for sent_id in self.messages if self.faces.get(sent_id) == character.slug]


@pytest.mark.parametrize("port", [Platform(), RecordingPort()], ids=["can look", "cannot look"])
async def test_a_piece_whose_id_was_never_stored_is_found_where_one_can_look(config, port):
    """The one window of a crash. Where the platform does not let us look, the reply is sent again."""
    async with open_test_house(config) as house:
        cause = await house.desk.store.remember(said("Mara, #1?", port), [MARA])
        await house.desk.store.claim(cause, 0, MARA, name="Mara Quill", seed=1)
        port.messages["orphan"], port.faces["orphan"] = "Aye", "mara-quill"
    async with open_test_house(config) as house:
        await house.router.take_up(lambda _: port)
        await settled(house)

    assert len(port.messages) == (1 if isinstance(port, Platform) else 2)
    assert any("#1" in text for text in port.messages.values())


async def test_turns_from_before_a_standstill_are_said_to_stay_unanswered(config):
    port = RecordingPort()
    old = {"sent_at": said("", port).sent_at.replace(year=2020)}
    async with open_test_house(config) as house:
        for n in range(3):
            await house.desk.store.remember(said(f"Mara {n}?", port, **old), [MARA])
        assert await house.router.take_up(lambda _: port) == 0

        assert port.notices == [router.AWAY.format(count=3)]
        assert (await house.desk.store.status()).turns == {"stale": 3}


async def test_a_model_that_says_nothing_is_asked_again_so_often_and_then_said_to_find_no_words(config, engine):
    engine.behaviour, engine.words = "normal", ("",)
    port = RecordingPort()
    async with open_test_house(config) as house:
        assert await asyncio.wait_for(await house.router.hear(said("Mara?", port)), 60) == []

        assert len(engine.questions) == 1 + config.sessions.retries
        assert port.notices == ["(Mara Quill finds no words just now.)"] and port.messages == {}
        assert port.typing_now == 0
        engine.words = ("Aye.",)
        assert len(await asyncio.wait_for(await house.router.hear(said("Mara, and now?", port)), 60)) == 1


async def test_after_the_end_has_begun_nothing_new_is_taken_and_what_runs_is_finished(config, engine):
    engine.behaviour = "slow"
    port = RecordingPort()
    async with open_test_house(config) as house:
        done = await house.router.hear(said("Mara?", port))
        while not engine.questions:  # noqa: ASYNC110  the server tells nobody
            await asyncio.sleep(0.01)
        later = await house.router.hear(said("Mara, more?", port))
        ending = asyncio.create_task(house.router.finish(60))
        await asyncio.sleep(0)
        engine.go_on.set()

        assert await ending == 0
        assert len(await done) == 1 and await later == []
        assert len(await house.desk.store.pending(ChannelKey("web", "lobby"))) == 1


async def test_a_clock_that_was_set_back_or_forward_leaves_nobody_without_an_answer(config):
    """A platform's time is not ours: what comes from the future is answered, and what seems old only from the setting's age on."""
    async with open_test_house(config) as house:
        await house.desk.store.set_awake(LOBBY, [MARA])
        for number, minutes in enumerate((60 * 24, 0, -10)):
            port = RecordingPort()
            at = datetime.now(UTC) + timedelta(minutes=minutes)
            await asyncio.wait_for(await house.router.hear(said(f"Mara, #{number}", port, sent_at=at)), 60)
            assert f"#{number}" in next(iter(port.messages.values()))
