"""What OpenAI's chat protocol says, as far as a character can do it; the source of ``/api/openapi.json`` for these addresses.

Fields that are not named here are taken and have no effect: clients send dozens, and a refused one would keep them out.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MESSAGES = 2000  # more than any context holds
STOPS = 16


class Taken(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TextPart(Taken):
    type: Literal["text"]
    text: str


class ChatMessageGiven(Taken):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Taken):
    include_usage: bool = False


class ChatRequest(Taken):
    """A request for a character's next words. With ``user`` the character remembers; without, the messages are all it knows."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[ChatMessageGiven], Field(min_length=1, max_length=MESSAGES)]
    user: Annotated[str, Field(pattern=r"^[A-Za-z0-9@._+-]{1,64}$")] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=STOPS)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None


class ModelShape(BaseModel):
    id: str  # the character's slug
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "troupe"
    name: str
    description: str


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelShape]


class CachedTokens(BaseModel):
    cached_tokens: int


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str  # the build that answered
    choices: list[Choice]
    usage: Usage


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    index: int = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: None = None


class ChatChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    error: ErrorBody
