"""Subtitles and speech transcripts: SubRip, WebVTT (w3.org/TR/webvtt1) and Advanced SubStation Alpha.

Who speaks stands in a cue's voice tag, in an event's Name, or before a colon; a cue without any of them has no speaker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.extract.source import Source
from trainer.extract.speech import Speech

SCENE_SECONDS = 30.0  # a longer silence begins another scene
JOIN_SECONDS = 1.5  # the same person going on after less than this has not stopped
_TIMES = re.compile(r"^\s*(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})\s*-->\s*(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})")
_ASS_TIME = re.compile(r"(\d+):(\d{2}):(\d{2})[.:](\d{1,3})")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?[ \t]+([^>]+)>")
_TAG = re.compile(r"<[^>]*>|\{[^}]*\}")
_NAMED = re.compile(
    r"^(?:-\s*|–\s*)?(?P<name>[A-Z][A-Z0-9 .'’#-]{1,29}|[\u3400-\u9fff·]{1,8}|[A-Z][a-z]+(?: [A-Z][a-z]+)?)"
    r"(?:\s*\((?P<how>[^)]*)\))?\s*[:：]\s*(?P<said>.*)$"
)
_SOUND = re.compile(r"\[([^\]]*)\]|♪+([^♪]*)♪*|（([^）]*)）|\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Cue:
    start: float  # seconds
    end: float
    speaker: str | None
    text: str  # with line ends, tags gone except voices


def speeches(source: Source) -> Iterator[Speech]:
    """What was said, in order; a person's cues that follow each other closely are one speech."""
    scene, last_end = 1, 0.0
    waiting: tuple[str | None, str, tuple[str, ...], float] | None = None
    for cue in _ass(source) if source.path.suffix.lower() in (".ass", ".ssa") else _cues(source):
        for speaker, text, stage in _parts(cue):
            if waiting and (waiting[0] != speaker or speaker is None or cue.start - waiting[3] > JOIN_SECONDS):
                yield _speech(source, scene, waiting)
                waiting = None
            if cue.start - last_end > SCENE_SECONDS and last_end:
                scene += 1
            last_end = cue.end
            if waiting:
                waiting = (speaker, f"{waiting[1]} {text}".strip(), (*waiting[2], *stage), cue.end)
            else:
                waiting = (speaker, text, stage, cue.end)
    if waiting:
        yield _speech(source, scene, waiting)


def _speech(source: Source, scene: int, said: tuple[str | None, str, tuple[str, ...], float]) -> Speech:
    speaker, text, stage, _ = said
    return Speech(f"{source.path.stem}/{scene}", speaker if text else None, text, stage, "attributed" if speaker else "unattributed")


def _parts(cue: Cue) -> Iterator[tuple[str | None, str, tuple[str, ...]]]:
    """A cue's speakers in turn: two who speak at once have a dash each."""
    dashed = sum(line.lstrip().startswith(("-", "–")) for line in cue.text.split("\n")) > 1
    pieces: list[tuple[str | None, list[str]]] = []
    for line in cue.text.split("\n"):
        voice = _VOICE.search(line)
        plain = _TAG.sub("", line).strip()
        named = _NAMED.match(plain)
        starts = named is not None or voice is not None or (dashed and plain.startswith(("-", "–")))
        speaker = voice[1].strip() if voice else named["name"].strip() if named else cue.speaker
        text = (f"({named['how']}) " if named["how"] else "") + named["said"] if named else plain.lstrip("-– ") if dashed else plain
        if starts or not pieces:
            pieces.append((speaker, [text]))
        else:
            pieces[-1][1].append(text)
    for speaker, lines in pieces:
        stage: list[str] = []

        def take(found: re.Match[str], into: list[str] = stage) -> str:
            into.append(next((g for g in found.groups() if g), "♪").strip())
            return " "

        text = " ".join(_SOUND.sub(take, " ".join(lines)).split())
        if text or stage:
            yield speaker, text, tuple(s for s in stage if s)


def _cues(source: Source) -> Iterator[Cue]:
    """Cues of SubRip and WebVTT."""
    times: tuple[float, float] | None = None
    text: list[str] = []
    for line in _with_end(source):
        found = _TIMES.match(line)
        if found or not line.strip():
            if times and text:
                # The number of the next cue may stand right before its times.
                yield Cue(*times, None, "\n".join(text[:-1] if found and text[-1].strip().isdigit() else text))
            times = _span(found) if found else None
            text = []
        elif times:
            text.append(line)


def _with_end(source: Source) -> Iterator[str]:
    yield from source.lines()
    yield ""


def _span(found: re.Match[str]) -> tuple[float, float]:
    h1, m1, s1, f1, h2, m2, s2, f2 = (g or "0" for g in found.groups())
    return (
        int(h1) * 3600 + int(m1) * 60 + int(s1) + int(f1.ljust(3, "0")) / 1000,
        int(h2) * 3600 + int(m2) * 60 + int(s2) + int(f2.ljust(3, "0")) / 1000,
    )


def _ass(source: Source) -> Iterator[Cue]:
    """Events of Advanced SubStation; the Format line says in which order their fields stand."""
    fields = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    in_events = False
    for line in source.lines():
        head, _, rest = line.partition(":")
        if line.startswith("["):
            in_events = line.strip().lower() == "[events]"
        elif in_events and head.strip().lower() == "format":
            fields = [f.strip().lower() for f in rest.split(",")]
        elif in_events and head.strip().lower() == "dialogue":
            values = dict(zip(fields, (v.strip() for v in rest.split(",", len(fields) - 1)), strict=False))
            text = values.get("text", "").replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
            yield Cue(_seconds(values.get("start", "")), _seconds(values.get("end", "")), values.get("name") or None, text)


def _seconds(text: str) -> float:
    found = _ASS_TIME.fullmatch(text.strip())
    if not found:
        return 0.0
    h, m, s, f = found.groups()
    return int(h) * 3600 + int(m) * 60 + int(s) + int(f.ljust(3, "0")) / 1000
