"""The API's description and the server agree: by its routes, and by what schemathesis makes of it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from bot.connectors.web_api_document import DESCRIBED, document
from tests.connectors.web_house import PATIENCE_SECONDS, Served, serve, web_settings

# What cannot be fuzzed by asking and looking at the answer: it never ends.
ENDLESS = "/events$"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_every_reference_in_the_description_leads_somewhere() -> None:
    made = document()
    text = json.dumps(made)

    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert wanted <= set(made["components"]["schemas"])
    assert wanted == set(made["components"]["schemas"])


async def test_everything_that_is_served_is_described_and_the_other_way_round(tmp_path: Path) -> None:
    """Pages, pictures and the door are for browsers; what programs ask stands in the description."""
    async with serve(web_settings(tmp_path)) as served:
        routes = {(route.method, route.resource.canonical) for route in routes_of(served) if route.method != "HEAD"}

    asked = {(m, p.replace("{kind}", "png")) for m, p in routes if p.startswith(("/api/", "/v1/"))}
    described = {(d.method, d.path) for d in DESCRIBED if d.path.startswith(("/api/", "/v1/"))}
    assert asked - {("GET", "/api/openapi.json")} - described == set()
    assert described - asked - {("GET", "/api/workshop/{slug}/card.json")} == set()


def routes_of(served: Served) -> list:  # type: ignore[type-arg]
    runner = served.web._runner
    assert runner is not None
    return list(runner.app.router.routes())


async def fuzz(served: Served, examples: int, folder: Path) -> str:
    """What schemathesis found; an empty text when that is nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/api/openapi.json", "--checks", CHECKS),
        *("--max-examples", str(examples), "--seed", "11", "--phases", "fuzzing", "--exclude-path-regex", ENDLESS),
        *("--continue-on-failure", "--no-color", "--warnings", "off", "--suppress-health-check", "all"),
        cwd=folder,  # it keeps notes there
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        told, _ = await process.communicate()
    return "" if process.returncode == 0 else told.decode()


async def test_some_hundred_made_up_requests_find_no_fault(tmp_path: Path) -> None:
    """No answer of 500, none that is not described; 10,000 of them in benchmarks/api_fuzz.py."""
    async with serve(web_settings(tmp_path, reply_tokens=8, sessions={"reply_tokens": 8})) as served:
        found = await fuzz(served, 5, tmp_path)
        await served.browser().still_answers()

    assert found == ""
