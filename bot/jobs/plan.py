"""Which jobs this house has, from its settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.config import Config
from bot.engine.swap import SwappingEngine
from bot.jobs.backups import back_up
from bot.jobs.canary import judge
from bot.jobs.jobs import Job
from bot.jobs.learning import learn
from bot.jobs.retention import empty_log, forget_old
from bot.memory.store import Store
from bot.messages import Engine


def planned(
    config: Config, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC), engine: Engine | None = None
) -> list[Job]:
    """Jobs whose hours are 0 are left out. ``engine`` is what serves; who only lists the jobs has none."""
    settings, memory, training = config.jobs, config.memory, config.training
    canary = config.canary

    async def backup() -> str:
        return await back_up(store, now(), keep=settings.backups_kept)

    async def retention() -> str:
        return await forget_old(store, memory, now())

    async def checkpoint() -> str:
        return await empty_log(store)

    async def retrain() -> str:
        return await learn(store, config, now())

    async def decide() -> str:
        if not isinstance(engine, SwappingEngine):
            return "nothing can be tried on this engine"
        return await judge(store, engine, config.paths.models, canary, now())

    looks = timedelta(minutes=canary.look_minutes if canary.share else 0)
    backups = settings.backup_hours if store.is_file else 0  # a server's own tools copy it
    jobs = (
        Job("backup", f"copies the database; {settings.backups_kept} are kept", timedelta(hours=backups), backup),
        Job("retention", _retention(config), timedelta(hours=settings.retention_hours), retention),
        Job("retrain", f"learns from {training.new_pairs} new preferences", timedelta(hours=training.retrain_hours), retrain),
        Job("canary", f"decides by ratings about what {canary.share:.0%} of the channels try", looks, decide),
        Job("checkpoint", "empties the database's log", timedelta(hours=settings.checkpoint_hours), checkpoint),
    )
    return [job for job in jobs if job.every]


def _retention(config: Config) -> str:
    days, left = config.memory.retention_days, config.memory.left_days
    turns = f"deletes turns after {days} days" if days else "keeps turns"
    return f"{turns}, {f'places {left} days after they removed us' if left else 'keeps places'}"
