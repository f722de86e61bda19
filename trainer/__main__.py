"""The ``troupe-train`` command. Knows the table of stages and nothing of what they do."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from bot.errors import BotError
from trainer.stages import STAGES, StageRow

DONE, FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command. 0: done, 1: a foreseen failure (the last line says what to do), 2: wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    row = next((r for r in STAGES if words[:1] == [r.name]), None)
    if row is None:
        return _without_stage(words)
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        return _carry_out(row, words[1:])
    except BotError as error:
        print(f"troupe-train {row.name}: {error}", file=sys.stderr)
    except OSError as error:
        print(
            f"troupe-train {row.name}: {error.filename or 'a file'}: {error.strerror or error}; free some space or check the path",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print(f"troupe-train {row.name}: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return FAILED


def _carry_out(row: StageRow, words: Sequence[str]) -> int:
    try:
        module = importlib.import_module(row.module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("trainer", "bot"):
            raise
        print(f"troupe-train {row.name}: {error.name} is not installed; run: pip install 'troupe[trainer]'", file=sys.stderr)
        return FAILED
    parser = argparse.ArgumentParser(
        prog=f"troupe-train {row.name}", description=f"{row.about[0].upper()}{row.about[1:]}.", epilog=f"example: {row.example}"
    )
    module.arguments(parser)
    module.command(parser.parse_args(words))
    return DONE


def _without_stage(words: Sequence[str]) -> int:
    width = max(len(r.name) for r in STAGES)
    rows = "\n".join(f"  {r.name:<{width}}  {r.about}" for r in STAGES)
    usage = (
        f"usage: troupe-train STAGE [options]\n\n{rows}\n\ntroupe-train STAGE --help shows a stage's options; example: {STAGES[0].example}"
    )
    if words[:1] in (["-h"], ["--help"]):
        print(usage)
        return DONE
    print(usage if not words else f"troupe-train: there is no stage {words[0]!r:.60}\n\n{usage}", file=sys.stderr)
    return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
