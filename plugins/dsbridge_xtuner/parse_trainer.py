"""`framework="huggingface"`: `training_args` of the config are the Trainer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Setup
from dsbridge.sdk import Claim
from dsbridge_trainer import table
from dsbridge_trainer.parse import Args, argument_claims, taken_keys


def _args(setup: Setup, trees: Mapping[str, Any], ds: Mapping[str, Any]) -> Args:
    version = table.of(setup.versions)
    given = {k: v for k, v in trees["args"].items() if k != "output_dir" or v != "work_dirs"}
    return Args(given, "args", table.defaults(version), ds or None, setup.versions.get("deepspeed", ""))


def trainer_claims(setup: Setup, trees: Mapping[str, Any], ds: Mapping[str, Any]) -> list[Claim]:
    """What the arguments say; their place is the config."""
    found = argument_claims(_args(setup, trees, ds))
    return [claim._replace(keys=tuple(map(_in_config, claim.keys))) for claim in found]


def trainer_leaves(setup: Setup, trees: Mapping[str, Any], ds: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Leaves that say what an argument says."""
    args = _args(setup, trees, ds)
    return {*taken_keys(args), ("cfg", "training_args", "deepspeed")} if args.ds is not None else set()


def _in_config(key: tuple[str, ...]) -> tuple[str, ...]:
    return ("cfg", "training_args", *key[1:]) if key[0] == "args" else key
