"""Recordings: what one case gave, free of this machine, written once and compared ever after."""

from __future__ import annotations

import difflib
import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any

from conformance.cases import PACKAGES, ROOT, Case
from conformance.launcher import Run

FOLDER = ROOT / "tests" / "recorded"
ALSO = ("torch", "peft", "bitsandbytes")


def version(package: str) -> str | None:
    """Its public version: `2.13.0`, not `2.13.0+cpu`."""
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(env: str) -> dict[str, str]:
    """All packages that shape the run."""
    found = {name: version(name) for name in (*PACKAGES[env], *ALSO)}
    return {name: value for name, value in found.items() if value}


def path_of(env: str, case: Case) -> Path:
    """tests/recorded/<target>/<versions>/<example>.json"""
    short = "_".join(f"{name}-{version(name)}" for name in PACKAGES[env])
    return FOLDER / case.target / short / f"{case.name}.json"


def portable(value: Any, work: Path) -> Any:
    """The value without paths of this machine and without dsbridge's own version."""
    if isinstance(value, dict):
        return {portable(key, work): portable(item, work) for key, item in value.items()}
    if isinstance(value, list):
        return [portable(item, work) for item in value]
    if not isinstance(value, str):
        return value
    for path, name in ((work, "<work>"), (sys.prefix, "<env>"), (ROOT, "<repo>")):
        value = value.replace(str(path), name)
    value = re.sub(r"^Process \d+ got signal", "Process <pid> got signal", value)  # torchrun's
    return re.sub(r"dsbridge \d+\.\d+\S*", "dsbridge <version>", value)


def make(env: str, case: Case, sets: list[str], rendered: dict[str, Any], run: Run | None) -> Any:
    """The recording of a case; `run` is None when dsbridge refused to render it."""
    codes = sorted({str(found["code"]) for found in rendered["diagnostics"]})
    recording: dict[str, Any] = {
        "example": case.example,
        "target": case.target,
        "variant": case.variant,
        "versions": versions(env),
        "sets": sets,
        "outcome": "refused" if run is None else "trained",
        "diagnostics": codes,
        "files": rendered["files"],
    }
    if run is not None:
        recording["patches"] = list(run.patches)
        recording["steps"] = run.record["steps"]
        calls = run.record["calls"]
        recording |= calls[0] if calls else {"config": None, "engine": None}
        if not calls:
            recording["fsdp"] = run.record.get("fsdp")
    return recording


def dump(recording: Any) -> str:
    """Strict JSON, keys in a fixed order."""
    return json.dumps(recording, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write(path: Path, recording: Any) -> None:
    """Store it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(recording), encoding="utf-8")


def differences(path: Path, recording: Any) -> str:
    """A unified diff against the stored recording; empty when nothing differs."""
    if not path.is_file():
        return f"no recording at {path.relative_to(ROOT)}: run again with --write"
    old, new = path.read_text(encoding="utf-8").splitlines(), dump(recording).splitlines()
    return "\n".join(difflib.unified_diff(old, new, "recorded", "now", lineterm="", n=1))
