"""What is stored about a visitor, for that visitor: the page's ``/privacy``. Whoever sends a browser's id is that person.

GET  /api/privacy            what they agreed to, what is stored in numbers, the texts that are asked, what was asked of them
POST /api/privacy/consent    {to, granted}
POST /api/privacy/likeness   {number, agreed}
GET  /api/privacy/export     everything, as a file
POST /api/privacy/forget     {}
"""

from __future__ import annotations

from aiohttp import web

from bot.commands import likeness, privacy
from bot.commands.desk import Caller, Desk
from bot.connectors import web_requests
from bot.connectors.web_callers import Callers
from bot.connectors.web_requests import Refused


class WebPrivacy:
    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._desk, self._callers = desk, callers

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/privacy", self._status),
            web.post("/api/privacy/consent", self._consent),
            web.post("/api/privacy/likeness", self._likeness),
            web.get("/api/privacy/export", self._export),
            web.post("/api/privacy/forget", self._forget),
        ]

    async def _status(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        status = await privacy.status(self._desk, caller)
        asked = await likeness.questions(self._desk, caller)
        return web.json_response(
            {
                "remember": status.remember,
                "train": status.train,
                "stored": dict(status.stored),
                "wordings": {kind: wording.text for kind, wording in privacy.WORDINGS.items()},
                "likenesses": [{"number": a.id, "name": a.name, "state": a.state, "text": likeness.wording_of(a)} for a in asked],
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _consent(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"to": str, "granted": bool})
        kind = next((kind for kind in privacy.WORDINGS if kind == body.get("to")), None)
        if kind is None or "granted" not in body:
            raise Refused(400, "Say whether 'to' is 'remember' or 'train', and whether it is 'granted'.")
        return web.json_response({"text": await privacy.consent(self._desk, self._caller(request), kind, body["granted"])})

    async def _likeness(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"number": int, "agreed": bool})
        if "number" not in body or "agreed" not in body:
            raise Refused(400, "Give the 'number' of the question, and whether you 'agreed'.")
        return web.json_response({"text": await likeness.answer(self._desk, self._caller(request), body["number"], body["agreed"])})

    async def _export(self, request: web.Request) -> web.StreamResponse:
        _, data = await privacy.export(self._desk, self._caller(request))
        headers = {"Content-Disposition": 'attachment; filename="my-data.json"', "Cache-Control": "no-store"}
        return web.Response(body=data, content_type="application/json", headers=headers)

    async def _forget(self, request: web.Request) -> web.StreamResponse:
        await web_requests.read_body(request, {})
        return web.json_response({"text": str(await privacy.forget(self._desk, self._caller(request)))})

    def _caller(self, request: web.Request) -> Caller:
        """Nobody is somebody else here: without an id of their own there is nothing to ask about."""
        if web_requests.PERSON_HEADER not in request.headers:
            raise Refused(400, f"Say who asks, in {web_requests.PERSON_HEADER}.")
        return self._callers.of(request)
