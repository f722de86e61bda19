"""What a page can do to a talk beyond talking: takes, ratings, corrections, the scene, memories, and the talk as a file.

Below ``/api/channels/{name}``; what is asked is decided in ``bot.commands``.

    POST /take               {message_id, step}    step is -1 or 1: the take before, or after
    GET  /beside/{id}                              how many takes a reply has, which is shown, how the visitor rated it
    POST /rate               {message_id, value}   1 to 5; 0 takes it back
    POST /edit               {message_id, text}    a character has said this instead
    POST /report             {message_id}          the moderators should see this reply
    POST /hide               {message_id}          for moderators: nobody knows of it any more
    POST /rewind             {message_id}          everything after it is taken back
    POST /scene              {text}
    GET  /memories                                 what characters remember of the visitor here, and of the place
    POST /memories           {character, text, pinned?, everywhere?}
    POST /memories/{number}  {text?, pinned?}
    POST /memories/{number}/remove
    GET  /export?form=markdown|jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.commands import chat as chat_commands
from bot.commands import memory as memory_commands
from bot.commands import talk as talk_commands
from bot.commands.desk import Caller, Desk
from bot.connectors import web_requests, web_shapes
from bot.connectors.web_callers import Callers
from bot.connectors.web_events import EventHub, Feed
from bot.connectors.web_requests import Refused
from bot.memory.store import Fact

FORMS: Mapping[str, tuple[talk_commands.TranscriptFormat, str, str]] = {
    "markdown": ("markdown", "text/markdown", "md"),
    "jsonl": ("jsonl", "application/jsonl", "jsonl"),
}


class WebTalk:
    def __init__(self, desk: Desk, callers: Callers, hub: EventHub) -> None:
        self._desk, self._callers, self._hub = desk, callers, hub

    def routes(self) -> list[web.RouteDef]:
        here = "/api/channels/{channel}"
        memory = rf"{here}/memories/{{number:\d{{1,15}}}}"
        return [
            web.post(f"{here}/take", self._take),
            web.get(f"{here}/beside/{{message_id}}", self._beside),
            web.post(f"{here}/rate", self._rate),
            web.post(f"{here}/edit", self._edit),
            web.post(f"{here}/report", self._report),
            web.post(f"{here}/hide", self._hide),
            web.post(f"{here}/rewind", self._rewind),
            web.post(f"{here}/scene", self._scene),
            web.get(f"{here}/memories", self._memories),
            web.post(f"{here}/memories", self._remember),
            web.post(memory, self._change_memory),
            web.post(f"{memory}/remove", self._forget),
            web.get(f"{here}/export", self._export),
        ]

    # ------------------------------------------------------------------ replies

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"message_id": str, "step": int})
        if body.get("step") not in (-1, 1):
            raise Refused(400, "'step' is -1 for the take before, or 1 for the one after.")
        caller, message_id = self._caller(request), _message_id(body)
        step = chat_commands.next_take if body["step"] == 1 else chat_commands.previous_take
        await step(self._desk, caller, message_id)
        shape = await self._beside_shape(caller, message_id)
        self._feed(caller).publish("take", {key: shape[key] for key in ("id", "take", "takes")})
        return web.json_response(shape)

    async def _beside(self, request: web.Request) -> web.StreamResponse:
        message_id = web_requests.identifier(request.match_info["message_id"], "A message's id")
        return web.json_response(await self._beside_shape(self._caller(request), message_id))

    async def _beside_shape(self, caller: Caller, message_id: str) -> dict[str, Any]:
        turn = await self._desk.store.turn_by_message(caller.channel, message_id)
        beside = (await self._desk.store.beside([turn.id], caller.person.id)).get(turn.id) if turn is not None else None
        if beside is None:
            raise Refused(404, "There is no such reply of a character here.")
        return {"id": message_id, "take": beside.take, "takes": beside.takes, "rating": beside.rating}

    async def _rate(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"message_id": str, "value": int})
        if "value" not in body:
            raise Refused(400, "Give a 'value' from 1 to 5, or 0 to take a rating back.")
        value = body["value"] or None
        text = await chat_commands.rate(self._desk, self._caller(request), value, _message_id(body))
        return web.json_response({"text": text, "rating": value})

    async def _edit(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"message_id": str, "text": str})
        text = await chat_commands.edit(self._desk, self._caller(request), _message_id(body), body.get("text", ""))
        return web.json_response({"text": text})

    async def _report(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"message_id": str})
        return web.json_response({"text": await chat_commands.report(self._desk, self._caller(request), _message_id(body))})

    async def _hide(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"message_id": str})
        caller = self._caller(request)
        turn = await chat_commands.hide(self._desk, caller, _message_id(body))
        if not turn.by_character:  # the port has taken a character's away
            self._feed(caller).publish("remove", {"id": turn.message_id})
        return web.json_response({"removed": 1})

    async def _rewind(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"message_id": str})
        caller = self._caller(request)
        gone = await talk_commands.rewind(self._desk, caller, _message_id(body))
        feed = self._feed(caller)
        for turn in gone:
            if not turn.by_character:  # the port has taken the characters' away
                feed.publish("remove", {"id": turn.message_id})
        return web.json_response({"removed": len(gone)})

    # ------------------------------------------------------------------ scene and memories

    async def _scene(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"text": str})
        caller = self._caller(request)
        text = await chat_commands.scene(self._desk, caller, body.get("text", ""))
        place = await self._desk.store.place(caller.channel)
        self._feed(caller).publish("scene", {"place": place})
        return web.json_response({"text": text, "place": place})

    async def _memories(self, request: web.Request) -> web.StreamResponse:
        facts = await memory_commands.facts(self._desk, self._caller(request))
        return web.json_response({"memories": [self._fact(fact) for fact in facts]})

    async def _remember(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"character": str, "text": str, "pinned": bool, "everywhere": bool})
        if "character" not in body:
            raise Refused(400, "Say which 'character' is to remember it.")
        fact = await memory_commands.add(
            self._desk,
            self._caller(request),
            body["character"],
            body.get("text", ""),
            pinned=body.get("pinned", False),
            everywhere=body.get("everywhere", False),
        )
        return web.json_response(self._fact(fact), status=201)

    async def _change_memory(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"text": str, "pinned": bool})
        caller, number = self._caller(request), int(request.match_info["number"])
        if not body:
            raise Refused(400, "Give a new 'text', or say whether it is 'pinned'.")
        if "text" in body:
            fact = await memory_commands.edit(self._desk, caller, number, body["text"])
        if "pinned" in body:
            fact = await memory_commands.pin(self._desk, caller, number, pinned=body["pinned"])
        return web.json_response(self._fact(fact))

    async def _forget(self, request: web.Request) -> web.StreamResponse:
        await web_requests.read_body(request, {})
        fact = await memory_commands.remove(self._desk, self._caller(request), int(request.match_info["number"]))
        return web.json_response(self._fact(fact))

    def _fact(self, fact: Fact) -> dict[str, Any]:
        character = self._desk.company.by_id(fact.character_id)
        slug = fact.character_id.rpartition("/")[2]
        return web_shapes.fact_shape(fact, slug, character.name if character else slug)

    # ------------------------------------------------------------------ taken along

    async def _export(self, request: web.Request) -> web.StreamResponse:
        form = request.query.get("form", "markdown")
        if form not in FORMS:
            raise Refused(400, "A talk is exported as 'markdown' or 'jsonl'.")
        wanted, kind, ending = FORMS[form]
        text = await talk_commands.transcript(self._desk, self._caller(request), wanted)
        headers = {"Content-Disposition": f'attachment; filename="talk.{ending}"'}
        body = text.encode("utf-8", "replace")
        return web.Response(body=body, content_type=kind, charset="utf-8", headers={**headers, "Cache-Control": "no-store"})

    # ------------------------------------------------------------------ shared

    def _caller(self, request: web.Request) -> Caller:
        return self._callers.of(request, channel=web_requests.channel_name(request))

    def _feed(self, caller: Caller) -> Feed:
        return self._hub.feed(caller.channel.path)


def _message_id(body: dict[str, Any]) -> str:
    return web_requests.identifier(body.get("message_id", ""), "A message's id")
