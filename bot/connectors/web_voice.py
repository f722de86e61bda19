"""Characters heard on the page: what they say first, and what they have said.

    GET /api/voice                                              whether anybody speaks here, and why not
    GET /characters/{slug}/voice                                the greeting, as sound; ?name= who is greeted
    GET /characters/{slug}/voice?channel=lobby&message={id}     a reply of that channel

Only a character's own words are spoken, never a text that somebody sends. The same words are made once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from aiohttp import web

from bot.characters.cast import Character
from bot.commands.desk import Desk
from bot.connectors import web_requests
from bot.connectors.web_callers import LOBBY, PLATFORM, Callers
from bot.connectors.web_requests import Refused
from bot.errors import CharacterNotFound, SpeechError
from bot.messages import ChannelKey
from bot.voice.speech import Speech

KEPT_BYTES = 32 * 1024 * 1024
WAITING = 16  # sounds asked for at once; a page that asks for more is told to wait
ABSENT = "Nobody speaks aloud here: install espeak-ng, or name a speech server under [voice]."


class WebVoice:
    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._desk, self._callers = desk, callers
        self._kept: OrderedDict[str, Speech] = OrderedDict()
        self._asked = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/voice", self._tell), web.get("/characters/{slug}/voice", self._speak)]

    async def _tell(self, _request: web.Request) -> web.StreamResponse:
        speaker = self._desk.speaker
        if speaker is None:
            return web.json_response({"available": False, "engine": None, "why": ABSENT})
        return web.json_response({"available": True, "engine": speaker.engine, "why": None})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        if self._desk.speaker is None:
            raise Refused(404, ABSENT)
        caller = self._callers.of(request, name=request.query.get("name", ""))
        character = self._desk.company.find(caller.channel, request.match_info["slug"][:80])
        if not await self._desk.company.allowed(caller.channel, [character]):
            raise CharacterNotFound(f"{character.name} does not appear here")
        text = await self._words(request, character) if "message" in request.query else character.greeting(caller.person.name)
        if not text.strip():
            raise Refused(404, f"{character.name} begins with no words.")
        mark = hashlib.sha256(f"{character.revision}\0{character.slug}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
        headers = {"ETag": f'"{mark}"', "Cache-Control": "private, no-cache"}
        if mark in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        speech = await self._spoken(mark, character, text)
        return web.Response(body=speech.audio, content_type=speech.media_type, headers=headers)

    async def _words(self, request: web.Request, character: Character) -> str:
        name = web_requests.checked_channel(request.query.get("channel", LOBBY))
        message_id = web_requests.identifier(request.query["message"], "A message's id")
        reply = await self._desk.store.delivery_of(ChannelKey(PLATFORM, name), message_id)
        if reply is None or reply.character_id != character.id or not reply.text:
            raise Refused(404, f"{character.name} has said nothing of that kind.")
        return reply.text

    async def _spoken(self, mark: str, character: Character, text: str) -> Speech:
        known = self._kept.get(mark)
        if known is not None:
            self._kept.move_to_end(mark)
            return known
        if self._asked >= WAITING:
            raise Refused(503, "Too many are speaking at once just now. Please try again in a moment.")
        speaker = self._desk.speaker
        assert speaker is not None, "asked without a speaker"
        self._asked += 1
        try:
            speech = await speaker.say(character, text)
        except SpeechError as error:
            raise Refused(503, f"{character.name} cannot be heard just now; the words are still there to read.") from error
        finally:
            self._asked -= 1
        self._kept[mark] = speech
        while sum(len(kept.audio) for kept in self._kept.values()) > KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return speech
