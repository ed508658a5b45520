"""A config that writes down which of its keys somebody asks for.

It is a real dict to everybody: `isinstance`, `**config`, `copy.copy`; messages call its class `dict`.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


class Record:
    """What was asked of one config.

    named: whose value, or whose presence, was asked for.
    handed: blocks that were given to one of DeepSpeed's classes inside another block.
    dropped: leaves that say "auto" and that a class took away, with whether it knows the key.
    """

    def __init__(self) -> None:
        self.named: set[Path] = set()
        self.handed: set[Path] = set()
        self.dropped: dict[Path, bool] = {}


class Traced(dict):  # type: ignore[type-arg]
    """One mapping of the config."""

    path: Path
    record: Record

    def __getitem__(self, key: Any) -> Any:
        self.record.named.add((*self.path, key))
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self.record.named.add((*self.path, key))
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.record.named.add((*self.path, str(key)))
        return super().__contains__(key)

    def pop(self, key: Any, *default: Any) -> Any:
        self.record.named.add((*self.path, key))
        return super().pop(key, *default)

    def __iter__(self) -> Iterator[Any]:
        """Looking through the names reads nothing yet. Being here sends `**config` through keys() and []."""
        return super().__iter__()

    def keys(self) -> Any:
        return collections.abc.KeysView(self)

    def items(self) -> Any:
        return _Items(self)

    def values(self) -> Any:
        return collections.abc.ValuesView(self)

    def __copy__(self) -> Traced:
        return traced_like(self, dict.items(self))

    def __deepcopy__(self, memo: Any) -> Traced:
        return traced_like(self, dict.items(self))

    copy = __copy__


class _Items(collections.abc.ItemsView):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        for key in self._mapping:
            yield key, self._mapping[key]


class Auto(str):
    """The word "auto" at its place."""

    path: Path


# DeepSpeed's messages, and pydantic's, name the type of a value.
Traced.__name__ = Traced.__qualname__ = "dict"
Auto.__name__ = Auto.__qualname__ = "str"


def traced_like(model: Traced, items: Any) -> Traced:
    """Another mapping at the same place."""
    made = Traced(items)
    made.path, made.record = model.path, model.record
    return made


def traced(value: Any, record: Record, path: Path = ()) -> Any:
    """The value with its mappings, down to lists, traced."""
    if isinstance(value, dict):
        made = Traced({key: traced(item, record, (*path, str(key))) for key, item in value.items()})
        made.path, made.record = path, record
        return made
    if value == "auto" and isinstance(value, str):
        word = Auto(value)
        word.path = path
        return word
    return value


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Every path that holds something else than a filled mapping."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    found: dict[Path, Any] = {}
    for key in dict.__iter__(value):
        found |= leaves(dict.__getitem__(value, key), (*path, str(key)))
    return found


def kept(found: Any, besides: tuple[str, ...] = ("_param_dict",)) -> set[Path]:
    """The mappings that an object holds on to: whoever reads them later, nobody can say now."""
    seen: set[int] = set()
    paths: set[Path] = set()
    queue = [found]
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, str | int | float | type(None) | type):
            continue
        seen.add(id(item))
        if isinstance(item, Traced):
            paths.add(item.path)
        elif isinstance(item, dict):
            queue += dict.values(item)
        elif isinstance(item, list | tuple | set):
            queue += item
        elif type(item).__module__.startswith("deepspeed"):
            queue += [value for name, value in vars(item).items() if name not in besides]
    return paths
