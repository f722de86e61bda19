"""Characters heard on the page: what they say first, and what they have said.

    GET /api/voice                                              whether anybody speaks here, and why not
    GET /characters/{slug}/voice                                the greeting, as sound; ?name= who is greeted
    GET /characters/{slug}/voice?channel=lobby&message={id}     a reply of that channel

Only a character's own words are spoken, never a text that somebody sends. The same words are made once.
"""

from __future__ import annotations

from aiohttp import web

from bot.commands import voice
from bot.commands.desk import Desk
from bot.connectors import web_requests
from bot.connectors.web_callers import LOBBY, Callers
from bot.connectors.web_requests import Refused
from bot.errors import CommandRefused
from bot.voice.booth import mark_of


class WebVoice:
    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._desk, self._callers = desk, callers

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/voice", self._tell), web.get("/characters/{slug}/voice", self._speak)]

    async def _tell(self, _request: web.Request) -> web.StreamResponse:
        booth = self._desk.booth
        if booth is None:
            return web.json_response({"available": False, "engine": None, "why": voice.ABSENT})
        return web.json_response({"available": True, "engine": booth.engine, "why": None})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        if not voice.speaks(self._desk):
            raise Refused(404, voice.ABSENT)
        line = await self._line(request)
        mark = mark_of(line.character, line.words)
        headers = {"ETag": f'"{mark}"', "Cache-Control": "private, no-cache"}
        if mark in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        try:
            speech = await voice.speech(self._desk, line)
        except CommandRefused as error:
            raise Refused(503, str(error)) from error
        return web.Response(body=speech.audio, content_type=speech.media_type, headers=headers)

    async def _line(self, request: web.Request) -> voice.Line:
        slug, name = request.match_info["slug"][:80], request.query.get("name", "")
        if "message" not in request.query:
            return await voice.greeting(self._desk, self._callers.of(request, name=name), slug)
        channel = web_requests.checked_channel(request.query.get("channel", LOBBY))
        message_id = web_requests.identifier(request.query["message"], "A message's id")
        line = await voice.reply(self._desk, self._callers.of(request, channel=channel, name=name), message_id)
        if line.character.slug != slug:
            raise CommandRefused(voice.NO_REPLY)
        return line
