"""Log lines that give nobody away: no message text, no token, no address of a webhook.

An error's own sentence may quote what somebody said (a ``KeyError`` does), so of an exception only its type and the places
in the code are written. Our own foreseen errors are logged with their sentence, which is written without such things.
Addresses with secrets in them are blotted out wherever they come from, also from a library.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
BLOT = "***"
SHORTEST_SECRET = 8

_SECRET_PARTS = (
    re.compile(r"(/webhooks/\d+/)[\w-]+"),  # Discord: who has the rest may speak in that channel
    re.compile(r"(/interactions/\d+/)[\w-]+"),
    re.compile(r"(\bbot\d{1,20}:)[\w-]+"),  # Telegram: the token is part of every address
    re.compile(r"((?:Bearer|Bot) )[\w.-]{8,}"),
)

log = logging.getLogger(__name__)


class Discreet(logging.Formatter):
    """``secrets`` are blotted out wherever they stand: the values of the variables that the settings name."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__(FORMAT)
        self._secrets = sorted((s for s in secrets if len(s) >= SHORTEST_SECRET), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        kept, record.exc_text = record.exc_text, None  # another handler may have written the trace there, words and all
        try:
            line = super().format(record)
        finally:
            record.exc_text = kept
        for secret in self._secrets:
            line = line.replace(secret, BLOT)
        for pattern in _SECRET_PARTS:
            line = pattern.sub(rf"\1{BLOT}", line)
        return line

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        return where(ei[1]) if ei[1] is not None else ""


def where(error: BaseException) -> str:
    """Types and places of an error and of what led to it, and none of their words."""
    parts = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        places = [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(link.__traceback__)]
        parts.append("\n".join([type(link).__name__, *places]))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nafter ".join(parts)


def log_to(stream: TextIO, level: str | int, secrets: Iterable[str] = ()) -> None:
    """Once per process. Crashes of the process itself are told the same way."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Discreet(secrets))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    for noisy in ("aiohttp.access", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "alembic", "aiosqlite", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = _crashed


def tell_discreetly(loop: asyncio.AbstractEventLoop) -> None:
    """What asyncio itself has to tell of errors that nobody awaited: it would print the task with its exception's words."""
    loop.set_exception_handler(_nobody_awaited)


def _crashed(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    log.critical("crashed", exc_info=error)


def _nobody_awaited(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    log.error("an error was left unseen task=%s: %s", name, context.get("message", ""), exc_info=error)
