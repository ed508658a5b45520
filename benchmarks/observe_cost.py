"""What `dsbridge observe` adds to the start of a program, as a ratio to the program alone.

    python benchmarks/observe_cost.py --python .nox/conformance-hf/bin/python [--runs 10] [--limit 1.01]

The same program with the hook in its environment and without, in turn, A B A B ..., in one go on one machine:
CPU seconds of the process (user and system), the best of each, because what else runs on the machine can only
add. Two programs: one that imports torch and DeepSpeed, as every training does, which the limit is for; and
one that does nothing, which shows the cost itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HOOK = Path(__file__).resolve().parent.parent / "dsbridge" / "observe" / "first"
STARTS = {"import torch, deepspeed": "import torch, deepspeed", "pass": "pass"}


def seconds(python: str, code: str, extra: dict[str, str]) -> float:
    """CPU time of one whole process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | extra
    process = subprocess.Popen(
        [python, "-c", code], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{python} -c {code!r} failed")
    return used.ru_utime + used.ru_stime


def best(python: str, code: str, hook: dict[str, str], runs: int) -> tuple[float, float]:
    """With the hook and without, after one warm-up each."""
    seconds(python, code, hook), seconds(python, code, {})
    pairs = [(seconds(python, code, hook), seconds(python, code, {})) for _ in range(runs)]
    with_hook, without = zip(*pairs, strict=True)
    return min(with_hook), min(without)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="one that has torch and deepspeed")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--limit", type=float, default=1.01)
    options = parser.parse_args()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "asked.json").write_text(json.dumps({"ranks": "0", "stop": False}), encoding="utf-8")
        hook = {"PYTHONPATH": str(HOOK), "DSBRIDGE_OBSERVE": folder}
        for name, code in STARTS.items():
            runs = options.runs if code != "pass" else 10 * options.runs
            ours, alone = best(options.python, code, hook, runs)
            print(f"{name:24} {ours / alone:6.3f} x   {ours * 1000:7.1f} ms against {alone * 1000:7.1f} ms")
            if code != "pass":
                worst = ours / alone
    print(f"limit {options.limit} x")
    return 0 if worst <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
