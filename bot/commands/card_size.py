"""Whether a character fits its share of a prompt, counted with the model's own tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from bot.characters.cast import Character
from bot.characters.macros import fill_macros
from bot.characters.prompt import MESSAGE_OVERHEAD_TOKENS, Budget, PromptRenderer, system_text
from bot.errors import CardError, CommandRefused


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens of one part of a card. ``limit`` 0: it has no budget of its own."""

    part: str
    tokens: int
    limit: int = 0


def sizes(renderer: PromptRenderer, budget: Budget, character: Character) -> tuple[Size, ...]:
    """Every part of a card in tokens: what always stands in a prompt (``card``), and the texts by themselves. Blocking."""
    card, char = character.card, character.card.char
    texts = {"description": card.description, "definition": card.personality, "scenario": card.scenario, "greeting": card.first_mes}
    entries = [e for e in card.book.entries if e.enabled] if card.book else []
    lore_limit = budget.lore if card.book is None or card.book.token_budget is None else min(budget.lore, card.book.token_budget)
    lore = [renderer.count(fill_macros(e.content, char=char, user="")) for e in entries]
    return (
        Size("card", renderer.count(system_text(character)), budget.card),
        Size("examples", _example_tokens(renderer, character), 0 if character.lines else budget.fixed),
        Size("lore", max(lore, default=0), lore_limit),
        Size("lore_constant", sum(n for n, e in zip(lore, entries, strict=True) if e.constant), lore_limit),
        *(Size(part, renderer.count(fill_macros(text, char=char, user=""))) for part, text in texts.items()),
    )


def size_warnings(renderer: PromptRenderer, budget: Budget, character: Character) -> list[str]:
    """What of a character will be left out of its prompts. Blocking: counting a long card takes a while.

    Raises:
        CommandRefused: the card itself is over its budget; nothing of it is ever cut off silently.
    """
    try:
        renderer.prefix(character, budget)
    except CardError as error:
        raise CommandRefused(f"{error}, or put details into lore, which is read only when it comes up.") from error
    return [*_examples(renderer, budget, character), *_lore(renderer, budget, character)]


def _examples(renderer: PromptRenderer, budget: Budget, character: Character) -> list[str]:
    if character.lines:
        return []  # a dozen of them are shown, and those that fit a turn
    tokens = _example_tokens(renderer, character)
    if tokens <= budget.fixed:
        return []
    return [f"the example dialogue has {tokens} tokens; the first {budget.fixed} are shown to the model (sessions.exemplar_tokens)"]


def _example_tokens(renderer: PromptRenderer, character: Character) -> int:
    texts = [line.text for dialogue in character.card.examples for line in dialogue]
    return sum(renderer.count(text) + MESSAGE_OVERHEAD_TOKENS for text in texts)


def _lore(renderer: PromptRenderer, budget: Budget, character: Character) -> list[str]:
    book = character.card.book
    if book is None:
        return []
    limit = budget.lore if book.token_budget is None else min(budget.lore, book.token_budget)
    char = character.card.char
    sizes = {e.id: renderer.count(fill_macros(e.content, char=char, user="")) for e in book.entries if e.enabled}
    warnings = [f"lore entry {i} has {tokens} tokens and will never fit its {limit}" for i, tokens in sizes.items() if tokens > limit]
    constant = sum(sizes[e.id] for e in book.entries if e.enabled and e.constant)
    if constant > limit:
        warnings.append(f"the lore that is always there has {constant} tokens; {limit} fit, the rest is left out by priority")
    return warnings[:10]
