"""Differences in words: an exception, a warning or a record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsbridge.against import Drift

MODES = ("raise", "warn", "record")


class DriftError(RuntimeError):
    """The live engine is not as meant. `differences` has every field, `ranks` the ranks that saw any."""

    def __init__(self, message: str, differences: Sequence[Drift], ranks: Sequence[int] = (0,)) -> None:
        self.differences, self.ranks = list(differences), list(ranks)
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # an exception that a launcher carries from one process to another is made again from these
        return type(self), (self.args[0], self.differences, self.ranks)


class DriftWarning(UserWarning):
    """The live engine is not as meant, and training goes on."""


def checked_mode(mode: str) -> str:
    """The mode.

    Raises:
        ValueError: there is none of that name.
    """
    if mode not in MODES:
        raise ValueError(f'on_difference={mode!r}: write "raise", "warn" or "record"')
    return mode


def message(name: str, drift: Sequence[Drift], ranks: Sequence[int], world: int) -> str:
    """Every difference with what was meant, what holds, who set it, and what to do."""
    count = f"{len(drift)} difference{'s' if len(drift) > 1 else ''}"
    where = "" if len(ranks) in (world, 0) else f" on rank {', '.join(map(str, ranks))} of {world}"
    lines = [f"the run is not as {name} says: {count}{where}"]
    for entry in drift:
        asked = f" ({entry.asked})" if entry.asked else ""
        lines.append(f"  {entry.path}: expected {entry.expected!r}{asked}, found {entry.found!r}")
        if entry.set_by:
            lines.append(f"      set by {entry.set_by}")
    lines.append("  " + _what_to_do(name, drift))
    return "\n".join(lines)


def _what_to_do(name: str, drift: Sequence[Drift]) -> str:
    if drift[0].path == "outcome":
        return f"Start the run with DeepSpeed as {name} asks (`dsbridge render`), or change {name}."
    fields = ", ".join(dict.fromkeys(entry.path for entry in drift))
    return (
        f"Change it where it is set, or say in {name} what you want of {fields}; "
        '`on_difference="warn"` trains on.'
    )


def write(path: Path, name: str, seen: dict[str, Any], drift: Sequence[Drift]) -> None:
    """What was compared and how it differs, as JSON."""
    told = {"against": name, "call": seen, "differences": [entry.to_json() for entry in drift]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
