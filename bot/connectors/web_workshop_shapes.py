"""What the workshop's form sends and gets: checked here, decided in ``bot.commands.drafting``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bot.characters.cast import Character
from bot.commands.drafting import Draft, LoreDraft, Measured, Opened
from bot.connectors.web_requests import Refused
from bot.connectors.web_shapes import badge, portrait_address

Long = Annotated[str, StringConstraints(max_length=100_000)]
Short = Annotated[str, StringConstraints(max_length=400)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LoreBody(_Body):
    id: Short = ""
    keys: list[Short] = Field(default_factory=list, max_length=100)
    content: Long = ""
    constant: bool = False
    enabled: bool = True


class VoiceBody(_Body):
    engine: Short | None = None
    name: Short | None = None
    pitch: int | None = None
    speed: int | None = None
    description: Long | None = None


class DraftBody(_Body):
    name: Short = ""
    nickname: Short = ""
    tagline: Short = ""
    emoji: Short = ""
    greeting: Long = ""
    alternates: list[Long] = Field(default_factory=list, max_length=100)
    summary: Long = ""
    description: Long = ""
    definition: Long = ""
    scenario: Long = ""
    categories: list[Short] = Field(default_factory=list, max_length=50)
    examples: Long = ""
    creator: Short = ""
    talkativeness: float = 0.5
    awake: bool = True
    age_restricted: bool = False
    sampling: dict[Short, float] = Field(default_factory=dict, max_length=30)
    voice: VoiceBody = VoiceBody()
    lore: list[LoreBody] = Field(default_factory=list, max_length=1000)

    def draft(self) -> Draft:
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        return Draft(
            **{
                **values,
                "alternates": tuple(self.alternates),
                "categories": tuple(self.categories),
                "sampling": {key: int(n) if n == int(n) else n for key, n in self.sampling.items()},
                "voice": {key: value for key, value in self.voice.model_dump().items() if value not in ("", None)},
                "lore": tuple(LoreDraft(one.id, tuple(one.keys), one.content, one.constant, one.enabled) for one in self.lore),
            }
        )


class MeasureBody(_Body):
    draft: DraftBody
    character: Short = ""


class SaveBody(MeasureBody):
    revision: Short = ""  # that was opened
    portrait: Annotated[str, StringConstraints(max_length=1_600_000)] | None = None  # a picture in base64; none: the one it has


class TrialTurn(_Body):
    by: Literal["person", "character"]
    text: Long


class TrialBody(MeasureBody):
    name: Short = ""  # the visitor's
    turns: list[TrialTurn] = Field(default_factory=list, max_length=200)


class RevisionBody(_Body):
    revision: int = Field(ge=1, le=2**31)


Body = TypeVar("Body", bound=BaseModel)


def read(raw: bytes, kind: type[Body]) -> Body:
    """Raises ``Refused`` with the field that is wrong."""
    try:
        return kind.model_validate_json(raw or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise Refused(400, f"{where[:80]}: {first['msg']}.") from error


def draft_shape(draft: Draft) -> dict[str, Any]:
    return {
        **{name: getattr(draft, name) for name in DraftBody.model_fields},
        "alternates": list(draft.alternates),
        "categories": list(draft.categories),
        "sampling": dict(draft.sampling),
        "voice": dict(draft.voice),
        "lore": [
            {"id": one.id, "keys": list(one.keys), "content": one.content, "constant": one.constant, "enabled": one.enabled}
            for one in draft.lore
        ],
    }


def opened_shape(opened: Opened) -> dict[str, Any]:
    return {
        **saved_shape(opened.character, ()),
        "draft": draft_shape(opened.draft),
        "dialogues": [[{"own": line.by_character, "text": line.text} for line in d] for d in opened.character.card.examples],
        "lines": len(opened.character.lines),
        "revisions": [{"revision": r.revision, "at": r.at.isoformat(), "by": badge(r.changed_by)} for r in opened.revisions],
    }


def saved_shape(character: Character, warnings: tuple[str, ...]) -> dict[str, Any]:
    return {
        "slug": character.slug,
        "name": character.name,
        "revision": character.revision,
        "portrait": portrait_address(character, 512),
        "warnings": list(warnings),
    }


def measured_shape(measured: Measured) -> dict[str, Any]:
    return {
        "sizes": {size.part: {"tokens": size.tokens, "limit": size.limit} for size in measured.sizes},
        "problem": measured.problem,
        "warnings": list(measured.warnings),
    }
