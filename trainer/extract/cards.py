"""The example dialogues of a character card, whatever form the card has."""

from __future__ import annotations

from collections.abc import Iterator

from bot.characters.importing import read_card
from bot.characters.macros import fill_macros
from bot.config import CharacterSettings
from bot.errors import CardError
from trainer.errors import SourceRefused
from trainer.extract.source import Source
from trainer.extract.speech import Speech

USER = "User"


def speeches(source: Source) -> Iterator[Speech]:
    """Each dialogue of ``mes_example`` is a scene; greetings answer nobody and stay out."""
    limits = CharacterSettings()
    try:
        if source.path.stat().st_size > limits.card_bytes:
            raise SourceRefused(f"{source.path}: has more than {limits.card_bytes:,} bytes, which no card has")
        card = read_card(source.path.read_bytes(), source.path.name, limits).card
    except OSError as error:
        raise SourceRefused(f"{source.path}: cannot be read ({error.strerror}); check the path") from error
    except CardError as error:
        raise SourceRefused(str(error)) from error
    for place, dialogue in enumerate(card.examples, 1):
        for line in dialogue:
            text = fill_macros(line.text, char=card.char, user=USER)
            yield Speech(f"{card.name}/{place}", card.name if line.by_character else USER, " ".join(text.split()))
