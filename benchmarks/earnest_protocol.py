"""The protocol for *The Importance of Being Earnest*: does a model know who speaks? Fixed before anything was tuned.

    .venv/bin/python benchmarks/earnest_protocol.py --turns turns.jsonl --model base=gguf/starter.gguf

Exemplars (and training) come from acts 1 and 2; tested are all 156 lines of the five main speakers in act 3. A line's context is
the line before it with its speaker's name. Loss is over reply and end token. "Wrong" is every other main character except the
one who spoke before, averaged; card and exemplars are swapped each alone and together. Intervals are 95 %, paired bootstrap.

``--turns``: the play, one object a line: {"act", "n", "speaker" or null, "line"}; a speaker of null is a stage direction.
``--model``: NAME=FILE.gguf, NAME=FILE.gguf+ADAPTER.gguf, or NAME=FOLDER in Hugging Face's form. The first is the base.
What was measured is kept in ``--into``; a killed run goes on there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bot.characters.card import card_from_document
from bot.characters.cast import Character, make_character
from bot.characters.lines import Exemplar
from bot.characters.prompt import Budget, Layout
from bot.config import CharacterSettings
from bot.errors import BotError
from trainer.base import find_base, load_tokenizer
from trainer.conversations import Conversations
from trainer.evaluate_swaps import BySwap, Losses, Question, Swap, as_json, by_swap, open_scorer, printed, samples_for, told

TAUGHT_ACTS, TESTED_ACT, TESTED_LINES = (1, 2), 3, 156

# Our own words, each card at most 150 tokens with the rules around it.
CARDS = {
    "Jack": "Jack Worthing, a country gentleman of twenty-nine and Cecily's guardian, calls himself Ernest in town. He was found in a "
    "handbag as a baby. Earnest in manner, easily vexed by Algernon, in love with Gwendolen.",
    "Algernon": "Algernon Moncrieff, an idle, witty bachelor with debts and a great appetite, has invented an invalid called Bunbury. He "
    "turns every phrase upside down, is never serious, and loves Cecily.",
    "Cecily": "Cecily Cardew, eighteen, Jack's ward, lives in the country with a governess and a diary in which she was engaged before she "
    "was asked. Romantic, frank, sweetly stubborn.",
    "Gwendolen": "Gwendolen Fairfax, Lady Bracknell's daughter, fashionable and certain of everything, could only love a man called "
    "Ernest. She pronounces rather than speaks.",
    "Lady Bracknell": "Lady Bracknell, Gwendolen's mother and Algernon's aunt, judges everybody by income, family and address. She "
    "interrogates, commands and disapproves, in long finished sentences.",
}

LAYOUTS = {
    "name only": Layout(fixed=0, retrieved=0),
    "card": Layout(fixed=0, retrieved=0),
    "5 fixed": Layout(fixed=5, retrieved=0),
    "12 fixed": Layout(fixed=12, retrieved=0),
    "5 found, turns": Layout(fixed=0, retrieved=5, retrieved_as="turns"),
    "5 found, block": Layout(fixed=0, retrieved=5, retrieved_as="block"),
    "12 + 3, turns": Layout(fixed=12, retrieved=3, retrieved_as="turns"),
    "12 + 3, block": Layout(fixed=12, retrieved=3, retrieved_as="block"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=Path, required=True, help="the play as JSON lines")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=MODEL", help="the first is the base")
    parser.add_argument("--base", default="starter", help="whose tokenizer and template (default: the bundled model's)")
    parser.add_argument("--layouts", default=";".join(LAYOUTS), help="names separated by semicolons")
    parser.add_argument("--swaps", default="right,card,exemplars,both", help="what is measured of each layout")
    parser.add_argument("--every", type=int, default=1, help="take every n-th tested line; say so when quoting")
    parser.add_argument("--into", type=Path, default=Path("data/runs/earnest-protocol"), help="where losses and figures are kept")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    layouts = [name.strip() for name in args.layouts.split(";")]
    swaps: list[Swap] = args.swaps.split(",")
    conversations = Conversations(load_tokenizer(find_base(args.base)), Budget(context=4096))
    turns = read_turns(args.turns)
    first: dict[str, BySwap] = {}
    rows = {}
    for given in args.model:
        name, _, model = given.partition("=")
        with (
            Losses(args.into / name / "losses.jsonl", partial(open_scorer, model, threads=args.threads)) as kept,
            Progress(console=Console(stderr=True)) as progress,
        ):
            for layout in layouts:
                asked = questions(turns, described=layout != "name only")[:: args.every]
                samples = samples_for(conversations, asked, LAYOUTS[layout], wanted(layout, swaps))
                tick = partial(progress.advance, progress.add_task(f"{name}, {layout}", total=len(samples)))
                found = by_swap(samples, kept.of(layout, samples, tick))
                rows[f"{name}, {layout}"] = told(found, first.get(layout))
                first.setdefault(layout, found)
                (args.into / "figures.json").write_text(json.dumps(as_json(rows), indent=2) + "\n", encoding="utf-8")
    every = f", every {args.every}th line" if args.every > 1 else ""
    Console().print(printed(rows, f"Earnest, act 3, nats per token{every}"))


def wanted(layout: str, swaps: Sequence[Swap]) -> list[Swap]:
    """Where there are no exemplars, swapping the card is swapping everything."""
    if LAYOUTS[layout].fixed or LAYOUTS[layout].retrieved:
        return list(swaps)
    return [s for s in swaps if s in ("right", "both")]


def read_turns(path: Path) -> list[dict]:
    """The spoken lines, in order."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [row for row in rows if row["speaker"]]


def cast_of(turns: Sequence[Mapping], *, described: bool) -> dict[str, Character]:
    """The five main speakers with their lines of acts 1 and 2; without ``described`` a card holds nothing but the name."""
    lines: dict[str, list[Exemplar]] = {name: [] for name in CARDS}
    for before, turn in pairwise(turns):
        name = turn["speaker"]
        if name in lines and turn["act"] in TAUGHT_ACTS and before["act"] == turn["act"] and before["speaker"] != name:
            lines[name].append(exchange(before, turn))
    return {
        name: make_character("house", name.lower().replace(" ", "-"), card(name, CARDS[name] if described else ""), tuple(of))
        for name, of in lines.items()
    }


def card(name: str, description: str):
    data = {"name": name, "description": description, "personality": "", "scenario": "", "first_mes": "", "mes_example": ""}
    return card_from_document({"spec": "chara_card_v2", "spec_version": "2.0", "data": data}, CharacterSettings(), name)


def exchange(before: Mapping, turn: Mapping) -> Exemplar:
    return Exemplar(f"act-{turn['act']}-{turn['n']}", before["speaker"], before["line"], turn["line"], None, None, "earnest")


def questions(turns: Sequence[Mapping], *, described: bool) -> list[Question]:
    """The tested lines in order, each with everybody that could be taken for its speaker."""
    cast = cast_of(turns, described=described)
    found = [
        Question(
            cast[turn["speaker"]], exchange(before, turn), [c for n, c in cast.items() if n not in (turn["speaker"], before["speaker"])]
        )
        for before, turn in pairwise(turns)
        if turn["act"] == TESTED_ACT and turn["speaker"] in CARDS
    ]
    assert len(found) == TESTED_LINES, f"{len(found)} lines are tested; the protocol knows {TESTED_LINES}: is this another edition?"
    return found


if __name__ == "__main__":
    try:
        main()
    except BotError as error:
        sys.exit(str(error))
