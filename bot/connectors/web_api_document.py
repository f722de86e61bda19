"""``/api/openapi.json``: what can be asked here, for people and programs. Bodies and answers are described by the shapes that check them.

A test holds the list below against the routes that are served, and another fuzzes the server with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bot.connectors import web_api_answers as answers
from bot.connectors import web_api_shapes as openai_shapes
from bot.connectors import web_rating as rating
from bot.connectors import web_workshop_shapes as workshop
from bot.connectors.web_curation import DecisionBody

JSON: Final = "application/json"

_SLUG = {"type": "string", "minLength": 1, "maxLength": 80, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"}
_PARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "channel": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]{0,39}$", "example": "lobby"},
    "message_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
    "slug": _SLUG,
    "model": _SLUG,
    "study": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
    "run": {"type": "string", "minLength": 1, "maxLength": 80, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
    "number": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "build": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$", "example": "starter"},
}


@dataclass(frozen=True, slots=True)
class Described:
    """One thing that can be asked. ``gives`` is the answer's shape, or its media type where it is no JSON."""

    method: str
    path: str
    summary: str
    gives: type[BaseModel] | str
    takes: type[BaseModel] | str | None = None
    query: Mapping[str, Mapping[str, Any]] | None = None
    statuses: tuple[int, ...] = (200,)


_FORM: Final[Mapping[str, Any]] = {"type": "string", "enum": ["markdown"], "default": "markdown"}  # or jsonl, of another media type
_RATING_FORM: Final[Mapping[str, Any]] = {"type": "string", "enum": ["csv"]}
_TEXT: Final[Mapping[str, Any]] = {"type": "string", "maxLength": 200}
_ANY_OBJECT: Final = "application/json; of any shape"
CHANNEL, WORKSHOP = "/api/channels/{channel}", "/api/workshop"

