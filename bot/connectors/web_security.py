"""Who may come in by the web: tokens, sessions, and how much anybody may ask.

On loopback and without tokens, whoever reaches the page sits at this machine: nobody is asked anything, and everybody runs the
house. As soon as others can reach it (another host, a name of a proxy) or a token is set, the token is wanted: the visitors' lets
one talk, the operators' lets one run the house. A browser signs in once and gets a cookie that expires; a program sends the token
as ``Authorization: Bearer``. Which page a request comes from is looked at in ``web_requests.guard``; another site's page may speak
OpenAI's protocol, if it brings a token itself.

Cookies are signed with a key made of the tokens, so they hold over a restart and end when a token is changed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web

from bot.config import WebSettings
from bot.connectors import web_requests
from bot.connectors.web_callers import OPERATOR
from bot.connectors.web_files import PageFiles
from bot.connectors.web_requests import Handler, Refused
from bot.errors import ConfigError

Role = Literal["visitor", "operator"]

COOKIE = "troupe_session"
TOKEN_CHARACTERS = 16  # at least: what is shorter can be guessed
MINUTE = 60.0
FAILURES, FAILURE_SECONDS = 10, 900.0  # wrong tokens from one address
COUNTED = 10_000  # addresses and sessions whose requests are counted at once

_OPEN_PATHS = frozenset({"/login", "/healthz"})
_OPEN_FOLDER = "/page/"  # scripts and styles: nothing in them is secret, and the page for signing in needs them
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Allow-Private-Network": "true",  # a page from the internet asks one at home
    "Access-Control-Max-Age": "600",
}
_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})

_MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(24))"'


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What lets people in; "" where there is none. Never shown, not by ``repr`` either."""

    visitor: str = ""
    operator: str = ""

    def __repr__(self) -> str:
        return "Tokens(…)"

    def role_of(self, token: str) -> Role | None:
        """Whose token it is. Takes as long for a wrong one as for a right one."""
        given = token.encode("utf-8", "surrogatepass")
        operator = hmac.compare_digest(given, self.operator.encode("utf-8", "surrogatepass")) and bool(self.operator)
        visitor = hmac.compare_digest(given, self.visitor.encode("utf-8", "surrogatepass")) and bool(self.visitor)
        return "operator" if operator else "visitor" if visitor else None


def reachable_by_others(settings: WebSettings) -> bool:
    return not web_requests.is_loopback(settings.host) or bool(settings.names)


def read_tokens(settings: WebSettings) -> Tokens:
    """The tokens that the environment holds.

    Raises:
        ConfigError: others can reach the page and there is none, or one is too short.
    """
    tokens = Tokens(os.environ.get(settings.token_env, "").strip(), os.environ.get(settings.operator_token_env, "").strip())
    for name, token in ((settings.token_env, tokens.visitor), (settings.operator_token_env, tokens.operator)):
        if token and len(token) < TOKEN_CHARACTERS:
            raise ConfigError(f"{name} has fewer than {TOKEN_CHARACTERS} characters and could be guessed; make one with: {_MAKE_ONE}")
    if tokens.visitor and tokens.visitor == tokens.operator:
        raise ConfigError(f"{settings.token_env} and {settings.operator_token_env} are the same; every visitor would run the house")
    if reachable_by_others(settings) and not (tokens.visitor or tokens.operator):
        how = "web.names tells of a proxy" if web_requests.is_loopback(settings.host) else f"web.host is {settings.host}"
        raise ConfigError(
            f"{how}, so others can reach the page, and a token is wanted: set {settings.token_env} in the environment, "
            f"for example to what this prints: {_MAKE_ONE} (or set host under [web] to 127.0.0.1, with no names)"
        )
    return tokens


