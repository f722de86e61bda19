"""Commands that let characters be heard: what may be said aloud, by whose voice, and what becomes of it.

Only a character's own words are spoken, never a text that somebody sends. Where nobody speaks, platforms offer nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.characters.cast import Character
from bot.commands.desk import Caller, Desk, heard_only, within_limits
from bot.errors import CharacterNotFound, CommandRefused, SpeechBusy, SpeechError
from bot.voice.booth import Booth
from bot.voice.recording import MEDIA_TYPE, Recording
from bot.voice.speech import Speech

ABSENT = "Nobody speaks aloud here: install espeak-ng, or name a speech server under [voice]."
BUSY = "Too many are speaking at once just now. Please try again in a moment."
NO_REPLY = "There is no such reply of a character here."

_ENDINGS = {"audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/flac": "flac", "audio/aac": "aac", MEDIA_TYPE: "ogg"}


@dataclass(frozen=True, slots=True)
class Line:
    """Words that may be said aloud, and who says them."""

    character: Character
    words: str
    message_id: str = ""  # the message that shows them; "" for a greeting


@dataclass(frozen=True, slots=True)
class VoiceMessage:
    """One line as sound. ``recording`` is what platforms show as a voice message; None where it can only be a file."""

    line: Line
    speech: Speech
    recording: Recording | None

    @property
    def file_name(self) -> str:
        return f"{self.line.character.slug}.{_ENDINGS.get(self.speech.media_type, 'bin')}"

    @property
    def recording_name(self) -> str:
        return f"{self.line.character.slug}.{_ENDINGS[MEDIA_TYPE]}"


def speaks(desk: Desk) -> bool:
    """Whether anybody speaks aloud here."""
    return desk.booth is not None


async def greeting(desk: Desk, caller: Caller, name: str) -> Line:
    """What a character says first. Raises ``CommandRefused``, ``CharacterNotFound``."""
    await heard_only(desk, caller)
    return greeting_of(await _allowed(desk, caller, desk.company.find(caller.channel, name)), caller)


def greeting_of(character: Character, caller: Caller) -> Line:
    """Of one that is at hand, a draft perhaps. Raises ``CommandRefused``: it has none."""
    return _line(character, character.greeting(caller.person.name), "")


async def reply(desk: Desk, caller: Caller, message_id: str | None = None) -> Line:
    """What a character has said in the caller's channel, as it stands there now; without an id, the last reply.

    Raises:
        CommandRefused: nobody speaks here, or there is no such reply. ``CharacterNotFound``: whoever said it appears here no more.
    """
    await heard_only(desk, caller)
    store = desk.store
    delivery = await (store.delivery_of(caller.channel, message_id) if message_id else store.last_delivery(caller.channel))
    if delivery is None or not delivery.sent_ids:
        raise CommandRefused(NO_REPLY)
    turn = await store.turn_by_message(caller.channel, delivery.sent_ids[0])
    if turn is None or not turn.text:
        raise CommandRefused(NO_REPLY)
    character = desk.company.by_id(delivery.character_id)
    if character is None:
        raise CharacterNotFound(f"{delivery.character_name} has left the company")
    return _line(await _allowed(desk, caller, character), turn.text, message_id or delivery.sent_ids[-1])


async def wanted(desk: Desk, caller: Caller, message_id: str | None = None) -> Line:
    """The same for a voice message that a whole channel gets: it counts like a message of whoever asks. Raises like ``reply``."""
    if not speaks(desk):
        raise CommandRefused(ABSENT)
    line = await reply(desk, caller, message_id)
    await within_limits(desk, caller)
    return line


async def speech(desk: Desk, line: Line) -> Speech:
    """Raises ``CommandRefused``: nobody speaks here, too many do, or it could not be spoken."""
    with _refusals(line):
        return await _booth(desk).say(line.character, line.words)


async def voice_message(desk: Desk, line: Line, *, most_bytes: int) -> VoiceMessage:
    """A line as something to send, of at most so many bytes. Raises like ``speech``."""
    with _refusals(line):
        said = await _booth(desk).say(line.character, line.words)
        recording = await _booth(desk).record(line.character, line.words)
    size = len(said.audio) if recording is None else len(recording.audio)
    if size > most_bytes:
        raise CommandRefused(f"That would be a file of {size:,} bytes, and {most_bytes:,} can be sent here. The words are there to read.")
    return VoiceMessage(line, said, recording)


@contextmanager
def _refusals(line: Line) -> Iterator[None]:
    try:
        yield
    except SpeechBusy as error:
        raise CommandRefused(BUSY) from error
    except SpeechError as error:
        raise CommandRefused(f"{line.character.name} cannot be heard just now; the words are still there to read.") from error


def _booth(desk: Desk) -> Booth:
    if desk.booth is None:
        raise CommandRefused(ABSENT)
    return desk.booth


def _line(character: Character, words: str, message_id: str) -> Line:
    if not words.strip():
        raise CommandRefused(f"{character.name} begins with no words.")
    return Line(character, words, message_id)


async def _allowed(desk: Desk, caller: Caller, character: Character) -> Character:
    if not await desk.company.allowed(caller.channel, [character]):
        raise CharacterNotFound(f"{character.name} does not appear here")
    return character
