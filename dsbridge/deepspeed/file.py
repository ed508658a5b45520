"""A config file as DeepSpeed opens it: Hjson, no key twice, or else base64 in the name itself."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import InputError
from dsbridge.formats.json import read_json
from dsbridge.provenance import Places, Source
from dsbridge.reading import Files, sources_of

_EXPECTED = (
    "Expected a string path to an existing deepspeed config, or a dictionary or a valid base64. Received: "
)


class Read(NamedTuple):
    """The value, or what DeepSpeed says instead, with the places of the keys.

    problem: `type` and `message` of the exception; `old_type`, `old_message` where versions before
    0.18.6 raise another one; `kind` of a value that is no mapping.
    """

    value: Any
    problem: dict[str, Any] | None
    sources: Mapping[str, Source]


class _Twice(ValueError):
    """A key stands twice in one mapping."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """deepspeed/runtime/config_utils.py dict_raise_error_on_duplicate_keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise _Twice(f"Duplicate keys in DeepSpeed config: {twice}")
    return found


def read_config(files: Files, name: str) -> Read:
    """The config that a script or a flag names."""
    if not files.has(name):
        return _encoded(name)
    import hjson  # type: ignore[import-untyped]

    try:
        text = files.text(name)
        value = _value(text)
    except _Twice as error:
        return Read(None, {"type": "ValueError", "message": str(error), "field": name}, {})
    except hjson.HjsonDecodeError as error:
        return Read(None, {"type": "HjsonDecodeError", "message": str(error), "field": name}, {})
    except (InputError, RecursionError):
        return Read(None, {"type": "…", "message": "…", "field": name}, {})
    except (ValueError, OverflowError) as error:  # an integer that is too long for Python; 1e400 as one
        return Read(None, {"type": type(error).__name__, "message": str(error), "field": name}, {})
    if not isinstance(value, dict):
        return Read(value, not_a_mapping(value, name), {})
    return Read(value, None, Places(lambda: _sources(text, name)))


def _value(text: str) -> Any:
    """What hjson makes of a text. Of JSON that is what json makes of it, a hundred times as fast, but for
    numbers such as `2.0`, which are whole to it, and NaN, which is text."""
    import hjson

    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant, parse_float=_as_hjson)
    except (_Twice, RecursionError):
        raise
    except ValueError:
        value = None
    return value if isinstance(value, dict) else hjson.loads(text, object_pairs_hook=_pairs)


def _as_hjson(text: str) -> int | float:
    """hjson 3.1.0, decoder.py scantfnns."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return int(value) if int(value) == value and abs(value) < 1e10 else value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _sources(text: str, name: str) -> dict[str, Source]:
    try:
        return dict(sources_of(read_json(text, name, comments=True), "ds"))
    except InputError:  # Hjson that the finder of places does not follow
        return {}


def not_a_mapping(value: Any, name: str) -> dict[str, Any]:
    """What DeepSpeed says to a file that holds something else."""
    kind = type(value).__name__
    iterable = isinstance(value, str | list)
    message = f"'{kind}' object has no attribute 'get'"
    if not iterable:
        return {"type": "TypeError", "message": f"argument of type '{kind}' is not iterable", "field": name}
    return {"type": "AttributeError", "message": message, "field": name}


def not_a_config(value: Any) -> dict[str, Any]:
    """What DeepSpeed says to something that is neither a mapping nor a path."""
    kind = type(value).__name__
    return {
        "type": "ValueError",
        "message": f"{_EXPECTED}{value}",
        "old_type": "TypeError",
        "old_message": f"stat: path should be string, bytes, os.PathLike or integer, not {kind}",
        "field": "init.config",
    }


def _encoded(name: str) -> Read:
    """No such file: DeepSpeed takes the text for base64."""
    import hjson

    expected = f"{_EXPECTED}{name}"
    problem = {"type": "ValueError", "message": expected, "field": name}
    old = ("ValueError", expected)
    try:
        text = base64.urlsafe_b64decode(name).decode("utf-8")
        value = hjson.loads(text)
        if isinstance(value, dict):
            return Read(dict(value), None, {})
        return Read(value, not_a_mapping(value, name), {})
    except binascii.Error as error:
        old = ("Error", str(error))
    except UnicodeDecodeError:
        pass
    except ValueError as error:
        old = (type(error).__name__, str(error))
    return Read(None, {**problem, "old_type": old[0], "old_message": old[1]}, {})
