"""A reply of which nothing is kept: whoever asks brings the conversation, and takes the words with them.

The prompt, the speaker's guard and the honest answer are those of every other reply; only what memory would add is not there.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from bot.characters.cast import Character
from bot.characters.honesty import asks_sincerely, honest_line
from bot.characters.prompt import Spoken
from bot.messages import NO_WISHES, ChannelKey, Piece, Wishes
from bot.sessions.casting import names_of
from bot.sessions.session import SEED_LIMIT, Moment, Stage, compose, other_speakers, sampling_of
from bot.sessions.speaker_guard import SpeakerGuard
from bot.sessions.stop_strings import StopStrings


@dataclass(frozen=True, slots=True)
class Brought:
    """A conversation as somebody tells it; the last thing spoken is what is answered."""

    spoken: Sequence[Spoken]
    place: str = ""


async def answer_unstored(
    stage: Stage, character: Character, company: Sequence[Character], brought: Brought, *, channel: ChannelKey, wishes: Wishes = NO_WISHES
) -> AsyncGenerator[Piece]:
    """Yield what is added to the reply, piece by piece; the last piece has a ``finish_reason`` and the counters.

    Close it to stop generating. ``channel`` is for fair shares of the engine, and for finding the conversation in its cache.

    Raises:
        EngineError, CardError
    """
    last = brought.spoken[-1]
    seed = random.randrange(SEED_LIMIT) if wishes.seed is None else wishes.seed
    if not last.own and asks_sincerely(last.text):
        yield Piece(honest_line(character, seed).reply, "stop")
        return
    with stage.held(channel) as held:
        prepared = await compose(held, character, Moment(brought.spoken, last.text, brought.place))
        sampling = sampling_of(held, character, wishes)
        others = other_speakers(character, [s.name for s in brought.spoken if not s.own], company)
        for attempt in range(1 + stage.settings.retries):
            guard, stops, shown, piece = SpeakerGuard(names_of(character), others), StopStrings(wishes.stop), "", Piece("", "stop")
            stream = held.engine.stream(prepared.rendered.prompt, replace(sampling, seed=(seed + attempt) % SEED_LIMIT), channel=channel)
            async with aclosing(stream) as pieces:  # type: ignore[type-var]  # both engines give generators
                async for piece in pieces:
                    text = stops.shown(guard.feed(piece.text))
                    if len(text) > len(shown):
                        yield Piece(text[len(shown) :])
                        shown = text
                    if guard.cut or stops.reached:
                        break
            whole = stops.shown(guard.finish(), final=True).rstrip()
            if whole or attempt == stage.settings.retries:
                yield Piece(whole[len(shown) :], piece.finish_reason or "stop", piece.counters)
                return
