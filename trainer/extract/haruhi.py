"""ChatHaruhi's scene files: ``角色:「话」`` a line, narration without brackets; a file, or a blank line or ``###``, ends a scene."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trainer.extract.source import Source
from trainer.extract.speech import Speech

LINE = re.compile(r"^\s*(?P<name>[^:：「」『』“”\"]{1,30}?)\s*[:：]\s*[「『“\"](?P<said>.*?)[」』”\"]?\s*$")
_NARRATION = re.compile(r"^\s*(?:旁白|场景|场记|scene|narrator)\s*[:：]\s*[「『“\"]?(?P<told>.*?)[」』”\"]?\s*$", re.IGNORECASE)
_ACTION = re.compile(r"[（(]([^（）()]*)[）)]")


def speeches(source: Source) -> Iterator[Speech]:
    """Each line that names who speaks; narration as stage directions."""
    scene, any_said = 1, False
    for line in source.lines():
        told = _NARRATION.match(line)
        said = LINE.match(line)
        if not line.strip() or line.strip() == "###":
            scene, any_said = scene + any_said, False
        elif told:
            yield Speech(f"{source.path.stem}/{scene}", None, "", (told["told"],))
        elif said:
            stage: list[str] = []
            text = _ACTION.sub(lambda found, into=stage: into.append(found[1]) or "", said["said"]).strip()
            any_said = True
            if text:
                yield Speech(f"{source.path.stem}/{scene}", said["name"], text, tuple(stage))
            elif stage:
                yield Speech(f"{source.path.stem}/{scene}", None, "", tuple(stage))
        else:
            yield Speech(f"{source.path.stem}/{scene}", None, "", (line.strip(),))
