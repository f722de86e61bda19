"""Who may come in by the web: tokens, cookies, limits, and what no page ever shows. A real server over real sockets."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from playwright.async_api import async_playwright

from bot.check import examine
from bot.config import WebSettings
from bot.connectors.web_security import COOKIE, FAILURES, Tokens, WebSecurity, read_tokens
from bot.errors import ConfigError
from tests.connectors.test_web_page import ARGUMENTS, CHROMIUM
from tests.connectors.web_house import PATIENCE_SECONDS, Served, serve, web_settings

VISITOR, OPERATOR = "the-visitors-own-word-7", "the-operators-own-word-9"
JSON = {"Content-Type": "application/json"}
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WEB_TOKEN", VISITOR)
    monkeypatch.setenv("TROUPE_OPERATOR_TOKEN", OPERATOR)


@pytest.fixture
async def guarded(tmp_path: Path, _tokens: None) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


@pytest.fixture
async def free(tmp_path: Path) -> AsyncIterator[Served]:
    """On loopback, without tokens: as on somebody's own machine."""
    async with serve(web_settings(tmp_path)) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def asked(served: Served, path: str, *, method: str = "GET", **options: Any) -> tuple[int, str, Any]:
    """Without following to another page: status, text and headers."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{served.url}{path}", allow_redirects=False, **options) as response,
    ):
        return response.status, await response.text(), response.headers


async def signed_in(session: aiohttp.ClientSession, served: Served, token: str) -> aiohttp.ClientResponse:
    async with session.post(f"{served.url}/login", json={"token": token}) as response:
        await response.read()
        return response


# ------------------------------------------------------------------ whether a token is wanted


@pytest.mark.parametrize("settings", [WebSettings(host="0.0.0.0"), WebSettings(names=("troupe.example",))], ids=["host", "proxy"])
def test_a_page_that_others_can_reach_does_not_start_without_a_token(settings: WebSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"set TROUPE_WEB_TOKEN in the environment.*token_urlsafe"):
        read_tokens(settings)

    monkeypatch.setenv("TROUPE_WEB_TOKEN", VISITOR)
    assert read_tokens(settings).role_of(VISITOR) == "visitor"


def test_tokens_that_protect_nothing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WEB_TOKEN", "short")
    with pytest.raises(ConfigError, match="fewer than 16"):
        read_tokens(WebSettings())
    monkeypatch.setenv("TROUPE_WEB_TOKEN", VISITOR)
    monkeypatch.setenv("TROUPE_OPERATOR_TOKEN", VISITOR)
    with pytest.raises(ConfigError, match="every visitor would run the house"):
        read_tokens(WebSettings())


def test_check_says_what_is_missing(tmp_path: Path) -> None:
    config = web_settings(tmp_path, web={"host": "0.0.0.0"})

    page = next(finding for finding in examine(config, tmp_path / "config.toml") if finding.about == "page")

    assert not page.ok and "TROUPE_WEB_TOKEN" in page.what


async def test_on_ones_own_machine_nobody_is_asked_for_anything(free: Served) -> None:
    """And a client that has to send some key may send any."""
    assert (await asked(free, "/", headers=HTML))[0] == 200
    assert (await asked(free, "/v1/models", headers=bearer("whatever the client insists on")))[0] == 200
    await free.browser().still_answers()


# ------------------------------------------------------------------ coming in


async def test_without_the_token_a_browser_is_brought_to_the_door_and_a_program_told(guarded: Served) -> None:
    status, _, headers = await asked(guarded, "/?channel=lobby", headers=HTML)
    assert (status, headers["Location"]) == (303, "/login?to=%2F%3Fchannel%3Dlobby")
    for path in ("/", "/api/channels/lobby", "/api/channels/lobby/events", "/portraits/ada.png", "/v1/models"):
        status, text, headers = await asked(guarded, path)
        assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer"), path
        assert "Bearer" in text
    status, text, _ = await asked(guarded, "/v1/chat/completions", method="POST", data=b"{}", headers=JSON)
    assert status == 401 and json.loads(text)["error"]["code"] == "invalid_api_key"
    assert (await asked(guarded, "/login", headers=HTML))[0] == 200
    assert (await asked(guarded, "/healthz"))[0] == 200


async def test_a_program_comes_in_with_the_token(guarded: Served) -> None:
    async with openai.AsyncOpenAI(base_url=f"{guarded.url}/v1", api_key=VISITOR, max_retries=0) as client:
        answer = await client.chat.completions.create(model="ada", messages=[{"role": "user", "content": "Hello"}])
        assert answer.choices[0].message.content
    async with openai.AsyncOpenAI(base_url=f"{guarded.url}/v1", api_key="a-wrong-but-long-word", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_a_browser_signs_in_once_and_its_cookie_is_out_of_reach_of_scripts(guarded: Served) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        response = await signed_in(session, guarded, VISITOR)

        cookie = response.cookies[COOKIE]
        assert response.status == 200
        assert cookie["httponly"] and cookie["samesite"] == "Lax" and int(cookie["max-age"]) == 168 * 3600
        assert VISITOR not in cookie.value
        async with session.get(f"{guarded.url}/api/channels/lobby") as answer:
            assert answer.status == 200
        async with session.post(f"{guarded.url}/logout", json={}) as answer:
            assert answer.status == 200
        async with session.get(f"{guarded.url}/api/channels/lobby") as answer:
            assert answer.status == 401


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
async def test_somebody_comes_in_by_the_door_and_is_where_they_wanted_to_go(guarded: Served) -> None:
    """And a link that somebody else wrote leads to nowhere but this house."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page(locale="en")
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        await page.goto(f"{guarded.url}/gallery")
        await page.fill("#token", "a wrong one, and a long one")
        await page.press("#token", "Enter")
        await page.locator("#refusal", has_text="not the token").wait_for()
        await page.fill("#token", VISITOR)
        await page.click("button[type=submit]")
        await page.wait_for_url(f"{guarded.url}/gallery")
        assert await page.evaluate("document.cookie") == ""

        await page.goto(f"{guarded.url}/login?to=https%3A%2F%2Fevil.example%2F")
        await page.fill("#token", VISITOR)
        await page.click("button[type=submit]")

        await page.wait_for_url(f"{guarded.url}/")
        await browser.close()


