"""What every format becomes: speeches in order, and the rows that are written of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from trainer.errors import SourceRefused

Attribution = Literal["attributed", "unsure", "unattributed"]


@dataclass(frozen=True, slots=True)
class Speech:
    """One thing said, as a reader found it. Without a speaker and a line it is a stage direction that stands alone."""

    scene: str
    speaker: str | None
    line: str
    stage: tuple[str, ...] = ()
    attribution: Attribution = "attributed"  # how sure the speaker is; novels do not name everybody who speaks
    person: str | None = None  # the id of whoever is alive and wrote it, where the source is a chat


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ``rows.jsonl``. ``id`` is its place in the whole source, so that ids sort as time goes."""

    id: str
    scene: str
    turn: int  # from 0 in each scene; stage directions that stand alone count
    speaker: str | None
    line: str
    stage: tuple[str, ...]
    attribution: Attribution
    person: str | None = None

    @property
    def spoken(self) -> bool:
        return bool(self.line)


def number(speeches: Iterable[Speech]) -> Iterator[Row]:
    """Rows in order, with their ids and turns."""
    scene, turn = None, 0
    for position, speech in enumerate(speeches):
        turn = turn + 1 if speech.scene == scene else 0
        scene = speech.scene
        yield Row(f"{position:06}", speech.scene, turn, speech.speaker, speech.line, speech.stage, speech.attribution, speech.person)


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write beside, then rename. Returns how many."""
    beside = path.with_name(f"{path.name}.partial")
    count = 0
    with beside.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            count += 1
    beside.replace(path)
    return count


def read_rows(path: Path) -> Iterator[Row]:
    """Rows as they were written, one at a time.

    Raises:
        SourceRefused: the file is not one that ``extract`` wrote.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                yield Row(**{**record, "stage": tuple(record["stage"])})
    except FileNotFoundError as error:
        raise SourceRefused(f"{path}: there is no such file; run the stage extract first") from error
    except (ValueError, TypeError, KeyError) as error:
        raise SourceRefused(f"{path}: is not what extract writes ({error}); run extract again") from error
