"""The shapes of our own JSON API, for its description. What a handler sends is held against them by a test that fuzzes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Identifier = Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]{8,64}$")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MessageBody(_Body):
    id: str = Identifier  # chosen by whoever sends: the same id twice is one message
    text: str = Field(min_length=1, max_length=8000)
    name: str | None = None
    reply_to: str | None = None


class AboutMessageBody(_Body):
    message_id: str | None = Field(None, min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]{8,64}$")


class NothingBody(_Body):
    pass


class ResetBody(_Body):
    character: str | None = None


class AwakeBody(_Body):
    character: str
    awake: bool


class ChooseBody(_Body):
    character: str


class TakeBody(_Body):
    message_id: str = Identifier
    step: Literal[-1, 1]


class RateBody(_Body):
    message_id: str = Identifier
    value: int = Field(ge=0, le=5)  # 0 takes a rating back


class EditBody(_Body):
    message_id: str = Identifier
    text: str = Field(max_length=8000)


class RewindBody(_Body):
    message_id: str = Identifier


class ConsentBody(_Body):
    to: Literal["remember", "train"]
    granted: bool


class LikenessBody(_Body):
    number: int = Field(ge=1, le=999_999_999)
    agreed: bool


class SceneBody(_Body):
    text: str | None = None


class MemoryBody(_Body):
    character: str
    text: str
    pinned: bool | None = None
    everywhere: bool | None = None


class MemoryChangeBody(_Body):
    text: str | None = None
    pinned: bool | None = None


class ErrorSentence(BaseModel):
    error: str  # a sentence for whoever asked


class Member(BaseModel):
    slug: str
    name: str
    tagline: str
    emoji: str
    colour: str | None
    portrait: str | None
    greeting: str
    awake: bool


class TurnShown(BaseModel):
    id: str
    turn: int | None = None
    from_: Literal["person", "character"] = Field(alias="from")
    author: str
    name: str
    text: str
    at: str
    reply_to: str | None


class ChannelAnswer(BaseModel):
    channel: str
    characters: list[Member]
    turns: list[TurnShown]
    more: bool
    fresh_after: int
    saying: list[TurnShown]
    thinking: list[str]
    after: str  # where the events go on
    you: str
    notice: str


class SaidAnswer(BaseModel):
    id: str
    known: bool


class TextAnswer(BaseModel):
    text: str


class IdAnswer(BaseModel):
    id: str | None


class AwakeAnswer(BaseModel):
    awake: list[str]


class CountersShown(BaseModel):
    prompt_tokens: int
    reused_tokens: int
    evaluated_tokens: int
    reply_tokens: int
    first_token_seconds: float
    total_seconds: float


class WhyAnswer(BaseModel):
    character: str
    text: str
    build: str
    revision: str
    prompt_version: int
    seed: int
    finish_reason: str
    counters: CountersShown
    exemplars: list[dict[str, Any]]
    lore: list[str]
    memories: list[Any]


class InGallery(BaseModel):
    slug: str
    name: str
    tagline: str
    categories: list[str]
    emoji: str
    colour: str | None
    portrait: str | None
    replies: int
    people: int
    ratings: int
    stars: float
    featured: bool
    adults: bool
    talk: dict[str, str] | None


class GalleryAnswer(BaseModel):
    characters: list[InGallery]
    may_create: bool


class CharacterAnswer(InGallery):
    greeting: str
    greetings: list[str]
    about: str
    examples: list[dict[str, str]]
    lines: int
    lore: int
    languages: list[str]
    made_by: str
    version: str
    shipped: bool
    notice: str
    may_edit: bool


class SavedAnswer(BaseModel):
    slug: str
    name: str
    revision: str
    portrait: str | None
    warnings: list[str]


class BesideAnswer(BaseModel):
    id: str
    take: int
    takes: int
    rating: int | None


class RatedAnswer(BaseModel):
    text: str
    rating: int | None


class RewoundAnswer(BaseModel):
    removed: int


class SceneAnswer(BaseModel):
    text: str
    place: str


class MemoryShown(BaseModel):
    id: int
    character: str
    name: str
    text: str
    pinned: bool
    everywhere: bool
    of_place: bool


class MemoriesAnswer(BaseModel):
    memories: list[MemoryShown]


class LikenessShown(BaseModel):
    number: int
    name: str
    state: Literal["asked", "agreed", "refused"]
    text: str


class PrivacyAnswer(BaseModel):
    remember: bool
    train: bool
    stored: dict[str, int]  # kind of row -> how many
    wordings: dict[str, str]
    likenesses: list[LikenessShown]


class VoiceAnswer(BaseModel):
    available: bool
    engine: str | None
    why: str | None  # nobody speaks


class HealthAnswer(BaseModel):
    status: Literal["ok"]
    open_pages: int
