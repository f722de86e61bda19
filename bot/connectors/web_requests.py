"""What the web lets in, and how it says no: one border for strangers' requests.

Every refusal is ``{"error": sentence}``. Nothing here writes what people said into the log.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import traceback
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web
from yarl import URL

from bot.errors import BotError, CharacterNotFound, CommandRefused, EngineError, StoreBusy, StoreError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Bigger than any message a session takes, so that the router can say how long one may be.
BODY_BYTES = 2 * 1024 * 1024
NAME_CHARACTERS = 40
VISITOR = "Visitor"
FOR_OTHERS = web.RequestKey("for_others", bool)  # another site's page has brought a token, and may read the answer
PERSON_HEADER = "X-Troupe-Person"
OPEN_ROOT = "/v1/"  # other programs' protocol, which their pages in a browser speak as well
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_CHANNEL = re.compile(r"\w[\w-]{0,39}")
_SAFE_METHODS = frozenset({"GET", "HEAD"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Server": "Troupe",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Refused(Exception):
    """A request that cannot be taken, with its HTTP status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


# ------------------------------------------------------------------ the way in


def guard(host: str, names: Iterable[str] = ()) -> Any:
    """Middleware: only requests that are meant for this server and come from its own page, or from no page at all.

    On loopback a foreign ``Host`` is refused: a name that some site lets point at 127.0.0.1 must not read the channels. ``names``
    are those of a proxy in front of it.
    """
    own = LOOPBACK_NAMES | {host.strip("[]").lower(), *(name.lower() for name in names)} if is_loopback(host) else None

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = _host_name(request.headers.get("Host", ""))
        if own is not None and asked not in own:
            raise Refused(403, "This page is only served under its own address; open the one that Troupe printed when it started.")
        if request.method not in _SAFE_METHODS:
            _check_origin(request)
        return await handler(request)

    return check


def _host_name(host: str) -> str:
    try:
        return (URL(f"http://{host}").host or "").lower().rstrip(".")
    except ValueError:
        return ""


def from_elsewhere(request: web.Request) -> bool:
    """Whether another site's page asks. A browser says which page a request comes from; a script outside one says nothing."""
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2].lower() != request.headers.get("Host", "").lower()
    return foreign or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


def open_to_others(request: web.Request) -> bool:
    """Whether another site's page may ask for this if it brings a token, which is ``WebSecurity``'s to look at."""
    return request.path.startswith(OPEN_ROOT) and (request.method == "OPTIONS" or "Authorization" in request.headers)


def headers_of(request: web.Request) -> Mapping[str, str]:
    """What every answer carries."""
    return {**HEADERS, "Access-Control-Allow-Origin": "*"} if request.get(FOR_OTHERS) else HEADERS


def _check_origin(request: web.Request) -> None:
    if from_elsewhere(request) and not open_to_others(request):
        raise Refused(403, "This was asked by another site's page, so it was not done.")
    takes_no_form = ("application/json", "application/octet-stream")  # a form of another site can send neither
    if request.method != "OPTIONS" and request.content_type not in takes_no_form:
        raise Refused(415, "Send the request's body as application/json.")


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The connector's border: a sentence for whoever asked, the rest for the log."""
    try:
        return await handler(request)
    except Refused as error:
        return refusal(error.status, str(error))
    except CommandRefused as error:
        return refusal(400, str(error))
    except CharacterNotFound as error:
        sentence = str(error)
        return refusal(404, f"{sentence[:1].upper()}{sentence[1:]}{'' if sentence.endswith(('.', '?')) else '.'}")
    except BotError as error:
        log.warning("request failed path=%s error=%s: %s", _route(request), type(error).__name__, error)
        return refusal(503, for_visitors(error))
    except web.HTTPRequestEntityTooLarge:
        return refusal(413, f"That is too much at once; at most {BODY_BYTES // 1024:,} KB can be sent. Please send a shorter message.")
    except web.HTTPException as error:
        return refusal(error.status, "There is nothing here." if error.status == 404 else f"{error.reason}.")
    except (ConnectionResetError, TimeoutError):
        raise
    except Exception as error:  # noqa: BLE001  a bug: its place is logged, never its message, which may hold what somebody said
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("request crashed path=%s error=%s\n%s", _route(request), type(error).__name__, where)  # noqa: TRY400
        return refusal(500, "Something went wrong on our side; it is in the log. Trying again may help.")


def refusal(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def for_visitors(error: BotError) -> str:
    """The operator's sentence names files and settings; a visitor's says what became of what they wanted."""
    if isinstance(error, StoreBusy):
        return "The memory is busy just now, so nothing was done. Please try again in a moment."
    if isinstance(error, StoreError):
        return "The memory cannot be reached, so nothing was done. Please try again; the server's log says what is wrong."
    if isinstance(error, EngineError):
        return "The model cannot answer just now. Please try again in a moment."
    return "That did not work just now. Please try again; the server's log says what is wrong."


def _route(request: web.Request) -> str:
    """The pattern of the address: nothing that somebody typed."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


# ------------------------------------------------------------------ what a request says


async def read_body(request: web.Request, allowed: Mapping[str, type]) -> dict[str, Any]:
    """The JSON object of a request with these keys and no others; what is missing or null is left out.

    Raises:
        Refused: not JSON, or a key that is unknown or of the wrong type.
    """
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The request's body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise Refused(400, "The request's body must be a JSON object.")
    for key, value in body.items():
        if key not in allowed:
            raise Refused(400, f"The request has a key that is not known here; these are: {', '.join(allowed)}.")
        if value is not None and type(value) is not allowed[key]:
            raise Refused(400, f"{key!r} must be {_JSON_NAMES[allowed[key]]}.")
    return {key: value for key, value in body.items() if value is not None}


_JSON_NAMES: Mapping[type, str] = {str: "a text", bool: "true or false", int: "a whole number"}


def channel_name(request: web.Request) -> str:
    return checked_channel(request.match_info["channel"])


def checked_channel(text: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if not _CHANNEL.fullmatch(name):
        raise Refused(404, "A channel's name has up to 40 letters, numbers and hyphens, like lobby.")
    return name


def identifier(value: str, what: str) -> str:
    if not _ID.fullmatch(value):
        raise Refused(400, f"{what} must have 8 to 64 letters, numbers, hyphens or underscores.")
    return value


def shown_name(name: str) -> str:
    """A visitor's name as it may be shown and put before a line: one line, no marks that turn text around."""
    visible = "".join(c if c.isprintable() else " " for c in name[:1000])
    return " ".join(visible.split())[:NAME_CHARACTERS].strip() or VISITOR
