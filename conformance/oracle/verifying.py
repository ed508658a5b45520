"""`python -m conformance.oracle.verifying --env hf`: `dsbridge verify` as a user runs it.

On one recorded case of each framework of the environment it must find no difference; and with
`--versions` of another DeepSpeed it must find one, because a check that cannot fail proves nothing.
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

from conformance.oracle.__main__ import tiny_model
from conformance.oracle.case import lay_out
from conformance.oracle.real import chosen


def run(row: dict[str, Any], folder: Path, tiny: Path, extra: list[str]) -> tuple[int, Any]:
    """The exit code and the JSON of `dsbridge verify -- COMMAND` in a folder with the case's files."""
    lay_out(row, folder, tiny)
    words = [f"{name}={value}" for name, value in row["environ"].items()] + row["command"]
    argv = [sys.executable, "-m", "dsbridge", "verify", "--format", "json", *extra, "--", *words]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DISABLE_VERSION_CHECK": "0"}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr[-2000:]


def main() -> int:
    """Exit code 1 if verify finds a difference where there is none, or none where there is one."""
    parser = argparse.ArgumentParser(description="Run dsbridge verify on recorded cases.")
    parser.add_argument("--env", required=True)
    options = parser.parse_args()
    tiny, failed = tiny_model(options.env), 0
    rows = [row for row in chosen(options.env) if not row["facts"]]
    first = {row["framework"]: row for row in reversed(rows) if row["observed"]["outcome"] == "initialized"}
    for framework, row in sorted(first.items()):
        with tempfile.TemporaryDirectory(prefix="verify-") as name:
            code, seen = run(row, Path(name), tiny, [])
            right = code == 0 and seen["differences"] == []
            failed += not right
            print(f"{'ok' if right else 'WRONG':6} {framework}: {row['id']}", "" if right else seen)
            old = "0.16.2" if row["versions"]["deepspeed"] != "0.16.2" else "0.19.8"
            code, seen = run(row, Path(name), tiny, ["--versions", f"deepspeed={old}"])
            caught = code in (0, 1) and (code == 1) == bool(seen["differences"])
            failed += not caught
            print(f"{'ok' if caught else 'WRONG':6} {framework}: as DeepSpeed {old}: exit code {code}")
    return 1 if failed or not first else 0


if __name__ == "__main__":
    sys.exit(main())
