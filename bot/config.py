"""config.toml -> frozen settings.

Every setting has a default here and one line of why in the shipped ``config.toml``; a room receives its own section, never
the whole. Secrets are named, never written: a ``*_env`` setting holds the name of an environment variable.
Nothing is read at import.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from bot.errors import ConfigError

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the file: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(Section):
    """Where things are; relative paths start at the folder of config.toml."""

    characters: Path = Path("characters")
    models: Path = Path("gguf")
    data: Path = Path("data")


class RemoteEngine(Section):
    """An OpenAI-compatible server, used instead of the embedded engine when ``base_url`` is set."""

    base_url: str = ""
    model: str = ""
    api_key_env: str = "TROUPE_REMOTE_KEY"
    context_tokens: int = Field(8192, ge=512)
    timeout_seconds: Seconds = 120
    concurrent: int = Field(8, ge=1)


class EngineSettings(Section):
    """The one model that all characters share."""

    model: str = "current"
    gpu_layers: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    context_tokens: int = Field(2560, ge=512)
    live_replies: int = Field(8, ge=1, le=128)
    parked_megabytes: int = Field(128, ge=0)
    prefix_megabytes: int = Field(1024, ge=0)
    queue: int = Field(256, ge=1)
    threads: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    batch_tokens: Literal["auto"] | Annotated[int, Field(ge=32)] = "auto"
    chunk_tokens: Literal["auto"] | Annotated[int, Field(ge=16)] = "auto"
    cache_type: Literal["auto", "f16", "q8_0"] = "auto"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    watch_seconds: Annotated[float, Field(ge=0, le=86400)] = 5
    remote: RemoteEngine = RemoteEngine()


class SessionSettings(Section):
    """Who answers, when, and how much of the context each part of a prompt may take."""

    settle_seconds: Seconds = 0.8
    inbox: int = Field(64, ge=1)
    cascade: int = Field(2, ge=0)
    speakers: int = Field(3, ge=1)
    always_answer: bool = True
    retries: int = Field(2, ge=0)
    message_characters: int = Field(8000, ge=1)
    stale_minutes: float = Field(15, gt=0)
    attempts: int = Field(3, ge=1)
    closing_seconds: float = Field(10, ge=1)
    idle_seconds: Seconds = 300
    reply_tokens: int = Field(160, ge=8)
    card_tokens: int = Field(900, ge=64)
    lore_tokens: int = Field(250, ge=0)
    memory_tokens: int = Field(250, ge=0)
    exemplar_tokens: int = Field(900, ge=0)
    retrieved_tokens: int = Field(250, ge=0)
    history_turns: int = Field(60, ge=1)
    recap_turns: int = Field(24, ge=0)
    person_messages_per_minute: int = Field(30, ge=0)
    person_messages_per_day: int = Field(0, ge=0)
    channel_messages_per_minute: int = Field(120, ge=0)


class RetrievalSettings(Section):
    """What a character is reminded of for each turn."""

    mode: Literal["lines", "scenes"] = "lines"
    exemplars: int = Field(3, ge=0)
    scene_tokens: int = Field(1500, ge=0)
    search: Literal["bm25", "embeddings", "fused"] = "bm25"
    embedder: str = ""


class MemorySettings(Section):
    url: str = ""
    busy_seconds: Seconds = 5
    retention_days: int = Field(0, ge=0)
    left_days: int = Field(30, ge=0)


class JobSettings(Section):
    """What is done by itself while Troupe serves."""

    backup_hours: Annotated[float, Field(ge=0, le=8760)] = 24
    backups_kept: int = Field(7, ge=1)
    retention_hours: Annotated[float, Field(ge=0, le=8760)] = 6
    checkpoint_hours: Annotated[float, Field(ge=0, le=8760)] = 1


class TrainingSettings(Section):
    """Learning from conversations: nothing by itself until it is switched on, and never without a person's agreement."""

    discord_text: bool = False
    retrain_hours: Annotated[float, Field(ge=0, le=8760)] = 0
    new_pairs: int = Field(20, ge=1)
    approved_only: bool = False
    tokens: int = Field(120_000, ge=1)
    niceness: int = Field(15, ge=0, le=19)
    method: Literal["dpo", "kto"] = "dpo"
    judge: str = ""
    judge_model: str = ""
    judge_key_env: str = "TROUPE_REMOTE_KEY"


class CanarySettings(Section):
    """A new build that a share of the channels tries before everybody has it."""

    share: Share = 0
    least_ratings: int = Field(10, ge=2)
    ratings: int = Field(40, ge=2)
    hours: Annotated[float, Field(gt=0, le=8760)] = 72
    look_minutes: Annotated[float, Field(gt=0, le=1440)] = 10


