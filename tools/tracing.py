"""A dict that remembers what is asked of it, for `tools/trace_keys.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MISSING = object()
ANY = "*"  # the name of an entry whose name is the user's


@dataclass
class Log:
    """What one run asked for."""

    keys: dict[tuple[str, str], Any] = field(default_factory=dict)  # (block, key): its default, or MISSING
    compared: dict[str, set[Any]] = field(default_factory=dict)  # texts that a value was compared with
    walked: set[str] = field(default_factory=set)  # blocks whose entries were all gone through
    kept: set[str] = field(default_factory=set)  # blocks that were handed on whole
    classes: dict[str, str] = field(default_factory=dict)  # blocks that a class takes apart: module:class
    unpacked: str | None = None


class Traced(dict[str, Any]):
    """A block that remembers what is asked of it."""

    def __init__(self, path: str, log: Log, items: dict[str, Any] | None = None) -> None:
        super().__init__(items or {})
        self.path, self.log = path, log

    def saw(self, key: Any, default: Any = MISSING) -> None:
        """Remember a question, and the first default that came with it."""
        if self.log.unpacked != self.path:
            self.log.unpacked = None
        if isinstance(key, str) and key != ANY and self.log.keys.get((self.path, key), MISSING) is MISSING:
            self.log.keys[self.path, str(key)] = dict(default) if type(default) is dict else default

    def get(self, key: str, default: Any = None) -> Any:
        self.saw(key, default)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.saw(key, *default)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        self.saw(key, default)
        if not super().__contains__(key):
            self[key] = default
        return super().__getitem__(key)

    def __getitem__(self, key: str) -> Any:
        self.saw(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.saw(key)
        return super().__contains__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if type(value) is dict:
            value = Traced(join(self.path, key), self.log, value)
        super().__setitem__(key, value)

    def keys(self) -> Any:
        return Names(self)

    def __iter__(self) -> Iterator[str]:
        self.log.walked.add(self.path)
        return super().__iter__()

    def items(self) -> Any:
        self.log.walked.add(self.path)
        return super().items()

    def values(self) -> Any:
        self.log.walked.add(self.path)
        return super().values()

    def copy(self) -> Traced:
        return Traced(self.path, self.log, {name: dict.__getitem__(self, name) for name in dict.keys(self)})

    def __copy__(self) -> Traced:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Traced:
        return self.copy()


class Names:
    """`block.keys()`: asked for a name, or walked through, as `Model(**block)` does."""

    def __init__(self, block: Traced) -> None:
        self.block = block

    def __contains__(self, key: object) -> bool:
        return key in self.block

    def __iter__(self) -> Iterator[str]:
        self.block.log.unpacked = self.block.path
        return iter(list(dict.keys(self.block)))

    def __len__(self) -> int:
        return len(list(dict.keys(self.block)))


class Text(str):
    """A text that remembers what it is compared with."""

    path: str
    log: Log

    def __eq__(self, other: object) -> bool:
        if type(other) is str and other != "auto":
            self.log.compared.setdefault(self.path, set()).add(other)
        return str.__eq__(self, other)

    __hash__ = str.__hash__

    def lower(self) -> Text:
        return text(str.lower(self), self.path, self.log)

    def upper(self) -> Text:
        return text(str.upper(self), self.path, self.log)


def text(value: str, path: str, log: Log) -> Text:
    """A text at its place."""
    found = Text(value)
    found.path, found.log = path, log
    return found


def join(path: str, key: str) -> str:
    """The dotted place of a key."""
    return f"{path}.{key}" if path else key
