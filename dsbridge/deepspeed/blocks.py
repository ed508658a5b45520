"""The blocks of a DeepSpeed config as its own classes read them, from the harvested table (fields.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.deepspeed.plain_blocks import NotPlain, read_plain
from dsbridge.rules import numbers
from dsbridge.trees import block_token

# A field of one of these types is read by the class of another block.
PARTS = {
    "DeepSpeedZeroOffloadParamConfig": "zero_optimization.offload_param",
    "DeepSpeedZeroOffloadOptimizerConfig": "zero_optimization.offload_optimizer",
    "DeepSpeedZeroLeafModuleConfig": "zero_optimization.leaf_module",
    "ZenFlowConfig": "zero_optimization.zenflow",
    "TPConfig": "tensor_parallel.tp",
    "TensorBoardConfig": "tensorboard",
    "WandbConfig": "wandb",
    "CSVConfig": "csv_monitor",
    "CometConfig": "comet",
}


MOST_SEEN = 200


class Problem(NamedTuple):
    """Why a block is refused."""

    type: str
    message: str
    fields: tuple[str, ...]


class Blocks:
    """The classes of one DeepSpeed version."""

    def __init__(self, version: str) -> None:
        self.known = class_table()
        self.version = nearest(version, self.known["versions"])
        self.number = numbers(self.version)
        self.classes: dict[str, tuple[Sequence[Mapping[str, Any]], Sequence[str]] | None] = {}
        self.seen: dict[tuple[str, bytes], dict[str, Any] | Problem] = {}

    def rows(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows that hold in this version."""
        have = self.number
        return [row for row in found if ("since" not in row and "until" not in row) or _holds(row, have)]

    def class_of(self, name: str) -> tuple[Sequence[Mapping[str, Any]], Sequence[str]] | None:
        """The fields of a block's class and the names of its validators; None without a class."""
        if name not in self.classes:
            read, found = self.read(name), None
            if "class" in read:
                found = self.rows(self.known["blocks"][name]["fields"]), read["validators"]
            self.classes[name] = found
        return self.classes[name]

    def read(self, name: str) -> Mapping[str, Any]:
        """How this version reads a block: by which class, where."""
        found = self.rows(self.known["blocks"][name]["read"]) if name in self.known["blocks"] else []
        return found[0] if found else {}

    def problem(self, name: str, value: Any) -> Problem | None:
        """Why DeepSpeed refuses the block; None if it takes it."""
        made = self._made(name, value)
        return made if isinstance(made, Problem) else None

    def values(self, name: str, value: Any) -> dict[str, Any] | None:
        """What DeepSpeed makes of the block, by field; None if it refuses it."""
        made = self._made(name, value)
        return None if isinstance(made, Problem) else made

    def _made(self, name: str, value: Any) -> dict[str, Any] | Problem:
        """Many rules ask the same of one config: each answer is found once."""
        token = block_token(value)
        if not token:
            return self._make(name, value)
        key = name, token
        found = self.seen.get(key)
        if found is None:
            if len(self.seen) > MOST_SEEN:
                self.seen.clear()
            found = self.seen[key] = self._make(name, value)
        return found

    def _make(self, name: str, value: Any) -> dict[str, Any] | Problem:
        if self.class_of(name) is None:
            return self._key_by_key(name, value)
        if isinstance(value, Mapping):
            try:
                return read_plain(name, value, self.class_of, PARTS)
            except NotPlain:
                pass
        from dsbridge.deepspeed.pydantic_blocks import models  # slow to import, and seldom needed

        return models(self.version).made(name, value)

    def _key_by_key(self, name: str, value: Any) -> dict[str, Any]:
        """A block without a class: what is given, whatever it is, and the defaults of the rest."""
        rows = self.known["blocks"].get(name, {}).get("fields", [])
        given = value if isinstance(value, Mapping) else {}
        return {row["name"]: given.get(row["name"], row["default"]) for row in self.rows(rows)}


@cache
def class_table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("fields.json").read_text(encoding="utf-8"))
    return found


def nearest(version: str, known: list[str]) -> str:
    """The newest known version that is not newer; the oldest known for one that is older still."""
    older = [name for name in known if numbers(name) <= numbers(version)]
    return older[-1] if older else known[0]


def _holds(row: Mapping[str, Any], have: tuple[int, ...]) -> bool:
    after = "since" not in row or numbers(row["since"]) <= have
    return after and ("until" not in row or have <= numbers(row["until"]))
