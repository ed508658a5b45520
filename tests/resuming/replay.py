"""Recorded resumptions as the tests use them: checkpoint folders made again, and what really happened."""

from __future__ import annotations

import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.checkpoints.folder import Checkpoint, read_checkpoint
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.resuming.plan import Planned
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "recorded" / "resuming"
ENVIRONMENTS = ("hf", "hf-old", "llamafactory", "xtuner")
_OPTIMIZERS = {"ds": "AdamW", "sgd": "SGD"}


@cache
def lines(env: str) -> tuple[dict[str, Any], ...]:
    """What was recorded in an environment."""
    path = RECORDED / f"{env}.jsonl"
    return (
        tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        if path.is_file()
        else ()
    )


def unpacked(env: str, folder: Path, name: str = "") -> Path:
    """Every checkpoint of an environment, without tensors; or the one of this name."""
    with tarfile.open(RECORDED / f"{env}.tar.xz") as archive:
        members = [m for m in archive if not name or m.name.partition("/")[0] == name]
        archive.extractall(folder, members, filter="data")
    return folder


def as_saved(line: dict[str, Any], **counters: int) -> bool:
    """Whether a framework's resumption had the saved weights, states and steps, and these counters."""
    if "seen" not in line:
        return False
    seen = line["seen"]
    held = all(value in ("same", "none") for value in seen["held"].values())
    return held and seen["engine_steps"] == "same" and all(seen[k] == v for k, v in counters.items())


def name_of(line: dict[str, Any]) -> str:
    """What its checkpoint is called in the archive."""
    convert = "" if "convert_error" in line else line.get("convert", "")
    return f"{line['saved']}.{convert.replace(' ', '-')}" if convert else str(line["saved"])


def checkpoint(line: dict[str, Any], folder: Path) -> Checkpoint:
    """The checkpoint of a line; what was taken away is away."""
    path = folder / name_of(line)
    if line.get("gone"):
        for file in [*path.glob(line["gone"]), *path.glob(f"*/{line['gone']}")]:
            file.unlink()
    return read_checkpoint(str(path))


def plan(line: dict[str, Any]) -> Planned:
    """The run that resumed, as `check` would know it with a launch command and the optimizer in the
    config."""
    said = line["plan"]
    return Planned(
        framework="",
        version=line["versions"]["deepspeed"],
        world=said["world"],
        tp=said.get("tp", 1),
        stage=said["stage"],
        dtype=said["dtype"],
        universal=bool(said.get("universal")),
        adapter=bool(said.get("rank")),
        scheduler="WarmupLR" if said.get("scheduler") else "",
        optimizer=_OPTIMIZERS.get(said.get("optimizer", ""), "AdamW"),
        elastic=bool(said.get("elastic")),
        device=said.get("offload", ""),
    )


def resumed(line: dict[str, Any]) -> bool:
    """Whether the run really went on from where it was: weights, states and counters."""
    if "seen" not in line:
        return False
    seen = line["seen"]
    held = seen.get("held", {})
    states = all(value in ("same", "rounded", "none") for value in held.values())
    steps = seen["counters"]["global_steps"] == "same" and seen["counters"]["skipped_steps"] == "same"
    return bool(seen["loaded"]) and states and steps and (bool(held) or seen["goes_on"] == "same")


def fails(found: list[Diagnostic]) -> bool:
    """Whether the verdict is that it does not resume."""
    return any(d.severity is Severity.ERROR for d in found)
