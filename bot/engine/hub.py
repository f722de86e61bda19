"""Model files from a Hugging Face hub, or from whatever ``HF_ENDPOINT`` names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from httpx2 import HTTPError  # what huggingface_hub's own errors stand on
from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bot.errors import ModelNotLoadable


def fetch(repo: str, file: str, target: Path) -> str:
    """Download ``file`` of ``repo`` to ``target``, with a bar on stderr, and give its revision.

    A download that broke off is taken up again.

    Raises:
        ModelNotLoadable: it does not exist, may not be had, or the hub cannot be reached.
    """
    beside = target.with_suffix(".partial")  # a folder: the library keeps what it has so far in it
    endpoint = os.environ.get("HF_ENDPOINT")  # read now: the library reads it when it is imported
    try:
        # Asked once, without the download's six tries over half a minute: who has no network learns it at once.
        known = get_hf_file_metadata(hf_hub_url(repo, file, endpoint=endpoint), token=get_token(), endpoint=endpoint)
        revision = known.commit_hash or "main"
        fetched = hf_hub_download(repo, file, revision=revision, local_dir=beside, endpoint=endpoint, tqdm_class=_Bar)
    except GatedRepoError as error:
        raise ModelNotLoadable(f"{repo} asks you to accept its terms first; do so on its page and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise ModelNotLoadable(
            f"there is no model {repo} that may be read; check engine.model, or set HF_TOKEN if it is private"
        ) from error
    except LocalEntryNotFoundError as error:  # also an EntryNotFoundError, and means something else
        raise ModelNotLoadable(_unreachable(repo, file, error)) from error
    except EntryNotFoundError as error:
        raise ModelNotLoadable(f"{repo} has no file {file}; check engine.model") from error
    except (HTTPError, OSError, ValueError) as error:
        raise ModelNotLoadable(_unreachable(repo, file, error)) from error
    Path(fetched).replace(target)
    shutil.rmtree(beside, ignore_errors=True)
    return revision


def _unreachable(repo: str, file: str, error: Exception) -> str:
    cause = error.__cause__ or error
    return (
        f"{repo}/{file} could not be fetched ({type(cause).__name__}); check the network or HF_ENDPOINT,"
        " or download it elsewhere and set engine.model to its path"
    )


class _Bar:
    """The part of tqdm's interface that the library uses, drawn by rich."""

    def __init__(self, *, total: float | None = None, initial: float = 0, desc: str = "", **_: Any) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID = self._progress.add_task(desc, total=total, completed=int(initial))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def update(self, count: float | None = 1) -> None:
        self._progress.advance(self._task, count or 0)

    def close(self) -> None:
        self._progress.stop()
