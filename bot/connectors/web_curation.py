"""What was collected to learn from, row by row, for whoever runs this house.

    GET  /api/control/curation/{run}                         the rows that wait
    POST /api/control/curation/{run} {key, verdict, text}    approve, edit or drop one; the rows that wait then

Ids of people stay here; their names in the rows are others than their own.
"""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from bot.commands import curation
from bot.commands.desk import Desk
from bot.connectors.web_callers import Callers
from bot.connectors.web_security import operators_only
from bot.connectors.web_workshop_shapes import read
from bot.memory.collected import Verdict


class DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: Annotated[str, StringConstraints(max_length=200)]
    verdict: Verdict
    text: Annotated[str, StringConstraints(max_length=20_000)] = ""  # with "edit": the reply as it should have been


class WebCuration:
    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._desk, self._callers = desk, callers

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/control/curation/{run}", self._waiting), web.post("/api/control/curation/{run}", self._decide)]

    async def _waiting(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        return _told(await curation.waiting(self._desk, self._callers.of(request), request.match_info["run"]))

    async def _decide(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        body = read(await request.read(), DecisionBody)
        caller, run = self._callers.of(request), request.match_info["run"]
        return _told(await curation.decide(self._desk, caller, run, body.key, body.verdict, body.text))


def _told(queue: curation.Queue) -> web.Response:
    return web.json_response(
        {"waiting": queue.waiting, "lessons": [_shape(lesson) for lesson in queue.lessons]}, headers={"Cache-Control": "no-store"}
    )


def _shape(lesson: curation.Lesson) -> dict[str, Any]:
    return {
        "key": lesson.key,
        "why": lesson.why,
        "character": lesson.character,
        "before": [{"said": said, "reply": reply} for said, reply in lesson.before],
        "said": lesson.said,
        "chosen": lesson.chosen,
        "rejected": lesson.rejected,
        "liked": lesson.liked,
    }
