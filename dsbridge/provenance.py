"""Where a value was written."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, cast

K = TypeVar("K")


class Source(NamedTuple):
    """A place in a user's input. Lines and columns count from 1; None where there are none."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file, *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(parts)


class Places(Mapping[K, Source]):
    """Places that are looked for when the first of them is asked.

    Values are wanted of every file, places only of what is told to somebody, and finding them takes longer
    than reading the file.
    """

    def __init__(self, find: Callable[[], Mapping[K, Source]]) -> None:
        self._find = find
        self._found: Mapping[K, Source] | None = None

    def _all(self) -> Mapping[K, Source]:
        if self._found is None:
            self._found = self._find()
        return self._found

    def __getitem__(self, key: K) -> Source:
        return self._all()[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def get(self, key: K, default: Any = None) -> Any:
        """The place, or the default."""
        return self._all().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._all()


def together(*several: Mapping[K, Source]) -> Mapping[K, Source]:
    """Places of several readers, those of the last winning; none of them is looked for yet."""
    parts = [one for one in several if isinstance(one, Places | ChainMap) or one]
    if len(parts) == 1:
        return parts[0]
    return ChainMap(*(cast("dict[K, Source]", part) for part in reversed(parts)))
