"""Recorded measurements: one line a case, what all ranks agree on said once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner" / "measured"
ABSENT = 0


def merge(values: list[Any]) -> Any:
    """Ranks' values as one: itself where all agree, `{"ranks": [...]}` where they do not."""
    if all(value == values[0] for value in values):
        return values[0]
    if all(isinstance(value, dict) for value in values):
        keys = sorted({key for value in values for key in value})
        return {key: merge([value.get(key, ABSENT) for value in values]) for key in keys}
    return {"ranks": values}


def of_rank(merged: Any, rank: int) -> Any:
    """One rank's values again; what only other ranks have is 0."""
    if isinstance(merged, dict):
        if set(merged) == {"ranks"}:
            return merged["ranks"][rank]
        return {key: of_rank(value, rank) for key, value in merged.items()}
    return merged


def path_of(env: str) -> Path:
    """Where an environment's measurements are."""
    return RECORDED / f"{env}.jsonl"


def read(env: str) -> dict[str, dict[str, Any]]:
    """Case id to its line."""
    path = path_of(env)
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row for row in rows}


def write(env: str, rows: list[dict[str, Any]]) -> None:
    """One line a case."""
    path = path_of(env)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, separators=(",", ":"), sort_keys=True) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
