"""Pulling the plug on the process: what was said to be stored is there, and nothing is there by half."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.messages import Stamp

PRESENT = ["house/mara-quill", "house/odo-brandt"]


def writer(data: Path, *, turns: int = 200, mark: str = "") -> subprocess.Popen:
    script = Path(__file__).with_name("crashing_writer.py")
    return subprocess.Popen([sys.executable, script, data, str(turns), mark], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("seed", range(5))
async def test_a_process_killed_while_it_writes_leaves_nothing_half(open_store, said, lobby, tmp_path, seed):
    """Killed after some random line of its report, somewhere within the next writes."""
    process = writer(tmp_path)
    reported = set()
    for _ in range(random.Random(seed).randrange(1, 500)):
        reported.add(tuple(process.stdout.readline().split()))
    os.kill(process.pid, signal.SIGKILL)
    reported |= {tuple(line.split()) for line in process.stdout.read().splitlines()}
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL

    store = await open_store()

    heard = {turn.message_id: turn for turn in await store.history(lobby, None, limit=1000)}
    for what, n in reported:
        assert what != "heard" or f"m{n}" in heard
        assert what != "final" or heard[f"s{n}"].text == f"answer {n}"
    for character in PRESENT:
        assert await store.history(lobby, character, limit=1000) == await store.history(lobby, None, limit=1000)
    pending = {p.turn.message_id for p in await store.pending()}
    assert not pending & {f"m{n}" for what, n in reported if what == "answered"}
    for turn in [turn for turn in heard.values() if not turn.by_character]:
        n = turn.message_id[1:]
        for delivery in await store.deliveries(turn.id):
            stored = delivery.state in ("final", "recorded")
            assert stored == (delivery.turn_id is not None) == (f"s{n}" in heard) == (delivery.stamp is not None)
            assert delivery.sent_ids == (() if delivery.state == "claimed" else (f"s{n}",))
            assert delivery.text == (f"answer {n}" if stored else "")
            # and it can be taken up where it stood
            if delivery.state == "claimed":
                await store.opened(delivery, f"s{n}")
            if not stored:
                await store.finalise(delivery, f"answer {n}", Stamp("starter", PRESENT[0], "1", 1, int(n)))
            assert (await store.recorded(delivery)).state == "recorded"
    assert await store.remember(said("after the crash", "still here"), PRESENT) is not None


async def test_a_writer_that_is_not_killed_leaves_everything(open_store, lobby, tmp_path):
    """The control: 100 turns and 100 replies, and a log that was moved into the file."""
    process = writer(tmp_path, turns=100)
    out, _ = process.communicate()

    assert process.returncode == 0
    assert out.splitlines()[-1] == "closed 0"
    assert not (tmp_path / "troupe.db-wal").exists()
    store = await open_store()
    assert len(await store.history(lobby, PRESENT[0], limit=1000)) == 200
    assert (await store.status()).replies == {"recorded": 100}


async def test_four_processes_that_start_at_once_on_an_empty_folder_share_one_database(open_store, lobby, tmp_path):
    """`troupe run` and three commands beside it: one makes the tables, the others find them and all can write."""
    processes = [writer(tmp_path, turns=20, mark=mark) for mark in "abcd"]
    ends = [process.communicate()[0].splitlines()[-1:] for process in processes]

    assert ends == [["closed 0"]] * 4
    store = await open_store()
    assert len(await store.history(lobby, PRESENT[0], limit=1000)) == 4 * 20 * 2
