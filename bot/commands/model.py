"""Commands about the model that speaks for everybody; for whoever runs this Troupe."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bot.commands.desk import Caller, Desk, operators_only
from bot.engine import models
from bot.errors import CommandRefused


@dataclass(frozen=True, slots=True)
class ModelStatus:
    build: str  # what answers now
    next: str  # what is served from the next start on
    known: tuple[str, ...]  # names that can be used

    def __str__(self) -> str:
        lines = [f"{self.build} answers.", f"There are: {', '.join(self.known)}."]
        if self.next not in self.build:
            lines.insert(1, f"From the next start on it is {self.next}.")
        return "\n".join(lines)


async def status(desk: Desk, caller: Caller) -> ModelStatus:
    operators_only(caller, "ask about models")
    return await asyncio.to_thread(_status, desk.models, desk.engine.build)


async def use(desk: Desk, caller: Caller, name: str) -> str:
    """Serve another model. Raises ``CommandRefused`` for a name that is none, ``ModelNotLoadable`` for a file that cannot be."""
    operators_only(caller, "choose the model")
    known = (await asyncio.to_thread(_status, desk.models, "")).known
    if name not in known:
        raise CommandRefused(f"There is no model called {name[:80]!r}; there are {', '.join(known)}.")
    await asyncio.to_thread(models.set_current, desk.models, name)
    return f"{name} is served from the next start on."


async def rollback(desk: Desk, caller: Caller) -> str:
    """Go back to what was served before. Raises ``ModelNotLoadable`` when there was nothing."""
    operators_only(caller, "choose the model")
    return f"{await asyncio.to_thread(models.roll_back, desk.models)} is served from the next start on."


def _status(folder: Path, build: str) -> ModelStatus:
    files = {path.stem for path in folder.glob("*.gguf") if not path.stem.endswith("-adapter")}
    known = sorted(files | {models.STARTER})  # which is made when it is wanted
    return ModelStatus(build, models.current_name(folder), tuple(known))
