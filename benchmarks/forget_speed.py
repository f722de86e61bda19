"""How long it takes to forget somebody among 100,000 turns, a backup and collected rows included, and whether anything is left.

python benchmarks/forget_speed.py [--turns 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from bot.commands import privacy
from bot.config import MemorySettings
from bot.memory import schema
from bot.memory.store import Store
from bot.messages import ChannelKey

PEOPLE = 50
CANARY = "the heron sleeps under bridge forty-one"


async def measure(folder: Path, turns: int) -> tuple[float, int, int]:
    """Seconds, rows that went, and how many files still hold the person's id or the sentence that only they say."""
    data, models = folder / "data", folder / "gguf"
    store = await Store.open(MemorySettings(), data)
    try:
        await store._database.write(lambda connection: _fill(connection, turns))
        await store.backup(data / "backups" / "troupe-20260101-000000.db")
        rows = data / "runs" / "loop-1" / "collect"
        rows.mkdir(parents=True)
        models.mkdir()
        told = [
            {"key": f"gold-{n}", "said": f"{n} {CANARY if n % PEOPLE == 7 else ''}", "people": [f"web:p{n % PEOPLE}"]}
            for n in range(20_000)
        ]
        (rows / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
        began = time.perf_counter()
        gone = await privacy.forget_traces(store, models, "web:p7", await store.forget("web:p7"))
        seconds = time.perf_counter() - began
    finally:
        await store.close()
    held = [file.read_bytes() for file in data.rglob("*") if file.is_file()]
    left = sum(text in each for each in held for text in (b'"web:p7"', b"web:p7\x00", CANARY.encode()))
    return seconds, sum(gone.rows.values()) + gone.reached.rows, left


def _fill(connection: Connection, turns: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    people = [{"id": f"web:p{n}", "name": f"P{n}", "first_seen": start, "last_seen": start, "remember": True} for n in range(PEOPLE)]
    connection.execute(schema.people.insert(), people)
    connection.execute(schema.turns.insert(), [_turn(n, start) for n in range(turns)])


def _turn(n: int, start: datetime) -> dict[str, object]:
    """People and characters in turn; a character's answers the one before it."""
    by_character = n % 2 == 1
    person = n // 2 % PEOPLE
    at = start + timedelta(seconds=n)
    return {
        "id": n + 1, "channel": ChannelKey("web", f"room{n // 2 % 8}"), "message_id": f"m{n}",
        "author_id": "house/mara-quill" if by_character else f"web:p{person}", "author_name": "Mara" if by_character else f"P{person}",
        "by_character": by_character, "text": f"{n}: {CANARY if person == 7 else 'of the sea and the weather'}",
        "answers": n if by_character else None, "mentions": [], "direct": False, "sent_at": at, "stored_at": at,
        "state": "answered", "attempts": 0, "hidden": False,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=100_000)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        seconds, rows, left = asyncio.run(measure(Path(folder), turns))
    print(f"{turns:,} turns: forgotten in {seconds:.1f} s, {rows:,} rows went, found in {left} files afterwards")


if __name__ == "__main__":
    main()
