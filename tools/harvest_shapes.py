"""What transformers assumes where a config.json is silent, by release: dsbridge/planner/defaults.json.

    PYTHON tools/harvest_shapes.py harvest FILE       one release, by a Python that has it
    python -m tools.harvest_shapes merge FILE...      all of them into the table

A release tells, for each `model_type` of dsbridge/planner/architectures.json, the defaults of its config
class
and the second names of its keys (`hidden_size` for GPT-2's `n_embd`).
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

PLANNER = Path(__file__).resolve().parent.parent / "dsbridge" / "planner"
# what the table's expressions do not speak of and a shape tells all the same
ALSO = ("sliding_window", "use_sliding_window", "num_experts_per_tok", "tie_word_embeddings", "alibi")


def harvest() -> dict[str, Any]:
    """The defaults of the installed release."""
    import transformers
    from transformers import CONFIG_MAPPING

    table = json.loads((PLANNER / "architectures.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for model_type in table["architectures"]:
        if model_type not in CONFIG_MAPPING:
            continue
        of = CONFIG_MAPPING[model_type]
        given = {name: p.default for name, p in inspect.signature(of.__init__).parameters.items()}
        kept = {k: v for k, v in given.items() if k in wanted(table) and _plain(v)}
        if "tie_word_embeddings" not in kept:  # before transformers 5 the base class sets it
            kept["tie_word_embeddings"] = bool(of().tie_word_embeddings)
        names = {f"also {k}": v for k, v in (of.attribute_map or {}).items() if {k, v} & wanted(table)}
        found[model_type] = {**kept, **names}
    return {"transformers": transformers.__version__, "defaults": found}


def wanted(table: dict[str, Any]) -> set[str]:
    """Every word of the table's expressions, and a few more."""
    words = set(json.dumps(table).replace('"', " ").replace(".", " ").split()) | set(ALSO)
    words -= {"architectures"}
    for sign in "()[]+-*/%,\\{}=<>":
        words = {part for word in words for part in word.split(sign)}
    return words


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | str)


def merge(harvests: list[dict[str, Any]]) -> str:
    """The table. A default that every release shares stands alone, else it is [[since, value], ...]."""
    by_version = {h["transformers"]: h["defaults"] for h in harvests}
    versions = sorted(by_version, key=order)
    types = sorted({t for found in by_version.values() for t in found})
    stamp = json.dumps({"by": "tools/harvest_shapes.py", "transformers": versions})
    rows = [f"  {json.dumps(t)}: {json.dumps(_of_type(t, by_version, versions))}" for t in types]
    return f'{{\n "stamp": {stamp},\n "defaults": {{\n' + ",\n".join(rows) + "\n }\n}\n"


def _of_type(model_type: str, by_version: dict[str, Any], versions: list[str]) -> dict[str, Any]:
    having = [v for v in versions if model_type in by_version[v]]
    keys = dict.fromkeys(key for v in reversed(having) for key in by_version[v][model_type])
    found: dict[str, Any] = {}
    for key in keys:
        changes: list[list[Any]] = []
        for version in having:
            value = by_version[version][model_type].get(key)
            if not changes or value != changes[-1][1]:
                changes.append([version if changes else "", value])
        if changes != [["", None]]:
            found[key] = changes[0][1] if len(changes) == 1 else changes
    return found


def order(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in version.split("."))


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    if command == "harvest":
        Path(paths[0]).write_text(json.dumps(harvest()), encoding="utf-8")
    else:
        text = merge([json.loads(Path(p).read_text(encoding="utf-8")) for p in paths])
        (PLANNER / "defaults.json").write_text(text, encoding="utf-8")
