"""Exchanges -> the very prompts that the bot serves, through its own renderer, its own retrieval and its own lorebook."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.characters.cast import Character, make_character
from bot.characters.lines import Exemplar
from bot.characters.lorebook import Heard, match_book
from bot.characters.macros import fill_macros
from bot.characters.prompt import Budget, Layout, PromptRenderer, Scene, Spoken, clean
from bot.characters.template import ChatTemplate
from bot.messages import ChatMessage
from bot.retrieval.exemplars import ExemplarIndex
from trainer.samples import Sample, check_ends, label_replies, reply_ending
from trainer.tokenizer import TransformersTokenizer

VISITOR = "A visitor"


@dataclass(frozen=True, slots=True)
class Talk:
    """What becomes one sample: ``shown`` stand as fixed exemplars, ``spoken`` are said in the channel, the last one now."""

    shown: Sequence[Exemplar]
    spoken: Sequence[Exemplar]
    retrieved: int = 0
    lore: bool = True
    kind: str = "chat"
    draw: int = 0
    person: str = VISITOR  # who talks in the channel, where an exchange names nobody


class Conversations:
    """Builds samples for one tokenizer. Keeps one renderer per layout and one index per character."""

    def __init__(self, tokenizer: TransformersTokenizer, budget: Budget) -> None:
        self._tokenizer = tokenizer
        self._budget = budget
        self._template = ChatTemplate(tokenizer)
        self._renderers: dict[Layout, PromptRenderer] = {}
        self._indexes: dict[str, ExemplarIndex] = {}
        self.ending = reply_ending(self._renderer(Layout()).ending(), tokenizer.eos_id)

    def trained(self, character: Character, talk: Talk) -> Sample:
        """A sample in which every reply is trained, those shown as exemplars too.

        They stand there as chat turns anyway, so training them costs nothing, and one card serves a dozen replies.
        """
        # Ids of their own: a card that names its fixed exemplars must not choose among those drawn here.
        shown = tuple(replace(e, id=f"shown/{e.id}") for e in talk.shown)
        performer = make_character(character.scope, character.slug, character.card, shown)
        layout = replace(Layout(), fixed=len(shown), retrieved=talk.retrieved)
        own = frozenset(e.id for e in (*talk.shown, *talk.spoken))
        return self._sample(performer, character, talk, layout, without=own, speaker=character, last_only=False)

    def served(self, card: Character, exchange: Exemplar, speaker: Character, layout: Layout) -> Sample:
        """A sample laid out exactly as the bot would ask for this reply; only the reply is trained or measured.

        ``card`` is whose card and exemplars are shown, ``speaker`` whose reply it is: two people when a wrong card is measured.
        """
        fixed = self._renderer(layout).fixed_ids(card)
        talk = Talk(shown=(), spoken=(exchange,), retrieved=layout.retrieved, kind="served")
        return self._sample(card, card, talk, layout, without=fixed | {exchange.id}, speaker=speaker, last_only=True)

    def heard(self, character: Character, talk: Talk, layout: Layout) -> Sample:
        """A sample laid out as the bot would ask after what was said in a channel; only the last reply is trained or measured."""
        own = self._renderer(layout).fixed_ids(character) | {e.id for e in talk.spoken}
        return self._sample(character, character, talk, layout, without=own, speaker=character, last_only=True)

    def _sample(
        self,
        performer: Character,
        character: Character,
        talk: Talk,
        layout: Layout,
        *,
        without: frozenset[str],
        speaker: Character,
        last_only: bool,
    ) -> Sample:
        spoken = _spoken(talk, character)
        said = spoken[-1].text
        reply = clean(fill_macros(talk.spoken[-1].reply, char=speaker.name, user=spoken[-1].name))
        hits = self._index(character).search(said, talk.retrieved, without=without)
        scene = Scene(
            spoken=spoken,
            exemplars=[character.lines[hit.position] for hit in hits],
            lore=self._lore(character, spoken) if talk.lore else (),
        )
        rendered = self._renderer(layout).render(performer, scene, self._budget)
        messages = [*rendered.prompt.messages, ChatMessage("assistant", reply)]
        segments = self._template.segments(messages, reply_follows=False)
        tokens, spans = label_replies(segments, messages, self._tokenizer, self.ending, last_only=last_only)
        asked = rendered.prompt.tokens
        assert tuple(tokens[: len(asked)]) == tuple(asked), "a sample begins with the prompt that would be served"
        sample = Sample(
            tokens=tokens[: spans[-1][1]],
            spans=spans,
            character=speaker.slug,
            card=character.slug,
            kind=talk.kind,
            lines=[e.id for e in (*talk.shown, *talk.spoken)],
            draw=talk.draw,
        )
        check_ends(sample, self._tokenizer.eos_id)
        return sample

    def _renderer(self, layout: Layout) -> PromptRenderer:
        if layout not in self._renderers:
            self._renderers[layout] = PromptRenderer(self._tokenizer, layout)
        return self._renderers[layout]

    def _index(self, character: Character) -> ExemplarIndex:
        if character.id not in self._indexes:
            self._indexes[character.id] = ExemplarIndex(character.lines)
        return self._indexes[character.id]

    def _lore(self, character: Character, spoken: Sequence[Spoken]) -> list[str]:
        book = character.card.book
        if book is None:
            return []
        found = match_book(
            book,
            Heard([s.text for s in spoken], replies=sum(s.own for s in spoken)),
            count=self._renderer(Layout()).count,
            budget=self._budget.lore,
            fill=lambda text: fill_macros(text, char=character.card.char, user=spoken[-1].name),
        )
        return [entry.text for entry in found]


def _spoken(talk: Talk, character: Character) -> list[Spoken]:
    """The talk as it was heard in a channel: one person speaks, except where a reply calls somebody by name."""
    heard: list[Spoken] = []
    for exchange in talk.spoken:
        name = exchange.with_name or talk.person
        if talk.person != VISITOR and not _calls(exchange.reply, name):
            name = talk.person
        heard.append(Spoken(name, fill_macros(exchange.said, char=character.name, user=name)))
        heard.append(Spoken(character.name, fill_macros(exchange.reply, char=character.name, user=name), own=True))
    return heard[:-1]


def _calls(reply: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", reply, re.IGNORECASE) is not None
