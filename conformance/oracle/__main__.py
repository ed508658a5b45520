"""Run cases in the real framework, with the Python of the environment it is installed in.

    python -m conformance.oracle --env hf                       # the recorded cases again, compared
    python -m conformance.oracle --env hf --every 8             # each eighth of them
    python -m conformance.oracle --env hf --write               # the recorded cases again, stored
    python -m conformance.oracle --env hf --cases C --out R     # other cases, from a file to a file

Each stored line is the case with "env", "versions" and what was "observed".
"""

from __future__ import annotations

import argparse
import json
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


def observe(env: str, cases: list[Case], logs: Path | None) -> list[dict[str, Any]]:
    """The cases with what was seen; those that could not be observed are told on stderr."""
    found = versions()
    rows = []
    for case, seen in run_all(env, cases, tiny_model(env), logs):
        rows.append({**case, "env": env, "versions": found, "observed": seen})
        if seen["outcome"] == "broken":
            print(f"{case['id']}: {seen['error']['ended']}\n{seen['error']['log']}", file=sys.stderr)
    return rows


def again(options: argparse.Namespace) -> int:
    """The recorded cases of an environment once more, all frameworks in one interpreter."""
    paths = sorted((RECORDED / options.env).glob("*.jsonl"))
    old = [(path, row) for path in paths for row in read_lines(path)]
    old = [(path, row) for path, row in old if options.only in row["id"]][:: options.every]
    cases = [{key: value for key, value in row.items() if key not in OURS} for _, row in old]
    rows = observe(options.env, cases, options.logs)
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
    rows = observe(options.env, [case for case in cases if options.only in case["id"]], options.logs)
    write_lines(options.out, rows)
    outcomes = [row["observed"]["outcome"] for row in rows]
    print({name: outcomes.count(name) for name in sorted(set(outcomes))})
    return 1 if "broken" in outcomes else 0


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description="Run cases in the real framework.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--cases", type=Path, help="cases to run instead of the recorded ones")
    parser.add_argument("--out", type=Path, help="where to store what they did")
    parser.add_argument("--only", default="", help="cases whose id contains this")
    parser.add_argument("--every", type=int, default=1, help="each Nth of the recorded cases")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    parser.add_argument("--logs", type=Path, help="keep what each case printed")
    options = parser.parse_args()
    if (options.cases is None) != (options.out is None):
        parser.error("--cases and --out belong together")
    return again(options) if options.cases is None else from_file(options)


if __name__ == "__main__":
    sys.exit(main())
