"""What can go wrong in a training run and was foreseen.

BotError
└── TrainerError         str(error) is a sentence that says what to do
    ├── SourceRefused    what was given to learn from cannot be used
    ├── BaseRefused      the model to start from cannot be used
    ├── RunRefused       the run's folder is in use, or was begun from something else
    ├── ToolMissing      llama.cpp's converter could not be had
    └── GateFailed       an exported model is not the model that was trained
"""

from bot.errors import BotError


class TrainerError(BotError):
    """Anything that was foreseen while training."""


class SourceRefused(TrainerError):
    """Text, lines or samples cannot be used."""


class BaseRefused(TrainerError):
    """A base model cannot be trained or exported."""


class RunRefused(TrainerError):
    """A run's folder cannot be worked in."""


class ToolMissing(TrainerError):
    """llama.cpp's converter is not there and could not be fetched."""


class GateFailed(TrainerError):
    """What was exported differs from what was trained."""
