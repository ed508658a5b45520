"""`python -m conformance.oracle --env hf --cases FILE.jsonl --out FILE.jsonl [--only ID] [--logs DIR]`.

Run with the environment's own Python. Each output line: the case, plus "observed" and "versions".
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance.oracle.case import complete, read_lines, write_lines
from conformance.oracle.server import run_all, versions


def tiny_model(env: str) -> Path:
    """The model and data of this environment, made once a machine."""
    folder = Path(tempfile.gettempdir()) / f"dsbridge-tiny-{env}"
    if not (folder / "model" / "config.json").is_file():
        subprocess.run([sys.executable, "-m", "conformance.tiny", str(folder)], check=True)
    return folder


def main() -> int:
    """Run the cases; exit code 1 when one of them could not be observed."""
    parser = argparse.ArgumentParser(description="Run cases in the real framework.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", help="cases whose id contains this")
    parser.add_argument("--logs", type=Path, help="keep what each case printed")
    options = parser.parse_args()
    cases = [complete(case) for case in read_lines(options.cases)]
    if options.only:
        cases = [case for case in cases if options.only in case["id"]]
    tiny = tiny_model(options.env)
    rows, found = [], versions()
    for case, seen in run_all(options.env, cases, tiny, options.logs):
        rows.append({**case, "env": options.env, "versions": found, "observed": seen})
        if seen["outcome"] == "broken":
            print(f"{case['id']}: {seen['error']['ended']}\n{seen['error']['log']}", file=sys.stderr)
    write_lines(options.out, rows)
    outcomes = [row["observed"]["outcome"] for row in rows]
    print({name: outcomes.count(name) for name in sorted(set(outcomes))})
    return 1 if "broken" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
