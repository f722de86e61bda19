"""Characters that people registered, in the shape of a character's folder: card, lines, portrait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, null, select, update

from bot.errors import CharacterNotFound
from bot.memory import schema
from bot.memory.part import Part

_characters, _revisions = schema.characters, schema.character_revisions


@dataclass(frozen=True, slots=True)
class CharacterRecord:
    """A registered character as it is now. What card and lines mean, ``bot.characters`` knows."""

    scope: str
    slug: str
    name: str
    card: dict[str, Any]
    lines: list[dict[str, Any]]
    portrait: bytes | None  # left out where many are listed
    creator: str  # a person's id
    revision: int  # one more for each change; never used again, also not after a deletion


@dataclass(frozen=True, slots=True)
class Revision:
    """What a registered character once was. Portraits are not kept by revision."""

    revision: int
    name: str
    card: dict[str, Any]
    lines: list[dict[str, Any]]
    changed_by: str  # a person's id
    at: datetime


class Registry(Part):
    async def characters(self, scope: str | None = None) -> list[CharacterRecord]:
        """Every registered character (of one scope), by slug, without its portrait: a hundred of them are a hundred megabytes."""
        light: Select[Any] = select(*(column for column in _characters.c if column.name != "portrait"), null().label("portrait"))
        wanted = light.where(_characters.c.deleted_at.is_(None)).order_by(_characters.c.scope, _characters.c.slug)
        if scope is not None:
            wanted = wanted.where(_characters.c.scope == scope)
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [_record_of(row) for row in rows]

    async def character(self, scope: str, slug: str) -> CharacterRecord | None:
        wanted = select(_characters).where(_here(scope, slug), _characters.c.deleted_at.is_(None))
        row = await self._database.read(lambda c: c.execute(wanted).first())
        return None if row is None else _record_of(row)

    async def save_character(
        self,
        scope: str,
        slug: str,
        *,
        name: str,
        card: Mapping[str, Any],
        lines: Sequence[Mapping[str, Any]],
        portrait: bytes | None,
        by: str,
    ) -> CharacterRecord:
        """Register a character, or store its next revision. ``by`` is the person who does it, and who made it if it is new.

        Whoever may do so was settled before; the earlier revisions are kept.
        """

        def work(connection: Connection) -> CharacterRecord:
            now = self._now()
            content = {"name": name, "card": dict(card), "lines": [dict(line) for line in lines]}
            old = connection.execute(select(_characters).where(_here(scope, slug))).first()
            revision = 1 if old is None else old.revision + 1
            creator = by if old is None or old.deleted_at is not None else old.creator
            values = {**content, "portrait": portrait, "creator": creator, "revision": revision, "updated_at": now, "deleted_at": None}
            row = connection.execute(
                self._database.insert(_characters)
                .values(scope=scope, slug=slug, created_at=now, **values)
                .on_conflict_do_update(index_elements=["scope", "slug"], set_=values)
                .returning(*_characters.c)
            ).one()
            connection.execute(_revisions.insert().values(character_id=row.id, revision=revision, changed_by=by, at=now, **content))
            return _record_of(row)

        return await self._database.write(work)

    async def revisions(self, scope: str, slug: str) -> list[Revision]:
        """Every revision of a registered character that is there, the newest first; none for one that was never registered."""
        wanted = (
            select(_revisions)
            .join(_characters, _characters.c.id == _revisions.c.character_id)
            .where(_here(scope, slug), _characters.c.deleted_at.is_(None))
            .order_by(_revisions.c.revision.desc())
        )
        rows = await self._database.read(lambda c: c.execute(wanted).all())
        return [Revision(row.revision, row.name, row.card, row.lines, row.changed_by, row.at) for row in rows]

    async def delete_character(self, scope: str, slug: str) -> None:
        """Take a character out of every list; what it said stays said. Raises ``CharacterNotFound``."""
        there = update(_characters).where(_here(scope, slug), _characters.c.deleted_at.is_(None))
        gone = await self._database.write(lambda c: c.execute(there.values(deleted_at=self._now())).rowcount)
        if not gone:
            raise CharacterNotFound(f"nobody called {slug} was registered in {scope}")


def _here(scope: str, slug: str) -> Any:
    return (_characters.c.scope == scope) & (_characters.c.slug == slug)


def _record_of(row: Row[Any]) -> CharacterRecord:
    return CharacterRecord(row.scope, row.slug, row.name, row.card, row.lines, row.portrait, row.creator, row.revision)
