"""`TrainingArguments(deepspeed=...)`: the config itself, or how reading it ends."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import Files, Places, Unknown, copied, json_error, sources_of
from dsbridge.sdk import Source

_NEITHER = (
    "Expected a string path to an existing deepspeed config, or a dictionary, or a base64 encoded string. "
    "Received: {}"
)


class Config(NamedTuple):
    """`ds` is None where `problem` says how the framework stops."""

    ds: Any
    problem: dict[str, str] | None
    sources: Mapping[str, Source]


def read(value: Any, files: Files, at: Callable[[], Source | None]) -> Config:
    """The dict that accelerate.utils.deepspeed.HfDeepSpeedConfig ends up with.

    value: a dict, a path, JSON text, base64 of JSON text. at: finds where the value itself stands.
    """
    if isinstance(value, Unknown):
        return Config(value, None, {})
    if isinstance(value, Mapping):
        return Config(copied(value), None, _one_place(value, at))
    text = str(value)
    if text.startswith("{"):
        wrong = json_error(text)
        if wrong:
            return Config(None, {"type": "JSONDecodeError", "message": wrong}, {})
        made = typed(json.loads(text))
        return Config(made, None, _one_place(made, at))
    if files.has(text):
        wrong = json_error(files.text(text))
        if wrong:
            return Config(None, {"type": "JSONDecodeError", "message": wrong}, {})
        document = files.json(text)
        if not isinstance(document.value, dict):
            return Config(None, _no_mapping(document.value), {})
        return Config(document.value, None, sources_of(document, "ds"))
    decoded = _decoded(text)
    if decoded is not None and not isinstance(decoded, dict):
        return Config(None, _no_mapping(decoded), {})
    if decoded is None:
        return Config(None, {"type": "ValueError", "message": _NEITHER.format(text)}, {})
    return Config(decoded, None, _one_place(decoded, at))


def _one_place(value: Any, at: Callable[[], Source | None]) -> Mapping[str, Source]:
    """Everything in a value that stands in one place."""
    return Places(lambda: {f"ds.{path}": place for path in _paths(value)} if (place := at()) else {})


def _no_mapping(value: Any) -> dict[str, str]:
    """What asking it for a key ends with."""
    return {"type": "AttributeError", "message": f"'{type(value).__name__}' object has no attribute 'get'"}


def typed(value: Any) -> Any:
    """transformers' _convert_str_dict: texts that look like numbers and booleans become them."""
    if not isinstance(value, dict):
        return value
    return {key: typed(item) if isinstance(item, dict) else _typed(item) for key, item in value.items()}


def _typed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value.isdigit():
        return int(value)
    return float(value) if value.replace(".", "", 1).isdigit() else value


def _decoded(text: str) -> Any:
    """JSON text, or base64 of it; None for neither."""
    if not json_error(text):
        return json.loads(text)
    try:
        return json.loads(base64.urlsafe_b64decode(text).decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _paths(value: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, item in value.items():
        found.append(f"{prefix}{key}")
        if isinstance(item, Mapping):
            found += _paths(item, f"{prefix}{key}.")
    return found
