"""Where a value was written."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """A place in a user's input. Lines and columns count from 1; None where there are none."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file, *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(parts)
