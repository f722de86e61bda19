"""Telegram's limits, kept in a busy hour whose clock we own."""

import asyncio
import heapq
import itertools
import random
from collections import defaultdict

import pytest
from telegram.error import RetryAfter

from bot.connectors.telegram_pace import Pace

HOUR = 3600.0


class OwnTime:
    """A clock that stands still while anybody can do something, and then jumps to whoever wakes next."""

    def __init__(self):
        self.now = 0.0
        self._sleepers = []
        self._numbers = itertools.count()

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
        await woken

    async def run(self, work, until=float("inf")):
        """Let time pass until the work is done. No real second is waited for."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(8):  # whoever can go on goes on
                await asyncio.sleep(0)
            if task.done() or not self._sleepers:
                continue
            at, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            assert self.now <= until, "it takes longer than it may"
            woken.set_result(None)
        return task.result()


class Telegram:
    """Counts what arrives, each call after a while on its way."""

    def __init__(self, time, seed=0):
        self.time, self.dice = time, random.Random(seed)
        self.arrived = []
        self.refusals = {}

    async def call(self, chat, endpoint):
        await self.time.sleep(self.dice.uniform(0.01, 0.04))
        self.arrived.append((self.time.now, chat, endpoint))
        wait = self.refusals.pop(chat, None)
        if wait is not None:
            raise RetryAfter(wait)
        await self.time.sleep(self.dice.uniform(0.01, 0.04))
        return True


async def send(pace, telegram, chat, endpoint="sendMessage", tries=None):
    return await pace.process_request(telegram.call, (chat, endpoint), {}, endpoint, {"chat_id": chat}, tries)


def most_within(times, seconds):
    """The most events within any window."""
    times = sorted(times)
    most, first = 0, 0
    for last, now in enumerate(times):
        while now - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.fixture
def own_time(monkeypatch):
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    return OwnTime()


async def test_a_busy_hour_breaks_none_of_telegrams_limits_and_loses_no_message(own_time):
    """Forty-five chats, a third of them groups, talk at random for an hour, with edits and signs of typing in between."""
    pace, telegram = Pace(own_time.clock, own_time.sleep), Telegram(own_time)
    dice = random.Random(7)
    wanted = defaultdict(int)

    async def talk(chat):
        while own_time.now < HOUR:
            await own_time.sleep(dice.expovariate(1 / 8 if chat < 0 else 1 / 5))
            await send(pace, telegram, chat, "sendChatAction")
            for endpoint in dice.choice((("sendMessage",), ("sendMessage", "editMessageText", "editMessageText"), ("sendPhoto",))):
                wanted[chat] += 1
                await send(pace, telegram, chat, endpoint)

    chats = [*range(1, 31), *range(-15, 0)]
    await own_time.run(asyncio.wait([asyncio.ensure_future(talk(chat)) for chat in chats]))

    messages = defaultdict(list)
    for at, chat, endpoint in telegram.arrived:
        if endpoint != "sendChatAction":
            messages[chat].append(at)
    assert {chat: len(times) for chat, times in messages.items()} == wanted
    assert max(most_within(times, 1.0) for times in messages.values()) == 1
    assert max(most_within(times, 60.0) for chat, times in messages.items() if chat < 0) <= 20
    assert most_within([at for at, _, _ in telegram.arrived], 1.0) <= 30
    assert len(telegram.arrived) > 10_000


async def test_a_burst_in_every_chat_at_once_is_spread_out(own_time):
    pace, telegram = Pace(own_time.clock, own_time.sleep), Telegram(own_time)

    await own_time.run(asyncio.wait([asyncio.ensure_future(send(pace, telegram, chat)) for chat in range(1, 301)]), until=15)

    assert most_within([at for at, _, _ in telegram.arrived], 1.0) <= 30
    assert len(telegram.arrived) == 300


async def test_a_refusal_holds_its_own_chat_alone(own_time):
    pace, telegram = Pace(own_time.clock, own_time.sleep), Telegram(own_time)
    telegram.refusals[1] = 100

    async def both():
        with pytest.raises(RetryAfter):
            await send(pace, telegram, 1)
        assert pace.held(1) and not pace.held(2)
        waiting = asyncio.ensure_future(send(pace, telegram, 1))
        await send(pace, telegram, 2)
        assert own_time.now < 2
        await waiting
        assert 100 <= own_time.now < 102

    await own_time.run(both())


async def test_who_asks_for_it_is_tried_again_when_the_wait_is_over(own_time):
    pace, telegram = Pace(own_time.clock, own_time.sleep), Telegram(own_time)
    telegram.refusals[-5] = 30

    assert await own_time.run(send(pace, telegram, -5, tries=1)) is True
    assert [chat for _, chat, _ in telegram.arrived] == [-5, -5]
    assert own_time.now >= 30


async def test_first_come_first_served(own_time):
    pace, telegram = Pace(own_time.clock, own_time.sleep), Telegram(own_time)
    served = []

    async def ask(n):
        await send(pace, telegram, 1)
        served.append(n)

    await own_time.run(asyncio.wait([asyncio.ensure_future(ask(n)) for n in range(10)]))

    assert served == list(range(10))


async def test_questions_that_are_no_messages_never_wait_for_a_chat(own_time):
    pace, telegram = Pace(own_time.clock, own_time.sleep), Telegram(own_time)
    telegram.refusals[1] = 100

    async def ask():
        with pytest.raises(RetryAfter):
            await send(pace, telegram, 1)
        await send(pace, telegram, 1, "getChatMember")
        await pace.process_request(telegram.call, (0, "answerCallbackQuery"), {}, "answerCallbackQuery", {}, None)

    await own_time.run(ask(), until=2)
