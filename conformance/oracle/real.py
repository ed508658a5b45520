"""Two real processes against the fake group: `python -m conformance.oracle.real --env hf`.

Takes the cases that each framework's module lists as REAL, starts their command as a user would (real
launcher, two ranks, gloo), ends it when the real engine is built, and compares with what the oracle
recorded for the same case: the dict, the engine, or the error.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from conformance.launcher import alone, child_environment, tail
from conformance.oracle.__main__ import tiny_model
from conformance.oracle.case import Case, Observation, lay_out, read_lines
from conformance.oracle.cases import ENVIRONMENTS, cases_of
from dsbridge.observe.child import clean

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "effective"
TIMEOUT = 240.0


def chosen(env: str) -> list[dict[str, Any]]:
    """The recorded cases to be run for real in an environment."""
    rows = []
    for framework, environments in ENVIRONMENTS.items():
        if env in environments:
            wanted = set(cases_of(framework).REAL)
            path = RECORDED / env / f"{framework}.jsonl"
            rows += [row for row in read_lines(path) if row["id"] in wanted]
    return rows


def run_real(case: Case, folder: Path, tiny: Path) -> Observation:
    """Start the command with two real ranks and say what rank 0 saw."""
    lay_out(case, folder, tiny)
    record = folder / "record.json"
    extra = {**case["environ"], "CONFORMANCE_STOP": "1", "CONFORMANCE_MODEL": "model"}
    extra |= {"CONFORMANCE_DATA": "data", "HF_HOME": str(tiny / "hf")}
    if Path(case["command"][0]).name == "llamafactory-cli":
        extra.setdefault("NPROC_PER_NODE", "2")  # it counts GPUs, and there are none here
    environment = {**child_environment(folder, record, {}), **extra}
    with alone(), (folder / "log.txt").open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            case["command"], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return seen(record, folder)


def seen(record: Path, folder: Path) -> Observation:
    """What the spy left behind."""
    calls = json.loads(record.read_text(encoding="utf-8"))["calls"] if record.is_file() else []
    call = calls[0] if calls else {"config": None, "engine": None}
    failed = Path(f"{record}.error")
    if failed.is_file() and not call["engine"]:
        error = json.loads(failed.read_text(encoding="utf-8"))
        error["message"] = clean(error["message"], folder)
        return {"outcome": "error", "error": error, "config": call["config"], "engine": None}
    outcome = "initialized" if call["engine"] else "unused"
    return {"outcome": outcome, "error": None, "config": call["config"], "engine": call["engine"]}


def differences(real: Observation, fake: Observation) -> list[str]:
    """Where the real run and the oracle's record of the same case differ."""
    mine, theirs = flat_observation(real), flat_observation(fake)
    names = [name for name in mine if name in theirs or mine[name] is not None]
    return [
        f"{name}: real {mine[name]!r}; fake {theirs.get(name)!r}"
        for name in names
        if json.dumps(mine[name], sort_keys=True) != json.dumps(theirs.get(name), sort_keys=True)
    ]


def flat_observation(seen: Observation) -> dict[str, Any]:
    """Outcome, config, engine and error in one mapping."""
    engine = {f"engine {name}": value for name, value in (seen["engine"] or {}).items()}
    error = seen["error"] or {}
    told = {f"error {part}": str(error[part]).strip() for part in ("type", "message") if part in error}
    return {"outcome": seen["outcome"], "config": seen["config"], **engine, **told}


def main() -> int:
    """Run the cases; exit code 1 if one differs."""
    parser = argparse.ArgumentParser(description="Compare real two-rank runs with the recordings.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--only", default="", help="cases whose id contains this")
    options = parser.parse_args()
    tiny = tiny_model(options.env)
    failed = 0
    rows = [row for row in chosen(options.env) if options.only in row["id"]]
    for row in rows:
        with tempfile.TemporaryDirectory(prefix="real-") as name:
            real = run_real(row, Path(name), tiny)
            wrong = differences(real, row["observed"])
            print(f"{'differs' if wrong else 'same':8} {real['outcome']:12} {row['id']}", flush=True)
            if wrong:
                failed += 1
                print(*wrong, tail(Path(name) / "log.txt", 12), sep="\n    ")
    print(f"{len(rows) - failed} of {len(rows)} cases are the same with two real ranks")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
