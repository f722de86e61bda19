"""The gallery: who there is, one character in full, and portraits in the size that is shown.

GET  /gallery  /characters/{slug}             the pages
GET  /api/gallery                             everybody, in short
GET  /api/gallery/{slug}?name=                one of them, greeting whoever has that name
POST /api/channels/{name}/choose              {character}: the channel is this character's alone from now on
GET  /portraits/{slug}.png                    as it is stored
GET  /portraits/{slug}-{side}.webp?v=version  square, 96, 224 or 512 pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from bot.characters.cast import Character
from bot.characters.macros import fill_macros
from bot.commands import character as company_commands
from bot.commands import gallery as gallery_commands
from bot.commands.desk import Desk
from bot.commands.gallery import Shown
from bot.connectors import web_requests
from bot.connectors.web_callers import LOBBY, PLATFORM, Callers
from bot.connectors.web_files import PageFiles
from bot.connectors.web_requests import Refused
from bot.connectors.web_shapes import portrait_address
from bot.connectors.web_thumbnails import SIDES, Thumbnails, version
from bot.messages import ChannelKey

EXAMPLES_SHOWN = 3
FOR_GOOD = "private, max-age=31536000, immutable"


class WebGallery:
    def __init__(self, desk: Desk, callers: Callers, files: PageFiles, featured: Sequence[str]) -> None:
        self._desk, self._callers, self._files, self._featured = desk, callers, files, featured
        self._thumbnails = Thumbnails()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/gallery", self._page("gallery.html")),
            web.get("/characters/{slug}", self._page("character.html")),
            web.get("/api/gallery", self._everybody),
            web.get("/api/gallery/{slug}", self._one),
            web.post("/api/channels/{channel}/choose", self._choose),
            web.get("/portraits/{slug}.png", self._portrait),
            web.get(f"/portraits/{{slug:[^/]+}}-{{side:{'|'.join(map(str, SIDES))}}}.webp", self._thumbnail),
        ]

    def _page(self, name: str) -> web_requests.Handler:
        async def page(request: web.Request) -> web.StreamResponse:
            return self._files.answer(request, name)

        return page

    async def _everybody(self, request: web.Request) -> web.StreamResponse:
        caller = self._callers.of(request)
        shown = await gallery_commands.gallery(self._desk, caller, self._featured)
        response = web.json_response({"characters": [in_short(one) for one in shown], "may_create": caller.operator})
        response.enable_compression()
        return response

    async def _one(self, request: web.Request) -> web.StreamResponse:
        caller = self._callers.of(request, name=request.query.get("name", ""))
        shown = await gallery_commands.look(self._desk, caller, request.match_info["slug"][:80], self._featured)
        return web.json_response({**in_full(shown, caller.person.name), "may_edit": caller.operator})

    async def _choose(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"character": str})
        if "character" not in body:
            raise Refused(400, "Say which 'character' the channel is for.")
        caller = self._callers.of(request, channel=web_requests.channel_name(request))
        chosen = await company_commands.choose(self._desk, caller, body["character"])
        return web.json_response({"awake": [chosen.character.slug]})

    # ------------------------------------------------------------------ portraits

    async def _portrait(self, request: web.Request) -> web.StreamResponse:
        portrait = self._seen(request).portrait
        if portrait is None:
            raise web.HTTPNotFound
        return web.FileResponse(portrait, headers={"Content-Type": "image/png", "Cache-Control": "no-cache"})

    async def _thumbnail(self, request: web.Request) -> web.StreamResponse:
        portrait, side = self._seen(request).portrait, int(request.match_info["side"])
        if portrait is None:
            raise web.HTTPNotFound
        try:
            current = version(portrait) == request.query.get("v")
            picture = await self._thumbnails.of(portrait, side)
        except OSError as error:
            raise web.HTTPNotFound from error
        return web.Response(body=picture, content_type="image/webp", headers={"Cache-Control": FOR_GOOD if current else "no-cache"})

    def _seen(self, request: web.Request) -> Character:
        slug = request.match_info["slug"]
        for character in self._desk.company.seen_in(ChannelKey(PLATFORM, LOBBY)):
            if character.slug == slug:
                return character
        raise web.HTTPNotFound


def in_short(shown: Shown) -> dict[str, Any]:
    character, standing = shown.character, shown.standing
    settings = character.settings
    talk = shown.last_talk
    return {
        "slug": character.slug,
        "name": character.name,
        "tagline": settings.tagline,
        "categories": list(settings.categories or character.card.tags[:8]),
        "emoji": settings.emoji,
        "colour": settings.portrait.background if settings.portrait else None,
        "portrait": portrait_address(character, 224),
        "replies": standing.replies,
        "people": standing.people,
        "ratings": standing.ratings,
        "stars": round(standing.stars, 2),
        "featured": shown.featured,
        "adults": settings.age_restricted,
        "talk": {"channel": talk.channel.path, "at": talk.at.isoformat()} if talk else None,
    }


def in_full(shown: Shown, visitor: str) -> dict[str, Any]:
    character, card = shown.character, shown.character.card

    def filled(text: str) -> str:
        return fill_macros(text, char=card.char, user=visitor)

    return {
        **in_short(shown),
        "greeting": character.greeting(visitor),
        "greetings": [filled(text) for text in card.greetings],
        "about": filled(card.creator_notes or card.description),
        "examples": _examples(character, visitor),
        "lines": len(character.lines),
        "lore": sum(entry.enabled for entry in card.book.entries) if card.book else 0,
        "languages": list(character.settings.languages),
        "made_by": shown.made_by,
        "version": card.character_version,
        "shipped": shown.shipped,
        "notice": shown.notice,
    }


def _examples(character: Character, visitor: str) -> list[dict[str, str]]:
    """Some exchanges, as the model is shown them too."""
    if character.lines:
        step = max(1, len(character.lines) // EXAMPLES_SHOWN)
        return [{"said": line.said, "reply": line.reply} for line in character.lines[::step][:EXAMPLES_SHOWN]]
    char, found, said = character.card.char, [], ""
    for line in (line for dialogue in character.card.examples for line in dialogue):
        text = fill_macros(line.text, char=char, user=visitor)
        if line.by_character:
            found.append({"said": said, "reply": text})
        said = "" if line.by_character else text
    return found[:EXAMPLES_SHOWN]
