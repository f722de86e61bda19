#!/usr/bin/env python3
"""Sets up .venv from the lock file: ``python3 dev/install.py run`` for serving, ``test`` for everything.

Uses nothing but the standard library, because it runs before anything is installed. Running it again costs a moment: what
was installed is remembered with a hash of what it was installed from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
VENV = HOME / ".venv"
LOCK = HOME / "requirements.lock"
WHAT = {"run": ".", "test": ".[dev,trainer]"}
GPU_FLAGS = {"cuda": "-DGGML_CUDA=on", "metal": "-DGGML_METAL=on", "vulkan": "-DGGML_VULKAN=on"}
ALIVE_SECONDS = 15
# Program -> the Debian packages that bring it, and what it needs here.
PROGRAMS = {"chromium": ("chromium", "fonts-noto-cjk", "fonts-noto-color-emoji"), "espeak-ng": ("espeak-ng",)}
AXE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "troupe" / "axe-4.10.3.min.js"
AXE_PACKAGE = "axe-core@4.10.3"
NINJA = re.compile(r"\[(\d+)/(\d+)\]")


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind not in WHAT:
        print("usage: python3 dev/install.py run|test", file=sys.stderr)
        return 2
    if sys.version_info < (3, 11):
        print(f"Troupe needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 {kind}", file=sys.stderr)
        return 1
    gpu = os.environ.get("TROUPE_GPU", "")
    if gpu and gpu not in GPU_FLAGS:
        print(f"TROUPE_GPU is {gpu!r}; it can be {', '.join(GPU_FLAGS)}, or unset for the CPU", file=sys.stderr)
        return 1
    if kind == "test":
        install_programs()
        install_axe()
    stamp = VENV / f"installed-{kind}.txt"
    wanted = fingerprint(gpu)
    if stamp.is_file() and stamp.read_text() == wanted:
        return 0
    if not (VENV / "bin" / "pip").exists():
        print("Creating the environment in .venv", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    environment = {
        **os.environ,
        "CMAKE_ARGS": " ".join(filter(None, [os.environ.get("CMAKE_ARGS", ""), "-DLLAVA_BUILD=OFF", GPU_FLAGS.get(gpu, "")])),
    }
    if llama_missing(gpu):
        print(
            f"Installing llama-cpp-python{f' for {gpu}' if gpu else ''}. The first time on a machine it is compiled, which takes\n"
            "7 to 10 minutes on two cores; later environments take it from pip's cache in seconds.",
            flush=True,
        )
        # pip's cache does not know build flags: a build for a GPU must neither come from it nor go into it.
        fresh = ["--no-cache-dir", "--force-reinstall", "--no-deps", "--no-binary", "llama-cpp-python"] if gpu else []
        if pip(["install", "-v", *fresh, "-c", str(LOCK), "llama-cpp-python"], environment) != 0:
            return 1
        (VENV / "llama-build.txt").write_text(gpu or "cpu")
    print(f"Installing what {'the tests and the trainer need' if kind == 'test' else 'Troupe needs'}", flush=True)
    if pip(["install", "-v", "-c", str(LOCK), "-e", WHAT[kind]], environment) != 0:
        return 1
    stamp.write_text(wanted)
    return 0


def fingerprint(gpu: str) -> str:
    digest = hashlib.sha256(gpu.encode())
    for path in (LOCK, HOME / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def llama_missing(gpu: str) -> bool:
    """Whether this environment's llama-cpp-python is absent, or was built for something else."""
    built = VENV / "llama-build.txt"
    if not any(VENV.glob("lib/python*/site-packages/llama_cpp/__init__.py")):
        return True
    return bool(gpu) and (not built.is_file() or built.read_text() != gpu)


def pip(arguments: list[str], environment: dict[str, str]) -> int:
    """Run pip with its whole output in a log, and a line every now and then that shows where it is."""
    log = VENV / "install.log"
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment, cwd=HOME
        )
        progress = Progress()
        with progress:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                progress.saw(line)
        code = process.wait()
    if code != 0:
        print(f"\npip failed; the last lines of {log.relative_to(HOME)}:", file=sys.stderr)
        print("".join(f"  {line}\n" for line in log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
    return code


class Progress:
    """Says every few seconds what pip is at: the step of the compilation, or the package."""

    def __init__(self) -> None:
        self._at = "starting"
        self._started = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def saw(self, line: str) -> None:
        step = NINJA.search(line)
        if step:
            self._at = f"compiling {step.group(1)} of {step.group(2)}"
        elif line.lstrip().startswith(("Collecting ", "Downloading ", "Building wheel", "Installing collected")):
            self._at = line.strip()[:70]

    def _speak(self) -> None:
        while not self._done.wait(ALIVE_SECONDS):
            print(f"  {time.monotonic() - self._started:4.0f} s  {self._at}", flush=True)


def install_programs() -> None:
    """The tests drive Debian's chromium and let espeak-ng speak. Where these cannot be installed such tests are skipped, and say so."""
    missing = [package for program, packages in PROGRAMS.items() if not shutil.which(program) for package in packages]
    if not missing or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    print(f"Installing {', '.join(missing)} for the tests", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", *command], check=False, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def install_axe() -> None:
    """axe-core, the judge of the pages' accessibility. Where npm is not, or finds nothing, that test is skipped and says so."""
    npm = shutil.which("npm")
    if npm is None or AXE.is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run([npm, "pack", "--silent", AXE_PACKAGE], check=False, cwd=folder, capture_output=True, text=True)
        archive = Path(folder) / packed.stdout.strip()
        if packed.returncode != 0 or not archive.is_file():
            print(f"{AXE_PACKAGE} could not be fetched with npm; the test that needs it will be skipped", flush=True)
            return
        with tarfile.open(archive) as files:
            script = files.extractfile("package/axe.min.js")
            if script is not None:
                AXE.parent.mkdir(parents=True, exist_ok=True)
                AXE.write_bytes(script.read())


if __name__ == "__main__":
    sys.exit(main())
