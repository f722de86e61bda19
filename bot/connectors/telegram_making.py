"""Making a character step by step: a question at a time, until the last is answered or somebody says /cancel."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from telegram import ForceReply, Message

from bot.commands import registering
from bot.commands.desk import moderators_only
from bot.connectors.telegram_answers import Asked, downloaded
from bot.errors import BotError, CommandRefused
from bot.messages import ChannelKey

log = logging.getLogger(__name__)

FORGOTTEN_SECONDS = 3600.0
AT_ONCE = 1000
PICTURE = "portrait"
PICTURE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    field: str  # of registering.create
    question: str
    longest: int = 4000  # characters
    needed: bool = False


STEPS = (
    Step("name", "What is the character called?", longest=80, needed=True),
    Step("description", "Who is {name}? A few sentences: what one sees, what one knows.", needed=True),
    Step("definition", "How does {name} speak and behave? Manner, history, whatever it should keep to. /skip leaves it open."),
    Step("greeting", "What does {name} say when somebody comes in? /skip leaves it open."),
    Step("example_dialogue", "A few lines of example, each beginning with {{{{user}}}}: or {{{{char}}}}: — or /skip."),
    Step(PICTURE, "A portrait: send a picture, or /skip and I draw one."),
)


@dataclass(slots=True)
class _Sheet:
    """What has been answered so far."""

    begun_at: float
    given: dict[str, str] = field(default_factory=dict)
    step: int = 0


class Making:
    """Everybody's unfinished characters. They live as long as the process, and an hour at the most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sheets: OrderedDict[tuple[ChannelKey, str], _Sheet] = OrderedDict()

    def awaits(self, channel: ChannelKey, person_id: str) -> bool:
        """Whether what somebody says next is an answer."""
        sheet = self._sheets.get((channel, person_id))
        if sheet is not None and sheet.begun_at < self._clock() - FORGOTTEN_SECONDS:
            del self._sheets[channel, person_id]
            return False
        return sheet is not None

    def begin(self, asked: Asked) -> None:
        """Raises ``CommandRefused`` for somebody who may not register characters here."""
        moderators_only(asked.caller, "register characters")
        key = (asked.caller.channel, asked.caller.person.id)
        self._sheets[key] = _Sheet(self._clock())
        if len(self._sheets) > AT_ONCE:
            self._sheets.popitem(last=False)
        self._ask(asked, self._sheets[key], before="Let us make a character. /cancel leaves at any time.\n\n")

    def cancel(self, asked: Asked) -> bool:
        """False: there was nothing begun."""
        return self._sheets.pop((asked.caller.channel, asked.caller.person.id), None) is not None

    async def answered(self, asked: Asked) -> None:
        """The answer to the last question; the next one, or the character."""
        key = (asked.caller.channel, asked.caller.person.id)
        sheet = self._sheets[key]
        step = STEPS[sheet.step]
        picture: bytes | None = None
        try:
            if step.field == PICTURE:
                picture = await _picture(asked)
            else:
                _take(sheet, step, asked.words)
        except CommandRefused as refusal:
            asked.answer(f"{refusal} (/cancel leaves.)", _reply_here(asked))
            return
        sheet.step += 1
        if sheet.step < len(STEPS):
            self._ask(asked, sheet)
            return
        del self._sheets[key]
        await self._finish(asked, sheet, picture)

    async def _finish(self, asked: Asked, sheet: _Sheet, picture: bytes | None) -> None:
        try:
            made = await registering.create(
                asked.desk,
                asked.caller,
                portrait=picture,
                members=[asked.caller.person.name],
                **sheet.given,  # type: ignore[arg-type]
            )
        except BotError as error:
            asked.answer(f"{error}\n\nNothing was registered; /newcharacter begins again.")
            return
        log.info("a character was registered character=%s", made.character.id)
        asked.show(made.character, f"{made}\n/wake {made.character.slug} brings it in.")

    def _ask(self, asked: Asked, sheet: _Sheet, before: str = "") -> None:
        question = STEPS[sheet.step].question.format(name=sheet.given.get("name", "the character"))
        asked.answer(before + question, _reply_here(asked))


def _take(sheet: _Sheet, step: Step, words: str) -> None:
    text = words.strip()
    if text == "/skip":
        if step.needed:
            raise CommandRefused("This one is needed.")
        return
    if not text:
        raise CommandRefused("Please answer with text.")
    if len(text) > step.longest:
        raise CommandRefused(f"That has {len(text):,} characters; at most {step.longest:,} fit.")
    sheet.given[step.field] = text


async def _picture(asked: Asked) -> bytes | None:
    message = asked.message
    if asked.words.strip() == "/skip":
        return None
    if message.photo:
        largest = message.photo[-1]
        return await downloaded(asked.account, largest.file_id, largest.file_size, PICTURE_BYTES)
    if message.document is not None:
        return await downloaded(asked.account, message.document.file_id, message.document.file_size, PICTURE_BYTES)
    raise CommandRefused("Please send a picture, or /skip.")


def _reply_here(asked: Asked) -> ForceReply | None:
    """In a group a bot hears only what is said to it: the question opens a reply for the one who is asked."""
    return None if asked.private else ForceReply(selective=True)


def is_step(message: Message) -> bool:
    """Whether a message can be an answer: text, a picture, a file."""
    return bool(message.text or message.photo or message.document)
