"""The arguments of LLaMA-Factory's V1 and the names that its plugins have, by version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.rulebook import Versions, numbers

NEWEST = "0.9.5"
SINCE = "0.9.5"  # the first version whose V1 trains with DeepSpeed
# arguments that are a mapping with a `name`, in the order in which they are looked at
MODEL_CONFIGS = ("init_config", "peft_config", "kernel_config", "quant_config")
TRAINING_CONFIGS = ("dist_config", "optim_config", "lr_scheduler_config")
CONFIGS = (*MODEL_CONFIGS, *TRAINING_CONFIGS)


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("v1_arguments.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _held(rows: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The rows of a version; the last two of each say since when and until when."""
    have = numbers(version)
    return {
        name: row
        for name, row in rows.items()
        if not (row[-2] and have < numbers(row[-2])) and not (row[-1] and have >= numbers(row[-1]))
    }


class Argument(NamedTuple):
    """What argparse makes of a word, what it may be, and what it is when it is not given."""

    kind: str
    choices: tuple[Any, ...]
    default: Any


@cache
def arguments(version: str = NEWEST) -> dict[str, Argument]:
    """The arguments of a version, by name."""
    held = _held(_table()["arguments"], version)
    return {name: Argument(row[1], tuple(row[2]), row[3]) for name, row in held.items()}


def default(name: str) -> Any:
    """What an argument is when it is not given."""
    return arguments()[name].default


def argument_names(versions: Versions) -> frozenset[str]:
    """The keys that V1's YAML may have."""
    return frozenset(arguments(versions.get("llamafactory", NEWEST)))


def plugin_names(method: str) -> Callable[[Versions], tuple[str, ...]]:
    """The names that are registered for `Class.method`."""

    def names(versions: Versions) -> tuple[str, ...]:
        held = _held(_table()["plugins"], versions.get("llamafactory", NEWEST))
        return tuple(row.partition(" ")[2] for row in held if row.partition(" ")[0] == method)

    return names


# the tables that V1's rules ask, by the argument whose name must stand in it
PLUGINS = {
    "init_config": "InitPlugin.__call__",
    "peft_config": "PeftPlugin.__call__",
    "kernel_config": "KernelPlugin.__call__",
    "quant_config": "QuantizationPlugin.__call__",
    "dist_config": "DistributedPlugin.__call__",
    "optim_config": "OptimizerPlugin.__call__",
    "lr_scheduler_config": "LRSchedulerPlugin.__call__",
    "batching_strategy": "BatchingPlugin.get_data_provider_batch_size",
}
TABLES = {
    "lf.v1.names": argument_names,
    **{f"lf.v1.{name}": plugin_names(method) for name, method in PLUGINS.items()},
}
