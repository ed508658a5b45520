"""Set-ups never seen before: `python -m conformance.oracle.fresh FRAMEWORK --env hf --seed 41 --count 300`.

Runs in the development environment: makes the cases, predicts them all, then has the environment's own
Python observe them, and compares. The score is printed and stored in tests/recorded/effective/fresh.jsonl;
cases that were predicted wrongly are left in a file, to become recorded cases once the rules are right.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conformance.oracle.case import Case, read_lines, write_lines
from conformance.oracle.cases import FRAMEWORKS
from conformance.oracle.generate import fresh
from conformance.oracle.score import check, predicted
from dsbridge.explaining import to_json

ROOT = Path(__file__).resolve().parents[2]
SCORES = ROOT / "tests" / "recorded" / "effective" / "fresh.jsonl"


def installed(python: Path) -> dict[str, str]:
    """The versions of the environment, which a prediction must know."""
    code = "import json; from conformance.oracle.server import versions; print(json.dumps(versions()))"
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def predict_all(cases: list[Case], versions: dict[str, str]) -> list[str]:
    """The predictions as text, made before anything is run."""
    return [json.dumps(to_json(predicted({**case, "versions": versions})), sort_keys=True) for case in cases]


def main() -> int:
    """Exit code 1 if one of the cases was predicted wrongly."""
    parser = argparse.ArgumentParser(description="Predict new set-ups, then run them.")
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("--env", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--wrong", type=Path, help="where to keep the cases that were predicted wrongly")
    options = parser.parse_args()
    python = ROOT / ".nox" / f"conformance-{options.env}" / "bin" / "python"
    cases = fresh(options.framework, options.seed, options.count)
    before = predict_all(cases, installed(python))
    with tempfile.TemporaryDirectory() as folder:
        asked, seen = Path(folder) / "cases.jsonl", Path(folder) / "seen.jsonl"
        write_lines(asked, cases)
        words = ["-m", "conformance.oracle", "--env", options.env, "--cases", str(asked), "--out", str(seen)]
        subprocess.run([python, *words], cwd=ROOT, check=False)
        rows: list[dict[str, Any]] = list(read_lines(seen))
    wrong = []
    for row, said in zip(rows, before, strict=True):
        assert predict_all([row], row["versions"]) == [said], f"{row['id']}: predicted twice, differently"
        found = check(row)
        if found:
            wrong.append(row)
            print(row["id"], *found, sep="\n    ")
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    score = {"framework": options.framework, "env": options.env, "seed": options.seed, "cases": len(rows)}
    score |= {"predicted": len(rows) - len(wrong), "date": today}
    with SCORES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(score) + "\n")
    if options.wrong and wrong:
        write_lines(options.wrong, wrong)
    print(f"{len(rows) - len(wrong)} of {len(rows)} predicted")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
