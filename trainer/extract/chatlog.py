"""Chat exports: DiscordChatExporter's JSON, Telegram Desktop's ``result.json``, and JSONL of one message a line.

An export is one JSON document, often a big one: messages are taken out of it one by one, the document is never held.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from trainer.errors import SourceRefused
from trainer.extract.source import LINE_CHARACTERS, Source
from trainer.extract.speech import Speech

SCENE_HOURS = 6.0  # a longer silence begins another scene
_ARRAY = re.compile(r'"messages"\s*:\s*\[')
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_SPEAKER = ("speaker", "name", "author", "role", "from", "user")
_LINE = ("line", "text", "content", "message", "said")


def speeches_json(source: Source) -> Iterator[Speech]:
    """Messages of an export, whichever of the two programs wrote it."""
    talk = _Talk(source.path.stem)
    for place, message in enumerate(messages(source), 1):
        if not isinstance(message, dict):
            raise SourceRefused(f"{source.path}: message {place} is no object; export the chat again as JSON")
        yield from _discord(talk, message) if isinstance(message.get("author"), dict) else _telegram(talk, message)


def speeches_jsonl(source: Source) -> Iterator[Speech]:
    """One object a line with who spoke and what; ``scene`` and ``stage`` are taken over where they are there."""
    talk = _Talk(source.path.stem)
    for place, line in enumerate(source.lines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise SourceRefused(f"{source.path}:{place}: is no JSON ({error}); a JSONL file has one object a line") from error
        if not isinstance(record, dict):
            raise SourceRefused(f"{source.path}:{place}: is no JSON object; a JSONL file has one object a line")
        if isinstance(record.get("messages"), list):
            yield from _conversation(source, place, record["messages"])
            continue
        speaker = next((record[k] for k in _SPEAKER if isinstance(record.get(k), str) and record[k].strip()), None)
        text = next((record[k] for k in _LINE if isinstance(record.get(k), str)), None)
        stage = tuple(str(s) for s in record.get("stage", ()) if str(s).strip()) if isinstance(record.get("stage", ()), list) else ()
        if text is None:
            raise SourceRefused(f"{source.path}:{place}: has none of {', '.join(_LINE)}; every line says who spoke and what")
        scene = next((f"{k}-{record[k]}" if isinstance(record[k], int) else str(record[k]) for k in ("scene", "act") if k in record), None)
        if text.strip() or stage:
            yield Speech(
                scene or talk.scene(_time(record.get("timestamp") or record.get("date"))),
                str(speaker) if speaker and text.strip() else None,
                " ".join(text.split()),
                stage,
                "attributed" if speaker or not text.strip() else "unattributed",
            )


def _conversation(source: Source, place: int, turns: list[Any]) -> Iterator[Speech]:
    for turn in turns:
        if isinstance(turn, dict) and isinstance(turn.get("content"), str) and turn.get("role") != "system":
            yield Speech(f"{source.path.stem}/{place}", str(turn.get("name") or turn.get("role")), " ".join(turn["content"].split()))


def messages(source: Source) -> Iterator[Any]:
    """The elements of every array called ``messages``.

    Raises:
        SourceRefused: there is none, or one of its elements is not JSON.
    """
    decoder = json.JSONDecoder()
    buffer, inside, found_any = "", False, False
    for block in source.blocks():
        buffer, at = buffer + block, 0
        while True:
            if not inside:
                start = _ARRAY.search(buffer, at)
                if start is None:
                    at = max(at, len(buffer) - 200)  # the array's beginning may be cut in two
                    break
                at, inside, found_any = start.end(), True, True
            at = _BETWEEN.match(buffer, at).end()  # type: ignore[union-attr]  # it matches nothing too
            if at == len(buffer):
                break
            if buffer[at] == "]":
                at, inside = at + 1, False
                continue
            try:
                value, end = decoder.raw_decode(buffer, at)
            except ValueError as error:
                if len(buffer) - at > LINE_CHARACTERS:
                    raise SourceRefused(f"{source.path}: is not valid JSON ({error}); export the chat again") from error
                break  # the rest of it is in the next block
            yield value
            at = end
        buffer = buffer[at:]
    if inside:
        raise SourceRefused(f"{source.path}: ends in the middle of its messages; export the chat again")
    if not found_any:
        raise SourceRefused(f'{source.path}: has no "messages"; export the chat as JSON (DiscordChatExporter or Telegram Desktop)')


class _Talk:
    """Cuts a chat into scenes at long silences."""

    def __init__(self, name: str) -> None:
        self._name, self._number, self._last = name, 1, None

    _last: datetime | None

    def scene(self, at: datetime | None) -> str:
        if at is not None:
            if self._last is not None and (at - self._last).total_seconds() > SCENE_HOURS * 3600:
                self._number += 1
            self._last = at
        return f"{self._name}/{self._number}"


def _discord(talk: _Talk, message: Mapping[str, Any]) -> Iterator[Speech]:
    author = message["author"]
    text = message.get("content")
    if message.get("type", "Default") not in ("Default", "Reply", "0", "19", 0, 19) or not isinstance(text, str):
        return
    name = author.get("nickname") or author.get("global_name") or author.get("name") or author.get("username")
    scene = talk.scene(_time(message.get("timestamp")))
    if text.strip() and name:
        number = author.get("id")
        yield Speech(scene, str(name), " ".join(text.split()), person=f"discord:{number}" if number else None)


def _telegram(talk: _Talk, message: Mapping[str, Any]) -> Iterator[Speech]:
    if message.get("type", "message") != "message":
        return
    text = message.get("text", "")
    if isinstance(text, list):  # parts with and without formatting
        text = "".join(p if isinstance(p, str) else str(p.get("text", "")) for p in text if isinstance(p, str | dict))
    scene = talk.scene(_time(message.get("date")))
    name = message.get("from") or message.get("actor")
    if isinstance(text, str) and text.strip() and isinstance(name, str):
        sender = str(message.get("from_id") or "")
        person = f"telegram:{sender.removeprefix('user')}" if sender.startswith("user") else None
        yield Speech(scene, name, " ".join(text.split()), person=person)


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=None)
