"""JSON text to a Document: the values as Python's json module reads them, with their places.

Frameworks keep the last of two equal keys, take NaN and Infinity, and refuse comments; so does this
reader. `comments=True` reads what DeepSpeed itself reads (hjson: comments, trailing commas, bare words).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
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
_LINE = re.compile(r"\n")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_LONG = re.compile(r"\d{4301}")  # CPython converts no longer integers


def tokens(text: str) -> Iterator[re.Match[str]]:
    """The text in pieces, each of a `lastgroup`: space (comments, too), text, mark, plain."""
    return _TOKEN.finditer(text)


def read_json(text: str, file: str = "<text>", *, comments: bool = False) -> Document:
    """Parse one JSON value.

    Raises:
        InputError: not JSON (or not hjson, with `comments`), nested too deep or too large.
    """
    loose = False
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if comments:
            _places(text, file)  # before a slow parser sees what is too large
            value, loose = _relaxed(text, file), True
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
    return Document(value, file, Places(lambda: places()[0]), Places(lambda: places()[1]), loose)


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

    __slots__ = ("index", "key", "listed", "path")

    def __init__(self, path: Path_, listed: bool) -> None:
        self.path, self.listed, self.index = path, listed, 0
        self.key: str | None = None

    def inside(self) -> Path_:
        """The path of the value that comes next."""
        return (*self.path, self.index if self.listed else (self.key or ""))


def _places(text: str, file: str) -> tuple[Mapping[Path_, Source], Mapping[Path_, Source]]:
    """Where each key and value stands. Only places: a text that is not JSON gives what it can."""
    keys: dict[Path_, int] = {}
    values: dict[Path_, int] = {}
    places = _Offsets(keys, text, file), _Offsets(values, text, file)
    stack: list[_Open] = []
    top: _Open | None = None
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "space":
            continue
        token = match[0]
        if kind == "mark":
            if token == "," and top:
                top.index, top.key = top.index + 1, None
            elif token in "{[":
                path = top.inside() if top else ()
                values[path] = match.start()
                top = _Open(path, token == "[")
                stack.append(top)
                if len(stack) > MAX_DEPTH:
                    raise InputError([_deep(file)])
            elif token in "}]" and top:
                stack.pop()
                top = stack[-1] if stack else None
        elif top and top.key is None and not top.listed:
            top.key = _name(token, kind)
            path = (*top.path, top.key)
            keys[path] = match.start()
        else:
            path = top.inside() if top else ()
            values[path] = match.start()
            if len(values) > MAX_VALUES:
                raise InputError([TOO_LARGE(f"more than {MAX_VALUES:,} values", at=places[1][path])])
    return places


def _name(token: str, kind: str | None) -> str:
    """What a key says."""
    if kind != "text" or "\\" not in token:
        return token[1:-1] if kind == "text" else token
    try:
        return str(json.loads(token))
    except ValueError:
        return token[1:-1]


class _Offsets(Mapping[Path_, Source]):
    """Offsets in a text as lines and columns, found for those that somebody asks for."""

    def __init__(self, offsets: dict[Path_, int], text: str, file: str) -> None:
        self.offsets, self.text, self.file = offsets, text, file
        self.starts: list[int] = []

    def __getitem__(self, path: Path_) -> Source:
        offset = self.offsets[path]
        if not self.starts:
            self.starts = [0, *(match.end() for match in _LINE.finditer(self.text))]
        line = bisect_right(self.starts, offset)
        return Source(self.file, line, offset - self.starts[line - 1] + 1)

    def __contains__(self, path: object) -> bool:
        return path in self.offsets

    def __iter__(self) -> Iterator[Path_]:
        return iter(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets)
