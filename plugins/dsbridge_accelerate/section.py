"""A piece of the Accelerate YAML, with what else it brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsbridge.sdk import Diagnostic, Placed


@dataclass
class Section:
    """Dotted YAML keys: `said` by the spec, and `usual` ones, written where nobody says otherwise.

    `env` and `flags` are for the launch; `files` stand beside the YAML; `removed` are keys that a base
    must lose, each with the reason.
    """

    said: dict[str, Any] = field(default_factory=dict)
    usual: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    found: list[Diagnostic] = field(default_factory=list)

    def take(self, placed: Placed) -> None:
        """Add what the field table has placed."""
        self.said |= placed.document("args")
        self.claimed |= placed.claimed
        self.found += placed.diagnostics

    def add(self, other: Section) -> None:
        """Add another section's parts."""
        self.said |= other.said
        self.usual |= other.usual
        self.env |= other.env
        self.flags += other.flags
        self.files |= other.files
        self.removed |= other.removed
        self.claimed |= other.claimed
        self.found += other.found


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted keys; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def put(nested: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one dotted key."""
    *parents, last = dotted.split(".")
    for parent in parents:
        nested = nested.setdefault(parent, {})
    nested[last] = value


def under(values: Iterable[str], *prefixes: str) -> set[str]:
    """The paths that start with one of the prefixes."""
    return {path for path in values if path.startswith(prefixes)}
