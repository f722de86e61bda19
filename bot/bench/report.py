"""The figures as a table, as JSON and as an SVG picture."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final
from xml.sax.saxutils import escape

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bot.bench.run import Row
from bot.engine.threads import processor

_COLOURS: Final = ("#3b6ea5", "#c0722b", "#5b8c5a", "#8a5a8c")
_PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN, _COLUMNS = 460, 240, 56, 2
_PANELS: Final[dict[str, Callable[[Row], float | None]]] = {
    "tokens per second": lambda row: row.tokens_per_second,
    "milliseconds between two tokens, p95": lambda row: row.inter_token_p95_seconds * 1000,
    "seconds to the first token, median": lambda row: row.first_token_median_seconds,
    "seconds to the first token, p95": lambda row: row.first_token_p95_seconds,
    "tokens of prompts read": lambda row: row.evaluated_tokens,
    "tokens of prompts reused": lambda row: row.reused_tokens,
    "peak memory, MB": lambda row: row.peak_memory_bytes and row.peak_memory_bytes / 1e6,
}


def machine(threads: int) -> dict[str, object]:
    """What it was measured on."""
    return {"system": platform.system(), "processor": processor(), "threads": threads, "python": platform.python_version()}


def as_json(rows: Sequence[Row], **about: object) -> str:
    return json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=2) + "\n"


def table(rows: Sequence[Row]) -> Table:
    """Medians of the rounds.

    first s: to a channel's first token, the median of the channels; gap ms: between two tokens of a reply, p95; MB: the process's
    peak memory. The ratios are troupe's same turn divided by this one's, before the median: tokens/s, and seconds to the first.
    """
    shown = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)  # a terminal of 80 columns holds it
    shown.add_column("engine", overflow="fold", min_width=8)
    for name in ("turn", "tok/s", "first s", "p95 s", "gap ms", "read", "reused", "MB", "ratio", "first"):
        shown.add_column(name, no_wrap=True)
    for engine, prefixes, turn in _groups(rows):
        group = [row for row in rows if (row.engine, row.prefixes, row.turn) == (engine, prefixes, turn)]

        def median(value: Callable[[Row], float | None], form: str, of: Sequence[Row] = group) -> str:
            known = [found for row in of if (found := value(row)) is not None]
            return format(statistics.median(known), form) if known else ""

        shown.add_row(
            engine,
            f"{prefixes} {turn}",
            median(lambda row: row.tokens_per_second, ".0f"),
            median(lambda row: row.first_token_median_seconds, ".2f"),
            median(lambda row: row.first_token_p95_seconds, ".2f"),
            median(lambda row: row.inter_token_p95_seconds * 1000, ".0f"),
            median(lambda row: row.evaluated_tokens, ".0f"),
            median(lambda row: row.reused_tokens, ".0f"),
            median(lambda row: row.peak_memory_bytes and row.peak_memory_bytes / 1e6, ".0f"),
            *(format(ratio, ".2f") for ratio in _against(rows, group, prefixes)),
        )
    return shown


def ratios(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """For every other contestant and kind of prefixes: troupe's tokens/s of a whole round by its, the median of the rounds."""
    found: dict[str, dict[str, float]] = {}
    for engine in dict.fromkeys(row.engine for row in rows if row.engine != "troupe"):
        for prefixes in dict.fromkeys(row.prefixes for row in rows):
            by_round = [
                _whole(rows, "troupe", prefixes, number) / _whole(rows, engine, prefixes, number)
                for number in sorted({row.round for row in rows})
            ]
            found.setdefault(engine, {})[prefixes] = statistics.median(by_round)
    return found


def _whole(rows: Sequence[Row], engine: str, prefixes: str, number: int) -> float:
    turns = [row for row in rows if (row.engine, row.prefixes, row.round) == (engine, prefixes, number)]
    return sum(row.tokens_per_second * row.wall_seconds for row in turns) / sum(row.wall_seconds for row in turns)