async def test_behind_a_proxy_that_speaks_tls_the_cookie_keeps_to_tls(guarded: Served) -> None:
    async with guarded.session.post(f"{guarded.url}/login", json={"token": OPERATOR}, headers={"X-Forwarded-Proto": "https"}) as response:
        assert response.cookies[COOKIE]["secure"]
        assert await response.json() == {"operator": True}


def session_cookie(security: WebSecurity, role: str, expires: int) -> str:
    payload = f"{role}.{expires}.abcdef"
    return f"{payload}.{security._signature(payload)}"


async def test_a_cookie_ends_with_its_time_with_its_token_and_when_it_is_changed(guarded: Served) -> None:
    settings = WebSettings()
    right = WebSecurity(settings, Tokens(VISITOR, OPERATOR))
    other = WebSecurity(settings, Tokens("another-word-of-the-house", OPERATOR))
    far = 2_000_000_000
    good = session_cookie(right, "visitor", far)
    bad = [
        session_cookie(right, "visitor", 1_000_000_000),
        session_cookie(other, "visitor", far),
        good.replace("visitor", "operator"),
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        "",
        ".",
        "a.b.c.d",
        "visitor",
        "é.9.9." + "0" * 64,
    ]

    assert (await asked(guarded, "/api/channels/lobby", cookies={COOKIE: good}))[0] == 200
    for cookie in bad:
        assert (await asked(guarded, "/api/channels/lobby", cookies={COOKIE: cookie}))[0] == 401, cookie


