"""What several rooms need for their tests: real models, made once for the whole run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.engine.models import prepare_starter
from tests.engine.tiny_model import write_tiny_model


def pytest_configure(config: pytest.Config) -> None:
    """Of several workers each keeps to a processor of its own, with all that it starts.

    llama.cpp, OpenBLAS and torch take as many threads as they see processors, and such threads wait for each other: two workers
    of two threads each on two processors are slower than one worker alone.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[int(worker.removeprefix("gw")) % len(allowed)]})


@pytest.fixture(scope="session")
def starter_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``gguf`` folder in which the starter is ready: ``EngineSettings()`` serves it."""
    models = tmp_path_factory.mktemp("starter")
    prepare_starter(models)
    return models


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF of 300 KB with random weights: ``EngineSettings(model=str(tiny_model))`` serves it."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
