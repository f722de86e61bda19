"""The workshop: characters are written, measured, tried, saved, brought back and taken along.

    GET  /workshop?character=                      the page
    GET  /api/workshop/{slug}                      the character's draft and its revisions
    POST /api/workshop/measure                     {draft, character?}: tokens against budgets
    POST /api/workshop/portrait                    {draft, character?}: drawn from its words, as PNG
    POST /api/workshop/try                         {draft, character?, turns, name}: the answer, one JSON object a line
    POST /api/workshop/save                        {draft, character?, revision?, portrait?}
    POST /api/workshop/import?name=                a card file, as it is
    GET  /api/workshop/{slug}/card.png  .json      ?spec=v2
    GET  /api/workshop/{slug}/revisions/{number}   that revision's draft
    POST /api/workshop/{slug}/restore              {revision}
    POST /api/workshop/{slug}/delete               {}

Who may do so is decided in ``bot.commands.registering``. Files come as ``application/octet-stream``, everything else as JSON.
"""

from __future__ import annotations

import base64
import json
from contextlib import aclosing
from dataclasses import asdict
from typing import Literal

from aiohttp import web

from bot.commands import drafting, registering
from bot.commands.desk import Desk
from bot.commands.registering import Registered
from bot.connectors import web_requests
from bot.connectors.web_callers import PLATFORM, Callers
from bot.connectors.web_files import PageFiles
from bot.connectors.web_requests import Refused
from bot.connectors.web_shapes import badge
from bot.connectors.web_workshop_shapes import (
    MeasureBody,
    RevisionBody,
    SaveBody,
    TrialBody,
    draft_shape,
    measured_shape,
    opened_shape,
    read,
    saved_shape,
)
from bot.errors import BotError
from bot.messages import ChannelKey

CHUNK_BYTES = 64 * 1024


