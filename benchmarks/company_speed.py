"""How long a list of 500 registered characters takes, and who answers among them.

    python benchmarks/company_speed.py [--characters 500]

Thread time of the event loop's thread (other processes do not count) and wall time, medians over fifty calls. Target: 20 ms each.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from bot.commands import character
from bot.commands.desk import Caller
from bot.messages import ChannelKey, Person
from bot.sessions.casting import Call, cast_reply
from tests.house import RecordingPort, open_test_house, settings
from tests.loopback.openai_server import openai_server

ROUNDS = 50
CHANNEL = ChannelKey("discord", "1/2")


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with openai_server(behaviour="echo") as server:
            config = settings(Path(folder) / "data", Path(folder) / "gguf", engine={"remote": {"base_url": server.base_url, "model": "m"}})
            async with open_test_house(config) as house:
                for n in range(count):
                    name = f"Runa {chr(65 + n % 26)}{chr(97 + n // 26)}x"
                    card = {"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": name, "description": f"Keeper {n}."}}
                    slug = name.lower().replace(" ", "-")
                    await house.desk.store.save_character(
                        CHANNEL.scope, slug, name=name, card=card, lines=[], portrait=None, by="discord:1"
                    )
                began = time.perf_counter()
                await house.desk.company.refresh()
                print(f"{count} characters taken in: {(time.perf_counter() - began) * 1000:.0f} ms, beside the event loop's thread")
                caller = Caller(Person("discord:1", "Anna"), CHANNEL, RecordingPort())
                seen = house.desk.company.seen_in(CHANNEL)
                await house.desk.store.set_awake(CHANNEL, [c.id for c in seen])

                async def cast() -> None:
                    awake = await house.desk.company.awake(CHANNEL)
                    cast_reply(Call(f"Is {awake[-1].name} here, or {awake[7].name}?", awake), speakers=3, always=True, seed=1)

                await _measured("list", lambda: character.characters(house.desk, caller))
                await _measured(f"casting among {len(seen)} who are awake", cast)
                await _measured("one found by a name that is not there", lambda: _missing(house.desk.company))


async def _missing(company: Any) -> None:
    try:
        company.find(CHANNEL, "Runa Zzzx")
    except Exception as error:  # noqa: BLE001  whatever it says is what is measured
        assert "Runa" in str(error)


async def _measured(what: str, work: Callable[[], Awaitable[Any]]) -> None:
    own, wall = [], []
    for _ in range(ROUNDS):
        before, began = time.thread_time(), time.perf_counter()
        await work()
        own.append((time.thread_time() - before) * 1000)
        wall.append((time.perf_counter() - began) * 1000)
    print(f"{what}: {statistics.median(own):.1f} ms of the loop's thread, {statistics.median(wall):.1f} ms in all (worst {max(wall):.0f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=500)
    asyncio.run(main(parser.parse_args().characters))
