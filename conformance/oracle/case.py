"""What is asked of a real framework, and what it did. Both are plain JSON; a set is a JSON-lines file.

A case: {"id", "framework", "files": {name: text}, "command": [words], "environ": {name: value},
"world_size": ranks, "gpu": {"bf16": bool, "fp16": bool}, "facts": {name: value}}.
`command` is what a user types, without leading NAME=value words (those are `environ`). `files` lie in
the working directory. `facts` are what only the run knows and no file says; they go to dsbridge alone.

An observation: {"outcome": "initialized" | "error" | "unused", "error": {"type", "message", "stage",
"at"} | null, "config": {...} | null, "engine": {...} | null}. `stage` is launch, integration,
deepspeed_config or deepspeed_engine; `at` the innermost line inside an installed package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Case = dict[str, Any]
Observation = dict[str, Any]

DEFAULTS: dict[str, Any] = {
    "environ": {},
    "world_size": 2,
    "gpu": {"bf16": True, "fp16": True},
    "facts": {},
}


def complete(case: Case) -> Case:
    """The case with every field."""
    full = {**DEFAULTS, **case}
    full["gpu"] = {**DEFAULTS["gpu"], **full["gpu"]}
    missing = {"id", "framework", "files", "command"} - full.keys()
    if missing:
        raise ValueError(f"case {full.get('id')}: missing {sorted(missing)}")
    return full


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write the rows, or leave the old file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    new.replace(path)


def lay_out(case: Case, folder: Path, tiny: Path) -> None:
    """The case's files, with the tiny model and its data beside them."""
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("model", "data"):
        if not (folder / name).exists():
            (folder / name).symlink_to(tiny / name)
