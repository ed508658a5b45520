"""JSON text to a Document: the values as Python's json module reads them, with their places.

Frameworks keep the last of two equal keys, take NaN and Infinity, and refuse comments; so does this
reader. `comments=True` reads what DeepSpeed itself reads (hjson: comments, trailing commas, bare words).
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from dsbridge.diagnostics import InputError
from dsbridge.formats.document import SYNTAX, TOO_LARGE, Document, Path_
from dsbridge.provenance import Places, Source

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
      | (?P<text>"(?:[^"\\\n]|\\.)*")
      | (?P<mark>[{}\[\]:,])
      | (?P<plain>[^\s{}\[\]:,"]+)""",
    re.VERBOSE | re.DOTALL,
)
MAX_DEPTH = 200
MAX_VALUES = 200_000  # the index of a very large model has 100,000
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_LONG = re.compile(r"\d{4301}")  # CPython converts no longer integers


def read_json(text: str, file: str = "<text>", *, comments: bool = False) -> Document:
    """Parse one JSON value.

    Raises:
        InputError: not JSON (or not hjson, with `comments`), nested too deep or too large.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if comments:
            _places(text, file)  # before a slow parser sees what is too large
            value = _relaxed(text, file)
        else:
            at = Source(file, error.lineno, error.colno)
            hint = "Strict JSON has no comments, no trailing commas, and double quotes only."
            raise InputError([SYNTAX(f"not valid JSON: {error.msg}", hint=hint, at=at)]) from None
    except RecursionError:
        raise InputError([_deep(file)]) from None
    except ValueError:
        raise InputError([_long(text, file)]) from None
    _check_text(value, text, file)
    places = cache(lambda: _places(text, file))
    if text.count("{") + text.count("[") > MAX_DEPTH or text.count(",") + text.count(":") > MAX_VALUES:
        places()  # refuses what is too deep or too large
    return Document(value, file, Places(lambda: places()[0]), Places(lambda: places()[1]))


def json_error(text: str) -> str:
    """What Python's json module says of a text that it refuses; "" for one that it reads."""
    try:
        json.loads(text)
    except ValueError as error:  # also for an integer that is too long
        return str(error)
    except RecursionError:
        return "maximum recursion depth exceeded"
    return ""


def _relaxed(text: str, file: str) -> Any:
    import hjson  # type: ignore[import-untyped]

    try:
        return _plain(hjson.loads(text))
    except hjson.HjsonDecodeError as error:
        at = Source(file, error.lineno, error.colno)
        raise InputError([SYNTAX(f"neither JSON nor Hjson: {error.msg}", at=at)]) from None
    except RecursionError:
        raise InputError([_deep(file)]) from None
    except ValueError:
        raise InputError([_long(text, file)]) from None


def _deep(file: str) -> Any:
    return TOO_LARGE("nested deeper than any config", at=Source(file))


def _long(text: str, file: str) -> Any:
    found = _LONG.search(text)
    line = text.count("\n", 0, found.start()) + 1 if found else None
    return SYNTAX("an integer has more than 4300 digits", at=Source(file, line))


def _check_text(value: Any, text: str, file: str) -> None:
    """Half a character (`\\ud800`) is no text: it can be neither printed nor written."""
    found = _HALF.search(text) if "\\u" in text else None
    if found:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            line = text.count("\n", 0, found.start()) + 1
            message = f"{found[0]}… is half a character"
            raise InputError([SYNTAX(message, at=Source(file, line))]) from None


def _plain(value: Any) -> Any:
    """hjson gives OrderedDicts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


class _Open:
    """An open mapping or list."""

    def __init__(self, path: Path_, listed: bool) -> None:
        self.path, self.listed, self.index = path, listed, 0
        self.key: str | None = None


def _places(text: str, file: str) -> tuple[dict[Path_, Source], dict[Path_, Source]]:
    """Where each key and value stands. Only places: a text that is not JSON gives what it can."""
    keys: dict[Path_, Source] = {}
    values: dict[Path_, Source] = {}
    stack: list[_Open] = []
    line, start = 1, 0  # the line of the token, and where that line begins
    for match in _TOKEN.finditer(text):
        at = Source(file, line, match.start() - start + 1)
        if match.lastgroup == "space":
            newlines = match[0].count("\n")
            if newlines:
                line, start = line + newlines, match.start() + match[0].rindex("\n") + 1
        elif match.lastgroup == "mark":
            _mark(match[0], at, stack, values)
        else:
            _scalar(match, at, stack, keys, values)
        if len(stack) > MAX_DEPTH:
            raise InputError([_deep(file)])
        if len(values) > MAX_VALUES:
            raise InputError([TOO_LARGE(f"more than {MAX_VALUES:,} values", at=at)])
    return keys, values


def _mark(mark: str, at: Source, stack: list[_Open], values: dict[Path_, Source]) -> None:
    if mark in "{[":
        path = _path(stack)
        values[path] = at
        stack.append(_Open(path, mark == "["))
    elif mark in "}]" and stack:
        stack.pop()
    elif mark == "," and stack:
        stack[-1].index += 1
        stack[-1].key = None


def _scalar(
    match: re.Match[str],
    at: Source,
    stack: list[_Open],
    keys: dict[Path_, Source],
    values: dict[Path_, Source],
) -> None:
    frame = stack[-1] if stack else None
    if frame and not frame.listed and frame.key is None:
        name = match[0]
        if match.lastgroup == "text":
            try:
                name = json.loads(name)
            except ValueError:
                name = name[1:-1]
        frame.key = name
        path: Path_ = (*frame.path, name)
        keys[path] = at
    else:
        values[_path(stack)] = at


def _path(stack: list[_Open]) -> Path_:
    if not stack:
        return ()
    frame = stack[-1]
    return (*frame.path, frame.index if frame.listed else (frame.key or ""))
