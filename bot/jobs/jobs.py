"""Keeping the hours: apscheduler calls, and what came of it stands in a small file that other commands can read.

A job that was due while nobody served runs soon after the start, once, however often it was missed. A clock that is set
back does not hold a job up for longer than its own interval.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bot.errors import BotError

log = logging.getLogger(__name__)

FILE = "jobs.json"
FIRST_SECONDS = 60.0  # after a start people come first


@dataclass(frozen=True, slots=True)
class Job:
    """``work`` returns what it did, in a few words and numbers. It is never called while it runs."""

    name: str
    about: str
    every: timedelta
    work: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Ran:
    """What is known of a job, kept over restarts. Times are ISO 8601, UTC; "" is never."""

    last: str = ""
    did: str = ""
    error: str = ""  # of the last run; "" when that went well
    failed: int = 0  # runs in a row
    next: str = ""  # while somebody serves


class Jobs:
    """One for a serving house. ``now`` tells the time; a test brings its own."""

    def __init__(self, jobs: Sequence[Job], data: Path, *, now: Callable[[], datetime] | None = None) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._file = data / FILE
        self._now = now or _utc_now
        self._known: dict[str, Ran] = {}
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._serving = False

    async def start(self) -> None:
        self._known = await asyncio.to_thread(read_runs, self._file.parent)
        for job in self._jobs.values():
            self._scheduler.add_job(
                self.run,
                IntervalTrigger(seconds=job.every.total_seconds(), timezone=UTC),
                args=[job.name],
                id=job.name,
                next_run_time=self.first_run(job),
                misfire_grace_time=None,  # late is better than not at all: this machine was asleep, or busy
                coalesce=True,
            )
        self._scheduler.start()
        self._serving = True
        await self._write()

    async def stop(self) -> None:
        """End what runs: each of them is done in steps that are whole."""
        if not self._serving:
            return
        self._serving = False
        self._scheduler.pause()
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        await self._write()

    def first_run(self, job: Job) -> datetime:
        """Its interval after the last run, and soon when that is over."""
        now = self._now()
        soon = now + min(timedelta(seconds=FIRST_SECONDS), job.every)
        last = _moment(self._known.get(job.name, Ran()).last)
        if last is None or last > now:  # never, or the clock was set back since
            return soon
        return max(soon, last + job.every)

    async def run(self, name: str) -> None:
        """Do a job now, and note what came of it. A failure is logged and noted; the next run comes at its time."""
        if name in self._running:
            return
        task = asyncio.create_task(self._do(self._jobs[name]), name=f"job {name}")
        self._running[name] = task
        try:
            await asyncio.wait([task])  # whoever calls, the scheduler too, is not told of its end by ``stop``
        finally:
            self._running.pop(name, None)

    async def _do(self, job: Job) -> None:
        before = self._known.get(job.name, Ran())
        began = self._now()
        try:
            did, error = await job.work(), ""
            log.info("job done job=%s did=%s", job.name, did)
        except BotError as failure:
            did, error = before.did, str(failure)
            log.warning("job failed job=%s error=%s: %s", job.name, type(failure).__name__, failure)
        except Exception as failure:
            did, error = before.did, f"{type(failure).__name__}; the log has where"
            log.exception("job crashed job=%s", job.name)
        self._known[job.name] = Ran(began.isoformat(), did, error, before.failed + 1 if error else 0)
        await self._write()

    async def _write(self) -> None:
        for name in self._jobs:
            planned = self._scheduler.get_job(name) if self._serving else None
            due = planned.next_run_time.astimezone(UTC).isoformat() if planned is not None and planned.next_run_time else ""
            self._known[name] = replace(self._known.get(name, Ran()), next=due)
        try:
            await asyncio.to_thread(_write_runs, self._file, dict(self._known))
        except OSError as error:  # a full disk: the job itself was done or not, and the log has told
            log.warning("when jobs ran could not be noted error=%s", error.strerror)


def read_runs(data: Path) -> dict[str, Ran]:
    """When each job ran last. A file that cannot be read is no reason not to serve: jobs then run as if for the first time."""
    try:
        stored = json.loads((data / FILE).read_text(encoding="utf-8"))
        return {name: Ran(**{key: value for key, value in ran.items() if key in Ran.__slots__}) for name, ran in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("when jobs ran last is not known error=%s", type(error).__name__)
        return {}


def _write_runs(file: Path, runs: Mapping[str, Ran]) -> None:
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.write_text(json.dumps({name: asdict(ran) for name, ran in runs.items()}, indent=1), encoding="utf-8")
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None


def _utc_now() -> datetime:
    return datetime.now(UTC)
