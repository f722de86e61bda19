"""Commands about the model that speaks for everybody; for whoever runs this Troupe."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bot.commands.desk import Caller, Desk, operators_only
from bot.engine import models
from bot.engine.swap import SwappingEngine
from bot.errors import CommandRefused


@dataclass(frozen=True, slots=True)
class ModelStatus:
    build: str  # what answers now
    next: str  # what gguf/current names
    known: tuple[str, ...]  # names that can be used
    refused: str = ""  # why the model that was chosen last was not taken

    def __str__(self) -> str:
        lines = [f"{self.build} answers.", f"There are: {', '.join(self.known)}."]
        if self.next not in self.build:
            lines.insert(1, f"From the next start on it is {self.next}.")
        if self.refused:
            lines.append(f"The last one that was chosen was not taken: {self.refused}.")
        return "\n".join(lines)


async def status(desk: Desk, caller: Caller) -> ModelStatus:
    operators_only(caller, "ask about models")
    return await asyncio.to_thread(_status, desk)


async def use(desk: Desk, caller: Caller, name: str) -> str:
    """Serve another model, from now on where the engine can; replies that have begun end as they began.

    Raises:
        CommandRefused: there is no model of that name.
        ModelNotLoadable: it cannot be served; what answered before goes on.
    """
    operators_only(caller, "choose the model")
    known = (await asyncio.to_thread(_status, desk)).known
    if name not in known:
        raise CommandRefused(f"There is no model called {name[:80]!r}; there are {', '.join(known)}.")
    await asyncio.to_thread(models.set_current, desk.models, name)
    return await _taken_up(desk, name)


async def rollback(desk: Desk, caller: Caller) -> str:
    """Go back to what was served before. Raises ``ModelNotLoadable`` when there was nothing."""
    operators_only(caller, "choose the model")
    return await _taken_up(desk, await asyncio.to_thread(models.roll_back, desk.models))


async def _taken_up(desk: Desk, name: str) -> str:
    engine = desk.engine
    if not isinstance(engine, SwappingEngine) or not engine.follows_current:
        return f"{name} is served from the next start on, if config.toml leaves it to gguf/current."
    swapped = await engine.swap()
    if swapped is None:
        return f"{engine.build} answers already."
    return f"{swapped.build} answers from now on; what {swapped.before} has begun, it ends."


def _status(desk: Desk) -> ModelStatus:
    folder: Path = desk.models
    files = {path.stem for path in folder.glob("*.gguf") if not path.stem.endswith("-adapter")}
    known = sorted(files | {models.STARTER})  # which is made when it is wanted
    refused = desk.engine.refused if isinstance(desk.engine, SwappingEngine) else ""
    return ModelStatus(desk.engine.build, models.current_name(folder), tuple(known), refused)
