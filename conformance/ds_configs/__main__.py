"""Record, or compare with what is recorded: `python -m conformance.ds_configs [--write] [--every N]`.

Run it with the Python of an environment of conformance/envs. Other people's configs take part where
DSBRIDGE_CORPUS names their folder; of them the name, the checksum and the outcome are kept.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conformance.ds_configs import child
from conformance.ds_configs.cases import FOLDER, Case, checksum, corpus, own
from conformance.oracle.case import read_lines, write_lines


def recorded(version: str) -> Path:
    """Where a version's outcomes stand."""
    return FOLDER / f"deepspeed-{version}.jsonl"


def run(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """The outcome of every case, each in a process of its own."""
    child.preload()
    rows = []
    for case in cases:
        seen = _apart(case)
        rows.append(
            {"id": case.id, "sha256": case.sha256, **_bare(seen)} if case.sha256 else {"id": case.id, **seen}
        )
        if len(rows) % 50 == 0:
            print(f"{len(rows)} cases", file=sys.stderr, flush=True)
    return rows


def _bare(seen: dict[str, Any]) -> dict[str, Any]:
    """Without other people's words: a message quotes the config, so its checksum stands for it."""
    found = dict(seen)
    for name in ("error", "initialize"):
        if isinstance(found.get(name), dict):
            found[name] = {**found[name], "message": checksum(found[name].get("message", ""))}
    return found


def _apart(case: Case) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="case-") as name:
        folder = Path(name)
        pid = os.fork()
        if pid == 0:
            _child(case.text, folder)
        os.waitpid(pid, 0)
        answer = folder / "answer.json"
        if not answer.is_file():
            log = (folder / "log.txt").read_text(encoding="utf-8")
            return {"outcome": "broken", "error": {"log": log[-1500:]}}
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found


def _child(text: str, folder: Path) -> None:
    try:
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        (folder / "work").mkdir()
        os.chdir(folder / "work")
        seen = json.dumps(child.observe(text), allow_nan=False)
        (folder / "answer.json").write_text(seen, encoding="utf-8")
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)


def main() -> int:
    """Write what is seen, or say what differs from the recording."""
    parser = argparse.ArgumentParser(description="What DeepSpeed accepts, refuses and never reads.")
    parser.add_argument("--write", action="store_true", help="store what is seen")
    parser.add_argument("--every", type=int, default=1, help="each Nth case only")
    options = parser.parse_args()
    folder = os.environ.get("DSBRIDGE_CORPUS", "")
    cases = [*own(), *(corpus(Path(folder)) if folder else ())]
    path = recorded(importlib.metadata.version("deepspeed"))
    rows = run(cases[:: options.every])
    broken = [row["id"] for row in rows if row["outcome"] == "broken"]
    if options.write:
        write_lines(path, rows)
        print(f"{len(rows)} cases, {len(broken)} broken: {path.name}")
        return len(broken)
    known = {row["id"]: row for row in read_lines(path)}
    wrong = [row["id"] for row in rows if row != known.get(row["id"])]
    print(f"{path.name}: {len(rows) - len(wrong)} of {len(rows)} as recorded", *wrong, sep="\n    ")
    return len(wrong)


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