async def test_guessing_is_stopped_and_the_right_token_is_let_in_from_elsewhere(guarded: Served) -> None:
    """Also when the guesses come as keys of the API."""
    for n in range(FAILURES):
        if n % 2:
            assert (await asked(guarded, "/login", method="POST", json={"token": f"guess {n}"}))[0] == 403
        else:
            assert (await asked(guarded, "/v1/models", headers=bearer(f"guess {n}")))[0] == 401

    assert (await asked(guarded, "/login", method="POST", json={"token": VISITOR}))[0] == 429
    assert (await asked(guarded, "/v1/models", headers=bearer(VISITOR)))[0] == 429
    cookie = session_cookie(WebSecurity(WebSettings(), Tokens(VISITOR, OPERATOR)), "visitor", 2_000_000_000)
    assert (await asked(guarded, "/api/channels/lobby", cookies={COOKIE: cookie}))[0] == 200


async def test_behind_a_proxy_one_guesser_does_not_lock_the_others_out(tmp_path: Path, _tokens: None) -> None:
    """What the proxy wrote last counts; what the guesser wrote before it does not."""
    async with serve(web_settings(tmp_path, web={"names": ["troupe.example"]})) as served:

        async def sign_in(token: str, *forwarded: str) -> int:
            headers = [("X-Forwarded-For", value) for value in forwarded]
            return (await asked(served, "/login", method="POST", json={"token": token}, headers=headers))[0]

        for n in range(FAILURES):
            assert await sign_in("guess", f"10.0.0.{n}, 198.51.100.7") == 403

        assert await sign_in(VISITOR, "198.51.100.7") == 429
        assert await sign_in(VISITOR, "198.51.100.8") == 200


# ------------------------------------------------------------------ what comes from elsewhere


async def test_names_that_are_not_ours_are_refused_and_a_proxys_name_is_ours(tmp_path: Path, _tokens: None) -> None:
    """A name that some site lets point at this machine must not read what is said here."""
    async with serve(web_settings(tmp_path, web={"names": ["troupe.example"]})) as served:
        for host, status in (("evil.example", 403), ("troupe.example", 200), ("TROUPE.example:443", 200), ("127.0.0.1", 200)):
            assert (await asked(served, "/healthz", headers={"Host": host}))[0] == status, host


