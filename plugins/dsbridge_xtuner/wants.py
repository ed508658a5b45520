"""What the config should say in the end: fields by dotted path, however they get there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dsbridge.sdk import Diagnostic, ParallelSpec, RenderRequest, Severity, show
from dsbridge_xtuner import codes
from dsbridge_xtuner.shape import UNKNOWN, Shape

DELETE = "_delete_"  # mmengine replaces a mapping that has it instead of merging


@dataclass
class Wants:
    """Fields to set, the spec path each comes from, the spec paths dealt with, and what to tell."""

    shape: Shape
    fields: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    found: list[Diagnostic] = field(default_factory=list)

    def set(self, path: str, value: Any, key: str) -> None:
        """The field is to have the value, because the spec's `key` says so."""
        self.fields[path] = value
        self.keys[path] = key

    def ensure(self, path: str, value: Any, key: str) -> None:
        """As `set`, but not written where the config is known to have the value already."""
        if not (self.shape.known and path in self.shape.leaves and means(path, self.shape.get(path), value)):
            self.set(path, value, key)

    def clear(self, path: str, key: str) -> None:
        """The field is to be None; nothing to do where the config is known to lack it."""
        if not self.shape.known or self.shape.has(path):
            self.set(path, None, key)

    def replace(self, path: str, values: dict[str, Any], key: str) -> None:
        """The mapping is to have these fields and no others."""
        for name in [name for name in self.fields if name.startswith(f"{path}.")]:
            del self.fields[name]
        self.set(f"{path}.{DELETE}", True, key)
        for name, value in values.items():
            self.set(f"{path}.{name}", value, key)

    def tell(self, *diagnostics: Diagnostic) -> None:
        self.found += diagnostics

    def claim(self, paths: Iterable[str]) -> None:
        self.claimed.update(paths)


@dataclass(frozen=True)
class Context:
    """What every decision may look at."""

    request: RenderRequest
    wants: Wants
    accumulation: int | None

    @property
    def spec(self) -> ParallelSpec:
        return self.request.spec

    @property
    def shape(self) -> Shape:
        return self.wants.shape

    def own_micro(self, path: str, steps: int) -> int | None:
        """The config's own number of micro-steps, if parsing read these optimizer steps from it."""
        own = self.shape.number(path) if "shape" in self.request.own() and not self.request.base else None
        if not own or not self.accumulation or max(1, round(own / self.accumulation)) != steps:
            return None
        return int(own)


def means(path: str, has: Any, wanted: Any) -> bool:
    """Whether a config's value is the one wanted. Types are named with or without their module."""
    if has is UNKNOWN:
        return False
    if path.endswith("type") and isinstance(has, str) and isinstance(wanted, str):
        return has.split(".")[-1] == wanted.split(".")[-1]
    if isinstance(has, bool) or isinstance(wanted, bool):
        return has is wanted
    if isinstance(has, int | float) and isinstance(wanted, int | float):
        return abs(has - wanted) <= 1e-9 * max(abs(has), abs(wanted))
    if isinstance(has, list | tuple) and isinstance(wanted, list | tuple):
        return len(has) == len(wanted) and all(means("", a, b) for a, b in zip(has, wanted, strict=True))
    return bool(has == wanted)


def steps_need_accumulation(key: str, steps: Any, severity: Severity = codes.ERROR) -> Diagnostic:
    """Tell that a number of optimizer steps cannot be counted in micro-steps."""
    return codes.STEPS(
        f"`{key}: {show(steps)}` counts optimizer steps; XTuner counts micro-steps, and the config's "
        "accumulation is not known",
        hint="Give `batch.accumulation`, or `batch.global` with `batch.micro_per_gpu` and the GPUs.",
        key=key,
        severity=severity,
    )