def turn_ratios(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The same for each turn by itself, and how long the first token took in comparison.

    ``ours`` says how well troupe knew the characters. After a restart it knows them, and whoever keeps nothing on a disk does not:
    so the first turn of that kind is compared, too.
    """
    told: list[dict[str, object]] = []
    for engine, prefixes, turn in _groups(rows):
        group = [row for row in rows if (row.engine, row.prefixes, row.turn) == (engine, prefixes, turn)]
        for ours in [prefixes, *(["warm"] if (prefixes, turn) == ("cold", 1) else [])]:
            if found := _against(rows, group, ours):
                names = {"engine": engine, "prefixes": prefixes, "ours": ours, "turn": turn}
                told.append({**names, "tokens_per_second": found[0], "first_token": found[1]})
    return told


def _against(rows: Sequence[Row], group: Sequence[Row], prefixes: str) -> tuple[float, float] | tuple[()]:
    """Troupe's tokens/s and wait for the first token, with such prefixes, by those of ``group``; nothing for its own rows."""
    ours = {(row.turn, row.round): row for row in rows if (row.engine, row.prefixes) == ("troupe", prefixes)}
    if group[0].engine == "troupe" or not ours:
        return ()
    pairs = [(ours[row.turn, row.round], row) for row in group]
    return (
        statistics.median(our.tokens_per_second / row.tokens_per_second for our, row in pairs),
        statistics.median(our.first_token_median_seconds / row.first_token_median_seconds for our, row in pairs),
    )


def _groups(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    return list(dict.fromkeys((row.engine, row.prefixes, row.turn) for row in rows))


# ------------------------------------------------------------------ the picture


def svg(rows: Sequence[Row]) -> str:
    """A panel of bars for each figure, by prefixes and turn; the medians of the rounds."""
    engines = list(dict.fromkeys(row.engine for row in rows))
    legend = "".join(
        f'<rect x="{_MARGIN + 150 * n}" y="12" width="12" height="12" fill="{_COLOURS[n % len(_COLOURS)]}"/>'
        f'<text x="{_MARGIN + 150 * n + 18}" y="23">{escape(engine)}</text>'
        for n, engine in enumerate(engines)
    )
    panels = "".join(_panel(rows, place, title, value) for place, (title, value) in enumerate(_PANELS.items()))
    width = _COLUMNS * (_PANEL_WIDTH + _MARGIN) + _MARGIN
    height = -(-len(_PANELS) // _COLUMNS) * (_PANEL_HEIGHT + 2 * _MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>{legend}{panels}</svg>\n'
    )


def _panel(rows: Sequence[Row], place: int, title: str, value: Callable[[Row], float | None]) -> str:
    left = _MARGIN + place % _COLUMNS * (_PANEL_WIDTH + _MARGIN)
    top = _MARGIN + place // _COLUMNS * (_PANEL_HEIGHT + 2 * _MARGIN)
    engines = list(dict.fromkeys(row.engine for row in rows))
    groups = sorted({(row.prefixes, row.turn) for row in rows})
    bars = {
        (engine, *group): statistics.median(found)
        for engine in engines
        for group in groups
        if (
            found := [
                known for row in rows if (row.engine, row.prefixes, row.turn) == (engine, *group) and (known := value(row)) is not None
            ]
        )
    }
    most = max(bars.values(), default=0) or 1.0
    wide = _PANEL_WIDTH / len(groups)
    thick = wide * 0.8 / len(engines)
    drawn = [f'<text x="{left}" y="{top - 10}" font-weight="bold">{escape(title)}</text>']
    for (engine, prefixes, turn), height in bars.items():
        x = left + groups.index((prefixes, turn)) * wide + engines.index(engine) * thick
        tall = height / most * (_PANEL_HEIGHT - 20)
        y = top + _PANEL_HEIGHT - tall
        colour = _COLOURS[engines.index(engine) % len(_COLOURS)]
        drawn.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{thick * 0.9:.1f}" height="{tall:.1f}" fill="{colour}"/>')
        told = f"{height:.3g}" if height < 1000 else f"{height:,.0f}"
        drawn.append(f'<text x="{x + thick * 0.45:.1f}" y="{y - 4:.1f}" font-size="10" text-anchor="middle">{told}</text>')
    for n, (prefixes, turn) in enumerate(groups):
        drawn.append(
            f'<text x="{left + (n + 0.4) * wide:.1f}" y="{top + _PANEL_HEIGHT + 18}" text-anchor="middle">{prefixes}, turn {turn}</text>'
        )
    return "".join(drawn)
