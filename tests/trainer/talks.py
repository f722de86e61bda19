"""Conversations as they lie in a database, for what learns from them: no model is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from bot.memory.store import Store
from bot.messages import ChannelKey, Incoming, Person, Stamp, Turn
from tests.house import RecordingPort

ANNA, BEN, CARA, MOD = (Person(f"web:{n.lower()}", n) for n in ("Anna", "Ben", "Cara", "Moddy"))
LOBBY = ChannelKey("web", "lobby")
WORDING = "train-1"


async def agree(store: Store, person: Person, granted: bool = True) -> None:
    await store.record_consent(person, "train", granted, channel=LOBBY, wording=WORDING)


async def exchange(
    store: Store,
    person: Person,
    said: str,
    *replies: str,
    character: str = "house/ada-north",
    channel: ChannelKey = LOBBY,
    build: str = "b@1",
) -> tuple[Turn, list]:
    """Something said and answered in so many takes; the last take is the chosen one."""
    heard = Incoming(channel, uuid4().hex, person, said, None, (), (), datetime.now(UTC), RecordingPort())
    turn = await store.remember(heard, [character], "answered")
    takes = []
    for number, reply in enumerate(replies):
        delivery = await store.claim(turn, 0, character, name=character, seed=1, take=number)
        delivery = await store.opened(delivery, uuid4().hex if not takes else takes[0].sent_ids[0])
        await store.finalise(delivery, reply, Stamp(build, character, "r1", 1, 1))
        takes.append(await store.recorded(delivery))
    return turn, takes
