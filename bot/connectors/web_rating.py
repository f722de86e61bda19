"""Blind rating: people compare two builds or two characters without knowing which is which.

GET  /rating                             the page
GET  /api/rating                         studies, and how far this rater is
GET  /api/rating/{study}/pair            two replies to compare, or null
POST /api/rating/{study}/pair            {item, choice: left | right | tie}
GET  /api/rating/{study}/point           one reply to score, or null
POST /api/rating/{study}/point           {mark, scores: {overall: 1-5, …}}
operators:
GET  /api/rating-sources                 what builds can be compared: runs with kept replies
POST /api/rating                         {title, run, a, b} or {title, a, b, questions}
GET  /api/rating/{study}/results         preferences, means, and how far raters agree
GET  /api/rating/{study}/export?form=jsonl|csv
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from statistics import fmean
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.characters.cast import Character
from bot.characters.prompt import Spoken
from bot.commands.desk import MADE_UP, Desk
from bot.connectors.web_callers import Callers
from bot.connectors.web_files import PageFiles
from bot.connectors.web_rating_figures import alpha, interval, nominal, preferred
from bot.connectors.web_rating_studies import DIMENSIONS, HIGHEST, LOWEST, SIDES, Item, Side, Studies, Study
from bot.connectors.web_requests import Handler, Refused
from bot.connectors.web_security import operators_only
from bot.connectors.web_workshop_shapes import read
from bot.errors import BotError
from bot.messages import ChannelKey
from bot.sessions.unstored import Brought, answer_unstored

log = logging.getLogger(__name__)

T = TypeVar("T")
ASKER = "A visitor"

Title = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
Question = Annotated[str, StringConstraints(min_length=1, max_length=600, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StudyBody(_Body):
    title: Title
    a: Name
    b: Name
    run: Name | None = None  # of builds
    questions: Annotated[list[Question], Field(max_length=50)] = []  # to two characters


class PairBody(_Body):
    item: Annotated[str, StringConstraints(max_length=40)]
    choice: Literal["left", "right", "tie"]


class PointBody(_Body):
    mark: Annotated[str, StringConstraints(max_length=40)]
    scores: Annotated[dict[str, Annotated[int, Field(ge=LOWEST, le=HIGHEST)]], Field(max_length=len(DIMENSIONS))]


class WebRating:
    def __init__(self, desk: Desk, callers: Callers, files: PageFiles) -> None:
        self._desk, self._callers, self._files = desk, callers, files
        self._studies = Studies(desk.data)
        self._turn = asyncio.Lock()  # the studies are for one thread at a time
        self._making: dict[str, asyncio.Task[None]] = {}

    def routes(self) -> list[web.RouteDef]:
        one = "/api/rating/{study}"
        return [
            web.get("/rating", self._page),
            web.get("/api/rating", self._list),
            web.post("/api/rating", self._create),
            web.get("/api/rating-sources", self._sources),
            web.get(f"{one}/pair", self._with_study(self._pair)),
            web.post(f"{one}/pair", self._with_study(self._compare)),
            web.get(f"{one}/point", self._with_study(self._point)),
            web.post(f"{one}/point", self._with_study(self._score)),
            web.get(f"{one}/results", self._with_study(self._results)),
            web.get(f"{one}/export", self._with_study(self._export)),
        ]

    async def making(self, _app: web.Application) -> AsyncIterator[None]:
        """For ``app.cleanup_ctx``: what is still being made for a study ends with the page."""
        yield
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ rating

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return self._files.answer(request, "rating.html")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        caller = self._callers.of(request)

        def work() -> list[dict[str, Any]]:
            return [self._shape(study, caller.person.id, caller.operator) for study in self._studies.all()]

        return web.json_response(
            {"studies": await self._alone(work), "dimensions": list(DIMENSIONS), "operator": caller.operator, "notice": MADE_UP}
        )

    def _shape(self, study: Study, person_id: str, operator: bool) -> dict[str, Any]:
        rater = study.rater(person_id)
        shape = {
            "id": study.about.id,
            "title": study.about.title,
            "kind": study.about.kind,
            "items": len(study.items),
            "making": study.about.id in self._making,
            "compared": sum(r == rater for _, r in study.pairwise),
            "scored": sum(r == rater for _, _, r in study.pointwise),
        }
        return {**shape, "a": study.about.a, "b": study.about.b} if operator else shape

    async def _pair(self, request: web.Request, study: Study) -> web.StreamResponse:
        rater = study.rater(self._callers.of(request).person.id)
        item = await self._alone(lambda: study.next_pair(rater))
        if item is None:
            return web.json_response({"item": None})
        left, right = (item.b, item.a) if study.turned(item.id, rater) else (item.a, item.b)
        return web.json_response({"item": item.id, **self._asked(item), "left": left, "right": right})

    async def _compare(self, request: web.Request, study: Study) -> web.StreamResponse:
        body = read(await request.read(), PairBody)
        rater = study.rater(self._callers.of(request).person.id)
        if body.item not in study.items:
            raise Refused(404, "There is no such pair in this study.")
        left, right = ("b", "a") if study.turned(body.item, rater) else ("a", "b")
        choice = {"left": left, "right": right, "tie": "tie"}[body.choice]
        await self._alone(lambda: study.compare(body.item, rater, choice))  # type: ignore[arg-type]
        return await self._pair(request, study)

    async def _point(self, request: web.Request, study: Study) -> web.StreamResponse:
        rater = study.rater(self._callers.of(request).person.id)
        found = await self._alone(lambda: study.next_point(rater))
        if found is None:
            return web.json_response({"mark": None})
        item, side = found
        return web.json_response(
            {"mark": study.point_mark(item.id, side, rater), **self._asked(item), "reply": item.a if side == "a" else item.b}
        )

    async def _score(self, request: web.Request, study: Study) -> web.StreamResponse:
        body = read(await request.read(), PointBody)
        rater = study.rater(self._callers.of(request).person.id)
        found = await self._alone(lambda: study.of_point_mark(body.mark, rater))
        if found is None:
            raise Refused(404, "There is no such reply in this study.")
        if not body.scores or not set(body.scores) <= set(DIMENSIONS):
            raise Refused(400, f"Scores are of {', '.join(DIMENSIONS)}; give at least one.")
        item, side = found
        await self._alone(lambda: study.score(item.id, side, rater, body.scores))
        return await self._point(request, study)

    def _asked(self, item: Item) -> dict[str, Any]:
        """The question, and whom it was put to where that gives nothing away."""
        character = next((c for c in self._desk.company.cast.house if c.slug == item.character), None) if item.character else None
        return {
            "asked": item.asked,
            "character": character.name if character else item.character or None,
            "tagline": character.settings.tagline if character else "",
        }

    # ------------------------------------------------------------------ for operators

    async def _sources(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        return web.json_response({"runs": await self._alone(self._studies.sources)})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        body = read(await request.read(), StudyBody)
        caller = self._callers.of(request)
        if (body.run is None) == (not body.questions):
            raise Refused(400, "Give either the 'run' whose builds are compared, or 'questions' for two characters.")
        if body.run is not None:
            run = body.run
            items = await self._alone(lambda: self._studies.of_run(run, body.a, body.b))
            if not items:
                raise Refused(400, "The two builds have no differing replies to the same questions.")
            study = await self._alone(lambda: self._studies.create(body.title, "builds", body.a, body.b))
            await self._alone(lambda: study.add_items(items))
        else:
            a, b = (self._desk.company.find(caller.channel, name) for name in (body.a, body.b))
            if a.id == b.id:
                raise Refused(400, "Choose two different characters.")
            study = await self._alone(lambda: self._studies.create(body.title, "characters", a.slug, b.slug))
            task = asyncio.create_task(self._ask_both(study, a, b, body.questions), name=f"study {study.about.id}")
            self._making[study.about.id] = task
            task.add_done_callback(lambda _: self._making.pop(study.about.id, None))
        return web.json_response(self._shape(study, caller.person.id, operator=True), status=201)

    async def _ask_both(self, study: Study, a: Character, b: Character, questions: list[str]) -> None:
        """Put every question to both; what cannot be answered is left out."""
        for question in questions:
            try:
                replies = [await self._answer(character, question, study.about.id) for character in (a, b)]
                if all(replies):
                    item = Item(secrets.token_hex(6), question, "", *replies)
                    await self._alone(lambda item=item: study.add_items([item]))  # type: ignore[misc]
            except BotError as error:
                log.warning("a study's question was left out study=%s error=%s: %s", study.about.id, type(error).__name__, error)

    async def _answer(self, character: Character, question: str, study_id: str) -> str:
        company = self._desk.company.cast.house
        brought = Brought([Spoken(ASKER, question)])
        channel = ChannelKey("api", f"rating/{study_id}")
        pieces = answer_unstored(self._desk.router.stage, character, company, brought, channel=channel)
        return "".join([piece.text async for piece in pieces]).strip()

    async def _results(self, request: web.Request, study: Study) -> web.StreamResponse:
        operators_only(request)
        return web.json_response(await self._alone(lambda: _results(study)))

    async def _export(self, request: web.Request, study: Study) -> web.StreamResponse:
        operators_only(request)
        form = request.query.get("form", "jsonl")
        if form not in ("jsonl", "csv"):
            raise Refused(400, "Ratings are exported as 'jsonl' or 'csv'.")
        rows = await self._alone(study.rows)
        text = _as_csv(rows) if form == "csv" else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        kind = "text/csv" if form == "csv" else "application/jsonl"
        headers = {"Content-Disposition": f'attachment; filename="ratings-{study.about.id}.{form}"', "Cache-Control": "no-store"}
        return web.Response(body=text.encode("utf-8", "replace"), content_type=kind, charset="utf-8", headers=headers)

    # ------------------------------------------------------------------ shared

    def _with_study(self, handler: Callable[[web.Request, Study], Any]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            study = await self._alone(lambda: self._studies.get(request.match_info["study"]))
            if study is None:
                raise Refused(404, "There is no such study.")
            response: web.StreamResponse = await handler(request, study)
            return response

        return answer

    async def _alone(self, work: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(work)


def _results(study: Study) -> dict[str, Any]:
    by_item: dict[str, list[str]] = {}
    for (item_id, _), choice in study.pairwise.items():
        by_item.setdefault(item_id, []).append(choice)
    raters = {rater for _, rater in study.pairwise} | {rater for _, _, rater in study.pointwise}
    return {
        "a": study.about.a,
        "b": study.about.b,
        "items": len(study.items),
        "raters": len(raters),
        "pairwise": {**preferred(by_item), "alpha": _rounded(alpha(list(by_item.values()), nominal))},
        "pointwise": {dimension: _dimension(study, dimension) for dimension in DIMENSIONS},
    }


def _dimension(study: Study, dimension: str) -> dict[str, Any]:
    units: dict[tuple[str, Side], list[float]] = {}
    for (item_id, side, _), scores in study.pointwise.items():
        if isinstance(scores.get(dimension), int):
            units.setdefault((item_id, side), []).append(float(scores[dimension]))
    means = {side: [value for (_, s), values in units.items() if s == side for value in values] for side in SIDES}
    return {
        **{side: _rounded(fmean(values)) if values else None for side, values in means.items()},
        "count": sum(len(values) for values in units.values()),
        "alpha": _rounded(alpha(list(units.values()), interval)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _as_csv(rows: list[dict[str, Any]]) -> str:
    """With a heading. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    columns = ["form", "study", "item", "character", "asked", "a", "b", "rater", "chosen", "rated", *DIMENSIONS]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
