"""Floods: so many messages are heard, one notice is given, and others are not held up. The clock is ours."""

import pytest

from bot.config import MemorySettings, SessionSettings
from bot.errors import CommandRefused
from bot.memory.store import Store
from bot.messages import ChannelKey, Person
from bot.sessions.gate import Gate
from tests.house import RecordingPort, said

GUILD = ChannelKey("discord", "1/10")
ANNA, BEN = Person("discord:501", "Anna"), Person("discord:502", "Ben")


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
async def gate_of(tmp_path):
    store = await Store.open(MemorySettings(), tmp_path)
    clock = Clock()

    def make(**settings):
        gate = Gate(store, SessionSettings(**settings), clock=clock)
        return gate, clock

    yield make
    await store.close()


async def admitted(gate, port, count, author=ANNA, channel=GUILD):
    return sum([await gate.admit(said("Hello", port, channel=channel, author=author)) for _ in range(count)])


async def test_a_flood_is_heard_up_to_the_limit_and_answered_with_one_notice(gate_of):
    """A thousand messages of one person; the next person is heard at once, and the first again when the minute is over."""
    gate, clock = gate_of(person_messages_per_minute=5)
    port = RecordingPort()

    assert await admitted(gate, port, 1000) == 5
    assert len(port.notices) == 1 and "60 seconds" in port.notices[0]
    assert await admitted(gate, port, 1, BEN) == 1
    clock.seconds += 59
    assert await admitted(gate, port, 3) == 0
    clock.seconds += 2
    assert await admitted(gate, port, 1000) == 5
    assert len(port.notices) == 2


async def test_many_people_in_one_channel_share_its_limit_and_leave_the_next_channel_alone(gate_of):
    gate, _ = gate_of(channel_messages_per_minute=10)
    port = RecordingPort()
    raiders = [Person(f"discord:{n}", f"Raider {n}") for n in range(100)]

    heard = sum([await admitted(gate, port, 1, each) for each in raiders])

    assert heard == 10
    assert len(port.notices) == 1
    assert await admitted(gate, port, 1, ANNA, ChannelKey("discord", "1/11")) == 1


async def test_a_day_has_its_own_limit(gate_of):
    gate, clock = gate_of(person_messages_per_day=3)
    port = RecordingPort()
    for _ in range(4):
        await admitted(gate, port, 1)
        clock.seconds += 61

    assert port.notices == ["(That was the last message for today; the company listens again tomorrow.)"]
    assert await admitted(gate, port, 1, BEN) == 1


async def test_no_limit_and_ones_own_machine_let_everything_through(gate_of):
    gate, _ = gate_of(person_messages_per_minute=0, channel_messages_per_minute=0)
    assert await admitted(gate, RecordingPort(), 300) == 300
    narrow, _ = gate_of(person_messages_per_minute=1)
    assert await admitted(narrow, RecordingPort(), 300, channel=ChannelKey("web", "lobby")) == 300


async def test_wishes_count_like_messages(gate_of):
    gate, _ = gate_of(person_messages_per_minute=2)
    for _ in range(2):
        await gate.admit_wish(ANNA, GUILD)
    with pytest.raises(CommandRefused, match="listens again in 60 seconds"):
        await gate.admit_wish(ANNA, GUILD)


async def test_what_may_be_done_now_and_then_is_refused_in_between_on_a_real_clock(tmp_path):
    """The real clock moves between two looks at it; that once made the very first time a refusal."""
    store = await Store.open(MemorySettings(), tmp_path)
    gate = Gate(store, SessionSettings())

    assert [gate.once("export", 600) for _ in range(3)] == [True, False, False]
    await store.close()
