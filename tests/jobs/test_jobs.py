"""What is done by itself: at its hour, once, noted where other commands can read it, and never in anybody's way."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.config import Config, MemorySettings, Paths
from bot.errors import StoreError
from bot.jobs.backups import back_up, copy_name, thin_out
from bot.jobs.jobs import FIRST_SECONDS, Job, Jobs, read_runs
from bot.jobs.plan import planned
from bot.jobs.retention import forget_old
from bot.memory.store import Store
from bot.messages import ChannelKey, Incoming, Person, Stamp

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LOBBY = ChannelKey("web", "lobby")
MARA = "house/mara-quill"


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(MemorySettings(), tmp_path, clock=Clock())
    yield store
    await store.close()


def said(text, *, sent_at=NOW, channel=LOBBY, person="web:ada"):
    return Incoming(channel, f"m {text}", Person(person, "Ada"), text, None, (), (), sent_at, None)


async def exchange(store, text, **how):
    turn = await store.remember(said(text, **how), [MARA], "answered")
    delivery = await store.claim(turn, 0, MARA, name="Mara", seed=1)
    await store.opened(delivery, f"s {text}")
    await store.finalise(delivery, f"Aye: {text}", Stamp("b", MARA, "1", 1, 1))
    await store.recorded(delivery)
    return turn


def counting(every=timedelta(hours=1), fails=()):
    """A job that counts its runs; ``fails`` are raised by its first ones."""
    ran, left = [], list(fails)

    async def work():
        ran.append(1)
        if left:
            raise left.pop(0)
        return f"run {len(ran)}"

    return Job("count", "counts", every, work), ran


# ------------------------------------------------------------------ the hours


async def test_a_job_runs_at_its_hour_again_and_again(tmp_path):
    """The scheduler's own clock, with an interval of a few milliseconds."""
    thrice = asyncio.Event()
    job, ran = counting(timedelta(seconds=0.02))

    async def work():
        did = await job.work()
        if len(ran) >= 3:
            thrice.set()
        return did

    jobs = Jobs([Job("count", "", job.every, work)], tmp_path)
    await jobs.start()
    await asyncio.wait_for(thrice.wait(), 30)
    await jobs.stop()

    assert read_runs(tmp_path)["count"].did.startswith("run ")
    assert read_runs(tmp_path)["count"].next == ""


async def test_a_job_that_was_missed_while_nobody_served_runs_soon_and_once(tmp_path):
    clock, (job, _) = Clock(), counting()
    jobs = Jobs([job], tmp_path, now=clock)
    await jobs.run("count")
    clock.now += timedelta(days=30)

    assert jobs.first_run(job) == clock.now + timedelta(seconds=FIRST_SECONDS)


async def test_a_job_that_is_not_due_waits_over_a_restart(tmp_path):
    began = datetime.now(UTC)
    clock, (job, ran) = Clock(began), counting(timedelta(hours=24))
    await Jobs([job], tmp_path, now=clock).run("count")
    clock.now += timedelta(hours=5)
    after = Jobs([job], tmp_path, now=clock)
    await after.start()

    assert read_runs(tmp_path)["count"].next == (began + timedelta(hours=24)).isoformat()
    await after.stop()
    assert len(ran) == 1


async def test_a_clock_that_was_set_back_does_not_hold_a_job_up(tmp_path):
    clock, (job, _) = Clock(NOW + timedelta(days=900)), counting()
    jobs = Jobs([job], tmp_path, now=clock)
    await jobs.run("count")
    clock.now = NOW

    assert jobs.first_run(job) == NOW + timedelta(seconds=FIRST_SECONDS)


async def test_a_job_that_fails_says_why_and_comes_again(tmp_path):
    job, ran = counting(fails=[StoreError("the disk is full"), ValueError("Ada said a secret")])
    jobs = Jobs([job], tmp_path)

    await jobs.run("count")
    first = read_runs(tmp_path)["count"]
    await jobs.run("count")
    second = read_runs(tmp_path)["count"]
    await jobs.run("count")
    third = read_runs(tmp_path)["count"]

    assert (first.error, first.failed) == ("the disk is full", 1)
    assert "secret" not in second.error and second.failed == 2
    assert (third.error, third.failed, third.did) == ("", 0, "run 3")
    assert len(ran) == 3


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"count": 3}', '{"count": {"last": 7, "odd": 1}}'])
async def test_a_damaged_note_of_the_last_runs_stops_nothing(tmp_path, damage):
    (tmp_path / "jobs.json").write_text(damage)
    job, _ = counting()
    jobs = Jobs([job], tmp_path)
    await jobs.start()
    await jobs.run("count")
    await jobs.stop()

    assert json.loads((tmp_path / "jobs.json").read_text())["count"]["did"] == "run 1"


async def test_a_job_is_never_begun_while_it_runs(tmp_path):
    go, first_begun, begun = asyncio.Event(), asyncio.Event(), []

    async def work():
        begun.append(1)
        first_begun.set()
        await go.wait()
        return "done"

    jobs = Jobs([Job("slow", "", timedelta(hours=1), work)], tmp_path)
    first = asyncio.create_task(jobs.run("slow"))
    await first_begun.wait()
    await jobs.run("slow")
    go.set()
    await first

    assert len(begun) == 1


