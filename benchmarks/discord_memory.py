"""Memory of ``troupe run`` on Discord over many messages: a process of its own, loopback Discord, an engine that echoes.

    python benchmarks/discord_memory.py [--messages 10000] [--channels 20]

One message in each channel at a time; the next round begins when all are answered. The target is no leak: after the first quarter
memory stays within 10 % or 16 MB. Until a channel has some 230 messages, its character's memory of it fills. Discord's REST and
gateway run in the measuring process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, so that `tests` is found

from benchmarks.campaign_soak import Soak
from bot.config import MemorySettings
from bot.memory.store import Store
from bot.messages import ChannelKey
from tests.connectors.discord_process import troupe_process
from tests.connectors.discord_stage import configured, echo_engine, world
from tests.loopback.discord_server import LoopbackDiscord
from tests.loopback.discord_world import World

LOOKS = 40
PATIENCE_SECONDS = 300.0


async def main(messages: int, rooms: int) -> int:
    seen, began = Soak(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        async with LoopbackDiscord() as discord, echo_engine() as echo:
            guild, _, anna, _ = world(discord)
            channels = [discord.world.add_channel(guild, f"room-{n}") for n in range(rooms)]
            config = configured(data, discord, echo)
            store = await Store.open(MemorySettings(), data)
            for channel in channels:
                await store.set_awake(_key(guild, channel), ["house/mara-quill"])
            await store.close()
            async with troupe_process(config, discord.world.token) as process:
                await discord.until(discord.gateway.connected.is_set, "a connection", PATIENCE_SECONDS)
                rounds = messages // rooms
                for number in range(rounds):
                    text = f"message {number}"
                    for channel in channels:
                        await discord.say(channel, anna, text)
                    await discord.until(lambda said=text: _all_answered(discord, channels, said), text, PATIENCE_SECONDS)
                    seen.turns += rooms
                    _forget(discord.world, channels)
                    discord.rest.calls.clear()
                    echo.questions.clear()
                    if number % max(1, rounds // LOOKS) == 0:
                        seen.look_at(process.pid)
                        print(f"{seen.turns} messages: {seen.memory_mb[-1]:.0f} MB, {seen.files[-1]} files", flush=True)
            seen.database_mb = _database_mb(data)
    seen.seconds = time.monotonic() - began
    print(f"{seen.turns} messages in {seen.seconds:.0f} s; {seen.warm_mb:.0f} MB warm, {seen.last_mb:.0f} MB at the end, ", end="")
    print(f"files {min(seen.files)} to {max(seen.files)}, database {seen.database_mb:.1f} MB")
    print("flat" if seen.clean else "NOT FLAT")
    return 0 if seen.clean else 1


def _key(guild: dict[str, str], channel: dict[str, str]) -> ChannelKey:
    return ChannelKey("discord", f"{guild['id']}/{channel['id']}")


def _all_answered(discord: LoopbackDiscord, channels: list[dict[str, str]], text: str) -> bool:
    said = [discord.said_by(channel) for channel in channels]
    return all(each and each[-1]["content"].endswith(text) for each in said)


def _database_mb(data: Path) -> float:
    return sum(f.stat().st_size for f in data.rglob("troupe.db*")) / 1e6


def _forget(world: World, channels: list[dict[str, str]]) -> None:
    """The loopback's own memory is not what is measured; its last message stays, as a reply's edit may still come."""
    for channel in channels:
        kept = world.messages[channel["id"]]
        for message_id in list(kept)[:-2]:
            del kept[message_id]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=20)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.messages, options.channels)))
