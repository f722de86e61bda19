"""The control room: what this house is doing, for whoever runs it.

    GET  /control                           the page
    GET  /api/control                       the numbers that it shows, and the replies that were reported
    GET  /api/control/builds/{build}        the report of a build, as Markdown
    POST /api/control/reports/{number}      {}: this report is settled, the reply stays
    GET  /metrics                           numbers for Prometheus

Operators only (``web_security``); ``web_curation`` changes what is learnt from. Nobody is named but channels by their keys, and nobody's
words are shown but a character's that somebody reported.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.commands import admin, model
from bot.commands.build_report import build_report
from bot.commands.desk import Desk
from bot.connectors import web_requests
from bot.connectors.web_callers import OPERATOR, Callers
from bot.connectors.web_control_log import Troubles
from bot.connectors.web_control_runs import Collected, Runs, collected
from bot.connectors.web_files import PageFiles
from bot.connectors.web_security import opens_a_page, operators_only, to_the_door
from bot.engine import models
from bot.engine.scheduler import Status
from bot.jobs.jobs import read_runs
from bot.memory.store import BuildStanding, ConsentCount, Report, StoreStatus

STORED_SECONDS: Final = 10.0  # how old the database's numbers may be: some of them read every reply
TROUBLES_SHOWN: Final = 100
CHANNELS_SHOWN: Final = 200
SCORED_STAGES: Final = ("tune", "quantize", "evaluate")
SCORE_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class _Stored:
    at: float
    status: StoreStatus
    consents: list[ConsentCount]
    builds: list[BuildStanding]
    collected: list[Collected]


class WebControl:
    """``open_pages`` tells how many pages listen to channels."""

    def __init__(self, desk: Desk, callers: Callers, files: PageFiles, open_pages: Callable[[], int]) -> None:
        self._desk, self._callers, self._files, self._open_pages = desk, callers, files, open_pages
        self._runs = Runs(desk.data / "runs")
        self._troubles = Troubles()
        self._began = time.time()
        self._stored: _Stored | None = None
        self._storing = asyncio.Lock()
        self._reading = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control", self._page),
            web.get("/api/control", self._tell),
            web.get("/api/control/builds/{build}", self._build),
            web.post(r"/api/control/reports/{number:\d{1,15}}", self._settle),
            web.get("/metrics", self._metrics),
        ]

    async def listening(self, _app: web.Application) -> AsyncIterator[None]:
        """For ``app.cleanup_ctx``: hear of troubles as long as the page is served."""
        logging.getLogger().addHandler(self._troubles)
        yield
        logging.getLogger().removeHandler(self._troubles)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if opens_a_page(request) and not request.get(OPERATOR):  # signed in as a visitor, perhaps
            return to_the_door(request)
        operators_only(request)
        return self._files.answer(request, "control.html")

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        stored = await self._numbers()
        async with self._reading:  # its cache is for one thread at a time
            runs = await asyncio.to_thread(self._runs.told)
        canary = await model.canary(self._desk)
        builds = await asyncio.to_thread(_builds, self._desk.models, self._desk.engine.build, canary.build if canary else "", stored.builds)
        jobs = await asyncio.to_thread(read_runs, self._desk.data)
        live = sorted(self._desk.router.live, key=lambda c: (not c.busy, -c.waiting, str(c.key)))
        response = web.json_response(
            {
                "at": time.time(),
                "began": self._began,
                "build": self._desk.engine.build,
                "engine": asdict(_status(self._desk)),
                "memory_bytes": await asyncio.to_thread(_memory_bytes),
                "open_pages": self._open_pages(),
                "channels": [{"key": str(c.key), "busy": c.busy, "waiting": c.waiting, "place": c.place} for c in live[:CHANNELS_SHOWN]],
                "stored": asdict(stored.status),
                "consents": [asdict(count) for count in stored.consents],
                "canary": dict(canary.shape()) if canary is not None else None,
                "reports": [_report(report) for report in await admin.reports(self._desk, self._callers.of(request))],
                "builds": builds,
                "curation": [asdict(rows) for rows in stored.collected],
                "runs": [asdict(run) for run in runs],
                "jobs": {name: asdict(ran) for name, ran in jobs.items()},
                "troubles": [asdict(trouble) for trouble in self._troubles.lately()[:TROUBLES_SHOWN]],
            },
            headers={"Cache-Control": "no-store"},
        )
        response.enable_compression()
        return response

    async def _build(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        text = await build_report(self._desk.store, self._desk.models, request.match_info["build"])
        return web.Response(text=text, content_type="text/markdown", headers={"Cache-Control": "no-store"})

    async def _settle(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        await web_requests.read_body(request, {})
        return web.json_response({"text": await admin.settle(self._desk, self._callers.of(request), int(request.match_info["number"]))})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        operators_only(request)
        stored = await self._numbers()
        told = _Told(self._desk, stored, self._open_pages(), dict(self._troubles.counted))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(told)
        ProcessCollector(registry=registry)
        text = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})

    async def _numbers(self) -> _Stored:
        async with self._storing:
            now = time.monotonic()
            if self._stored is None or now - self._stored.at > STORED_SECONDS:
                store = self._desk.store
                consents, builds = await store.consent_counts(), await store.build_standings()
                rows = await asyncio.to_thread(collected, self._desk.data)
                self._stored = _Stored(now, await store.status(), consents, builds, rows)
            return self._stored


class _Told(Collector):
    """One moment of the house, in Prometheus' families."""

    def __init__(self, desk: Desk, stored: _Stored, open_pages: int, logged: dict[str, int]) -> None:
        self._desk, self._stored, self._open_pages, self._logged = desk, stored, open_pages, logged

    def collect(self) -> list[Metric]:
        status, stored, live = _status(self._desk), self._stored.status, self._desk.router.live
        tokens = CounterMetricFamily("troupe_tokens", "Tokens since the start", labels=["kind"])
        for kind, count in (("read", status.evaluated_tokens), ("reused", status.reused_tokens), ("written", status.reply_tokens)):
            tokens.add_metric([kind], count)
        return [
            _gauge("troupe_build_info", "What answers", {self._desk.engine.build: 1}, "build"),
            tokens,
            CounterMetricFamily("troupe_engine_seconds", "The engine's thread at work", value=status.step_seconds),
            _gauge("troupe_replies", "Replies being made or waiting", {"live": status.live, "waiting": status.waiting}, "state"),
            _gauge("troupe_cache_tokens", "Tokens the cache holds and can hold", {"used": status.cells_used, "all": status.cells}, "state"),
            _gauge("troupe_channels", "Channels with a task", {"busy": sum(c.busy for c in live), "all": len(live)}, "state"),
            GaugeMetricFamily("troupe_inbox_messages", "Messages waiting in channels", value=sum(c.waiting for c in live)),
            GaugeMetricFamily("troupe_open_pages", "Pages that listen", value=self._open_pages),
            _gauge("troupe_turns", "Turns stored, by what became of them", stored.turns, "state"),
            _gauge("troupe_stored_replies", "Replies stored, by state", stored.replies, "state"),
            GaugeMetricFamily("troupe_people", "People who have talked here", value=stored.people),
            GaugeMetricFamily("troupe_database_bytes", "Size of the database's file", value=stored.file_bytes),
            *_of_people(self._stored),
            _counter("troupe_log_records", "Warnings and errors logged since the start", self._logged, "level"),
        ]