class WebSecurity:
    """One for the page. ``clock`` tells the time in seconds since 1970; a test brings its own."""

    def __init__(self, settings: WebSettings, tokens: Tokens, *, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._tokens, self._clock = settings, tokens, clock
        self._guarded = reachable_by_others(settings) or bool(tokens.visitor)  # nobody comes in without a token
        self._unguarded_role: Role = "visitor" if tokens.operator else "operator"
        self._key = hashlib.sha256(f"troupe session\0{tokens.visitor}\0{tokens.operator}".encode("utf-8", "surrogatepass")).digest()
        self._asked = _Counts(clock, MINUTE)
        self._failed = _Counts(clock, FAILURE_SECONDS)

    def routes(self, files: PageFiles) -> list[web.RouteDef]:
        async def page(request: web.Request) -> web.StreamResponse:
            return files.answer(request, "login.html")

        return [web.get("/login", page), web.post("/login", self._sign_in), web.post("/logout", self._sign_out)]

    @property
    def middleware(self) -> Any:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            by_other = web_requests.open_to_others(request) and web_requests.from_elsewhere(request)
            if by_other and request.method == "OPTIONS":
                return self._preflight()
            role = self._of_bearer(request) if by_other else self._role(request)
            request[web_requests.FOR_OTHERS] = by_other and role is not None
            request[OPERATOR] = role == "operator"
            if role is None and not (request.path in _OPEN_PATHS or request.path.startswith(_OPEN_FOLDER)):
                return self._stranger(request)
            self._count(request)
            return await handler(request)

        return check

    # ------------------------------------------------------------------ who

    def _role(self, request: web.Request) -> Role | None:
        given = self._of_bearer(request) or self._of_cookie(request.cookies.get(COOKIE, ""))
        return given or (None if self._guarded else self._unguarded_role)

    def _of_bearer(self, request: web.Request) -> Role | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not (self._tokens.visitor or self._tokens.operator):
            return None
        self._refuse_guessing(request)
        given = self._tokens.role_of(token.strip())
        if given is None and self._guarded:
            self._failed.add(self._address(request))
        return given

    def _preflight(self) -> web.StreamResponse:
        """A browser asks whether another site's page may ask: where there is a token that it can bring, and never with a cookie."""
        if not (self._tokens.visitor or self._tokens.operator):
            raise Refused(403, "Pages of other sites are let in with a token only, and this Troupe has none.")
        return web.Response(status=204, headers=_PREFLIGHT)

    def _of_cookie(self, cookie: str) -> Role | None:
        payload, _, signature = cookie.rpartition(".")
        if not payload or not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(payload).encode()):
            return None
        role, expires, _ = payload.split(".")
        if int(expires) <= self._clock():
            return None
        return "operator" if role == "operator" else "visitor"

    def _signature(self, payload: str) -> str:
        return hmac.new(self._key, payload.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _stranger(self, request: web.Request) -> web.StreamResponse:
        """A browser that opens a page is brought to the door; anything else is told what is wanted."""
        if opens_a_page(request):
            return to_the_door(request)
        refusal = web_requests.refusal(401, "Sign in first: send the token of this Troupe as Authorization: Bearer, or open /login.")
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="Troupe"'
        return refusal

    # ------------------------------------------------------------------ coming and going

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"token": str})
        self._refuse_guessing(request)
        role = self._tokens.role_of(body.get("token", "").strip())
        if role is None:
            self._failed.add(self._address(request))
            raise Refused(403, "That is not the token of this Troupe. Whoever runs it knows the right one.")
        seconds = round(self._settings.session_hours * 3600)
        payload = f"{role}.{round(self._clock()) + seconds}.{secrets.token_hex(8)}"
        response = web.json_response({"operator": role == "operator"})
        response.set_cookie(
            COOKIE,
            f"{payload}.{self._signature(payload)}",
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=request.scheme == "https" or request.headers.get("X-Forwarded-Proto", "").lower() == "https",
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        await web_requests.read_body(request, {})
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")
        return response

    # ------------------------------------------------------------------ how much

    def _refuse_guessing(self, request: web.Request) -> None:
        if self._failed.within(self._address(request)) >= FAILURES:
            raise Refused(429, "Too many wrong tokens came from your address. Try again in a quarter of an hour.")

    def _address(self, request: web.Request) -> str:
        """Who asks. Behind a proxy of this machine it is what the proxy wrote last; anybody may write the rest."""
        remote = request.remote or "unknown"
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if self._settings.names and forwarded and web_requests.is_loopback(remote):
            return forwarded[-1].rpartition(",")[2].strip()[:64] or remote
        return remote

    def _count(self, request: web.Request) -> None:
        """Whoever sits at this machine is not counted, but those who come from elsewhere."""
        limit = self._settings.requests_per_minute
        if not self._guarded or not limit or request.method in _CHANGES_NOTHING:
            return
        cookie = request.cookies.get(COOKIE, "")
        who = cookie if self._of_cookie(cookie) else self._address(request)
        if self._asked.within(who) >= limit:
            raise Refused(429, f"That is more than {limit} requests in a minute. Wait a moment, then go on.")
        self._asked.add(who)


class _Counts:
    """What happened lately, by whom. Who was silent longest gives way when there are too many."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def within(self, who: str) -> int:
        times = self._times.get(who)
        if times is None:
            return 0
        while times and times[0] <= self._clock() - self._seconds:
            times.popleft()
        return len(times)

    def add(self, who: str) -> None:
        self._times.setdefault(who, deque()).append(self._clock())
        self._times.move_to_end(who)
        if len(self._times) > COUNTED:
            self._times.popitem(last=False)


def opens_a_page(request: web.Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def to_the_door(request: web.Request) -> web.Response:
    """And back, once somebody has signed in."""
    to = quote(request.path_qs, safe="")
    return web.Response(status=303, headers={"Location": f"/login?to={to}", "Cache-Control": "no-store"})


def operators_only(request: web.Request) -> None:
    """Raises ``Refused`` for whoever only visits."""
    if not request.get(OPERATOR):
        raise Refused(403, "This is for whoever runs this Troupe. Sign in with the operators' token.")
