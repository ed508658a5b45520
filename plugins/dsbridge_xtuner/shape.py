"""What is known of the config that is trained: which fields it has, and their values."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MODEL_PATH = "pretrained_model_name_or_path"
SAME_MODEL = "@"  # in shipped.json: the path of the language model


class Unknown:
    """A value that cannot be told without running the config."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Shape:
    """The leaves of a config by dotted path. Not `known`: the usual ones are assumed.

    source: where the knowledge comes from, in words.
    """

    leaves: Mapping[str, Any]
    known: bool
    source: str

    def has(self, path: str) -> bool:
        """Whether the config has this field, or one below it."""
        return path in self.leaves or any(leaf.startswith(f"{path}.") for leaf in self.leaves)

    def get(self, path: str) -> Any:
        """The value, None where there is none, UNKNOWN where it cannot be told."""
        return self.leaves.get(path)

    def number(self, path: str) -> float | None:
        """The value if it is a number that is known."""
        value = self.leaves.get(path)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def entries(self) -> int:
        """How many schedulers `param_scheduler` lists; 0 if it is not a list."""
        return len({leaf.split(".")[1] for leaf in self.leaves if _is_entry(leaf)})

    def same_model(self) -> Iterator[str]:
        """The mappings that name the language model's path: the model, and each tokenizer."""
        path = self.leaves.get(f"model.llm.{MODEL_PATH}")
        if f"model.llm.{MODEL_PATH}" in self.leaves:
            yield "model.llm"
        for leaf, value in self.leaves.items():
            parent = leaf.removesuffix(f".{MODEL_PATH}")
            unread = parent.startswith("train_dataset.")  # its copy in train_dataloader counts
            if parent not in (leaf, "model.llm") and value == path and not unread:
                yield parent


def _is_entry(leaf: str) -> bool:
    parts = leaf.split(".")
    return parts[0] == "param_scheduler" and len(parts) > 2 and parts[1].isdigit()


def shipped(name: str) -> Shape | None:
    """A config that comes with XTuner 0.2.0, by the name that `xtuner train` takes."""
    table = _table()
    if name not in table["configs"]:
        return None
    change = table["changes"][table["configs"][name]]
    leaves = {**table["usual"], **change["other"]}
    return Shape(
        {k: v for k, v in leaves.items() if k not in set(change["absent"])}, True, f"XTuner's {name}"
    )


def assumed(config: str) -> Shape:
    """The shape that most shipped configs have, for one that dsbridge cannot read."""
    values = {leaf: value for leaf, value in _table()["usual"].items() if not _varies(leaf)}
    return Shape(values, False, config)


def usual() -> dict[str, Any]:
    """The leaves that most shipped configs have."""
    found: dict[str, Any] = _table()["usual"]
    return found


def like(name: str) -> list[str]:
    """The shipped names nearest to one that does not exist."""
    return difflib.get_close_matches(name, _table()["configs"], n=3, cutoff=0.75)


def _varies(leaf: str) -> bool:
    """What no config can be assumed to have: the length of its run, adapters, quantisation, hooks."""
    length = leaf.endswith((".end", ".begin", ".max_epochs", ".max_iters", ".accumulative_counts"))
    return length or leaf.startswith(("model.lora", "model.llm.quantization_config", "custom_hooks."))


@cache
def _table() -> Any:
    """shipped.json: `usual` leaves, and what each config has other than usual."""
    return json.loads(Path(__file__).with_name("shipped.json").read_text(encoding="utf-8"))