class WebWorkshop:
    def __init__(self, desk: Desk, callers: Callers, files: PageFiles) -> None:
        self._desk, self._callers, self._files = desk, callers, files

    def routes(self) -> list[web.RouteDef]:
        async def page(request: web.Request) -> web.StreamResponse:
            return self._files.answer(request, "workshop.html")

        here = "/api/workshop"
        return [
            web.get("/workshop", page),
            web.post(f"{here}/measure", self._measure),
            web.post(f"{here}/portrait", self._draw),
            web.post(f"{here}/hear", self._hear),
            web.post(f"{here}/try", self._try),
            web.post(f"{here}/save", self._save),
            web.post(f"{here}/import", self._import),
            web.get(f"{here}/{{slug}}", self._open),
            web.get(f"{here}/{{slug}}/card.{{kind:png|json}}", self._export),
            web.get(rf"{here}/{{slug}}/revisions/{{number:\d{{1,9}}}}", self._revision),
            web.post(f"{here}/{{slug}}/restore", self._restore),
            web.post(f"{here}/{{slug}}/delete", self._delete),
        ]

    # ------------------------------------------------------------------ while it is written

    async def _open(self, request: web.Request) -> web.StreamResponse:
        opened = await drafting.open_draft(self._desk, self._callers.of(request), _slug(request))
        return web.json_response(opened_shape(opened))

    async def _measure(self, request: web.Request) -> web.StreamResponse:
        body = read(await request.read(), MeasureBody)
        measured = await drafting.measure(self._desk, self._callers.of(request), body.draft.draft(), body.character)
        return web.json_response(measured_shape(measured))

    async def _draw(self, request: web.Request) -> web.StreamResponse:
        body = read(await request.read(), MeasureBody)
        picture = await drafting.drawn(self._desk, self._callers.of(request), body.draft.draft())
        return web.Response(body=picture, content_type="image/png", headers={"Cache-Control": "no-store"})

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        body = read(await request.read(), MeasureBody)
        speech = await drafting.heard(self._desk, self._callers.of(request), body.draft.draft(), body.character)
        return web.Response(body=speech.audio, content_type=speech.media_type, headers={"Cache-Control": "no-store"})

    async def _try(self, request: web.Request) -> web.StreamResponse:
        body = read(await request.read(), TrialBody)
        caller = self._callers.of(request, name=body.name)
        spoken = [(turn.by == "character", turn.text) for turn in body.turns]
        channel = ChannelKey(PLATFORM, f"workshop-{badge(caller.person.id)}")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8", "Cache-Control": "no-store"})
        trial = drafting.try_out(self._desk, caller, body.draft.draft(), spoken, body.character, channel=channel)
        async with aclosing(trial) as pieces:
            try:
                async for piece in pieces:
                    if not response.prepared:  # a refusal comes before the first piece, and is an answer of its own
                        await response.prepare(request)
                    line = {"text": piece.text, **({"counters": asdict(piece.counters)} if piece.finish_reason else {})}
                    await response.write(json.dumps(line).encode() + b"\n")
            except BotError as error:
                if not response.prepared:
                    raise
                await response.write(json.dumps({"error": web_requests.for_visitors(error)}).encode() + b"\n")
        if not response.prepared:
            await response.prepare(request)
        return response

    # ------------------------------------------------------------------ kept

    async def _save(self, request: web.Request) -> web.StreamResponse:
        body = read(await request.read(), SaveBody)
        saved = await drafting.save(
            self._desk,
            self._callers.of(request),
            body.draft.draft(),
            name=body.character,
            revision=body.revision,
            portrait=None if body.portrait is None else _decoded(body.portrait),
        )
        return _saved(saved, status=200 if body.character else 201)

    async def _import(self, request: web.Request) -> web.StreamResponse:
        caller = self._callers.of(request)
        registering.may_register(caller)  # before megabytes are read
        data = await self._file(request)
        name = request.query.get("name", "card")[-100:]
        return _saved(await registering.import_card(self._desk, caller, data, name), status=201)

    async def _file(self, request: web.Request) -> bytes:
        """A body of at most the size that a card may have, whatever the rest of the API allows."""
        limit = self._desk.company.limits.card_bytes
        data = bytearray()
        async for chunk in request.content.iter_chunked(CHUNK_BYTES):
            data += chunk
            if len(data) > limit:
                raise Refused(413, f"That file is larger than {limit:,} bytes, the limit here (characters.card_bytes).")
        return bytes(data)

    async def _export(self, request: web.Request) -> web.StreamResponse:
        png = request.match_info["kind"] == "png"
        version: Literal["v2", "v3"] = "v2" if request.query.get("spec") == "v2" else "v3"
        caller = self._callers.of(request)
        name, data = await registering.export_card(self._desk, caller, _slug(request), png=png, version=version)
        kind = "image/png" if png else "application/json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return web.Response(body=data, content_type=kind, headers=headers)

    async def _revision(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        draft = await drafting.revision_draft(self._desk, self._callers.of(request), _slug(request), number)
        return web.json_response({"revision": number, "draft": draft_shape(draft)})

    async def _restore(self, request: web.Request) -> web.StreamResponse:
        body = read(await request.read(), RevisionBody)
        return _saved(await drafting.restore(self._desk, self._callers.of(request), _slug(request), body.revision))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        await web_requests.read_body(request, {})
        gone = await registering.delete(self._desk, self._callers.of(request), _slug(request))
        return web.json_response({"slug": gone.slug, "name": gone.name})


def _slug(request: web.Request) -> str:
    return request.match_info["slug"][:80]


def _saved(saved: Registered, status: int = 200) -> web.Response:
    return web.json_response(saved_shape(saved.character, saved.warnings), status=status)


def _decoded(picture: str) -> bytes:
    try:
        return base64.b64decode(picture, validate=True)
    except ValueError as error:  # not only binascii.Error: a letter outside ASCII is none
        raise Refused(400, "The portrait is not base64.") from error