async def test_stopping_does_not_wait_for_a_job_that_hangs(tmp_path):
    begun, hangs = asyncio.Event(), asyncio.Event()

    async def work():
        begun.set()
        await hangs.wait()
        return "never"

    jobs = Jobs([Job("slow", "", timedelta(seconds=0.01), work)], tmp_path)
    await jobs.start()
    await asyncio.wait_for(begun.wait(), 30)

    await asyncio.wait_for(jobs.stop(), 30)

    assert read_runs(tmp_path)["slow"].last == ""


async def test_hours_of_zero_mean_never(store):
    none = {"backup_hours": 0, "retention_hours": 0, "checkpoint_hours": 0}

    assert [job.name for job in planned(Config(), store)] == ["backup", "retention", "checkpoint"]
    assert planned(Config(jobs=none), store) == []


async def test_every_planned_job_does_its_work(store, tmp_path):
    config = Config(paths=Paths(data=tmp_path), memory={"retention_days": 30})
    await exchange(store, "old", sent_at=NOW - timedelta(days=31))
    jobs = Jobs(planned(config, store, Clock()), tmp_path)
    for name in ("backup", "retention", "checkpoint"):
        await jobs.run(name)

    ran = read_runs(tmp_path)
    assert ran["backup"].did.startswith(copy_name(NOW))
    assert ran["retention"].did == "1 turns deleted"
    assert ran["checkpoint"].did == "log emptied"


# ------------------------------------------------------------------ copies


async def test_the_newest_copies_stay_and_those_from_before_a_migration_are_nobodys_to_delete(store):
    for day in range(5):
        await back_up(store, NOW + timedelta(days=day), keep=3)
    names = ["troupe-20250101-000000-before-0001.db", "troupe-20250101-000000-before-restore.db", "notes.txt"]
    for name in names:
        (store.backups / name).touch()

    thin_out(store.backups, 2)

    kept = sorted(file.name for file in store.backups.iterdir())
    assert kept == sorted([*names, copy_name(NOW + timedelta(days=3)), copy_name(NOW + timedelta(days=4))])


async def test_a_copy_can_be_opened_and_has_everything(store, tmp_path):
    await exchange(store, "before the copy")
    await back_up(store, NOW, keep=1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "troupe.db").write_bytes((store.backups / copy_name(NOW)).read_bytes())

    copy = await Store.open(MemorySettings(), other)

    assert [t.text for t in await copy.history(LOBBY, MARA, limit=9)] == ["before the copy", "Aye: before the copy"]
    await copy.close()


async def test_a_copy_that_cannot_be_made_leaves_the_older_ones(store, tmp_path):
    await back_up(store, NOW, keep=1)
    (store.backups / (copy_name(NOW + timedelta(days=1)) + ".partial")).mkdir()  # something stands in the way

    with pytest.raises(StoreError, match="could not be made"):
        await back_up(store, NOW + timedelta(days=1), keep=1)

    assert (store.backups / copy_name(NOW)).exists()


# ------------------------------------------------------------------ what goes


async def test_turns_older_than_they_may_be_go_with_all_that_hangs_on_them(store, tmp_path):
    """Not a trace of them is left in the file; what is younger is untouched."""
    await exchange(store, "heron forty-one", sent_at=NOW - timedelta(days=31))
    await exchange(store, "of yesterday", sent_at=NOW - timedelta(days=1))

    did = await forget_old(store, MemorySettings(retention_days=30), NOW)

    assert did == "1 turns deleted"
    assert [t.text for t in await store.history(LOBBY, None, limit=9)] == ["Aye: heron forty-one", "of yesterday", "Aye: of yesterday"]
    assert (await store.status()).replies == {"recorded": 1}


async def test_a_reply_goes_at_its_own_age(store, tmp_path):
    """The character's turn is dated when it was said; a day later it is too old as well, and the words are out of the file."""
    await exchange(store, "heron forty-one", sent_at=NOW - timedelta(days=31))

    await forget_old(store, MemorySettings(retention_days=30), NOW + timedelta(days=31))

    assert await store.history(LOBBY, None, limit=9) == []
    await store.checkpoint()
    assert b"heron" not in (tmp_path / "troupe.db").read_bytes()


async def test_by_default_nothing_is_ever_too_old(store):
    await exchange(store, "from long ago", sent_at=NOW - timedelta(days=4000))

    assert await forget_old(store, MemorySettings(), NOW) == "0 turns deleted"
    assert len(await store.history(LOBBY, None, limit=9)) == 2


async def test_thousands_of_old_turns_go_in_parts(store):
    for n in range(1200):
        await store.remember(said(f"{n}", sent_at=NOW - timedelta(days=40)), [MARA], "answered")

    assert await store.forget_before(NOW) == 1200


async def test_a_server_that_removed_us_is_forgotten_after_a_while_and_its_neighbour_is_not(store):
    for guild in ("1", "10"):
        await exchange(store, f"in guild {guild}", channel=ChannelKey("discord", f"{guild}/5"))
        await store.change_channel_settings(ChannelKey("discord", guild), {"quiet": 1})
    await store.change_channel_settings(ChannelKey("discord", "1"), {"left_at": (NOW - timedelta(days=31)).isoformat()})

    before = await forget_old(store, MemorySettings(left_days=40), NOW)
    after = await forget_old(store, MemorySettings(left_days=30), NOW)

    assert (before, after) == ("0 turns deleted", "2 turns deleted, 1 places forgotten")
    assert await store.history(ChannelKey("discord", "1/5"), None, limit=9) == []
    assert len(await store.history(ChannelKey("discord", "10/5"), None, limit=9)) == 2
    assert await store.channel_settings(ChannelKey("discord", "1")) == {}
