"""Commands about the model that speaks for everybody; for whoever runs this Troupe."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.commands.desk import Caller, Desk, operators_only
from bot.engine import models
from bot.engine.swap import SwappingEngine
from bot.errors import CommandRefused
from bot.memory.store import Comparison


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """A model that a share of the channels tries, and how it fares beside the one that the others have."""

    build: str
    share: float
    since: str  # ISO 8601, UTC
    seen: Comparison

    def __str__(self) -> str:
        return f"{self.build} is tried by {self.share:.0%} of the channels since {self.since[:16].replace('T', ' ')} UTC. {self.seen}."

    def shape(self) -> Mapping[str, Any]:
        """For a page."""
        return {"build": self.build, "share": self.share, "since": self.since, "seen": str(self.seen)}


@dataclass(frozen=True, slots=True)
class ModelStatus:
    build: str  # what answers now
    next: str  # what gguf/current names
    known: tuple[str, ...]  # names that can be used
    refused: str = ""  # why the model that was chosen last was not taken
    canary: CanaryStatus | None = None

    def __str__(self) -> str:
        lines = [f"{self.build} answers.", f"There are: {', '.join(self.known)}."]
        if self.next not in self.build:
            lines.insert(1, f"From the next start on it is {self.next}.")
        if self.canary is not None:
            lines.insert(1, str(self.canary))
        if self.refused:
            lines.append(f"The last one that was chosen was not taken: {self.refused}.")
        return "\n".join(lines)


async def status(desk: Desk, caller: Caller) -> ModelStatus:
    operators_only(caller, "ask about models")
    return await asyncio.to_thread(_status, desk, await canary(desk))


async def canary(desk: Desk) -> CanaryStatus | None:
    """What a share of the channels tries. Who may know it was settled before."""
    engine = desk.engine
    tried = engine.canary if isinstance(engine, SwappingEngine) else None
    since = await asyncio.to_thread(models.canary_since, desk.models) if tried is not None else None
    if tried is None or since is None:
        return None
    return CanaryStatus(tried.build, tried.share, since.isoformat(), await desk.store.compare_builds(tried.build, engine.build, since))


async def use(desk: Desk, caller: Caller, name: str) -> str:
    """Serve another model, from now on where the engine can; replies that have begun end as they began.

    Raises:
        CommandRefused: there is no model of that name.
        ModelNotLoadable: it cannot be served; what answered before goes on.
    """
    operators_only(caller, "choose the model")
    await _known(desk, name)
    engine = desk.engine
    if isinstance(engine, SwappingEngine) and await asyncio.to_thread(models.canary_name, desk.models) == name:
        swapped = await engine.adopt("given to everybody by an operator")
        if swapped is not None:
            return f"{swapped.build} answers everybody from now on."
    await asyncio.to_thread(models.set_current, desk.models, name)
    return await _taken_up(desk, name)


async def try_out(desk: Desk, caller: Caller, name: str) -> str:
    """Let a share of the channels try a model; ratings decide, or an operator.

    Raises:
        CommandRefused: there is no model of that name, or no share is set.
        ModelNotLoadable: it cannot be served; everybody keeps what they have.
    """
    operators_only(caller, "choose the model")
    await _known(desk, name)
    engine = desk.engine
    if not isinstance(engine, SwappingEngine) or not engine.follows_current:
        raise CommandRefused("The model here stands in config.toml; only one that gguf/current names can be tried beside another.")
    await asyncio.to_thread(models.set_canary, desk.models, name)
    tried = await engine.try_out()
    if tried is None:
        return f"{name} is tried already."
    return (
        f"{tried.build} answers {tried.share:.0%} of the channels from now on; /model use gives it to all, /model rollback takes it away."
    )


async def rollback(desk: Desk, caller: Caller) -> str:
    """Take away what a share of the channels tries, or else go back to what was served before.

    Raises:
        ModelNotLoadable: there was nothing before.
    """
    operators_only(caller, "choose the model")
    engine = desk.engine
    gone = await engine.give_up("taken away by an operator") if isinstance(engine, SwappingEngine) else ""
    if gone:
        return f"{gone} is tried no more; {engine.build} answers everybody."
    return await _taken_up(desk, await asyncio.to_thread(models.roll_back, desk.models))


async def _taken_up(desk: Desk, name: str) -> str:
    engine = desk.engine
    if not isinstance(engine, SwappingEngine) or not engine.follows_current:
        return f"{name} is served from the next start on, if config.toml leaves it to gguf/current."
    swapped = await engine.swap()
    if swapped is None:
        return f"{engine.build} answers already."
    return f"{swapped.build} answers from now on; what {swapped.before} has begun, it ends."


async def _known(desk: Desk, name: str) -> None:
    known = await asyncio.to_thread(_names, desk.models)
    if name not in known:
        raise CommandRefused(f"There is no model called {name[:80]!r}; there are {', '.join(known)}.")


def _names(folder: Path) -> tuple[str, ...]:
    files = {path.stem for path in folder.glob("*.gguf") if not path.stem.endswith("-adapter")}
    return tuple(sorted(files | {models.STARTER}))  # the starter is made when it is wanted


def _status(desk: Desk, tried: CanaryStatus | None) -> ModelStatus:
    refused = desk.engine.refused if isinstance(desk.engine, SwappingEngine) else ""
    return ModelStatus(desk.engine.build, models.current_name(desk.models), _names(desk.models), refused, tried)
