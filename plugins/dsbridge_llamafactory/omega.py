"""Settings as OmegaConf reads them: the training YAML, and `key=value` words after it.

OmegaConf's YAML is PyYAML's (1.1: `on` is true), but `1e-4` is a number, a date is text and a key may
stand once. LLaMA-Factory before 0.9.4 used PyYAML itself, where `1e-4` is text and the last of two equal
keys counts; `Settings.older` is that reading, where it differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from dsbridge.rulebook import COMMAND, Document, Files, Places, Words, copied, read_yaml, scalar_1_1
from dsbridge.sdk import InputError, Source

# omegaconf 2.4.0, _yaml.py get_yaml_loader
_FLOAT = re.compile(
    r"[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)"
    r"|\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?"
)
_PART = re.compile(r"[^.\[\]]+")


class Settings(NamedTuple):
    """The settings and their places. problem: {"type", "message", "older"} of a file nobody can read;
    `older` is true when LLaMA-Factory before 0.9.4 stops at it too."""

    values: dict[str, Any]
    sources: Mapping[str, Source]
    older: dict[str, Any]
    problem: Mapping[str, Any] | None = None


@lru_cache(maxsize=4096)
def scalar(text: str) -> Any:
    """An unquoted scalar as OmegaConf reads it."""
    value = scalar_1_1(text)
    if isinstance(value, date):
        return text
    if isinstance(value, str) and _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return value


def read_settings(files: Files, file: str) -> Settings:
    """The training YAML."""
    text = files.text(file)
    try:
        document = files.yaml(file)
    except InputError as error:
        return Settings({}, {}, {}, _refusal(text, str(error)))
    if document.value is None:
        return Settings({}, {}, {})
    if not isinstance(document.value, dict):
        message = "Cannot merge incompatible container types"
        return Settings({}, {}, {}, {"type": "TypeError", "message": message, "older": True})
    problem = None
    try:
        values = read_yaml(text, file, scalar=scalar).value
    except InputError as error:
        problem = _duplicate(error)
        values = read_yaml(text, file, as_pyyaml=True, scalar=scalar).value
    problem = problem or _interpolation(values)
    return Settings(values, Places(lambda: _sources(document)), document.value, problem)


def _sources(document: Document) -> dict[str, Source]:
    return {".".join(str(p) for p in path): source for path, source in document.values.items() if path}


def _refusal(text: str, message: str) -> dict[str, Any]:
    """The exception that PyYAML stops with."""
    import yaml

    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return {"type": type(error).__name__, "message": "…", "older": True}
    return {"type": "ConstructorError", "message": "…", "older": True, "why": message}


def _duplicate(error: InputError) -> dict[str, Any] | None:
    """Two equal keys, which OmegaConf refuses."""
    for finding in error.diagnostics:
        if finding.code == "IN003":
            key = str(finding.key).rpartition(".")[2]
            return {"type": "ConstructorError", "message": f"…found duplicate key {key}…", "older": False}
    return None


def _interpolation(values: Any) -> dict[str, Any] | None:
    """`${` that is never closed."""
    for text in _texts(values):
        start = text.rfind("${")
        if start >= 0 and "}" not in text[start:]:
            return {"type": "GrammarParseError", "message": "…", "older": True}
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def override(settings: Settings, words: Words) -> Settings:
    """`key=value` words laid over the file; a word without `=` is a key without a value."""
    if not words.items:
        return settings
    values, older, sources = copied(settings.values), copied(settings.older), dict(settings.sources)
    for index, word in enumerate(words.items):
        key, equals, text = word.partition("=")
        parts = _PART.findall(key)
        if not parts:
            continue
        value = _parsed(text) if equals else None
        for tree in (values, older):
            _put(tree, parts, value)
        path = ".".join(parts)
        sources = {name: place for name, place in sources.items() if not name.startswith(f"{path}.")}
        sources[path] = Source(COMMAND, None, words.first + index)
    return settings._replace(values=values, older=older, sources=sources)


def _parsed(text: str) -> Any:
    """The text after `=`, which is YAML."""
    try:
        found = read_settings(Files(memory={COMMAND: f"value: {text}"}), COMMAND)
    except (InputError, ValueError):
        return text
    return found.values.get("value", text) if found.problem is None else text


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    node = tree
    for part in parts[:-1]:
        inner = node.get(part)
        if not isinstance(inner, dict):
            inner = node[part] = {}
        node = inner
    old = node.get(parts[-1])
    if isinstance(old, dict) and isinstance(value, dict):
        old.update(value)
    else:
        node[parts[-1]] = value
