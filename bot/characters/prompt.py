"""The one prompt renderer: bot, trainer and evaluation show a model exactly the same thing.

A prompt, in the order in which its parts change (what never changes is evaluated once and shared by every channel):

    system      who the character is, how to speak                       never changes: this and the fixed
    exchanges   a dozen fixed exemplars, as chat turns                   exemplars are the shared prefix
    system      "here is the channel now": scene, memories               changes rarely
    exchanges   what was said here, oldest first, others with their name grows at its end
    system      retrieved exemplars, lore, recollections for this turn   changes every turn
    user        what is to be answered

``PROMPT_VERSION`` goes into every reply's stamp and every model's manifest: a model is tuned on the layout that is served,
and whoever changes the layout raises the version and tunes again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bot.characters.cast import Character
from bot.characters.lines import Exemplar
from bot.characters.macros import fill_macros
from bot.characters.template import ChatTemplate, Segment, encode
from bot.errors import CardError, PromptTooLong
from bot.messages import ChatMessage, Prompt, Tokenizer

PROMPT_VERSION = 1

# A history over its budget is cut back to this share of it, so that the cut falls once in many turns: between two cuts the
# prompt only grows at its end, and everything before stays in the engine's cache.
KEEP_AFTER_TRIM = 0.6

MESSAGE_OVERHEAD_TOKENS = 8  # what a template adds around one message, generously


@dataclass(frozen=True, slots=True)
class Layout:
    """How exemplars are shown. One layout is served; the others exist to be measured against it."""

    fixed: int = 12
    retrieved: int = 3
    retrieved_as: Literal["block", "turns"] = "block"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most tokens that each part may take. ``context`` holds everything, the reply too."""

    context: int
    reply: int = 160
    card: int = 900
    fixed: int = 900
    retrieved: int = 250
    memory: int = 250
    lore: int = 250


@dataclass(frozen=True, slots=True)
class Spoken:
    """One thing said in the channel. ``own``: by the character who is about to speak."""

    name: str
    text: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What a character has before it when it speaks; the last thing spoken is what it answers."""

    spoken: Sequence[Spoken]
    exemplars: Sequence[Exemplar] = ()
    memories: Sequence[str] = ()
    lore: Sequence[str] = ()
    place: str = ""
    recalled: Sequence[str] = ()  # what comes to mind for this very turn; ``memories`` are always there


@dataclass(frozen=True, slots=True)
class Rendered:
    prompt: Prompt
    first_spoken: int  # index of the oldest thing in ``scene.spoken`` that still fitted
    exemplars: tuple[str, ...]  # ids of the retrieved exemplars that are in the prompt
    memories: int  # how many of ``scene.memories`` fitted
    recalled: int = 0  # how many of ``scene.recalled`` fitted
    parts: dict[str, int] = field(default_factory=dict)  # tokens by part, for /why and for budgets


@dataclass(frozen=True, slots=True)
class Wording:
    """The words around a character's own, once per language."""

    rules: str
    visitor: str
    somebody: str
    now: str
    memories: str
    recalled: str
    exemplars: str
    lore: str


ENGLISH = Wording(
    rules=(
        "Speak only as {char}, in {char}'s own manner: one to three sentences that answer what was just said. "
        "Everyone else's words come with their name in front. "
        "Asked playfully whether you are a machine, answer as {char} would. Asked by somebody who sincerely needs to know, "
        "say honestly that you are an AI who plays {char} and that {char}'s stories are made up."
    ),
    visitor="A visitor",
    somebody="Somebody",
    now="Those were other people, on other days. Now {char} is in a channel with whoever speaks next.",
    memories="What {char} remembers:",
    recalled="Something from earlier comes to {char}'s mind:",
    exemplars="Things {char} said to others, on other days:",
    lore="Worth knowing here:",
)

CHINESE = Wording(
    rules=(
        "只以{char}的身份、用{char}自己的口吻说话：一到三句，回应刚才那句话。别人的话前面都有名字。"
        "有人开玩笑问你是不是机器，就照{char}的性子回答；有人真心需要知道，就老实说你是扮演{char}的人工智能，{char}的故事都是编的。"
    ),
    visitor="一位客人",
    somebody="某人",
    now="以上是从前对别人说的话。现在{char}在频道里，面前是接下来说话的人。",
    memories="{char}记得：",
    recalled="{char}想起从前的事：",
    exemplars="{char}从前对别人说过的话：",
    lore="此处值得知道：",
)


