"""What is recorded of resumptions: one line a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "resuming"


def read(env: str) -> dict[str, dict[str, Any]]:
    """Case id to its line."""
    path = RECORDED / f"{env}.jsonl"
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row for row in rows}


def write(env: str, rows: dict[str, dict[str, Any]]) -> None:
    """One line a case."""
    RECORDED.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(rows[name], separators=(",", ":"), sort_keys=True) for name in sorted(rows)]
    (RECORDED / f"{env}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def line(row: dict[str, Any], seen: dict[str, Any], versions: dict[str, str], root: Path) -> dict[str, Any]:
    """What one case came to: an error, or what was restored (as rank 0 saw it)."""
    found = {**row, "versions": versions}
    if "ranks" in seen:
        ranks = seen["ranks"]
        return {**found, "seen": ranks[0]}
    told = seen.get("error") or seen["convert"]
    message = "\n".join(str(told["message"]).replace(str(root), "<root>").splitlines()[:3])
    return {**found, "error" if "error" in seen else "convert_error": {**told, "message": message[:300]}}


def summary(line: dict[str, Any]) -> str:
    """In a few words."""
    for key in ("error", "convert_error"):
        if key in line:
            message = line[key]["message"].partition("\n")[0][:150]
            return f"{key} {line[key]['type']}: {message}"
    seen = line["seen"]
    held = " ".join(f"{key}={value}" for key, value in seen.get("held", {}).items() if value != "none")
    return f"loaded={seen['loaded']} {held} goes on {seen['goes_on']} {seen['counters']}"


def told(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    """How a line differs from its recording; "" for not at all."""
    if before is None:
        return " (not recorded)"
    return "" if essence(before) == essence(after) else f" (was {summary(before)})"


def essence(line: dict[str, Any]) -> Any:
    """What must come out again: no paths, no losses to the last digit."""
    for key in ("error", "convert_error"):
        if key in line:
            return [key, line[key]["type"]]
    seen = line["seen"]
    return [seen["loaded"], seen.get("held"), seen["counters"], seen["goes_on"]]
