"""Judging requests and answers by Discord's own OpenAPI description, where that file is present.

The file stands beside the checkout (``../shared/specs/discord-openapi.json``) or where ``TROUPE_DISCORD_SPEC`` says. Without
it nothing is judged, and ``Spec.load`` gives None.
"""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "specs" / "discord-openapi.json"


class Spec:
    """One description, read once. ``request`` and ``answer`` give a sentence for what is wrong, or None."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        self._operations: list[tuple[re.Pattern[str], int, dict[str, Any]]] = []
        for template, operations in document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template)) + "$")
            self._operations.append((pattern, template.count("{"), operations))
        self._operations.sort(key=lambda entry: entry[1])  # a path without variables before one that has them
        self._validators: dict[int, Draft202012Validator] = {}

    @classmethod
    def load(cls) -> "Spec | None":
        path = Path(os.environ.get("TROUPE_DISCORD_SPEC") or SPEC)
        if not path.is_file():
            return None
        text = path.read_text(encoding="utf-8").replace("#/components/schemas/", "#/$defs/")
        return cls(_without_discriminators(json.loads(text)))

    def request(self, method: str, path: str, body: Any) -> str | None:
        operation = self._operation(method, path)
        if operation is None:
            return f"{method} {path} is no call that Discord has"
        contents = operation.get("requestBody", {}).get("content", {})
        schema = contents.get("application/json", {}).get("schema")
        if schema is None:
            return f"{method} {path} takes no body" if body else None
        return self._judge(schema, _known_deviations(body), f"{method} {path} request")

    def answer(self, method: str, path: str, status: int, body: Any) -> str | None:
        operation = self._operation(method, path)
        if operation is None or status >= 400:
            return None
        answers = operation["responses"]
        if str(status) not in answers:
            return f"{method} {path} never answers {status}, but {', '.join(answers)}"
        schema = answers[str(status)].get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            return None if body is None else f"{method} {path} answers {status} without a body"
        return self._judge(schema, body, f"{method} {path} answer")

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, _, operations in self._operations:
            if pattern.match(path) and method.lower() in operations:
                return operations[method.lower()]
        return None

    def _judge(self, schema: dict[str, Any], body: Any, what: str) -> str | None:
        validator = self._validators.get(id(schema))
        if validator is None:
            validator = Draft202012Validator({"$defs": self._schemas, **schema})
            self._validators[id(schema)] = validator
        error = next(iter(validator.iter_errors(body)), None)
        if error is None:
            return None
        error = _reason(error)
        return f"{what}: {'/'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:300]}"


def _reason(error: ValidationError) -> ValidationError:
    """Down to what is wrong in the one branch of a ``oneOf`` that was meant: the one whose ``type`` fits."""
    while error.context:
        branches: dict[Any, list[ValidationError]] = {}
        for inner in error.context:
            branches.setdefault(inner.schema_path[0], []).append(inner)
        fitting = [b for b in branches.values() if not any(e.validator == "enum" and list(e.path)[-1:] == ["type"] for e in b)]
        if not fitting:
            return error
        error = min(fitting, key=len)[0]
    return error


def _without_discriminators(node: Any) -> Any:
    """OpenAPI's ``discriminator`` is no JSON Schema; ``oneOf`` alone says the same."""
    if isinstance(node, dict):
        return {key: _without_discriminators(value) for key, value in node.items() if key != "discriminator"}
    if isinstance(node, list):
        return [_without_discriminators(value) for value in node]
    return node


def _known_deviations(body: Any) -> Any:
    """Two of discord.py's own: integer snowflakes in ``message_reference`` and in ``attachments[].id``."""
    if not isinstance(body, dict):
        return body
    body = copy.deepcopy(body)
    inner = body["data"] if isinstance(body.get("data"), dict) else body
    for part in (body, inner):
        reference = part.get("message_reference")
        if isinstance(reference, dict):
            reference.update({key: str(value) for key, value in reference.items() if key.endswith("_id") and isinstance(value, int)})
        for attachment in part.get("attachments") or []:
            if isinstance(attachment.get("id"), int):
                attachment["id"] = str(attachment["id"])
    return body