@dataclass(frozen=True, slots=True)
class _Prefix:
    messages: tuple[ChatMessage, ...]
    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]


class PromptRenderer:
    """Renders prompts for one model. Keeps each character's prefix once it is tokenised; safe to call from any thread."""

    def __init__(self, tokenizer: Tokenizer, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._prefixes: dict[tuple[str, str, int, int], _Prefix] = {}

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def count(self, text: str) -> int:
        """Tokens of a text as content, without what a template adds."""
        return len(self._tokenizer.encode(text, special=False))

    def prefix(self, character: Character, budget: Budget) -> tuple[int, ...]:
        """The tokens that every prompt of this character begins with.

        Raises:
            CardError: the card alone passes its budget.
        """
        return self._prefix(character, budget).tokens

    def fixed_ids(self, character: Character) -> frozenset[str]:
        """Ids of the exemplars that stand in the prefix anyway: retrieving them again would waste their place."""
        return frozenset(e.id for e in fixed_exemplars(character, self.layout.fixed))

    def render(self, character: Character, scene: Scene, budget: Budget) -> Rendered:
        """The prompt for one reply.

        Raises:
            PromptTooLong: even the last thing spoken does not fit beside the character.
            CardError: the card alone passes its budget.
        """
        prefix = self._prefix(character, budget)
        wording = _wording(character)
        room = budget.context - budget.reply - len(prefix.tokens)
        now, memories = self._now(character, scene, wording, budget)
        recalled = self._within([clean(m, one_line=True) for m in scene.recalled], budget.memory - self._size(scene.memories[:memories]))
        aside, shown = self._aside(character, scene, wording, budget, recalled)
        fixed_cost = sum(self.count(m.text) + MESSAGE_OVERHEAD_TOKENS for m in [now, *aside])
        first = self._first_that_fits(scene.spoken, wording, room - fixed_cost)
        while True:
            history = _as_messages(scene.spoken[first:], wording)
            messages = [now, *history[:-1], *aside, *history[-1:]]
            prompt = self._prompt(prefix, messages)
            if len(prompt.tokens) <= budget.context - budget.reply:
                break
            if first >= len(scene.spoken) - 1:
                raise PromptTooLong(len(prompt.tokens), budget.context - budget.reply)
            first += 1
        return Rendered(
            prompt=prompt,
            first_spoken=first,
            exemplars=tuple(e.id for e in shown),
            memories=memories,
            recalled=len(recalled),
            parts={
                "character": len(prefix.tokens),
                "memory": self.count(now.text),
                "exemplars": sum(self.count(m.text) for m in aside),
                "spoken": sum(self.count(m.text) for m in history),
            },
        )

    def ending(self) -> list[int]:
        """The tokens with which the template closes a reply: the end token that a trained reply must end with."""
        opened = self._encode([ChatMessage("user", "x")], reply_follows=True)
        closed = self._encode([ChatMessage("user", "x"), ChatMessage("assistant", "y")], reply_follows=False)
        return closed[len(opened) + len(self._tokenizer.encode("y", special=False)) :]

    # ------------------------------------------------------------------ parts

    def _prefix_messages(self, character: Character, budget: Budget) -> list[ChatMessage]:
        system = ChatMessage("system", system_text(character))
        size = self.count(system.text)
        if size > budget.card:
            raise CardError(
                f"{character.id}: the card has {size} tokens; the budget is {budget.card} (sessions.card_tokens); shorten its texts"
            )
        messages, left = [system], budget.fixed
        for exemplar in fixed_exemplars(character, self.layout.fixed):
            pair = _exchange(exemplar, character, present=frozenset())
            left -= sum(self.count(m.text) + MESSAGE_OVERHEAD_TOKENS for m in pair)
            if left < 0:
                break
            messages += pair
        return messages

    def _now(self, character: Character, scene: Scene, wording: Wording, budget: Budget) -> tuple[ChatMessage, int]:
        lines = [wording.now.format(char=character.card.char)]
        if scene.place:
            lines.append(clean(scene.place))
        kept = self._within([clean(m, one_line=True) for m in scene.memories], budget.memory)
        if kept:
            lines += [wording.memories.format(char=character.card.char), *(f"- {m}" for m in kept)]
        return ChatMessage("system", "\n".join(lines)), len(kept)

    def _size(self, texts: Sequence[str]) -> int:
        return sum(self.count(clean(text, one_line=True)) for text in texts)

    def _aside(
        self, character: Character, scene: Scene, wording: Wording, budget: Budget, recalled: Sequence[str]
    ) -> tuple[list[ChatMessage], list[Exemplar]]:
        """What is shown for this turn only, just before the words that it helps to answer."""
        present = frozenset(s.name.casefold() for s in scene.spoken)
        wanted = list(scene.exemplars[: self.layout.retrieved])
        kept = self._within([e.said + e.reply for e in wanted], budget.retrieved)
        shown = wanted[: len(kept)]
        pairs = [_exchange(e, character, present) for e in shown]
        lore = self._within([clean(entry) for entry in scene.lore], budget.lore)
        text: list[str] = []
        if lore:
            text += [wording.lore, *lore]
        if recalled:
            text += [wording.recalled.format(char=character.card.char), *(f"- {m}" for m in recalled)]
        turns: list[ChatMessage] = []
        if self.layout.retrieved_as == "turns":
            turns = [message for pair in pairs for message in pair]
        elif pairs:
            text.append(wording.exemplars.format(char=character.card.char))
            text += [f"{said.text}\n{character.name}: {reply.text}" for said, reply in pairs]
        return [*turns, *([ChatMessage("system", "\n".join(text))] if text else [])], shown

    def _within(self, texts: Sequence[str], budget: int) -> list[str]:
        """The first texts that fit together: order is the caller's choice of what matters most."""
        kept: list[str] = []
        for text in texts:
            budget -= self.count(text)
            if budget < 0:
                break
            kept.append(text)
        return kept

    def _first_that_fits(self, spoken: Sequence[Spoken], wording: Wording, room: int) -> int:
        costs = [self.count(_line(s, wording)) + MESSAGE_OVERHEAD_TOKENS for s in spoken]
        if sum(costs) <= room:
            return 0
        left, first = room * KEEP_AFTER_TRIM, len(spoken)
        while first > 0 and costs[first - 1] <= left:
            first -= 1
            left -= costs[first]
        return min(first, max(len(spoken) - 1, 0))

    # ------------------------------------------------------------------ tokens

    def _prefix(self, character: Character, budget: Budget) -> _Prefix:
        key = (character.id, character.revision, budget.card, budget.fixed)
        known = self._prefixes.get(key)
        if known is None:
            messages = tuple(self._prefix_messages(character, budget))
            segments = tuple(self._template.segments(messages, reply_follows=False))
            known = _Prefix(messages, segments, tuple(encode(segments, self._tokenizer)))
            self._prefixes[key] = known
        return known

    def _prompt(self, prefix: _Prefix, messages: Sequence[ChatMessage]) -> Prompt:
        whole = [*prefix.messages, *messages]
        segments = self._template.segments(whole, reply_follows=True)
        rest = _behind(prefix.segments, segments)
        if rest is None:
            # A template that looks ahead (or folds the card into the first person's words) shares nothing; it still answers.
            return Prompt(tuple(encode(segments, self._tokenizer)), 0, tuple(whole))
        return Prompt((*prefix.tokens, *encode(rest, self._tokenizer)), len(prefix.tokens), tuple(whole))

    def _encode(self, messages: Sequence[ChatMessage], *, reply_follows: bool) -> list[int]:
        return encode(self._template.segments(messages, reply_follows=reply_follows), self._tokenizer)


class Renderers:
    """The renderer for whatever model speaks now: another model has another tokenizer, and may have another template.

    Keeps those of the two models asked for last (``forget`` drops one that is gone: its renderer would hold it in memory).
    """

    def __init__(self, layout: Layout | None = None, known: tuple[PromptRenderer, ...] = ()) -> None:
        self._layout = layout
        self._known = known

    def of(self, tokenizer: Tokenizer) -> PromptRenderer:
        known = self._known  # read once: any thread may ask
        found = next((renderer for renderer in known if renderer.tokenizer is tokenizer), None)
        if found is None:
            found = PromptRenderer(tokenizer, self._layout)
            self._known = (found, *known[:1])
        return found

    def forget(self, tokenizer: Tokenizer) -> None:
        """Of a model that is gone."""
        self._known = tuple(renderer for renderer in self._known if renderer.tokenizer is not tokenizer)

    def held(self, tokenizer: Tokenizer) -> Renderers:
        """The same for the length of a turn, in which the model does not change."""
        return Renderers(self._layout, (self.of(tokenizer),))


def _behind(prefix: Sequence[Segment], whole: Sequence[Segment]) -> list[Segment] | None:
    """What follows ``prefix`` in ``whole``, or None when ``whole`` does not begin with it.

    The template's text at the border belongs to both: its part in the prefix is cut off, so that the border never moves.
    """
    last = len(prefix) - 1
    if len(whole) <= last or list(whole[:last]) != list(prefix[:last]):
        return None
    border, joined = prefix[last], whole[last]
    if border.special != joined.special or not joined.text.startswith(border.text):
        return None
    rest = Segment(joined.text[len(border.text) :], joined.special)
    return [*([rest] if rest.text else []), *whole[last + 1 :]]


def system_text(character: Character) -> str:
    """What every prompt of this character begins with: its card with the rules around it. This is held against the card's budget."""
    card, wording = character.card, _wording(character)
    own_rules = card.system_prompt.replace("{{original}}", "").strip()
    parts = [
        card.description,
        card.personality,
        card.scenario,
        own_rules,
        wording.rules.format(char=card.char),
        card.post_history_instructions.replace("{{original}}", ""),
    ]
    return scrub("\n".join(fill_macros(p, char=card.char, user=wording.visitor).strip() for p in parts if p.strip()))


def fixed_exemplars(character: Character, count: int) -> list[Exemplar]:
    """The exemplars that stand in every prompt of a character: taken at even distances through its lines, which are
    ordered by subject. A card without lines gives its example dialogue.
    """
    lines = character.lines or _examples(character)
    if len(lines) <= count:
        return list(lines)
    return [lines[i * len(lines) // count] for i in range(count)]


def _examples(character: Character) -> tuple[Exemplar, ...]:
    """The card's example dialogue as exchanges: what the character says, with what was said just before it."""
    exchanges: list[Exemplar] = []
    for dialogue in character.card.examples:
        said = ""
        for line in dialogue:
            if not line.by_character:
                said = line.text
            elif said:
                exchanges.append(Exemplar(f"card-{len(exchanges) + 1}", None, said, line.text, None, None, "card"))
                said = ""
    return tuple(exchanges)


def clean(text: str, *, one_line: bool = False) -> str:
    """What somebody wrote, made safe to stand in a prompt.

    Control characters go, half surrogates become U+FFFD, and lines after the first are indented: only the renderer can
    begin a line with a name and a colon, so nobody can put words into somebody else's mouth.
    """
    return re.sub(r"\s*\n\s*", " " if one_line else "\n  ", scrub(text))


def scrub(text: str) -> str:
    """Without control characters and half surrogates, which no tokenizer takes."""
    whole = _SURROGATE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("", whole).strip()


_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ue000\ue001]")


def clean_name(name: str, somebody: str) -> str:
    """A shown name as it may stand before a colon: one short line without colons."""
    return clean(name, one_line=True).replace(":", "").replace("：", "").strip()[:40] or somebody


def _line(spoken: Spoken, wording: Wording) -> str:
    return clean(spoken.text) if spoken.own else f"{clean_name(spoken.name, wording.somebody)}: {clean(spoken.text)}"


def _as_messages(spoken: Sequence[Spoken], wording: Wording) -> list[ChatMessage]:
    """The character's own lines are the assistant's; everything that others say in between is one person's message."""
    messages: list[ChatMessage] = []
    for each in spoken:
        role: Literal["assistant", "user"] = "assistant" if each.own else "user"
        text = _line(each, wording)
        if messages and messages[-1].role == role:
            messages[-1] = replace(messages[-1], text=f"{messages[-1].text}\n{text}")
        else:
            messages.append(ChatMessage(role, text))
    return messages


def _exchange(exemplar: Exemplar, character: Character, present: frozenset[str]) -> list[ChatMessage]:
    """An exemplar as two chat turns, spoken to somebody who is not here: an exemplar is never about the present person."""
    wording = _wording(character)
    name = exemplar.with_name or wording.visitor
    if name.casefold() in present:
        name = wording.somebody
    said = fill_macros(exemplar.said, char=character.card.char, user=name)
    reply = fill_macros(exemplar.reply, char=character.card.char, user=name)
    return [
        ChatMessage("user", f"{clean_name(name, wording.somebody)}: {clean(said)}"),
        ChatMessage("assistant", clean(reply)),
    ]


def _wording(character: Character) -> Wording:
    return CHINESE if character.settings.languages[:1] == ("zh",) else ENGLISH
