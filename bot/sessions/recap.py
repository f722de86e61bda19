"""The long past told in short: what a character should still know when the turns themselves no longer fit its prompt.

Made by the same model, behind people's turns and never while a reply waits for it; where the model invents, people's own
sentences take its place. A recap that fails is tried again later; nothing is lost by it, because the turns stay where they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from bot.characters.cast import Character
from bot.characters.prompt import clean, clean_name
from bot.characters.template import ChatTemplate, encode
from bot.errors import BotError
from bot.memory.store import Recap
from bot.messages import ChannelKey, ChatMessage, Engine, Prompt, Sampling, Turn
from bot.sessions.recap_words import holds, quoted
from bot.sessions.session import Stage

log = logging.getLogger(__name__)

LOOK_EVERY = 6  # replies of a character between two looks at how much there is to tell
LEFT_ALONE = 8  # the newest turns are in every prompt anyway
TURNS_AT_ONCE = 200
LINE_CHARACTERS = 400
RECAP_TOKENS = 110
SHORTEST = 12  # characters; less than that tells nothing

ENGLISH = (
    "You keep the diary of {char}. Write down what {char} should still know later: who was there, what they told, what was "
    "promised, what happened. At most three short sentences about {char} and the others by name. No dialogue, nothing invented.",
    "The diary so far: {before}",
    "Then this was said:",
    "Write the diary anew, with what matters of both.",
)
CHINESE = (
    "你替{char}记日记。写下{char}以后还该知道的事：有谁在场、说了什么、答应了什么、发生了什么。最多三句短话，写出名字，不写对话，不编造。",
    "到目前为止的日记：{before}",
    "后来说了这些话：",
    "把两者要紧的内容合起来，重写日记。",
)


class Recaps:
    """One for the house; owns its tasks until ``close``."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._replies: dict[tuple[ChannelKey, str], int] = {}
        self._running: dict[tuple[ChannelKey, str], asyncio.Task[None]] = {}

    def consider(self, channel: ChannelKey, character: Character) -> None:
        """A character has spoken: look now and then, in the background, whether there is enough to tell."""
        key = (channel, character.id)
        seen = self._replies[key] = self._replies.get(key, -1) + 1
        if not self._stage.settings.recap_turns or seen % LOOK_EVERY or key in self._running:
            return
        task = asyncio.create_task(self._run(channel, character), name=f"recap {channel} {character.id}")
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    async def settle(self) -> None:
        """Wait until nothing is being told any more."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def drop(self) -> None:
        """End what is being told, unwritten: it may hold the words of somebody who is being forgotten."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        await self.drop()

    async def _run(self, channel: ChannelKey, character: Character) -> None:
        try:
            await self._tell(channel, character)
        except BotError as error:
            log.info("recap put off channel=%s character=%s error=%s", channel, character.id, error)
        except Exception:
            log.exception("recap crashed channel=%s character=%s", channel, character.id)

    async def _tell(self, channel: ChannelKey, character: Character) -> None:
        store = self._stage.store
        before = await store.recap(channel, character.id)
        since = before.up_to_turn if before is not None else None
        turns = await store.history(channel, character.id, limit=TURNS_AT_ONCE, since=since)
        fresh = [turn for turn in turns if turn.id != since and turn.text][:-LEFT_ALONE]
        if len(fresh) < self._stage.settings.recap_turns:
            return
        with self._stage.held(channel) as stage:
            prompt = await asyncio.to_thread(_prompt, stage.engine, _most(stage), character, before, fresh)
            text = " ".join((await _made(stage, prompt, channel)).split())
            so_far = before.text if before is not None else ""
            told = len(text) >= SHORTEST and holds(text, fresh, so_far, {t.author_name for t in fresh if not t.by_character})
            if not told:  # what the model says of it is not what happened: people's own words, then
                text = await asyncio.to_thread(quoted, fresh, so_far, lambda words: stage.renderer.count(words) <= _most(stage))
        if not text:
            log.info("nothing worth a recap channel=%s character=%s turns=%d", channel, character.id, len(fresh))
            return
        now = await store.history(channel, character.id, limit=TURNS_AT_ONCE, since=fresh[0].id)
        if not {(turn.id, turn.text) for turn in fresh} <= {(turn.id, turn.text) for turn in now}:
            log.info("recap put off, what it tells of has changed channel=%s character=%s", channel, character.id)
            return
        await store.put_recap(channel, character.id, fresh[-1].id, text)
        log.info("recap made channel=%s character=%s turns=%d told=%s", channel, character.id, len(fresh), told)


async def _made(stage: Stage, prompt: Prompt, channel: ChannelKey) -> str:
    sampling = Sampling(temperature=0.3, max_tokens=_most(stage))
    parts: list[str] = []
    # The protocol promises an iterator; both engines give generators, which have to be closed when this is dropped.
    stream = stage.engine.stream(prompt, sampling, channel=channel, background=True)
    async with aclosing(stream) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            parts.append(piece.text)
    return "".join(parts)


def _prompt(engine: Engine, most: int, character: Character, before: Recap | None, turns: Sequence[Turn]) -> Prompt:
    """As many of the newest turns as fit. Blocking."""
    template = ChatTemplate(engine.tokenizer)
    task, so_far, then, wish = CHINESE if character.settings.languages[:1] == ("zh",) else ENGLISH
    opening = [so_far.format(before=clean(before.text))] if before is not None else []
    lines = [f"{clean_name(t.author_name, '?')}: {clean(t.text[:LINE_CHARACTERS], one_line=True)}" for t in turns]
    while True:
        text = "\n".join([*opening, then, *lines, wish])
        messages = (ChatMessage("system", task.format(char=character.card.char)), ChatMessage("user", text))
        tokens = encode(template.segments(messages, reply_follows=True), engine.tokenizer)
        if len(tokens) <= engine.context_tokens - most or len(lines) <= 1:
            return Prompt(tuple(tokens), 0, messages)
        lines = lines[max(1, len(lines) // 4) :]


def _most(stage: Stage) -> int:
    """A recap shares the memories' part of a prompt with what is pinned there."""
    return max(8, min(RECAP_TOKENS, stage.settings.memory_tokens // 2))
