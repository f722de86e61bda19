"""The table of methods: what ``troupe-train synthesize METHOD`` offers. To add one: write it, and give it a row here."""

from __future__ import annotations

from trainer.errors import SourceRefused
from trainer.synthesis.context import ContextInstruct, RoleCraft
from trainer.synthesis.dialogues import Dialogues
from trainer.synthesis.in_role import General, RoleGPT
from trainer.synthesis.people import People
from trainer.synthesis.protective import Protective
from trainer.synthesis.sources import FourSources
from trainer.synthesis.work import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (General(), RoleGPT(), ContextInstruct(), RoleCraft(), Dialogues(), People(), FourSources(), Protective())
}


def method_of(name: str) -> Method:
    """Raises ``SourceRefused`` for a name that is none."""
    found = METHODS.get(name)
    if found is None:
        raise SourceRefused(f"there is no method {name!r:.60}; there are {', '.join(METHODS)}")
    return found
