"""Run cases in the real framework, with the Python of the environment it is installed in.

    python -m conformance.oracle --env hf                       # the recorded cases again, compared
    python -m conformance.oracle --env hf --every 8             # each eighth of them
    python -m conformance.oracle --env hf --write               # the recorded cases again, stored
    python -m conformance.oracle --env hf --cases C --out R     # other cases, from a file to a file
    python -m conformance.oracle --env hf --cases C --out R --add   # those that R does not have yet

Each stored line is the case with "env", "versions" and what was "observed".
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conformance.oracle.case import Case, complete, read_lines, write_lines
from conformance.oracle.server import run_all, versions

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "effective"
OURS = ("env", "versions", "observed")


def tiny_model(env: str) -> Path:
    """The model and data of this environment, made once a machine."""
    folder = Path(tempfile.gettempdir()) / f"dsbridge-tiny-{env}"
    if not (folder / "model" / "config.json").is_file():
        subprocess.run([sys.executable, "-m", "conformance.tiny", str(folder)], check=True)
    return folder


def observe(cases: list[Case], options: argparse.Namespace) -> list[dict[str, Any]]:
    """The cases with what was seen, in order; those that could not be observed are told on stderr."""
    found = versions()
    rows: dict[str, dict[str, Any]] = {}
    for case, seen in run_all(options.env, cases, tiny_model(options.env), options.logs, options.jobs):
        rows[case["id"]] = {**case, "env": options.env, "versions": found, "observed": seen}
        if seen["outcome"] == "broken":
            print(f"{case['id']}: {seen['error']['ended']}\n{seen['error']['log']}", file=sys.stderr)
    return [rows[case["id"]] for case in cases]


def again(options: argparse.Namespace) -> int:
    """The recorded cases of an environment once more, all frameworks in one interpreter."""
    paths = sorted((RECORDED / options.env).glob("*.jsonl"))
    old = [(path, row) for path in paths for row in read_lines(path)]
    old = [(path, row) for path, row in old if options.only in row["id"]][:: options.every]
    cases = [{key: value for key, value in row.items() if key not in OURS} for _, row in old]
    rows = observe(cases, options)
    differ = 0
    for (_, before), after in zip(old, rows, strict=True):
        if json.dumps(before["observed"], sort_keys=True) != json.dumps(after["observed"], sort_keys=True):
            differ += 1
            print(f"{before['id']}\n    was {before['observed']}\n    is  {after['observed']}")
    print(f"{len(rows) - differ} of {len(rows)} recorded cases are seen again as recorded")
    if options.write:
        for path in paths:
            new = {row["id"]: row for (where, _), row in zip(old, rows, strict=True) if where == path}
            write_lines(path, [new.get(row["id"], row) for row in read_lines(path)])
        return 0
    return 1 if differ or not rows else 0


def from_file(options: argparse.Namespace) -> int:
    """Cases of a file to a file; exit code 1 when one of them could not be observed."""
    cases = [complete(case) for case in read_lines(options.cases)]
    old = list(read_lines(options.out)) if options.add else []
    known = {row["id"] for row in old}
    asked = [case for case in cases if options.only in case["id"] and case["id"] not in known]
    rows = observe(asked, options)
    kept = [row for row in rows if row["observed"]["outcome"] != "broken"] if options.add else rows
    write_lines(options.out, old + kept)
    outcomes = [row["observed"]["outcome"] for row in rows]
    print({name: outcomes.count(name) for name in sorted(set(outcomes))})
    return 1 if "broken" in outcomes else 0


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description="Run cases in the real framework.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--cases", type=Path, help="cases to run instead of the recorded ones")
    parser.add_argument("--out", type=Path, help="where to store what they did")
    parser.add_argument("--add", action="store_true", help="keep what --out has, and add to it")
    parser.add_argument("--only", default="", help="cases whose id contains this")
    parser.add_argument("--every", type=int, default=1, help="each Nth of the recorded cases")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time")
    parser.add_argument("--logs", type=Path, help="keep what each case printed")
    options = parser.parse_args()
    if (options.cases is None) != (options.out is None):
        parser.error("--cases and --out belong together")
    return again(options) if options.cases is None else from_file(options)


if __name__ == "__main__":
    sys.exit(main())