def _of_people(stored: _Stored) -> list[Metric]:
    consents = GaugeMetricFamily("troupe_consents", "People whose newest answer is this", labels=["kind", "answer"])
    for count in stored.consents:
        consents.add_metric([count.kind, "yes"], count.granted)
        consents.add_metric([count.kind, "no"], count.refused)
    stars = _gauge("troupe_rating_stars", "Mean rating of a build", {b.build: b.stars for b in stored.builds if b.ratings}, "build")
    return [consents, stars, _gauge("troupe_ratings", "Ratings of a build", {b.build: b.ratings for b in stored.builds}, "build")]


def _report(report: Report) -> dict[str, Any]:
    return {
        "number": report.reply_id,
        "channel": str(report.channel),
        "character": report.character,
        "text": report.text,
        "build": report.build,
        "people": report.people,
        "at": report.at.isoformat(),
    }


def _gauge(name: str, about: str, values: dict[str, Any], label: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _counter(name: str, about: str, values: dict[str, int], label: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _status(desk: Desk) -> Status:
    """What the engine does; zeros for one that does not tell."""
    status = getattr(desk.engine, "status", None)
    return status if isinstance(status, Status) else Status()


def _builds(folder: Path, serving: str, canary: str, standings: list[BuildStanding]) -> list[dict[str, Any]]:
    """What lies in the folder of models, and what has answered and is gone. Blocking."""
    met = {standing.build: standing for standing in standings}
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.gguf")):
        if path.stem.endswith("-adapter"):
            continue
        manifest = models.read_manifest(path) or {}
        digest = manifest.get("sha256")
        build = f"{path.stem}@{digest[:8]}" if isinstance(digest, str) else f"unmanaged:{path.stem}"
        found.append(_build(build, manifest, met.pop(build, None), serving, canary, here=True))
    return found + [_build(build, {}, standing, serving, canary, here=False) for build, standing in met.items()]


def _build(
    build: str, manifest: dict[str, Any], standing: BuildStanding | None, serving: str, canary: str, *, here: bool
) -> dict[str, Any]:
    return {
        "build": build,
        "serving": build == serving,
        "canary": build == canary,
        "here": here,
        "bytes": manifest.get("bytes") if isinstance(manifest.get("bytes"), int) else None,
        "scores": _scores(manifest),
        "replies": standing.replies if standing else 0,
        "ratings": standing.ratings if standing else 0,
        "stars": round(standing.stars, 2) if standing else 0.0,
    }


def _scores(manifest: dict[str, Any]) -> dict[str, Any]:
    """What was measured of a build: its own scores, and the figures of the stages that made it."""
    made_by = manifest.get("made_by")
    stages = made_by if isinstance(made_by, dict) else {}
    told = {"": manifest.get("scores"), **{f"{name}.": stages.get(name, {}).get("figures") for name in SCORED_STAGES if name in stages}}
    return {
        f"{before}{name}": value
        for before, figures in told.items()
        if isinstance(figures, dict)
        for name, value in figures.items()
        if isinstance(value, int | float | str) and len(str(value)) <= SCORE_CHARACTERS
    }


def _memory_bytes() -> int | None:
    """What this process has in memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
