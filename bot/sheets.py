"""What the ``characters`` and ``models`` commands print and write. They work on the house's folders, beside a running server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from bot.characters.card import write_card
from bot.characters.cast import CARD_FILE, PORTRAIT_FILE, Cast, Character
from bot.characters.casting_sheet import casting_sheet, token_counts, voices_sheet
from bot.characters.importing import read_card
from bot.characters.names import slugify
from bot.characters.png_card import write_png
from bot.characters.portrait import portrait_for
from bot.characters.validate import validate_folder
from bot.config import Config
from bot.engine import models, native
from bot.engine.tokenizer import LlamaTokenizer
from bot.errors import CardError
from bot.messages import HOUSE, Tokenizer

Count = Callable[[str], int]


def cast_table(config: Config) -> Table:
    """Everybody of the house, a line each."""
    count = counter(config)
    table = Table(box=None, pad_edge=False)
    for heading in ("", "slug", "name", "lines", "lore", "card tokens", "awake"):
        table.add_column(heading, justify="right" if heading in ("lines", "lore", "card tokens") else "left", no_wrap=True)
    table.add_column("")  # the only one that gives way on a narrow screen
    for character in _cast(config).house:
        settings, book = character.settings, character.card.book
        [(_, tokens, budget)] = [row for row in token_counts(character, count, config.sessions) if row[0] == "card"]
        table.add_row(
            settings.emoji,
            character.slug,
            character.name,
            str(len(character.lines)),
            str(len(book.entries) if book else 0),
            f"{tokens} of {budget}",
            "yes" if settings.awake else "no",
            Text(settings.tagline, no_wrap=True, overflow="ellipsis"),
        )
    return table


def sheet(config: Config, name: str) -> str:
    """One character's casting sheet. Raises ``CharacterNotFound``."""
    return casting_sheet(_cast(config).find(HOUSE, name), counter(config), config.sessions)


def voices(config: Config, seed: int) -> str:
    """Six lines of everybody without a name on them: can they be told apart?"""
    return voices_sheet(_cast(config).house, seed)


def problems(config: Config, name: str | None) -> list[str]:
    """What is wrong with the cards and lines of one character or of all. Raises ``CharacterNotFound``."""
    home = config.paths.characters
    folders = [home / _slug_of(config, name)] if name else sorted(path.parent for path in home.glob(f"*/{CARD_FILE}"))
    count = counter(config)
    return [p for folder in folders for p in validate_folder(folder, config.characters, count=count, budgets=config.sessions)]


def import_file(config: Config, file: Path) -> tuple[Path, tuple[str, ...]]:
    """Make a card file of any known format a character of the house; gives its folder, and what to know about it.

    Raises:
        CardError: the file, the field and the limit; or the folder is taken.
    """
    try:
        imported = read_card(file.read_bytes(), file.name, config.characters)
    except OSError as error:
        raise CardError(f"{file}: cannot be read: {error.strerror}") from error
    folder = config.paths.characters / slugify(imported.card.name)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise CardError(f"{folder} exists already; remove or rename it first") from error
    (folder / PORTRAIT_FILE).write_bytes(imported.portrait or portrait_for(imported.card))
    # The card comes last: a folder without one is nobody yet.
    partial = folder / f"{CARD_FILE}.partial"
    partial.write_bytes(write_card(imported.card))
    partial.replace(folder / CARD_FILE)
    return folder, imported.warnings


def export_file(config: Config, name: str, *, png: bool) -> Path:
    """Write a character of the house as a card into the current folder.

    Raises:
        CharacterNotFound, CardError: there is such a file already.
    """
    character = _cast(config).find(HOUSE, name)
    file = Path(f"{character.slug}.{'png' if png else 'json'}")
    data = write_png(character.card, _portrait(character)) if png else write_card(character.card)
    try:
        with file.open("xb") as out:
            out.write(data)
    except OSError as error:
        raise CardError(f"{file}: cannot be written: {error.strerror}") from error
    return file


def model_table(config: Config) -> Table:
    """The models in ``gguf/``, and which one is served."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "name", "MB", "build", "made as"):
        table.add_column(heading)
    served = models.current_name(config.paths.models)
    for path in sorted(config.paths.models.glob("*.gguf")):
        if path.stem.endswith("-adapter"):
            continue
        manifest = models.read_manifest(path) or {}
        digest = str(manifest.get("sha256", ""))[:8]
        table.add_row(
            "●" if path.stem == served else "○",
            path.stem,
            str(path.stat().st_size // 2**20),
            f"{path.stem}@{digest}" if digest else f"unmanaged:{path.stem}",
            str(manifest.get("quantisation", "unknown")),
        )
    return table


def counter(config: Config) -> Count:
    """Tokens of a text, as the served model counts them."""
    tokenizer: Tokenizer
    if config.engine.remote.base_url:
        from bot.engine.remote import CountingTokenizer  # its client takes most of a second to load, and few use it

        tokenizer = CountingTokenizer()
    else:
        file = models.find_model(config.engine.model, config.paths.models)
        tokenizer = LlamaTokenizer(native.Model(file.path, vocabulary_only=True))
    return lambda text: len(tokenizer.encode(text, special=False))


def _cast(config: Config) -> Cast:
    return Cast.load(config.paths.characters, config.characters)


def _slug_of(config: Config, name: str) -> str:
    """A folder's name may be given too: a card that cannot be read has no other."""
    return name if (config.paths.characters / name / CARD_FILE).is_file() else _cast(config).find(HOUSE, name).slug


def _portrait(character: Character) -> bytes:
    return character.portrait.read_bytes() if character.portrait else portrait_for(character.card)
