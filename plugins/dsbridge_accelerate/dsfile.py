"""A ds_config as `HfDeepSpeedConfig` takes it: a path, JSON itself, or base64 of JSON."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import Files, json_error, sources_of
from dsbridge.sdk import InputError, Source

NO_FILE = (
    "Expected a string path to an existing deepspeed config, or a dictionary, or a base64 encoded string. "
    "Received: {}"
)


class DsFile(NamedTuple):
    """The config with its places, or what Python raises at it: {"type", "message"}."""

    config: dict[str, Any] | None
    sources: Mapping[str, Source]
    problem: dict[str, str] | None = None


def read_ds(files: Files, given: str) -> DsFile:
    """What opening this text gives. It is a file if there is one of that name."""
    if files.has(given):
        return _from_file(files, given)
    value = _inline(given)
    if value is None:
        return DsFile(None, {}, {"type": "ValueError", "message": NO_FILE.format(given)})
    return _of(value[0], {})


def _from_file(files: Files, path: str) -> DsFile:
    text = files.text(path)
    problem = json_error(text)
    if problem:
        return DsFile(None, {}, {"type": "JSONDecodeError", "message": problem})
    try:
        document = files.json(path)
    except InputError as error:
        return DsFile(None, {}, {"type": "RecursionError", "message": str(error)})
    return _of(document.value, sources_of(document, "ds"))


def _of(value: Any, sources: Mapping[str, Source]) -> DsFile:
    if isinstance(value, dict):
        return DsFile(value, sources)
    message = f"'{type(value).__name__}' object has no attribute 'get'"
    return DsFile(None, {}, {"type": "AttributeError", "message": message})


def _inline(given: str) -> tuple[Any] | None:
    """The JSON that the text is, plain or in base64."""
    for text in (given, _decoded(given)):
        try:
            return (json.loads(text),)
        except (ValueError, RecursionError):
            continue
    return None


def _decoded(given: str) -> str:
    try:
        return base64.urlsafe_b64decode(given).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
