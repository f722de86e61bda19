"""Commands that look over the company: everybody with their numbers, and one character in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.characters.cast import Character
from bot.commands.desk import MADE_UP, Caller, Desk
from bot.errors import CharacterNotFound
from bot.memory.store import LastTalk, Standing

FEATURED = 3  # where the operator named nobody
CAUTION_RATINGS = 3  # so many invented ratings of the middle are added before means are compared: one rating is no judgement


@dataclass(frozen=True, slots=True)
class Shown:
    """A character as the gallery shows it to one person."""

    character: Character
    standing: Standing
    featured: bool
    last_talk: LastTalk | None  # the caller's own
    shipped: bool  # it came with this Troupe and was not changed here
    notice: str = MADE_UP

    @property
    def made_by(self) -> str:
        """Who made it, as its card says; "" where it does not."""
        return self.character.card.creator.strip()


async def gallery(desk: Desk, caller: Caller, featured: Sequence[str] = ()) -> list[Shown]:
    """Everybody whom the caller may talk to here, by name. ``featured`` are slugs; with none, the best rated stand out."""
    seen = await desk.company.allowed(caller.channel, desk.company.seen_in(caller.channel))
    standings = await desk.store.standings()
    talks = {talk.character_id: talk for talk in await desk.store.last_talks(caller.person.id, caller.channel.platform)}
    chosen = set(featured) or {c.slug for c in _best(seen, standings)}
    return [_shown(desk, c, standings.get(c.id, Standing()), c.slug in chosen, talks.get(c.id)) for c in seen]


async def look(desk: Desk, caller: Caller, name: str, featured: Sequence[str] = ()) -> Shown:
    """One of them. Raises ``CharacterNotFound``."""
    character = desk.company.find(caller.channel, name)
    for shown in await gallery(desk, caller, featured):
        if shown.character.id == character.id:
            return shown
    raise CharacterNotFound(f"{character.name} does not appear here")


def _shown(desk: Desk, character: Character, standing: Standing, featured: bool, talk: LastTalk | None) -> Shown:
    shipped = desk.company.cast.shipped(character.slug)
    return Shown(character, standing, featured, talk, shipped is not None and shipped.revision == character.revision)


def _best(seen: Sequence[Character], standings: dict[str, Standing]) -> list[Character]:
    def worth(character: Character) -> tuple[float, int]:
        s = standings[character.id]
        return (s.stars * s.ratings + 3 * CAUTION_RATINGS) / (s.ratings + CAUTION_RATINGS), s.replies

    rated = [c for c in seen if c.id in standings and standings[c.id].ratings]
    return sorted((c for c in rated if worth(c)[0] > 3), key=worth, reverse=True)[:FEATURED]
