"""Theorem 2: what is rendered means what the spec says, or a diagnostic names the field.

A pass over values: a spec, what was rendered from it, and what the target's framework will make of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from dsbridge.artifacts import Artifacts
from dsbridge.deepspeed.config import ds_key_of
from dsbridge.explaining import Explanation
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import batch_numbers, dims
from dsbridge.spec.leaves import leaves, plain
from dsbridge.trees import flat, lookup
from dsbridge.values import AUTO, UNSET, Unknown


class Unmet(NamedTuple):
    """A field of the spec that will not hold, and that no diagnostic names."""

    path: str
    key: str
    wanted: Any
    effective: Any

    def __str__(self) -> str:
        return f"`{self.path}`: {self.key} should be {self.wanted!r} and will be {self.effective!r}"


def unmet(spec: ParallelSpec, artifacts: Artifacts, found: Explanation) -> list[Unmet]:
    """Every field that the run would break in silence; empty when rendering has kept its promise."""
    if artifacts.refused:
        return []
    named = {finding.key for finding in artifacts.diagnostics if finding.key}
    if found.error is not None:
        fields = found.error["fields"]
        if any(_excused(path, named) for path in _spec_paths(spec, fields)):
            return []
        return [Unmet(", ".join(fields), found.error["type"], "a run", found.error["message"])]
    if any(path.startswith("fsdp.") for path in leaves(spec)):
        return []  # no DeepSpeed config to compare; conformance trains those
    asks = any(path.startswith("zero.") or path == "parallelism.tp" for path in leaves(spec))
    if found.config is None and not asks and not spec.deepspeed:
        return []  # plain data parallelism: the spec does not ask for DeepSpeed
    return [entry for entry in _compared(spec, found) if not _excused(entry.path, named)]


def _excused(path: str, named: set[str]) -> bool:
    """A diagnostic speaks of the field, of a block around it, or of a part of it."""
    return any(path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.") for key in named)


def _spec_paths(spec: ParallelSpec, fields: list[str]) -> Iterator[str]:
    """The spec's names of DeepSpeed keys."""
    keys = {ds_key_of(path): path for path in leaves(spec)}
    for field in fields:
        name = field.removeprefix("ds.").removeprefix("engine.")
        yield keys.get(name, name)
        yield f"deepspeed.{name}"


def wanted(spec: ParallelSpec) -> dict[str, tuple[str, Any]]:
    """What the spec fixes: by spec path, DeepSpeed's key and its value."""
    own = ("optimizer.", "scheduler.")
    said: dict[str, tuple[str, Any]] = {}
    for path, value in leaves(spec).items():
        key = ds_key_of(path)
        owner = getattr(getattr(spec, path.split(".")[0]), "owner", "deepspeed")
        if key and value is not AUTO and not (path.startswith(own) and owner != "deepspeed"):
            said[path] = (key, plain(value))
    numbers, layout = batch_numbers(spec), dims(spec)
    if numbers.micro is not None:
        said["batch.micro_per_gpu"] = ("train_micro_batch_size_per_gpu", numbers.micro)
    if numbers.accumulation is not None:
        said["batch.accumulation"] = ("gradient_accumulation_steps", numbers.accumulation)
    dtype = spec.precision.dtype
    if isinstance(dtype, str):
        said["precision.dtype"] = ("bf16.enabled", dtype in ("bf16", "fp8"))
    if layout.tp > 1:
        said["parallelism.tp"] = ("tensor_parallel.autotp_size", layout.tp)
    said.pop("batch.global", None)  # DeepSpeed's own count differs under tp and Ulysses
    return said


def _compared(spec: ParallelSpec, found: Explanation) -> Iterator[Unmet]:
    config = flat(found.config or {})
    for path, (key, value) in wanted(spec).items():
        effective = config.get(key, UNSET)
        if effective is UNSET:
            effective = lookup(found.engine or {}, key)
        if key in found.unknown or isinstance(effective, Unknown):
            continue
        if not equal(value, effective):
            yield Unmet(path, key, value, effective)


def equal(value: Any, effective: Any) -> bool:
    """Equal as DeepSpeed sees it; numbers to the last digit or so, and an absent switch is off."""
    if isinstance(value, bool) or isinstance(effective, bool):
        # an absent `bf16.enabled` is off
        return value is effective or (value is False and effective is UNSET)
    if isinstance(value, float) and isinstance(effective, int | float):
        return math.isclose(value, effective, rel_tol=1e-12)
    if isinstance(value, list | tuple) and isinstance(effective, list | tuple):
        return len(value) == len(effective) and all(map(equal, value, effective))
    return bool(value == effective)
