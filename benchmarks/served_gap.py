"""What serving costs: the starter as it was tuned (F16, adapter folded in) against the file that the bot serves (Q6_K).

    .venv/bin/python benchmarks/served_gap.py --every 1

Token ids of 200 prompts by transformers and by llama.cpp, which have to be the same, and held-out loss of both files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bot.characters.prompt import Budget, Layout
from bot.engine.adapter_fold import fold
from bot.engine.models import bundled, prepare_starter
from bot.errors import BotError
from trainer.base import find_base, load_tokenizer
from trainer.conversations import Conversations
from trainer.dataset import DatasetSettings, divide
from trainer.evaluate_intervals import difference, loss
from trainer.evaluate_swaps import held_out_questions, samples_for
from trainer.gate import same_tokens
from trainer.served import Served

PROMPTS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=Path, default=Path("characters"))
    parser.add_argument("--models", type=Path, default=Path("gguf"))
    parser.add_argument("--every", type=int, default=1, help="take every n-th held-out exchange; say so when quoting")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    tokenizer = load_tokenizer(find_base("starter"))
    conversations = Conversations(tokenizer, Budget(context=4096))
    parts, _ = divide(args.characters, DatasetSettings())
    samples = samples_for(conversations, held_out_questions(parts, 0), Layout(), ["right"])
    taught = [conversations.served(p.character, e, p.character, Layout()) for p in parts for e in p.taught]
    prompts = [tokenizer.decode(s.tokens[: s.spans[-1][0]]) for s in [*samples, *taught][:PROMPTS]]
    measured = samples[:: args.every]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "folded.gguf"
        fold(bundled(), args.models / "starter-adapter.gguf", full)
        for name, path in (("F16", full), ("served", prepare_starter(args.models).path)):
            with Served(path, threads=args.threads) as served:
                ids = same_tokens(tokenizer, served.tokenizer, prompts)
                found.append(served.measure(measured))
            print(f"{name}: {path.stat().st_size / 1e6:.0f} MB, {ids} token ids of {len(prompts)} prompts the same", flush=True)
            print(f"{name}: {loss(found[-1])} nats per token over {len(measured)} held-out exchanges", flush=True)
    print(f"served minus F16: {difference(found[1], found[0])}")


if __name__ == "__main__":
    try:
        main()
    except BotError as error:
        sys.exit(str(error))
