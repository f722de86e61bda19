"""Writes turns and replies until it is killed; says on stdout what has been stored. Run by test_store_crash.

Arguments: the data folder, how many turns, what their message ids begin with.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from bot.config import MemorySettings
from bot.memory.store import Store
from bot.messages import ChannelKey, Incoming, Person, Stamp

LOBBY = ChannelKey.parse("web:lobby")
PRESENT = ["house/mara-quill", "house/odo-brandt"]


def report(what: str, n: int) -> None:
    sys.stdout.write(f"{what} {n}\n")
    sys.stdout.flush()


async def one_turn(store: Store, n: int, mark: str) -> None:
    incoming = Incoming(LOBBY, f"{mark}m{n}", Person("web:ada", "Ada"), f"question {n}", None, (), (), datetime.now(UTC), None)
    cause = await store.remember(incoming, PRESENT)
    assert cause is not None
    report("heard", n)
    delivery = await store.claim(cause, 0, PRESENT[0], name="Mara Quill", seed=n)
    await store.opened(delivery, f"{mark}s{n}")
    await store.finalise(delivery, f"answer {n}", Stamp("starter", PRESENT[0], "1", 1, n))
    report("final", n)
    await store.recorded(delivery)
    await store.set_state(cause.id, "answered")
    report("answered", n)


async def main(data: str, turns: str, mark: str = "") -> None:
    store = await Store.open(MemorySettings(), Path(data))
    report("open", 0)
    for first in range(0, int(turns), 10):
        await asyncio.gather(*(one_turn(store, n, mark) for n in range(first, first + 10)))
    await store.close()
    report("closed", 0)


asyncio.run(main(*sys.argv[1:]))
