"""The campaign: pulled plugs, floods, damaged input, a full disk and a long time, against real processes on loopback platforms.

    python benchmarks/campaign.py [--kills 500] [--fuzz 10000] [--soak SECONDS] [--seed N] [--only kills,flood,fuzz,disk,soak] [--homes 2]

Prints its seed and a table; exits 1 when a target was missed. With the defaults it takes some twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, so that `tests` is found

from benchmarks.campaign_disk import run_disk_full
from benchmarks.campaign_flood import run_flood
from benchmarks.campaign_fuzz import run_fuzz
from benchmarks.campaign_kills import Result, run_kills
from benchmarks.campaign_soak import WORDS, run_soak

LAG_MS = 100.0


async def kills(folder: Path, count: int, seed: int, homes: int) -> bool:
    shares = [count // homes + (n < count % homes) for n in range(homes)]
    opening = asyncio.Lock()
    results: list[Result] = await asyncio.gather(
        *(run_kills(folder / f"home-{n}", kills=share, seed=seed + n, opening=opening) for n, share in enumerate(shares) if share)
    )
    said = sum(sum(r.said.values()) for r in results)
    states: dict[str, int] = {}
    hits = 0
    for result in results:
        hits += sum(result.window_hits.values())
        for state, number in result.states.items():
            states[state] = states.get(state, 0) + number
    lost, doubled, half = ([each for r in results for each in getattr(r, name)] for name in ("lost", "doubled", "half"))
    print(f"kill -9: {sum(r.kills for r in results)} kills, {said} messages, {max(r.seconds for r in results):.0f} s")
    print(f"  lost {len(lost)}, doubled {len(doubled)}, half {len(half)}; hits of Telegram's documented window {hits}")
    print(f"  left by the kills: {', '.join(f'{n} {s}' for s, n in sorted(states.items()))}")
    for each in [*lost, *doubled, *half][:20]:
        print(f"  ! {each}")
    return not (lost or doubled or half)


async def flood(folder: Path) -> bool:
    good = True
    for name, pause, inbox in (("a quick model", 0.002, 64), ("a slow model, inboxes of 8", 0.1, 8)):
        result = await run_flood(folder / name.split()[1], messages=1000, seconds=10, pause=pause, inbox=inbox)
        print(f"flood, {name}: {result.sent} messages in 10 s, {result.accepted} accepted, refused {dict(result.refused)}")
        print(f"  ended as {result.states}; {result.told_full} channels told; all done after {result.drained_seconds:.1f} s")
        print(f"  event loop late by {result.lag_p50_ms} ms (median), {result.lag_p99_ms} ms (p99), {result.lag_max_ms} ms at most")
        good = good and result.clean and result.lag_p99_ms < LAG_MS
    return good


async def fuzz(folder: Path, count: int, seed: int) -> bool:
    result = await run_fuzz(folder, count=count, seed=seed)
    print(f"fuzz: {dict(result.tried)}, refused {dict(result.refused)}; crashes {len(result.crashes)}, without a sentence", end=" ")
    print(f"{len(result.speechless)}, not answering afterwards {len(result.silent)}")
    print(f"  of shapes that no platform sends, left out at a border and logged: {dict(result.left_out)}")
    for each in [*result.crashes, *result.speechless, *result.silent][:20]:
        print(f"  ! {each}")
    return result.clean


async def disk(folder: Path) -> bool:
    result = await run_disk_full(folder, rounds=60)
    if result.impossible:
        print(f"disk full: not run, {result.impossible}")
        return True
    print(f"disk full: {result.rounds} rounds, {result.refused} messages refused with a sentence, {result.met} met it while being answered")
    print(f"  lost {len(result.lost)}, doubled {len(result.doubled)}, not told {len(result.untold)}, damaged {len(result.damaged)}")
    for each in [*result.lost, *result.doubled, *result.untold, *result.damaged][:20]:
        print(f"  ! {each}")
    return result.clean


async def soak(folder: Path, seconds: float) -> bool:
    result = await run_soak(folder, seconds=seconds)
    print(f"soak: {result.turns} turns, replies of {WORDS} words, in {result.seconds:.0f} s ({result.turns / result.seconds:.1f} a second)")
    print(f"  {result.processor_ms_per_turn:.1f} ms of a processor for each turn")
    print(f"  memory {result.warm_mb:.0f} MB warm, {result.last_mb:.0f} MB at the end; files {min(result.files)} to {max(result.files)}")
    print(f"  database {result.database_mb:.1f} MB: {result.bytes_per_turn:.0f} bytes a turn with its reply")
    return result.clean


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--fuzz", type=int, default=10_000)
    parser.add_argument("--soak", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--homes", type=int, default=2, help="whose plugs are pulled beside each other")
    parser.add_argument("--only", default="flood,fuzz,disk,soak,kills")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    wanted = options.only.split(",")
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="troupe campaign ") as place:
        folder = Path(place)
        for name in wanted:
            began = time.monotonic()
            work = {
                "kills": lambda: kills(folder, options.kills, options.seed, options.homes),
                "flood": lambda: flood(folder / "flood"),
                "fuzz": lambda: fuzz(folder / "fuzz", options.fuzz, options.seed),
                "disk": lambda: disk(folder / "disk"),
                "soak": lambda: soak(folder / "soak", options.soak),
            }[name]
            if not await work():
                missed.append(name)
            print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"missed: {', '.join(missed)}" if missed else "every target was met")
    return 1 if missed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as ctrl-c, so that no house is left running
    sys.exit(asyncio.run(main()))