async def test_another_sites_page_changes_nothing_even_in_a_browser_that_is_signed_in(guarded: Served) -> None:
    cookie = session_cookie(WebSecurity(WebSettings(), Tokens(VISITOR, OPERATOR)), "operator", 2_000_000_000)
    body = json.dumps({"character": "Ada", "awake": False})
    for headers in (
        {**JSON, "Origin": "https://evil.example"},
        {**JSON, "Origin": "null"},
        {**JSON, "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ):
        status, text, _ = await asked(
            guarded, "/api/channels/lobby/awake", method="POST", data=body, headers=headers, cookies={COOKIE: cookie}
        )
        assert status in (403, 415) and json.loads(text)["error"].endswith("."), headers


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
async def test_another_sites_page_streams_a_reply_with_a_token_and_gets_nothing_without(guarded: Served) -> None:
    """As clients that live in a browser do: it brings the token itself; a cookie of ours does not count."""
    app = web.Application()
    app.router.add_get("/", _a_client)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fetched = """async ([url, headers]) => {
        const body = JSON.stringify({model: "ada", stream: true, messages: [{role: "user", content: "Hello!"}]});
        const asked = {method: "POST", headers: {...headers, "Content-Type": "application/json"}, body};
        try {
            return await (await fetch(`${url}/v1/chat/completions`, asked)).text();
        } catch (error) { return `refused: ${error.name}`; }
    }"""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        await page.goto(f"{guarded.url}/login")
        await page.fill("#token", VISITOR)
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".member")  # this browser has our cookie
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")

        said = await page.evaluate(fetched, [guarded.url, bearer(VISITOR)])
        without = await page.evaluate(fetched, [guarded.url, {}])
        wrong = await page.evaluate(fetched, [guarded.url, bearer("some-other-word-entirely")])
        await browser.close()
    await runner.cleanup()

    assert said.startswith("data: {") and said.rstrip().endswith("data: [DONE]")
    assert (without, wrong) == ("refused: TypeError", "refused: TypeError")


async def _a_client(_request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>A client</title>", content_type="text/html")


async def test_where_there_is_no_token_no_other_sites_page_is_let_in(free: Served) -> None:
    """Also when it makes one up: on one's own machine nobody else is asked for any."""
    elsewhere = {"Origin": "https://elsewhere.example", **bearer("a-token-that-is-made-up"), **JSON}
    preflight = {**elsewhere, "Access-Control-Request-Method": "POST"}
    body = json.dumps({"model": "ada", "messages": [{"role": "user", "content": "Hello!"}]})

    for wanted, path, method, headers in (
        (403, "/v1/chat/completions", "OPTIONS", preflight),
        (401, "/v1/chat/completions", "POST", elsewhere),
        (401, "/v1/models", "GET", elsewhere),
    ):
        status, _, answered = await asked(free, path, method=method, data=body if method == "POST" else None, headers=headers)
        assert (status, "Access-Control-Allow-Origin" in answered) == (wanted, False), path
    await free.browser().still_answers()


async def test_every_answer_carries_the_policy(guarded: Served) -> None:
    """No inline script, no frame around us, no guessing of types: for pages, files, refusals and what is not there."""
    for path in ("/login", "/", "/page/login.js", "/healthz", "/nothing/here", "/v1/models", "/page/../config.toml"):
        _, _, headers = await asked(guarded, path, headers=HTML)
        policy = headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, path
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_no_path_is_made_of_a_name(free: Served) -> None:
    names = ("..%2f..%2fconfig.toml", "%2e%2e%2fconfig.toml", "....//config.toml", "%2fetc%2fpasswd", "style.css%00.png", "C:%5cboot.ini")
    for name in names:
        for path in (f"/page/{name}", f"/portraits/{name}.png"):
            status, text, _ = await asked(free, path)
            assert status in (400, 404), path
            assert "root:" not in text and "[engine]" not in text


# ------------------------------------------------------------------ how much


async def test_more_requests_than_allowed_are_refused_and_the_next_minute_is_a_new_one(tmp_path: Path, _tokens: None) -> None:
    """Reading is not counted, and one browser's haste is not another's."""
    async with serve(web_settings(tmp_path, web={"requests_per_minute": 3})) as served:

        async def ask(token: str) -> int:
            return (await asked(served, "/api/channels/lobby/stop", method="POST", json={}, headers=bearer(token)))[0]

        assert [await ask(VISITOR) for _ in range(5)] == [200, 200, 200, 429, 429]
        assert (await asked(served, "/api/channels/lobby", headers=bearer(VISITOR)))[0] == 200
        cookie = session_cookie(WebSecurity(WebSettings(), Tokens(VISITOR, OPERATOR)), "visitor", 2_000_000_000)
        assert (await asked(served, "/api/channels/lobby/stop", method="POST", json={}, cookies={COOKIE: cookie}))[0] == 200


async def test_too_big_a_body_is_refused_before_it_is_read_to_its_end(free: Served) -> None:
    @asynccontextmanager
    async def endless() -> AsyncIterator[Any]:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield b"x" * 65536

        yield body()

    async with endless() as body:
        status, text, _ = await asked(free, "/v1/chat/completions", method="POST", data=body, headers=JSON)

    assert status == 413 and "at most" in text
    await free.browser().still_answers()


# ------------------------------------------------------------------ what is never shown


async def test_no_token_is_ever_rendered_or_logged(guarded: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    paths = ["/", "/login", "/healthz", "/api/channels/lobby", "/v1/models", "/metrics", "/control", "/api/control", "/api/openapi.json"]
    texts = [(await asked(guarded, path, headers={**bearer(OPERATOR), **HTML}))[1] for path in paths]
    texts += [(await asked(guarded, "/login", method="POST", json={"token": f"{OPERATOR}x"}))[1]]

    shown = "".join(texts) + caplog.text + repr(Tokens(VISITOR, OPERATOR)) + repr(guarded.web)
    assert VISITOR not in shown and OPERATOR not in shown
