"""What several rooms need for their tests: real models, made once for the whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.engine.models import prepare_starter
from tests.engine.tiny_model import write_tiny_model


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