DESCRIBED: Final[tuple[Described, ...]] = (
    Described("GET", "/v1/models", "Every character is a model", openai_shapes.ModelList),
    Described("GET", "/v1/models/{model}", "One of them", openai_shapes.ModelShape),
    Described("POST", "/v1/chat/completions", "A character's next words", openai_shapes.ChatCompletion, openai_shapes.ChatRequest),
    Described(
        "GET",
        CHANNEL,
        "Who is in a channel and what was said",
        answers.ChannelAnswer,
        query={"name": _TEXT, "before": {"type": "integer", "minimum": 0, "maximum": 10**12}},
    ),
    Described("GET", f"{CHANNEL}/events", "What happens from now on, as server-sent events", "text/event-stream", query={"after": _TEXT}),
    Described("GET", f"{CHANNEL}/why/{{message_id}}", "What made a reply", answers.WhyAnswer),
    Described("POST", f"{CHANNEL}/messages", "Say something", answers.SaidAnswer, answers.MessageBody, statuses=(200, 202)),
    Described("POST", f"{CHANNEL}/stop", "End what is being said", answers.TextAnswer, answers.NothingBody),
    Described("POST", f"{CHANNEL}/regenerate", "Another take of a reply", answers.IdAnswer, answers.AboutMessageBody, statuses=(202,)),
    Described("POST", f"{CHANNEL}/continue", "More of a reply", answers.IdAnswer, answers.AboutMessageBody, statuses=(202,)),
    Described("POST", f"{CHANNEL}/reset", "Begin anew", answers.TextAnswer, answers.ResetBody),
    Described("POST", f"{CHANNEL}/awake", "Bring somebody into the channel, or send them out", answers.AwakeAnswer, answers.AwakeBody),
    Described("POST", f"{CHANNEL}/choose", "The channel is this character's alone", answers.AwakeAnswer, answers.ChooseBody),
    Described("POST", f"{CHANNEL}/take", "Another take that was made before", answers.BesideAnswer, answers.TakeBody),
    Described("GET", f"{CHANNEL}/beside/{{message_id}}", "A reply's takes and one's own rating", answers.BesideAnswer),
    Described("POST", f"{CHANNEL}/rate", "Rate a reply", answers.RatedAnswer, answers.RateBody),
    Described("POST", f"{CHANNEL}/edit", "A character has said this instead", answers.TextAnswer, answers.EditBody),
    Described("POST", f"{CHANNEL}/report", "Tell the moderators of a reply", answers.TextAnswer, answers.RewindBody),
    Described("POST", f"{CHANNEL}/hide", "Nobody knows of a message any more, for moderators", answers.RewoundAnswer, answers.RewindBody),
    Described("POST", f"{CHANNEL}/rewind", "Take back what came after", answers.RewoundAnswer, answers.RewindBody),
    Described("POST", f"{CHANNEL}/scene", "Where the conversation plays", answers.SceneAnswer, answers.SceneBody),
    Described("GET", f"{CHANNEL}/memories", "What characters remember of the visitor", answers.MemoriesAnswer),
    Described("POST", f"{CHANNEL}/memories", "Have something remembered", answers.MemoryShown, answers.MemoryBody, statuses=(201,)),
    Described("POST", f"{CHANNEL}/memories/{{number}}", "Change a memory", answers.MemoryShown, answers.MemoryChangeBody),
    Described("POST", f"{CHANNEL}/memories/{{number}}/remove", "Forget it", answers.MemoryShown, answers.NothingBody),
    Described("GET", f"{CHANNEL}/export", "The conversation as a file", "text/markdown", query={"form": _FORM}),
    Described("GET", "/api/privacy", "What is stored about the visitor, and what they agreed to", answers.PrivacyAnswer),
    Described("POST", "/api/privacy/consent", "Agree, or withdraw", answers.TextAnswer, answers.ConsentBody),
    Described("POST", "/api/privacy/likeness", "Whether one lends a character one's voice", answers.TextAnswer, answers.LikenessBody),
    Described("GET", "/api/privacy/export", "Everything about the visitor", _ANY_OBJECT),
    Described("POST", "/api/privacy/forget", "Remove everything about the visitor", answers.TextAnswer, answers.NothingBody),
    Described("GET", "/api/gallery", "Everybody, in short", answers.GalleryAnswer),
    Described("GET", "/api/gallery/{slug}", "One character in full", answers.CharacterAnswer, query={"name": _TEXT}),
    Described("GET", f"{WORKSHOP}/{{slug}}", "A character's draft and its revisions", _ANY_OBJECT),
    Described("POST", f"{WORKSHOP}/measure", "Tokens of a draft against the budgets", _ANY_OBJECT, workshop.MeasureBody),
    Described("POST", f"{WORKSHOP}/portrait", "A portrait drawn from a draft's words", "image/png", workshop.MeasureBody),
    Described("POST", f"{WORKSHOP}/hear", "A draft's greeting in its voice", "audio/wav", workshop.MeasureBody),
    Described("POST", f"{WORKSHOP}/try", "Talk to a draft", "application/x-ndjson", workshop.TrialBody),
    Described("POST", f"{WORKSHOP}/save", "Keep a draft", answers.SavedAnswer, workshop.SaveBody, statuses=(200, 201)),
    Described(
        "POST", f"{WORKSHOP}/import", "Register a card file", answers.SavedAnswer, "application/octet-stream", {"name": _TEXT}, (201,)
    ),
    Described("GET", f"{WORKSHOP}/{{slug}}/card.png", "Its card as a picture", "image/png", query={"spec": _TEXT}),
    Described("GET", f"{WORKSHOP}/{{slug}}/card.json", "Its card", _ANY_OBJECT, query={"spec": _TEXT}),
    Described("GET", f"{WORKSHOP}/{{slug}}/revisions/{{number}}", "The draft of a revision", _ANY_OBJECT),
    Described("POST", f"{WORKSHOP}/{{slug}}/restore", "Bring a revision back", answers.SavedAnswer, workshop.RevisionBody),
    Described("POST", f"{WORKSHOP}/{{slug}}/delete", "Take a character out of the company", _ANY_OBJECT, answers.NothingBody),
    Described("GET", "/api/rating", "Studies to rate blindly", _ANY_OBJECT),
    Described("POST", "/api/rating", "Make a study, for operators", _ANY_OBJECT, rating.StudyBody, statuses=(201,)),
    Described("GET", "/api/rating-sources", "Runs whose builds can be compared, for operators", _ANY_OBJECT),
    Described("GET", "/api/rating/{study}/pair", "Two replies to compare", _ANY_OBJECT),
    Described("POST", "/api/rating/{study}/pair", "Which is better", _ANY_OBJECT, rating.PairBody),
    Described("GET", "/api/rating/{study}/point", "A reply to score", _ANY_OBJECT),
    Described("POST", "/api/rating/{study}/point", "How good it is", _ANY_OBJECT, rating.PointBody),
    Described("GET", "/api/rating/{study}/results", "Preferences, means, agreement; for operators", _ANY_OBJECT),
    Described("GET", "/api/rating/{study}/export", "Every judgement, for operators", "text/csv", query={"form": _RATING_FORM}),
    Described("GET", "/api/voice", "Whether somebody speaks aloud here", answers.VoiceAnswer),
    Described(
        "GET",
        "/characters/{slug}/voice",
        "A greeting or a reply as sound",
        "audio/wav",
        query={"name": _TEXT, "channel": _PARTS["channel"], "message": _PARTS["message_id"]},
    ),
    Described("GET", "/api/control", "What the house is doing, for operators", _ANY_OBJECT),
    Described("GET", "/api/control/curation/{run}", "Rows to learn from that wait for a look, for operators", _ANY_OBJECT),
    Described("POST", "/api/control/curation/{run}", "What becomes of a row, for operators", _ANY_OBJECT, DecisionBody),
    Described("GET", "/api/control/builds/{build}", "The report of a build, for operators", "text/markdown"),
    Described("POST", "/api/control/reports/{number}", "A reported reply stays, for operators", answers.TextAnswer, answers.NothingBody),
    Described("GET", "/metrics", "Numbers for Prometheus, for operators", "text/plain"),
    Described("GET", "/healthz", "Whether it is alive", answers.HealthAnswer),
)


