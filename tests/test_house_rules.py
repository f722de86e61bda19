"""Imports point down, and the bot never loads what only the trainer needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import HERE

# A room may import rooms with a smaller number; rooms with the same number do not see each other.
HEIGHT = {
    "connectors": 6,
    "commands": 5,
    "jobs": 5,
    "sessions": 4,
    "bench": 4,
    "memory": 3,
    "retrieval": 3,
    "engine": 3,
    "voice": 3,
    "characters": 2,
    "messages": 1,
    "config": 1,
    "errors": 0,
}
ENTRANCE = {"__main__", "house", "serve", "check", "sheets", "data_desk"}  # the few modules that know every room
FOR_TRAINER = {"characters", "memory", "retrieval", "engine", "messages", "config", "errors"}


def sources(package):
    return sorted(p for p in (HERE / package).rglob("*.py"))


def imported(path):
    """Modules of ours that a file imports, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in ("bot", "trainer"))


def room_of(dotted):
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "bot" else None


@pytest.mark.parametrize("path", sources("bot"), ids=lambda p: str(Path(p).relative_to(HERE)))
def test_imports_point_down(path):
    room = path.relative_to(HERE / "bot").parts[0].removesuffix(".py")
    if room in ENTRANCE or room == "__init__":
        return
    for name in imported(path):
        assert not name.startswith("trainer"), f"{path} imports {name}"
        below = room_of(name)
        if below is not None and below != room:
            assert below in HEIGHT, f"{path} imports {name}, which is above every room"
            assert HEIGHT[below] < HEIGHT[room], f"{path} imports {name}, which does not lie below"


@pytest.mark.parametrize("path", sources("trainer"), ids=lambda p: str(Path(p).relative_to(HERE)))
def test_the_trainer_sees_only_what_is_served(path):
    for name in imported(path):
        below = room_of(name)
        assert below is None or below in FOR_TRAINER, f"{path} imports {name}"


def test_the_bot_starts_without_the_trainers_libraries():
    code = "import sys, bot.__main__; print([m for m in ('torch', 'transformers', 'peft', 'trl', 'trainer') if m in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, check=True)

    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [*sources("bot"), *sources("trainer")], ids=lambda p: str(Path(p).relative_to(HERE)))
def test_no_import_hides_inside_a_function(path):
    """An import inside a function dodges a cycle. Only the entrance may wait with what one command alone needs."""
    if path.stem in ENTRANCE:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)):
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                assert not any(n.split(".")[0] in ("bot", "trainer") for n in names), f"{path}:{node.lineno}"
