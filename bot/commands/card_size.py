"""Whether a character fits its share of a prompt, counted with the model's own tokenizer."""

from __future__ import annotations

from bot.characters.cast import Character
from bot.characters.macros import fill_macros
from bot.characters.prompt import MESSAGE_OVERHEAD_TOKENS, Budget, PromptRenderer
from bot.errors import CardError, CommandRefused


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
    texts = [line.text for dialogue in character.card.examples for line in dialogue]
    tokens = sum(renderer.count(text) + MESSAGE_OVERHEAD_TOKENS for text in texts)
    if tokens <= budget.fixed:
        return []
    return [f"the example dialogue has {tokens} tokens; the first {budget.fixed} are shown to the model (sessions.exemplar_tokens)"]


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
