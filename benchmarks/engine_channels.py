"""Eight channels at once, on our engine and on one ``Llama`` object behind a lock, as bots usually have it.

The work (DESIGN: the same for everybody): N channels, channel i talks to character i mod C, three turns, each reply of 48 tokens
with end tokens ignored. Both read the same token ids from the same file; the two take turns (A B A B ...), each round with
characters that neither has seen, and the ratio of a round is taken before the median: the machine's speed swings.

On a machine that others use, too, ``--one-thread`` gives both one thread and counts the processor's seconds instead of the
clock's, but for the first token.

    python benchmarks/engine_channels.py [--channels 8] [--rounds 5] [--json FILE] [--only troupe] [--one-thread]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.config import EngineSettings
from bot.engine.engine import LlamaEngine
from bot.engine.models import find_model
from bot.engine.native import may_rearrange_weights
from bot.engine.threads import usable_cores
from bot.messages import ChannelKey, Prompt, Sampling

HOME = Path(__file__).resolve().parent.parent
PREFIX_TOKENS, MESSAGE_TOKENS = 230, 30
TEXT = (
    "keeps the old lighthouse at the end of the long stone pier, counts the ships that pass in the night, mends what the wind has"
    " broken, drinks black tea from a dented cup, distrusts the harbour master, writes letters that are never sent, remembers every"
    " storm by its first name and likes nothing better than a quiet question asked at the right time of day by somebody who listens. "
)


@dataclass
class Turn:
    """What one turn of all channels cost."""

    turn: int
    wall_seconds: float
    tokens_per_second: float
    first_token_median_seconds: float
    first_token_max_seconds: float
    evaluated_tokens: int = 0
    reused_tokens: int = 0


@dataclass
class Run:
    engine: str
    turns: list[Turn] = field(default_factory=list)
    lag_p99_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        return sum(turn.tokens_per_second * turn.wall_seconds for turn in self.turns) / sum(turn.wall_seconds for turn in self.turns)


@dataclass
class Answer:
    tokens: list[int]
    first_token_seconds: float
    evaluated: int = 0
    reused: int = 0


Ask = Callable[[int, list[int], int], Awaitable[Answer]]  # channel, prompt, prefix length


class Workload:
    """The same prompts for everybody; ``seed`` makes characters that nobody has read before."""

    def __init__(self, encode: Callable[[str], list[int]], channels: int, characters: int, reply_tokens: int) -> None:
        self._encode = encode
        self.channels, self.characters, self.reply_tokens = channels, characters, reply_tokens

    def prefix(self, seed: int, character: int) -> list[int]:
        return self._encode(f"Round {seed}: character {character} " + TEXT * 8)[:PREFIX_TOKENS]

    def message(self, channel: int, turn: int) -> list[int]:
        return self._encode(f"\nSomebody in channel {channel}, turn {turn}: tell me what you saw from up there last night, and why. " * 4)[
            :MESSAGE_TOKENS
        ]

    async def run(self, name: str, ask: Ask, seed: int, turns: int, clock: Callable[[], float]) -> Run:
        run = Run(name)
        talks = [self.prefix(seed, channel % self.characters) for channel in range(self.channels)]
        lags: list[float] = []
        watch = asyncio.create_task(_watch_loop(lags))
        for turn in range(1, turns + 1):
            for channel, talk in enumerate(talks):
                talk += self.message(channel, turn)
            began = clock()
            answers = await asyncio.gather(*(ask(channel, list(talk), PREFIX_TOKENS) for channel, talk in enumerate(talks)))
            wall = clock() - began
            for talk, answer in zip(talks, answers, strict=True):
                talk += answer.tokens
            firsts = [answer.first_token_seconds for answer in answers]
            run.turns.append(
                Turn(
                    turn,
                    wall,
                    self.channels * self.reply_tokens / wall,
                    statistics.median(firsts),
                    max(firsts),
                    sum(answer.evaluated for answer in answers),
                    sum(answer.reused for answer in answers),
                )
            )
        watch.cancel()
        run.lag_p99_seconds = statistics.quantiles(lags, n=100)[98]
        return run


async def _watch_loop(lags: list[float]) -> None:
    """How late the event loop is when it should have come back after 5 ms."""
    while True:
        due = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        lags.append(time.monotonic() - due)


def ask_troupe(engine: LlamaEngine, reply_tokens: int) -> Ask:
    sampling = Sampling(max_tokens=reply_tokens, seed=1)

    async def ask(channel: int, tokens: list[int], prefix: int) -> Answer:
        text = []
        asked = Prompt(tuple(tokens), prefix, ())
        async for piece in engine.stream(asked, sampling, channel=ChannelKey("web", str(channel)), ignore_end=True):
            text.append(piece.text)
        counters = piece.counters
        said = engine.tokenizer.encode("".join(text), special=False)
        return Answer(said, counters.first_token_seconds, counters.evaluated_tokens, counters.reused_tokens)

    return ask


def ask_serial(llama: Any, reply_tokens: int) -> Ask:
    lock = asyncio.Lock()

    def reply(tokens: list[int], arrived: float) -> Answer:
        said: list[int] = []
        first = 0.0
        for token in llama.generate(tokens, top_k=40, top_p=0.95, min_p=0.05, temp=0.8, repeat_penalty=1.1):
            first = first or time.monotonic() - arrived
            said.append(token)
            if len(said) == reply_tokens:
                break
        return Answer(said, first)

    async def ask(channel: int, tokens: list[int], prefix: int) -> Answer:
        arrived = time.monotonic()
        async with lock:
            return await asyncio.to_thread(reply, tokens, arrived)

    return ask


def open_llama(path: Path, threads: int) -> Any:
    # Loaded after our engine has said how OpenMP is to wait, so that both have it the same way.
    llama_cpp = importlib.import_module("llama_cpp")
    if not may_rearrange_weights():  # the same precaution that our engine takes, or it ends the process
        bindings = importlib.import_module("llama_cpp.llama_cpp")
        defaults = bindings.llama_model_default_params

        def careful() -> Any:
            params = defaults()
            params.use_extra_bufts = False
            return params

        bindings.llama_model_default_params = careful
    return llama_cpp.Llama(str(path), n_ctx=4096, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--channels", type=int, default=8)
    arguments.add_argument("--characters", type=int, default=4)
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--reply-tokens", type=int, default=48)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--models", type=Path, default=HOME / "gguf")
    arguments.add_argument("--only", choices=["troupe", "both"], default="both", help="troupe: its own peak memory, nothing to compare")
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--one-thread", action="store_true")
    chosen = arguments.parse_args()

    began = time.monotonic()
    threads = 1 if chosen.one_thread else usable_cores()
    clock = time.process_time if chosen.one_thread else time.monotonic
    settings = EngineSettings(live_replies=max(16, chosen.channels), threads=threads)
    engine = await LlamaEngine.load(settings, chosen.models)
    load_seconds = time.monotonic() - began
    work = Workload(lambda text: engine.tokenizer.encode(text, special=False), chosen.channels, chosen.characters, chosen.reply_tokens)
    contestants = {"troupe": ask_troupe(engine, chosen.reply_tokens)}
    if chosen.only == "both":
        contestants["serial"] = ask_serial(open_llama(find_model("current", chosen.models).path, threads), chosen.reply_tokens)

    runs: list[Run] = []
    for seed in track(range(chosen.rounds), "rounds"):
        runs += [await work.run(name, ask, seed, chosen.turns, clock) for name, ask in contestants.items()]
    status = engine.status
    await engine.close()

    of = {name: [run for run in runs if run.engine == name] for name in contestants}
    ratios = {}
    if "serial" in of:
        ratios = {
            "tokens_per_second": _median(
                a.tokens_per_second / b.tokens_per_second for a, b in zip(of["troupe"], of["serial"], strict=True)
            ),
            "first_turn_first_token": _median(
                a.turns[0].first_token_median_seconds / b.turns[0].first_token_median_seconds
                for a, b in zip(of["troupe"], of["serial"], strict=True)
            ),
        }
    figures = {
        "build": engine.build,
        "load_seconds": load_seconds,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "outside_decode_and_sampling": 1 - (status.decode_seconds + status.sampling_seconds) / status.step_seconds,
        "outside_decode": 1 - status.decode_seconds / status.step_seconds,
        "median_ratios": ratios,
        "runs": [asdict(run) | {"tokens_per_second": run.tokens_per_second} for run in runs],
    }
    _print(of, figures)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _median(values) -> float:
    return statistics.median(list(values))


def _print(of: dict[str, list[Run]], figures: dict) -> None:
    table = Table("engine", "turn", "tokens/s", "first token, median s", "first token, last s", "read", "reused", "loop lag p99 ms")
    for name, runs in of.items():
        for number in range(len(runs[0].turns)):
            turns = [run.turns[number] for run in runs]
            table.add_row(
                name,
                str(number + 1),
                f"{_median(t.tokens_per_second for t in turns):.0f}",
                f"{_median(t.first_token_median_seconds for t in turns):.2f}",
                f"{_median(t.first_token_max_seconds for t in turns):.2f}",
                str(turns[0].evaluated_tokens or ""),
                str(turns[0].reused_tokens or ""),
                f"{_median(run.lag_p99_seconds for run in runs) * 1000:.1f}",
            )
    Console().print(table)
    print(
        f"{figures['build']}: loaded in {figures['load_seconds']:.1f} s, peak memory {figures['peak_memory_bytes'] / 1e6:.0f} MB,"
        f" {figures['outside_decode_and_sampling']:.1%} of a step outside llama_decode and sampling"
    )
    for name, ratio in figures["median_ratios"].items():
        print(f"{name}, troupe to serial, median of the rounds: {ratio:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
