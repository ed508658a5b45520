"""Checkpoints of the Trainer, Accelerate, XTuner and LLaMA-Factory, resumed by them with other settings.

python -m conformance.resuming.frameworks --env hf            # every case again, compared
python -m conformance.resuming.frameworks --env hf --write    # stored
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conformance.launcher import child_environment
from conformance.planner.ranks import free_port
from conformance.resuming import framework_cases as listed
from conformance.resuming import recording
from conformance.resuming.stripped import pack

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 240.0
PACKAGES = ("deepspeed", "torch", "transformers", "accelerate", "peft", "xtuner", "mmengine", "llamafactory")


def launched(
    folder: Path, words: list[str], world: int, asked: dict[str, Any], variables: dict[str, str] | None = None
) -> dict[str, Any]:
    """One run; its answer, or its error."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / "answer.json"
    asked = {**asked, "answer": str(answer)}
    paths = os.pathsep.join(map(str, (ROOT / "conformance" / "spy", ROOT, ROOT / "plugins")))
    extra = {"RESUMING": json.dumps(asked), "PYTHONPATH": paths, **(variables or {})}
    environment = child_environment(folder, folder / "record.json", extra)
    log = folder / "log.txt"
    launcher = ["torchrun", f"--nproc_per_node={world}", f"--master_port={free_port()}"]
    with log.open("w", encoding="utf-8") as out:
        subprocess.run(
            [*launcher, *words],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        )
    if answer.is_file():
        return {"seen": json.loads(answer.read_text(encoding="utf-8"))}
    return {"error": raised(log.read_text(encoding="utf-8", errors="replace"))}


def raised(text: str) -> dict[str, str]:
    """The first exception of a log that is not the loss of another rank."""
    for line in text.splitlines():
        found = re.match(r"(?:\[rank\d+\]: )?([\w.]*(?:Error|Exception))(?:: (.*))?$", line)
        if found and "ChildFailed" not in found[1] and "gloo" not in line and "peer" not in line:
            return {"type": found[1].rpartition(".")[2], "message": (found[2] or "")[:300]}
    return {"type": "Timeout", "message": text[-300:]}


def run(row: dict[str, Any], root: Path, made: dict[str, Any]) -> dict[str, Any]:
    """One resumption; its checkpoint is written before, once, and converted if the row says so."""
    saved, plan = row["saved"], row["plan"]
    origin = root / saved
    if saved not in made:
        made[saved] = launched(origin, *listed.command(origin, row["was"], listed.WRITES, root))
    if "error" in made[saved]:
        return {"error": made[saved]["error"], "not_saved": True}
    checkpoint = origin / listed.CHECKPOINT[row["was"]["framework"]]
    folder = root / row["id"]
    if row.get("convert") or row.get("gone"):
        checkpoint = Path(shutil.copytree(checkpoint.parent, folder / "copy")) / checkpoint.name
        if row.get("gone"):
            (checkpoint / row["gone"]).unlink()
        problem = listed.converted(checkpoint, row["was"]["framework"]) if row.get("convert") else None
        if problem:
            return {"convert_error": problem}
    made[f"{row['id']}:path"] = str(checkpoint)
    words, world, asked = listed.command(folder, plan, str(listed.resumed(checkpoint, plan, row)), root)
    asked |= {"truth": str(origin / "truth.pt")}
    return launched(folder, words, world, asked, row.get("env"))


def line(row: dict[str, Any], seen: dict[str, Any], saved: dict[str, Any], root: Path) -> dict[str, Any]:
    """What is recorded of it."""
    ds = listed.config(row["plan"]) if row["plan"]["stage"] is not None else {}
    found = {**row, "ds": ds, "versions": listed.versions(PACKAGES)}
    if "seen" not in seen:
        key = "convert_error" if "convert_error" in seen else "error"
        found |= {"not_saved": True} if "not_saved" in seen else {}
        told = seen[key]
        return {**found, key: {**told, "message": told["message"].replace(str(root), "<root>")}}
    answer = seen["seen"]
    before = saved.get("seen", {}).get("losses")
    losses = answer.get("losses")
    near = bool(before and losses) and all(
        abs(a - b) <= 2e-2 * abs(a) for a, b in zip(before, losses, strict=False)
    )
    return {**found, "seen": {**answer, "goes_on": "same" if near else "other"}}


def main() -> int:
    """Run, compare or store."""
    parser = argparse.ArgumentParser(description="Resume with real frameworks.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--case", default="")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    name = f"frameworks-{options.env}"
    rows = [row for row in listed.cases(options.env) if options.case in row["id"]]
    root = options.keep or Path(tempfile.mkdtemp(prefix="resuming-"))
    recorded, differ, made = recording.read(name), 0, dict[str, Any]()
    for row in rows:
        seen = run(row, root, made)
        found = line(row, seen, made[row["saved"]], root)
        problem = listed.told(recorded.get(row["id"]), found)
        differ += bool(problem)
        print(f"{row['id']}: {listed.summary(found)}{'' if options.write else problem}", flush=True)
        recorded[row["id"]] = found
    if options.write:
        recording.write(name, recorded)
        if options.case:
            return 0
        folders = {}
        for row in rows:
            if path := made.get(f"{row['id']}:path"):
                folders |= listed.kept(row, Path(path))
        pack(folders, recording.RECORDED / f"{name}.tar.xz", str(root))
    if not options.keep:
        shutil.rmtree(root)
    return 0 if options.write or (rows and not differ) else 1


if __name__ == "__main__":
    sys.exit(main())
