"""Judging calls and answers by a machine-readable Bot API, where that file is present.

The file stands beside the checkout (``../shared/specs/telegram-bot-api.json``) or where ``TROUPE_TELEGRAM_SPEC`` says. Without
it nothing is judged, and ``Spec.load`` gives None.
"""

import json
import os
from pathlib import Path
from typing import Any

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "specs" / "telegram-bot-api.json"
LIMITS = {"callback_data": (1, 64), "command": (1, 32)}  # bytes and characters, which the file tells only in words


class Upload:
    """A file that came with a call."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data = name, data


class Spec:
    """One description, read once. ``call`` and ``answer`` give sentences for what is wrong."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._methods = {name.casefold(): method for name, method in document["methods"].items()}
        self._types = document["types"]

    @classmethod
    def load(cls) -> "Spec | None":
        path = Path(os.environ.get("TROUPE_TELEGRAM_SPEC") or SPEC)
        return cls(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def returns(self, method: str) -> list[str]:
        known = self._methods.get(method.casefold())
        return known["returns"] if known else []

    def call(self, method: str, parameters: dict[str, "str | Upload"]) -> list[str]:
        """``parameters`` as they came over the wire: text, or an uploaded file."""
        known = self._methods.get(method.casefold())
        if known is None:
            return [f"{method} is no method of the Bot API"]
        fields = {field["name"]: field for field in known.get("fields", [])}
        problems = [f"{method}: {name} is required" for name, field in fields.items() if field["required"] and name not in parameters]
        for name, text in parameters.items():
            if isinstance(text, Upload) and name not in fields:
                continue  # what an attach:// address points to
            if name not in fields:
                problems.append(f"{method}: {name} is no parameter of it")
            elif not any(self._fits_wire(text, kind) for kind in fields[name]["types"]):
                problems.append(f"{method}: {name} is no {' or '.join(fields[name]['types'])}: {str(text)[:200]}")
        return problems

    def answer(self, method: str, result: Any) -> list[str]:
        kinds = self.returns(method)
        if not kinds or any(self._fits(result, kind) is None for kind in kinds):
            return []
        return [f"{method} answer: {self._fits(result, kinds[0])}"]

    def update(self, update: Any) -> list[str]:
        problem = self._fits(update, "Update")
        return [f"update: {problem}"] if problem else []

    def _fits_wire(self, value: "str | Upload", kind: str) -> bool:
        if isinstance(value, Upload):
            return kind == "InputFile"
        if kind in ("String", "InputFile"):
            return True
        try:
            return self._fits(json.loads(value), kind) is None
        except ValueError:
            return False

    def _fits(self, value: Any, kind: str) -> str | None:
        """None, or where and why not."""
        if kind.startswith("Array of "):
            if not isinstance(value, list):
                return f"{kind}: {str(value)[:80]!r}"
            return next((found for each in value if (found := self._fits(each, kind.removeprefix("Array of ")))), None)
        simple = {"Integer": int, "Float": (int, float), "String": str, "Boolean": bool, "True": bool}.get(kind)
        if simple is not None:
            fits = isinstance(value, simple) and (kind in ("Boolean", "True") or not isinstance(value, bool))
            return None if fits else f"{kind}: {str(value)[:80]!r}"
        known = self._types.get(kind)
        if known is None:
            return None
        if known.get("subtypes"):
            tried = [self._fits(value, subtype) for subtype in known["subtypes"]]
            return None if None in tried else f"none of {', '.join(known['subtypes'])}: {tried[0]}"
        return self._fits_object(value, kind, known.get("fields", []))

    def _fits_object(self, value: Any, kind: str, fields: list[dict[str, Any]]) -> str | None:
        if not isinstance(value, dict):
            return f"{kind}: {str(value)[:80]!r}"
        named = {field["name"]: field for field in fields}
        for name, field in named.items():
            if field["required"] and name not in value:
                return f"{kind}.{name} is missing"
        for name, part in value.items():
            if name not in named:
                return f"{kind}.{name} is not known"
            tried = [self._fits(part, each) for each in named[name]["types"]]
            if None not in tried:
                return f"{kind}.{name}: {tried[0]}"
            least, most = LIMITS.get(name, (0, 10**9))
            if isinstance(part, str) and not least <= len(part.encode()) <= most:
                return f"{kind}.{name} has {len(part.encode())} bytes; it may have {least} to {most}"
        return None
