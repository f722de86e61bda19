"""What characters' prompts begin with, as llama.cpp keeps it, saved beside the model: after a restart nothing of it is read again.

One file for each beginning, ``<models>/prefixes/<model and context>-<beginning>.state``. Both halves of the name are hashes: the
first changes with anything that changes the numbers inside (model file, type of cache, llama.cpp), the second with every token,
and so with card and prompt version. What is stale is therefore not found, and goes when the room is needed. A file that is
damaged is found out by its checksum, deleted and made again.

Only beginnings that ``Prompt.prefix_tokens`` marks as the character's own come here. What people said is never written.
"""

from __future__ import annotations

import hashlib
import logging
import os
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from bot.engine.native import State

log = logging.getLogger(__name__)

_CHECKSUM_BYTES: Final = 32


class PrefixFiles:
    """Saved beginnings for one model in one kind of context.

    ``load`` and ``save`` belong to the scheduler's thread. Writing is done by a thread of its own, so that no reply waits for a disk.
    """

    def __init__(self, folder: Path, identity: Sequence[object], limit_bytes: int) -> None:
        self._folder = folder
        self._model = hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()[:16]
        self._limit = limit_bytes
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefix files")

    def load(self, tokens: Sequence[int]) -> State | None:
        """What was saved for exactly these tokens. Takes about as long as one token of a reply."""
        path = self._path(tokens)
        try:
            content = np.fromfile(path, np.uint8)
        except OSError:  # not there
            return None
        checksum, state = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if not len(state) or checksum.tobytes() != _checksum(state):
            log.warning("saved prefix is damaged, reading it again file=%s", path.name)
            path.unlink(missing_ok=True)
            return None
        self._writer.submit(_touch, path)
        return state

    def save(self, tokens: Sequence[int], state: State) -> None:
        """Begin to write it; returns at once. ``state`` must not change any more."""
        if state.nbytes <= self._limit:
            self._writer.submit(self._write, self._path(tokens), state)

    def close(self) -> None:
        """Return when everything is written."""
        self._writer.shutdown()

    def _path(self, tokens: Sequence[int]) -> Path:
        return self._folder / f"{self._model}-{hashlib.sha256(array('i', tokens)).hexdigest()[:32]}.state"

    def _write(self, path: Path, state: State) -> None:
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            if path.is_file() and path.stat().st_size == state.nbytes + _CHECKSUM_BYTES:  # it had only left the memory
                os.utime(path)
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(_checksum(state))
                file.write(state.data)
            partial.replace(path)
            self._make_room()
        except OSError as error:
            log.warning("prefix not saved, it is read again after a restart reason=%s", error.strerror or error)
            partial.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Delete the longest unused until all fit, those of other models among them."""
        files = sorted(((known.stat(), Path(known.path)) for known in os.scandir(self._folder)), key=lambda file: file[0].st_mtime_ns)
        size = sum(known.st_size for known, _ in files)
        for known, path in files:
            if size <= self._limit:
                return
            path.unlink(missing_ok=True)
            size -= known.st_size


def _checksum(state: State) -> bytes:
    return hashlib.sha256(state.data).digest()


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # it has just given way to others
        log.debug("saved prefix is gone file=%s", path.name)