class CharacterSettings(Section):
    """Limits for cards that strangers bring."""

    awake: tuple[str, ...] = ()
    card_bytes: int = Field(8 * 1024 * 1024, ge=1024)
    json_bytes: int = Field(2 * 1024 * 1024, ge=1024)
    json_depth: int = Field(32, ge=4)
    pixels: int = Field(16_000_000, ge=1)
    png_chunks: int = Field(256, ge=1)
    zip_entries: int = Field(512, ge=1)
    zip_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    zip_ratio: int = Field(200, ge=1)
    lore_entries: int = Field(1000, ge=0)
    lines: int = Field(5000, ge=0)
    lines_bytes: int = Field(8 * 1024 * 1024, ge=1024)
    registered: int = Field(500, ge=0)


class VoiceSettings(Section):
    """Who speaks aloud. Nobody does where neither a server is named nor espeak-ng is installed."""

    engine: Literal["auto", "espeak-ng", "remote", "none"] = "auto"
    espeak: str = "espeak-ng"
    base_url: str = ""
    model: str = ""
    voice: str = "alloy"
    api_key_env: str = "TROUPE_SPEECH_KEY"
    timeout_seconds: float = Field(30, gt=0)
    concurrent: int = Field(2, ge=1, le=32)
    characters: int = Field(1500, ge=1, le=20_000)


class WebSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    names: tuple[str, ...] = ()
    token_env: str = "TROUPE_WEB_TOKEN"
    operator_token_env: str = "TROUPE_OPERATOR_TOKEN"
    session_hours: float = Field(168, gt=0, le=8760)
    requests_per_minute: int = Field(240, ge=0)
    featured: tuple[str, ...] = ()


class DiscordSettings(Section):
    """Joins when the variable that ``token_env`` names is set."""

    token_env: str = "DISCORD_BOT_TOKEN"
    api_base: str = "https://discord.com/api/v10"
    gateway_url: str = "wss://gateway.discord.gg/"
    servers: tuple[int, ...] = ()
    operators: tuple[int, ...] = ()
    moderator_roles: tuple[int, ...] = ()
    edit_seconds: float = Field(1.2, ge=1)
    links: Literal["keep", "plain", "none"] = "plain"
    buttons: bool = True
    missed_messages: int = Field(50, ge=0, le=1000)
    shard_count: int = Field(0, ge=0)
    shard_ids: tuple[int, ...] = ()


class TelegramSettings(Section):
    """Joins when the variable that ``token_env`` names is set."""

    token_env: str = "TELEGRAM_BOT_TOKEN"
    api_base: str = "https://api.telegram.org/bot"
    file_base: str = "https://api.telegram.org/file/bot"
    bots: dict[str, str] = {}
    chats: tuple[int, ...] = ()
    people: tuple[int, ...] = ()
    operators: tuple[int, ...] = ()
    character: str = ""
    private_streaming: Literal["draft", "edit", "none"] = "draft"
    group_streaming: Literal["edit", "none"] = "none"
    edit_seconds: float = Field(1.5, ge=1)
    buttons: bool = True
    topics: Literal["shared", "character"] = "shared"
    webhook_url: str = ""
    webhook_host: str = "127.0.0.1"
    webhook_port: int = Field(8443, ge=0, le=65535)
    webhook_secret_env: str = "TELEGRAM_WEBHOOK_SECRET"


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Config(Section):
    paths: Paths = Paths()
    engine: EngineSettings = EngineSettings()
    sessions: SessionSettings = SessionSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    memory: MemorySettings = MemorySettings()
    jobs: JobSettings = JobSettings()
    training: TrainingSettings = TrainingSettings()
    canary: CanarySettings = CanarySettings()
    characters: CharacterSettings = CharacterSettings()
    voice: VoiceSettings = VoiceSettings()
    web: WebSettings = WebSettings()
    discord: DiscordSettings = DiscordSettings()
    telegram: TelegramSettings = TelegramSettings()
    log: LogSettings = LogSettings()

    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """Where the settings were read, for processes that need the same ones."""
        return self._file


def load_config(path: Path) -> Config:
    """Read and check the whole file at once.

    Raises:
        ConfigError: names the file and every key that is wrong, not only the first.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file; name one with --config FILE or TROUPE_CONFIG") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}:\n{problems}") from error
    home = path.resolve().parent
    places = {name: home / value for name, value in config.paths}
    placed = config.model_copy(update={"paths": Paths(**places)})
    placed._file = path.resolve()
    return placed
