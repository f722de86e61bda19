"""The report of an evaluation: the same figures as Markdown and as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_COLOURS = ("#8a9ab0", "#c0562f", "#27496d", "#6b8f5e", "#b08a3c")
_WIDTH, _LABEL, _BAR = 760, 250, 22

_STYLE = """
body { font: 16px/1.5 Georgia, serif; color: #24303c; background: #fbf9f4; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { font-weight: normal } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d8d2c4 }
table { border-collapse: collapse; font-size: .9rem } td, th { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #e6e1d5 }
p.note { color: #667; max-width: 46rem } li { max-width: 46rem; margin: .2rem 0 }
figure { margin: 1.2rem 0 } figcaption { font-style: italic } .said { display: flex; flex-wrap: wrap; gap: .8rem }
blockquote { flex: 1 1 18rem; margin: .3rem 0; border-left: 3px solid #d8d2c4; padding-left: .8rem; white-space: pre-line }
cite { display: block; color: #889; font-size: .8rem; font-style: normal }
svg text { font: 13px Georgia, serif; fill: #24303c }
@media (prefers-color-scheme: dark) {
  body { background: #1c2128; color: #d8dde3 } svg text { fill: #d8dde3 } td, th, h2 { border-color: #3a424d }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a plot; ``low`` and ``high`` are its interval."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0  # bars of one series have one colour


@dataclass(frozen=True, slots=True)
class Quote:
    """One question, and what each model answered as the same character: for the reader's own judgement."""

    to: str
    asked: str
    said: Mapping[str, str]  # by model


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    note: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    bars: Sequence[Bar] = ()
    unit: str = ""
    quotes: Sequence[Quote] = ()
    points: Sequence[str] = ()  # sentences, each for itself


def markdown(title: str, sections: Sequence[Section]) -> str:
    lines = [f"# {title}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.note:
            lines += [section.note, ""]
        if section.points:
            lines += [*(f"- {_one_line(point)}" for point in section.points), ""]
        if section.rows:
            lines += [_row(section.columns), _row(["---"] * len(section.columns)), *(_row(r) for r in section.rows), ""]
        for quote in section.quotes:
            lines += [f"- to **{quote.to}**: {_one_line(quote.asked)}"]
            lines += [f"  > {model}: {_one_line(said)}" for model, said in quote.said.items()]
        if section.quotes:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_one_line(c).replace("|", "\\|") for c in cells) + " |"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def html(title: str, sections: Sequence[Section]) -> str:
    """One page; everything that models or people wrote is escaped."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        if section.note:
            parts.append(f'<p class="note">{escape(section.note)}</p>')
        if section.points:
            parts.append("<ul>" + "".join(f"<li>{escape(point)}</li>" for point in section.points) + "</ul>")
        if section.bars:
            parts.append(bars_svg(section.bars, section.unit))
        if section.rows:
            parts.append(_table(section))
        parts += [_quoted(q) for q in section.quotes]
    return "\n".join(parts) + "\n</html>\n"


def _quoted(quote: Quote) -> str:
    """The models beside each other, so that an eye can go to and fro."""
    said = "".join(f"<blockquote><cite>{escape(model)}</cite>{escape(text)}</blockquote>" for model, text in quote.said.items())
    return f'<figure><figcaption>To {escape(quote.to)}: {escape(quote.asked)}</figcaption><div class="said">{said}</div></figure>'


def _table(section: Section) -> str:
    head = "".join(f"<th>{escape(c)}</th>" for c in section.columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in section.rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def bars_svg(bars: Sequence[Bar], unit: str) -> str:
    """Horizontal bars from zero, with intervals as whiskers."""
    most = max((max(b.value, b.high or b.value) for b in bars), default=1.0) or 1.0
    least = min(0.0, min((min(b.value, b.low if b.low is not None else b.value) for b in bars), default=0.0))
    scale = (_WIDTH - _LABEL - 80) / (most - least)
    zero = _LABEL - least * scale
    height = len(bars) * (_BAR + 6) + 28
    drawn = [f'<svg viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" aria-label="{escape(unit, quote=True)}">']
    for i, bar in enumerate(bars):
        y = i * (_BAR + 6) + 4
        left, wide = zero + min(bar.value, 0) * scale, abs(bar.value) * scale
        middle = y + _BAR / 2
        drawn.append(f'<text x="{_LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.label)}</text>')
        drawn.append(
            f'<rect x="{left:.1f}" y="{y}" width="{max(wide, 0.5):.1f}" height="{_BAR}" fill="{_COLOURS[bar.series % len(_COLOURS)]}"/>'
        )
        end = left + wide
        if bar.low is not None and bar.high is not None:
            one, other = zero + bar.low * scale, zero + bar.high * scale
            drawn.append(f'<line x1="{one:.1f}" x2="{other:.1f}" y1="{middle}" y2="{middle}" stroke="#222" stroke-width="1.5"/>')
            end = max(end, other)
        drawn.append(f'<text x="{end + 6:.1f}" y="{middle + 4:.1f}">{bar.value:.3g}</text>')
    drawn.append(f'<text x="{zero:.1f}" y="{height - 6}">{escape(unit)}</text></svg>')
    return "".join(drawn)
