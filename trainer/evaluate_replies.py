"""Replies as people would get them: the bot's renderer, retrieval, lorebook, sampling and engine, on one model file.

What a model said is kept in a file, one reply a line, so that a killed evaluation asks only what is left. Nothing is filtered:
the text is what the model wrote.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bot.characters.cast import Character
from bot.characters.lorebook import Heard, match_book
from bot.characters.macros import fill_macros
from bot.characters.prompt import Budget, Layout, PromptRenderer, Scene, Spoken
from bot.config import EngineSettings
from bot.engine.engine import LlamaEngine
from bot.messages import ChannelKey, Prompt, Sampling
from bot.retrieval.exemplars import ExemplarIndex
from trainer.conversations import VISITOR
from trainer.errors import RunRefused
from trainer.evaluate_kept import keep, read_kept

LOOKED_BACK = 3  # turns whose text decides which lore comes up, as a session does


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, or a talk of several; ``key`` names it within its model's file."""

    key: str
    character: str  # slug
    turns: tuple[str, ...]
    name: str = VISITOR


@dataclass(frozen=True, slots=True)
class Said:
    """One reply."""

    key: str
    character: str
    turn: int  # 1 is the first of a talk
    asked: str
    text: str
    finish_reason: str


class Replies:
    """What one model said so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, int], Said] = {}
        for row in read_kept(path):
            try:
                said = Said(**row)
            except TypeError as error:
                raise RunRefused(f"{path}: holds something that is no reply ({error}); delete the file to ask again") from error
            self._known[said.key, said.turn] = said

    def of(self, asked: Iterable[Asked]) -> list[Said]:
        """The replies to these, in order; those that are not known are left out."""
        return [self._known[each.key, turn] for each in asked for turn in range(1, len(each.turns) + 1) if (each.key, turn) in self._known]

    def left(self, asked: Iterable[Asked]) -> list[Asked]:
        """What is still to be asked; a talk that was broken off is taken up where it was."""
        return [each for each in asked if (each.key, len(each.turns)) not in self._known]

    def get(self, key: str, turn: int) -> Said | None:
        return self._known.get((key, turn))

    def keep(self, said: Said) -> None:
        keep(self._path, asdict(said))
        self._known[said.key, said.turn] = said


class Asker:
    """Asks one model, several characters at once, as a busy evening would."""

    def __init__(self, engine: LlamaEngine, cast: Sequence[Character], *, layout: Layout, seed: int) -> None:
        self._engine = engine
        self._renderer = PromptRenderer(engine.tokenizer, layout)
        self._layout = layout
        self._budget = Budget(context=engine.context_tokens)
        self._cast = {c.slug: c for c in cast}
        self._indexes = {c.slug: ExemplarIndex(c.lines) for c in cast}
        self._seed = seed

    async def ask(self, asked: Asked, replies: Replies) -> None:
        """Hold one talk to its end."""
        character = self._cast[asked.character]
        spoken: list[Spoken] = []
        for turn, text in enumerate(asked.turns, 1):
            spoken.append(Spoken(asked.name, text))
            said = replies.get(asked.key, turn)
            if said is None:
                said = await self._reply(character, asked, turn, spoken)
                replies.keep(said)
            spoken.append(Spoken(character.name, said.text or "…", own=True))

    def prompt(self, character: Character, spoken: Sequence[Spoken]) -> Prompt:
        """The prompt that a session would send, without memories."""
        index = self._indexes[character.slug]
        hits = index.search(spoken[-1].text, self._layout.retrieved, without=self._renderer.fixed_ids(character))
        scene = Scene(
            spoken=spoken,
            exemplars=[character.lines[hit.position] for hit in hits],
            lore=self._lore(character, spoken),
        )
        return self._renderer.render(character, scene, self._budget).prompt

    async def _reply(self, character: Character, asked: Asked, turn: int, spoken: Sequence[Spoken]) -> Said:
        prompt = await asyncio.to_thread(self.prompt, character, list(spoken))
        seed = zlib.crc32(f"{self._seed}/{asked.key}/{turn}".encode()) % 2**31
        sampling = replace(character.settings.sampling(Sampling()), seed=seed, max_tokens=self._budget.reply)
        text, finish = "", "stop"
        # Slashes and the like are in keys; a channel is only told apart by it.
        async for piece in self._engine.stream(prompt, sampling, channel=ChannelKey("web", f"evaluate-{asked.key}")):
            text += piece.text
            finish = piece.finish_reason or finish
        return Said(asked.key, asked.character, turn, asked.turns[turn - 1], text.strip(), finish)

    def _lore(self, character: Character, spoken: Sequence[Spoken]) -> list[str]:
        if character.card.book is None:
            return []
        found = match_book(
            character.card.book,
            Heard([s.text for s in spoken[-LOOKED_BACK:]], replies=sum(s.own for s in spoken)),
            count=self._renderer.count,
            budget=self._budget.lore,
            fill=lambda text: fill_macros(text, char=character.card.char, user=spoken[-1].name),
        )
        return [entry.text for entry in found]


async def ask_all(
    model: Path,
    cast: Sequence[Character],
    asked: Sequence[Asked],
    replies: Replies,
    *,
    layout: Layout | None = None,
    live: int = 8,
    threads: int | None = None,
    seed: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Ask a model everything that ``replies`` does not know yet, ``live`` talks at a time.

    Raises:
        ModelNotLoadable, EngineError: nothing more can be asked; what was said is kept.
    """
    left = replies.left(asked)
    for _ in range(len(asked) - len(left)):
        tick()
    if not left:
        return
    engine = await LlamaEngine.load(EngineSettings(model=str(model), threads=threads or "auto"), model.parent)
    try:
        asker = Asker(engine, cast, layout=layout or Layout(), seed=seed)
        waiting = iter(left)  # in order: a character's prefix is read once for all that come together

        async def worker() -> None:
            for each in waiting:
                await asker.ask(each, replies)
                tick()

        async with asyncio.TaskGroup() as workers:
            for _ in range(live):
                workers.create_task(worker())
    finally:
        await engine.close()
