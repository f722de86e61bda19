"""Four sources of dialogue for one character, as CharacterGLM has them (METHODS 1.4).

People's role-play (``human``), dialogues by a teacher, the character's own lines from literature, and people's talks with an
earlier model (``prototype``), in which somebody may have edited a reply. Beside it the profile is told as prose three ways:
summary, paraphrase, in its own style; these are cards for the same lines.

A line of an imported file: {"character": slug, "turns": [{"name": ..., "text": ..., "edited": null or text}, ...]}.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from bot.characters.cast import Character
from bot.messages import ChatMessage
from trainer.errors import SourceRefused
from trainer.extract.exchanges import is_chinese
from trainer.synthesis.about import about, phrases, wording
from trainer.synthesis.dialogues import talked
from trainer.synthesis.forms import Speech, Talk
from trainer.synthesis.work import Asked, Done, Draft, Plain, Question, Room, is_chinese_speaker, language_of

RETOLD = "retold.jsonl"
LONGEST_CARD = 1600  # characters of a retold profile
LEAST_CARD = 60


class FourSources(Plain):
    name = "four-sources"
    about = "role-play by people, dialogues by a teacher, own lines and talks with an earlier model; profiles retold (CharacterGLM)"

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        s = room.settings
        found: list[Question] = []
        for c in room.chosen:
            for way in wording(c).prose:
                found.append(Question(f"prose/{way}/{c.slug}", partial(_prose, c, way), Speech(8), s.form_tokens // 2, 0.5))
            for n in range(s.dialogues):
                ask = partial(_dialogue, room, c, n)
                found.append(Question(f"dialogue/{c.slug}/{n}", ask, _talk(room, c), s.form_tokens, s.temperature))
        return found

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        for c in room.chosen:
            for n in range(room.settings.dialogues):
                yield from talked(self.name, f"dialogue/{c.slug}/{n}", c, _talk(room, c), "synthesis", done)
        yield from _imported(room, room.settings.human, "human role-play")
        yield from _imported(room, room.settings.prototype, "human-prototype")

    def write(self, room: Room, done: Done, kept: Sequence[Mapping[str, Any]], into: Path) -> Mapping[str, Any]:
        """``retold.jsonl``: {character, way, text} of every profile that could be used; and how many rows each source gave."""
        retold: list[dict[str, str]] = []
        refused = 0
        for c in room.chosen:
            for way in wording(c).prose:
                answer = done[f"prose/{way}/{c.slug}"]
                text = answer["reply"].strip()
                usable = answer["finished"] and LEAST_CARD // (2 if is_chinese_speaker(c) else 1) <= len(text) <= LONGEST_CARD
                if not usable or is_chinese(text) != is_chinese_speaker(c) or c.name.split()[0] not in text:
                    refused += 1
                    continue
                retold.append({"character": c.slug, "way": way, "text": text.replace(c.name, "{{char}}")})
        (into / RETOLD).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in retold), encoding="utf-8")
        origins = {"literature": sum(len(c.lines) for c in room.chosen), **Counter(str(r["kind"]) for r in kept)}
        return {"origins": origins, "profiles_retold": len(retold), "profiles_refused": refused}


def _talk(room: Room, c: Character) -> Talk:
    return Talk(c.name, wording(c).visitor, room.settings.turns)


def _prose(c: Character, way: str) -> Asked:
    w = wording(c)
    asked = f"{about(c)}\n\n{w.prose[way].format(char=c.name)}"
    return Asked([ChatMessage("system", w.prose_system), ChatMessage("user", asked)], (f"card/{c.slug}",))


def _dialogue(room: Room, c: Character, n: int) -> Asked:
    w = wording(c)
    order = list(w.subjects)
    random.Random(f"{room.settings.seed}/{c.slug}/subjects").shuffle(order)
    subject = order[n % len(order)].format(char=c.name)
    asked = w.dialogue_ask.format(other=w.visitor, char=c.name, subject=subject, turns=room.settings.turns)
    system = w.dialogue.format(char=c.name, about=about(c), phrases=phrases(c))
    form = w.form.format(form=_talk(room, c).shown)
    return Asked([ChatMessage("system", system), ChatMessage("user", f"{asked}\n{form}")], (f"card/{c.slug}", f"subject/{subject}"))


def _imported(room: Room, path: Path | None, kind: str) -> Iterator[Draft]:
    """Raises ``SourceRefused`` with file and line for what is no dialogue."""
    if path is None:
        return
    cast = {c.slug: c for c in room.cast}
    chosen = {c.slug for c in room.chosen}
    for place, row in _rows(path):
        try:
            slug, turns = str(row["character"]), [(str(t["name"]), str(t.get("edited") or t["text"]).strip()) for t in row["turns"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise SourceRefused(f'{place}: is no {{"character", "turns": [{{"name", "text"}}]}} object ({error})') from error
        if slug not in cast:
            raise SourceRefused(f"{place}: there is no character {slug!r:.60}; there are {', '.join(cast)}")
        if slug not in chosen:
            continue
        c = cast[slug]
        key = f"{kind.replace(' ', '-')}/{place}"
        for n, ((other, said), (name, reply)) in enumerate(pairwise(turns)):
            if name == c.name and other != c.name:
                yield Draft(
                    id=f"four-sources-{key}/{n}",
                    key=key,
                    character=slug,
                    instruction=said,
                    reply=reply,
                    kind=kind,
                    language=language_of(c),
                    sources=(place,),
                    dialogue=f"four-sources-{key}",
                    more={"turn": n, "with": other},
                )


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused(f"{path.name}: cannot be read as UTF-8 text ({error}); check the path") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceRefused(f"{path.name}:{number}: is not a JSON object on one line ({error})") from error
        if not isinstance(row, dict):
            raise SourceRefused(f"{path.name}:{number}: is not a JSON object")
        yield f"{path.name}:{number}", row
