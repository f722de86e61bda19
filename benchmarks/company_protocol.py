"""The protocol for the company: does a model know who speaks, for characters it was taught and for one it never saw?

    .venv/bin/python benchmarks/company_protocol.py --model base=BASE.gguf --model tuned=TUNED.gguf
    .venv/bin/python benchmarks/company_protocol.py --leave-out odo-brandt --model base=BASE.gguf --model without=WITHOUT.gguf

Every held-out exchange is asked for exactly as the bot would: card, twelve fixed exemplars, three found ones, lore. Loss is over
reply and end token. "Wrong" is the mean over other characters (``--wrong`` of them in turn; 0: all); card and exemplars are swapped
each alone and together. Intervals are 95 %, paired bootstrap over exchanges, each weighing its tokens.

``--leave-out``: measured are only the held-out exchanges of these characters. A moderator's new card is one of them: served from
its card and lines, by a model whose training never saw it (``troupe-train dataset --leave-out SLUG``, then ``tune``). With
``--without-lines`` it is served from its card alone.
What was measured is kept in ``--into``; a killed run goes on there.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bot.characters.prompt import Budget, Layout
from bot.errors import BotError
from trainer.base import find_base, load_tokenizer
from trainer.conversations import Conversations
from trainer.dataset import DatasetSettings, divide
from trainer.evaluate_swaps import (
    BySwap,
    Losses,
    as_json,
    by_swap,
    held_out_questions,
    open_scorer,
    printed,
    samples_for,
    told,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=MODEL", help="FILE.gguf[+ADAPTER.gguf] or a folder")
    parser.add_argument("--characters", type=Path, default=Path("characters"))
    parser.add_argument("--base", default="starter", help="whose tokenizer and template")
    parser.add_argument("--leave-out", default="", help="slugs, separated by commas")
    parser.add_argument("--without-lines", action="store_true", help="the card alone, as of a character that was just registered")
    parser.add_argument("--wrong", type=int, default=2)
    parser.add_argument("--swaps", default="right,card,exemplars,both")
    parser.add_argument("--every", type=int, default=1, help="take every n-th exchange; say so when quoting")
    parser.add_argument("--into", type=Path, default=Path("data/runs/company-protocol"))
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    left_out = tuple(s for s in args.leave_out.split(",") if s)
    parts, _ = divide(args.characters, DatasetSettings(base=args.base, leave_out=left_out))
    asked = [q for q in held_out_questions(parts, args.wrong) if not left_out or q.speaker.slug in left_out][:: args.every]
    layout = replace(Layout(), fixed=0, retrieved=0) if args.without_lines else Layout()
    swaps = [s for s in args.swaps.split(",") if not args.without_lines or s in ("right", "both")]
    conversations = Conversations(load_tokenizer(find_base(args.base)), Budget(context=4096))
    samples = samples_for(conversations, asked, layout, swaps)
    rows, first = {}, None
    for given in args.model:
        name, _, model = given.partition("=")
        setting = f"{'card alone' if args.without_lines else 'served'}, {'left out' if left_out else 'taught'}"
        with (
            Losses(args.into / name / "losses.jsonl", partial(open_scorer, model, threads=args.threads)) as kept,
            Progress(console=Console(stderr=True)) as progress,
        ):
            tick = partial(progress.advance, progress.add_task(name, total=len(samples)))
            found: BySwap = by_swap(samples, kept.of(setting, samples, tick))
        rows[f"{name}, {setting}"] = told(found, first)
        first = first or found
    (args.into / "figures.json").write_text(json.dumps(as_json(rows), indent=2) + "\n", encoding="utf-8")
    Console().print(printed(rows, "the company, held-out exchanges, nats per token"))


if __name__ == "__main__":
    try:
        main()
    except BotError as error:
        sys.exit(str(error))
