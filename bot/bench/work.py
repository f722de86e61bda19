"""What is asked: channels that talk with characters, turn after turn, the same for everybody who is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bot.characters.cast import Character
from bot.characters.prompt import Budget, PromptRenderer, Scene, Spoken
from bot.messages import ChannelKey, Prompt

PREFIX_TOKENS, MESSAGE_TOKENS = 230, 30
CARD = (
    "keeps the old lighthouse at the end of the long stone pier, counts the ships that pass in the night, mends what the wind has"
    " broken, drinks black tea from a dented cup, distrusts the harbour master, writes letters that are never sent, remembers every"
    " storm by its first name and likes nothing better than a quiet question asked at the right time of day by somebody who listens. "
)
MESSAGES = (
    "Good evening. What have you been doing all day?",
    "I have had a strange week, and nobody to tell it to. Do you ever feel like that?",
    "What would you do if you found a letter that was not meant for you?",
    "Somebody told me that you know a story about this place. Is it true?",
    "And what happened then? I cannot stop thinking about it.",
    "I should go soon, but tell me one more thing: what are you afraid of?",
)

Encode = Callable[[str], list[int]]


class Talk(Protocol):
    """One channel's conversation."""

    @property
    def channel(self) -> ChannelKey: ...

    def hear(self, turn: int) -> Prompt:
        """Somebody says the next thing; the prompt for the answer."""
        ...

    def say(self, text: str) -> None:
        """What was answered."""
        ...


class Work(Protocol):
    @property
    def name(self) -> str: ...

    def talks(self, round_name: str) -> Sequence[Talk]:
        """New channels. ``text`` has new characters for each round, too, which nobody has read before."""
        ...

    def prefixes(self, round_name: str) -> Sequence[Prompt]:
        """A prompt for each character of the round: what was asked once before the characters count as known."""
        ...


# ------------------------------------------------------------------ plain text


@dataclass(slots=True)
class TextTalk:
    channel: ChannelKey
    tokens: list[int]
    encode: Encode

    def hear(self, turn: int) -> Prompt:
        # The number comes first, so that no two channels are told the same: what they share would be read once for both.
        message = f"\n{self.channel.path}, turn {turn}: tell me what you saw from up there last night, and why. "
        self.tokens += self.encode(message * 4)[:MESSAGE_TOKENS]
        return Prompt(tuple(self.tokens), PREFIX_TOKENS, ())

    def say(self, text: str) -> None:
        self.tokens += self.encode(text)


@dataclass(frozen=True, slots=True)
class TextWork:
    """Prompts of 260 tokens, of which 230 are the character's; channel i talks with character i mod C."""

    encode: Encode
    channels: int
    characters: int
    name: str = "text"

    def talks(self, round_name: str) -> Sequence[Talk]:
        return [
            TextTalk(_channel(round_name, number), self._prefix(round_name, number % self.characters), self.encode)
            for number in range(self.channels)
        ]

    def prefixes(self, round_name: str) -> Sequence[Prompt]:
        tokens = [self._prefix(round_name, character) for character in range(min(self.characters, self.channels))]
        return [Prompt(tuple(prefix), PREFIX_TOKENS, ()) for prefix in tokens]

    def _prefix(self, round_name: str, character: int) -> list[int]:
        return self.encode(f"{round_name}: character {character} " + CARD * 8)[:PREFIX_TOKENS]


# ------------------------------------------------------------------ the shipped company


@dataclass(slots=True)
class CastTalk:
    channel: ChannelKey
    character: Character
    renderer: PromptRenderer
    budget: Budget
    exemplars: int
    spoken: list[Spoken] = field(default_factory=list)

    def hear(self, turn: int) -> Prompt:
        # The channel's name comes first, as above: no talk may find another's words, or an earlier round's, in memory.
        self.spoken.append(Spoken("Anna", f"{self.channel.path}: {MESSAGES[(turn - 1) % len(MESSAGES)]}"))
        lines = self.character.lines
        start = turn * self.exemplars % max(1, len(lines))
        scene = Scene(list(self.spoken), exemplars=lines[start : start + self.exemplars])
        return self.renderer.render(self.character, scene, self.budget).prompt

    def say(self, text: str) -> None:
        self.spoken.append(Spoken(self.character.name, text, own=True))


@dataclass(frozen=True, slots=True)
class CastWork:
    """Prompts of the real renderer: the shipped cards with their exemplars, as many retrieved ones as usual, and the history."""

    renderer: PromptRenderer
    company: Sequence[Character]
    budget: Budget
    channels: int
    exemplars: int
    name: str = "cast"

    def talks(self, round_name: str) -> Sequence[Talk]:
        return [
            CastTalk(_channel(round_name, n), self.company[n % len(self.company)], self.renderer, self.budget, self.exemplars)
            for n in range(self.channels)
        ]

    def prefixes(self, round_name: str) -> Sequence[Prompt]:
        tokens = [self.renderer.prefix(character, self.budget) for character in self.company]
        return [Prompt(prefix, len(prefix), ()) for prefix in tokens]


def _channel(round_name: str, number: int) -> ChannelKey:
    return ChannelKey("web", f"{number} in {round_name}")
