"""llama.cpp's own converters, taken once from the source package of the very llama-cpp-python that is installed.

The wheel does not contain them; the source package does (``vendor/llama.cpp/convert_hf_to_gguf.py``, ``convert_lora_to_gguf.py``,
``conversion/``, ``gguf-py/``). They are unpacked into a cache under their version and used offline from then on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from trainer.errors import ToolMissing

PACKAGE = "llama-cpp-python"
_INSIDE = "vendor/llama.cpp/"
_WANTED = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion/", "gguf-py/", "LICENSE")
_MARK = "whole"  # written last
_LAST_LINES = 6


def default_cache() -> Path:
    """Where it is kept: ``$XDG_CACHE_HOME/troupe``, usually ``~/.cache/troupe``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "troupe"


def converter(cache: Path, sdist: Path | None = None) -> Path:
    """The folder with the converters of the installed version; fetched on the first call (75 MB), offline afterwards.

    ``sdist`` is the source package as a file, for a machine without a network.

    Raises:
        ToolMissing: it is not there and could not be fetched; says how to bring it.
    """
    wanted = version(PACKAGE)
    home = cache / f"llama.cpp-{wanted}"
    if (home / _MARK).is_file():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as beside:
        archive = sdist or _fetch(wanted, Path(beside))
        _unpack(archive, wanted, Path(beside) / "tools")
        shutil.rmtree(home, ignore_errors=True)
        (Path(beside) / "tools").replace(home)
    (home / _MARK).touch()
    return home


def _fetch(wanted: str, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE, f"{PACKAGE}=={wanted}", "--dest", str(into)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archive = next(into.glob("*.tar.gz"), None)
    if done.returncode or archive is None:
        file = f"{PACKAGE.replace('-', '_')}-{wanted}.tar.gz"
        raise ToolMissing(
            f"llama.cpp's converter is not in the cache and pip could not fetch the source of {PACKAGE} {wanted} "
            f"({_tail(done.stderr)}); connect once, or bring the file with: troupe-train export --sdist {file}"
        )
    return archive


def _unpack(archive: Path, wanted: str, into: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as package:
            for member in package:
                top, _, inner = member.name.partition("/")
                if not member.isfile() or not inner.startswith(_INSIDE) or not inner.removeprefix(_INSIDE).startswith(_WANTED):
                    continue
                if not top.endswith(f"-{wanted}"):
                    raise ToolMissing(f"{archive} is {top}, but version {wanted} is installed; bring the source of that version")
                member.name = inner.removeprefix(_INSIDE)
                package.extract(member, into, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ToolMissing(f"{archive}: cannot be unpacked ({error}); fetch it again") from error
    if not (into / _WANTED[0]).is_file():
        raise ToolMissing(f"{archive} does not contain llama.cpp's converter; bring the source package (.tar.gz) of {PACKAGE} {wanted}")


def convert(tools: Path, script: str, *arguments: str) -> None:
    """Run one of the converters, offline.

    Raises:
        ToolMissing: it refused; with its own last words.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(tools / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise ToolMissing(f"llama.cpp's {script} failed: {_tail(done.stderr or done.stdout)}")


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:])[-600:] or "no reason given"
