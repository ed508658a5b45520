"""A DeepSpeed config that no framework's file names: what would be wrong with it under every framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.deepspeed.keys import KeyFinding, judge
from dsbridge.deepspeed.reader import lone_trees
from dsbridge.explaining import ASSUMED
from dsbridge.inputs import installed
from dsbridge.plugins import Registry
from dsbridge.resolve import Outcome, Refused, resolve
from dsbridge.rules import ENGINE, INITIALIZE, PARSE, Layer
from dsbridge.subjects.dsfile import DsFile
from dsbridge.subjects.left_open import in_template
from dsbridge.subjects.unit import Unit
from dsbridge.trees import lookup
from dsbridge.values import UNSET

# what the engine is made to be stops nobody
_PROGRAM = (*INITIALIZE, *PARSE, *(name for name in ENGINE if name != "deepspeed.engine.made"))
_BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu")


class Probe(NamedTuple):
    """What DeepSpeed makes of the config and of each of its keys, and the versions that were asked."""

    outcome: Outcome
    keys: tuple[KeyFinding, ...]
    versions: Mapping[str, str]


def probed(unit: Unit, ds: DsFile, known: Registry) -> Probe:
    """The config as deepspeed.initialize would get it once somebody has filled its "auto", its batch, and
    the words of a template."""
    layers, usual = _deepspeed(known)
    versions = {**usual, **installed(usual), **unit.versions}
    keys = judge(ds.value, versions["deepspeed"])
    later = in_template(keys, ds.value)
    value: dict[str, Any] = _filled(ds.value, frozenset(later))
    if not any(isinstance(value.get(name), int) for name in _BATCH):
        value = {k: v for k, v in value.items() if k not in _BATCH} | {"train_micro_batch_size_per_gpu": 1}
    facts = {**ASSUMED, **unit.facts}
    outcome = resolve(layers, _PROGRAM, lone_trees(value), facts, versions, onward=True)
    return Probe(outcome, keys, versions)


def _deepspeed(known: Registry) -> tuple[list[Layer], Mapping[str, str]]:
    reader = known.frameworks["deepspeed"].reader
    assert reader is not None
    return [known.layer(name) for name in reader().layers], reader().versions


def _filled(value: Any, later: frozenset[str], at: str = "") -> Any:
    """With a number for what optimizers and schedulers are given, else DeepSpeed's own default.

    later: the paths that a template leaves to a script.
    """
    if not isinstance(value, dict):
        return value
    made = {
        key: _filled(item, later, f"{at}{key}.")
        for key, item in value.items()
        if item != "auto" and key != "params" and f"{at}{key}" not in later
    }
    if isinstance(value.get("params"), dict):
        numbers = {"betas": [0.9, 0.999]}
        params = value["params"].items()
        made["params"] = {key: numbers.get(key, 1) if item == "auto" else item for key, item in params}
    return made


def at_fault(outcome: Outcome, ds: DsFile) -> list[Refused]:
    """The refusals that are about what the config says; what it leaves to the framework is no mistake."""
    every = (outcome.refused, *outcome.further) if outcome.refused else ()
    return [
        refused
        for refused in every
        if refused is not None and any(_written(field, ds) for field in refused.fields)
    ]


def _written(field: str, ds: DsFile) -> bool:
    value = lookup(ds.value, field.removeprefix("ds."))
    return value is not UNSET and value != "auto"
