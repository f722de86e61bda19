"""What was asked and answered so far, a line each: a killed stage goes on after the last whole line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """A JSONL file of objects with a ``key``. Append only; for one process and one event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, dict[str, Any]] = {}
        whole = 0
        if path.is_file():
            with path.open("rb") as file:
                for line in file:
                    try:
                        record = json.loads(line)
                        key = record["key"]
                    except (ValueError, KeyError, TypeError):
                        break  # a kill cut it off
                    if not line.endswith(b"\n"):
                        break
                    self.done[key] = record
                    whole += len(line)
            if whole < path.stat().st_size:
                os.truncate(path, whole)

    def add(self, key: str, record: dict[str, Any]) -> dict[str, Any]:
        """Write it down at once; returns what was written."""
        self.done[key] = {"key": key, **record}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.done[key], ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return self.done[key]
