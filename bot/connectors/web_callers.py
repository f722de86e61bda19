"""Who asks on the web, and what they may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from bot.commands.desk import Caller
from bot.connectors import web_requests
from bot.messages import Channel, ChannelKey, Person

PLATFORM = "web"
LOBBY = "lobby"
OPERATOR = web.RequestKey("operator", bool)  # set by the middleware that knows whose token came with the request


@dataclass(frozen=True, slots=True)
class Callers:
    host: str
    port_of: Callable[[ChannelKey], Channel]

    def of(self, request: web.Request, *, channel: str = LOBBY, name: str = "") -> Caller:
        """A person is whoever sends the random id of their browser. Raises ``Refused`` when it is none."""
        key = ChannelKey(PLATFORM, channel)
        browser = web_requests.identifier(request.headers.get(web_requests.PERSON_HEADER, "somebody"), "A person's id")
        person = Person(f"{PLATFORM}:{browser}", web_requests.shown_name(name))
        # Whoever reaches a page on loopback sits at this machine, and this machine runs the house.
        operator = bool(request.get(OPERATOR, web_requests.is_loopback(self.host)))
        return Caller(person, key, self.port_of(key), moderator=operator, operator=operator)
