"""A stage's settings as command line options: one option a field, checked by the settings themselves."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from bot.config import Section
from trainer.errors import TrainerError

Settings = TypeVar("Settings", bound=Section)
_MARK = "setting_"


def add_settings(parser: ArgumentParser, kind: type[Section], *, without: tuple[str, ...] = ()) -> None:
    """An option for every field; several values are separated by commas."""
    group = parser.add_argument_group("settings (a recipe has the same names)")
    for name, field in kind.model_fields.items():
        if name in without:
            continue
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        shown = "" if default in (None, "") else f"default {default}"
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"{_MARK}{name}", metavar="VALUE", help=shown)


def settings_from(args: Namespace, kind: type[Settings]) -> Settings:
    """The settings that were given, with defaults for the others.

    Raises:
        TrainerError: names every option that is wrong.
    """
    given: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        value = getattr(args, f"{_MARK}{name}", None)
        if value is not None:
            given[name] = [v for v in value.split(",") if v] if isinstance(field.default, tuple) else value
    return checked(kind, given, "--")


def checked(kind: type[Settings], given: dict[str, Any], prefix: str) -> Settings:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(f"{prefix}{'.'.join(map(str, e['loc'])).replace('_', '-')}: {e['msg']}" for e in error.errors())
        raise TrainerError(problems) from error


def add_run(parser: ArgumentParser) -> None:
    """Which run, and where runs live."""
    parser.add_argument("--run", default="company", metavar="NAME", help="the run's name (default company)")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"), metavar="FOLDER", help="where runs live (default data/runs)")
