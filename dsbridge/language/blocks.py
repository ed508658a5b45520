"""Blocks that a version's own classes read: what they refuse, and what they make of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.language import op
from dsbridge.language.logic import merged_needs
from dsbridge.trees import PLAIN, copied
from dsbridge.values import UNSET, Unknown


def unknown_in(value: Any) -> Iterator[Unknown]:
    """Every Unknown at any depth."""
    kind = type(value)
    if kind is Unknown:
        yield value
    elif kind is dict or isinstance(value, Mapping):
        for item in value.values():
            if type(item) not in PLAIN:
                yield from unknown_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from unknown_in(item)


# What is unknown for want of these is a number all the same: a class that reads numbers takes it.
_NUMBERS = frozenset({"model.hidden_size", "hidden_size", "world_size", "num_training_steps"})


def without_unknown(value: Any) -> Any:
    """The mapping without its Unknown leaves, at any depth."""
    if not isinstance(value, Mapping):
        return value
    return {key: without_unknown(item) for key, item in value.items() if not isinstance(item, Unknown)}


def _put_back(made: dict[str, Any], value: Any) -> None:
    for key, item in value.items():
        name = key if key in made else key.removeprefix("stage3_")
        if isinstance(item, Unknown):
            made[name] = item
        elif isinstance(item, Mapping) and isinstance(made.get(name), dict):
            _put_back(made[name], item)


@op("why {1} refuses {0}")
def block_problem(value: Any, name: str, classes: Any) -> Any:
    """{"type", "message", "fields"} of what the class of that block raises; UNSET when it takes the value."""
    needs = list(unknown_in(value))
    if isinstance(value, Unknown) or any(not need.needs <= _NUMBERS for need in needs):
        return merged_needs(needs)
    found = classes.problem(name, without_unknown(value) if needs else value)
    return UNSET if found is None else {**found._asdict(), "fields": list(found.fields)}


@op("{0} as {1} reads it")
def block_values(value: Any, name: str, classes: Any) -> Any:
    """Every field with its value, defaults included; UNSET where the class refuses the block."""
    needs = list(unknown_in(value))
    if isinstance(value, Unknown):
        return merged_needs(needs)
    found = classes.values(name, without_unknown(value) if needs else value)
    if found is not None and needs:
        found = copied(found)
        _put_back(found, value)
    return UNSET if found is None else found


@op("the batch that elasticity computes of {0} for {1} ranks")
def elastic_batch(config: Any, world: Any, compute: Any) -> Any:
    """{"total", "micro", "steps"}, or {"type", "message", "field"} of what stops DeepSpeed."""
    needs = list(unknown_in(config))
    return merged_needs(needs) if needs else compute(config, world)
