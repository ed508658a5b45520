"""YAML text to a Document.

PyYAML's events are read, never its constructors, so a tag cannot make an object. Plain scalars follow
YAML 1.2, because `5e8` and `1e-4` are strings to PyYAML (YAML 1.1 wants `5.0e+8`) and numbers to
everybody who writes them. Nesting and aliases are bounded, so a small file cannot grow into a large one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import yaml

from dsbridge.diagnostics import Diagnostic, InputError
from dsbridge.formats.document import DUPLICATE, SYNTAX, TOO_LARGE, Document, Path_
from dsbridge.formats.yaml_quick import MAX_DEPTH, MAX_NODES, NOT_QUICK, as_key, quick_value
from dsbridge.provenance import Places, Source

MAX_NUMBER = 1000  # letters; CPython prints no integer of more than 4300 digits

_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def plain_scalar(text: str) -> Any:
    """The value of an unquoted YAML 1.2 scalar."""
    if len(text) > MAX_NUMBER:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


@lru_cache(maxsize=4096)
def scalar_1_1(text: str) -> Any:
    """The value of an unquoted scalar as PyYAML reads it: `no` is false, `1e-4` is text."""
    if len(text) > MAX_NUMBER:
        return text
    loader = yaml.SafeLoader("")
    try:
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, yaml.YAMLError):
        return text
    finally:
        loader.dispose()


def read_yaml(
    text: str,
    file: str = "<text>",
    *,
    as_pyyaml: bool = False,
    scalar: Callable[[str], Any] | None = None,
) -> Document:
    """Parse one YAML document.

    as_pyyaml: read it as the frameworks do, whose PyYAML follows YAML 1.1 and keeps the last of two
    equal keys. scalar: how an unquoted scalar is read, where it is still another way.

    Raises:
        InputError: not YAML, a duplicate key, an unknown tag, too deep or too large.
    """
    plain = scalar or (scalar_1_1 if as_pyyaml else plain_scalar)
    build = cache(lambda: _built(text, file, plain, as_pyyaml))
    value = quick_value(text, plain, last_wins=as_pyyaml)
    if value is NOT_QUICK:
        value = build().root
    return Document(value, file, Places(lambda: build().keys), Places(lambda: build().values))


def _built(text: str, file: str, scalar: Callable[[str], Any], last_wins: bool) -> _Builder:
    """The long way: every event with its place, and everything that is wrong."""
    builder = _Builder(file, scalar, last_wins)
    try:
        for event in _events(text):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Source(file, mark.line + 1, mark.column + 1) if mark else Source(file)
        message = f"not valid YAML: {error.problem or error}"
        raise InputError([SYNTAX(message, hint=_advice(text, mark), at=at)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character #x{error.character:04x} is not allowed in YAML"
        raise InputError([SYNTAX(message, at=Source(file, line))]) from None
    if builder.problems:
        raise InputError(builder.problems)
    return builder


def _advice(text: str, mark: yaml.Mark | None) -> str:
    """What most often causes a syntax error at this place."""
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "Indent with spaces: YAML takes no tabs."
    if mark and mark.line >= len(lines):
        return "The file ends inside a `{`, `[` or quote; close it."
    return "Look at this line and the one before it: indentation, quotes, `: ` after each key."


def _events(text: str) -> Iterator[yaml.Event]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return iter(yaml.parse(text, Loader=loader))


class _Frame:
    """An open mapping or list. `started` counts the nodes before it, to know its size at the end."""

    def __init__(self, container: Any, path: Path_, anchor: str | None, started: int) -> None:
        self.container = container
        self.path = path
        self.anchor = anchor
        self.started = started
        self.key: Any = None
        self.has_key = False


class _Builder:
    def __init__(self, file: str, scalar: Callable[[str], Any], last_wins: bool) -> None:
        self.file, self.scalar, self.last_wins = file, scalar, last_wins
        self.root: Any = None
        self.keys: dict[Path_, Source] = {}
        self.values: dict[Path_, Source] = {}
        self.problems: list[Diagnostic] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = 0
        self.documents = 0

    def feed(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open({}, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open([], event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop(SYNTAX, "a second YAML document starts here", event, "Keep one a file.")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._stop(SYNTAX, f"tag {event.tag} is not read", event, "Remove the tag.")
        plain = event.implicit[0] and event.style in (None, "")  # the C parser says ""
        self._count(1, event)
        self._put(self.scalar(event.value) if plain else event.value, event)
        if event.anchor:
            value = self.scalar(event.value) if plain else event.value
            self.anchors[event.anchor] = (value, 1)

    def _open(self, container: Any, event: Any) -> None:
        if event.tag is not None:
            self._stop(SYNTAX, f"tag {event.tag} is not read", event, "Remove the tag.")
        if len(self.stack) >= MAX_DEPTH:
            self._stop(TOO_LARGE, f"nested deeper than {MAX_DEPTH} levels", event)
        self._count(1, event)
        path = self._put(container, event)
        self.stack.append(_Frame(container, path, event.anchor, self.nodes))

    def _close(self) -> None:
        frame = self.stack.pop()
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.container, self.nodes - frame.started + 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            self._stop(SYNTAX, f"alias *{event.anchor} names no anchor closed before it", event)
        value, size = self.anchors[str(event.anchor)]
        self._count(size, event)
        self._put(value, event)

    def _put(self, value: Any, event: Any) -> Path_:
        """Place a value under its parent; give its path."""
        at = Source(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if not self.stack:
            self.root = value
            self.values[()] = at
            return ()
        frame = self.stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
            path: Path_ = (*frame.path, len(frame.container) - 1)
        elif not frame.has_key:
            return self._key(frame, value, at)
        else:
            frame.has_key = False
            frame.container[frame.key] = value
            path = (*frame.path, frame.key)
        self.values[path] = at
        return path

    def _key(self, frame: _Frame, value: Any, at: Source) -> Path_:
        if isinstance(value, dict | list):
            raise InputError([SYNTAX("a mapping or list cannot be a key", at=at)])
        key = as_key(value)
        path = (*frame.path, key)
        if key in frame.container and not self.last_wins:
            first = self.keys[path]
            self.problems.append(
                DUPLICATE(
                    f"`{key}` is already given on line {first.line}",
                    hint="Keep one of the two; YAML readers silently keep the last.",
                    key=".".join(str(p) for p in path),
                    at=at,
                )
            )
        else:
            self.keys[path] = at
        frame.key, frame.has_key = key, True
        return path

    def _count(self, nodes: int, event: Any) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._stop(TOO_LARGE, f"more than {MAX_NODES:,} values once aliases are expanded", event)

    def _stop(self, code: Any, message: str, event: Any, hint: str = "") -> None:
        mark = event.start_mark
        at = Source(self.file, mark.line + 1, mark.column + 1)
        raise InputError([code(message, hint=hint, at=at)])