def document(described: tuple[Described, ...] = DESCRIBED) -> dict[str, Any]:
    """OpenAPI 3.1."""
    shapes = {shape for d in described for shape in (d.takes, d.gives) if isinstance(shape, type)}
    shapes |= {answers.ErrorSentence, openai_shapes.ErrorAnswer}
    _, definitions = models_json_schema([(shape, "validation") for shape in sorted(shapes, key=lambda s: s.__name__)], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for each in described:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Troupe",
            "version": version("troupe"),
            "description": "Everything characters say is made up. Addresses under /v1 speak OpenAI's protocol; errors elsewhere are "
            "{error: sentence}. Where a token is wanted, send it as Authorization: Bearer.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


_REF: Final = "#/components/schemas/{model}"


def _operation(each: Described) -> dict[str, Any]:
    names = [part[1:-1] for part in each.path.replace(".", "/").split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [{"name": n, "in": "path", "required": True, "schema": dict(_PARTS[n])} for n in names]
    parameters += [{"name": n, "in": "query", "required": False, "schema": dict(s)} for n, s in (each.query or {}).items()]
    error = openai_shapes.ErrorAnswer if each.path.startswith("/v1/") else answers.ErrorSentence
    operation: dict[str, Any] = {
        "summary": each.summary,
        "operationId": f"{each.method.lower()}{each.path.replace('/', '_').replace('{', '').replace('}', '').replace('.', '_')}",
        "parameters": parameters,
        "responses": {
            **{str(status): {"description": each.summary, "content": _content(each.gives)} for status in each.statuses},
            "4XX": {"description": "It was not done, and why", "content": {JSON: {"schema": _reference(error)}}},
            "503": {"description": "It could not be done just now", "content": {JSON: {"schema": _reference(error)}}},
        },
    }
    if each.takes is not None:
        operation["requestBody"] = {"required": True, "content": _content(each.takes)}
    return operation


def _content(shape: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(shape, type):
        return {JSON: {"schema": _reference(shape)}}
    if shape == _ANY_OBJECT:
        return {JSON: {"schema": {"type": "object"}}}
    return {shape: {"schema": {"type": "string"}}}


def _reference(shape: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=shape.__name__)}


def routes() -> list[web.RouteDef]:
    made = document()

    async def tell(_request: web.Request) -> web.StreamResponse:
        return web.json_response(made)

    return [web.get("/api/openapi.json", tell)]
