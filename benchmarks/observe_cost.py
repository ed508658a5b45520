"""What `dsbridge observe` adds to the start of a program, as a ratio to the program alone.

    python benchmarks/observe_cost.py --python .nox/conformance-hf/bin/python [--pairs 30] [--limit 1.01]

The same program with the hook in its environment and without, in pairs, in one go on one machine:
CPU seconds of the process (user and system). Two programs: one that imports torch and DeepSpeed, as every
training does, and one that does nothing, whose difference is what the hook costs by itself.

A machine that others use moves such seconds by several hundredths, which is more than the limit. So pairs are
measured until the median ratio is known well enough: its interval of 99 % (order statistics, whatever the
distribution) lies wholly at or under the limit, or wholly above it, which fails. After --pairs without an
answer nothing is shown, and the last line says so. What the hook costs by itself has little noise and must be
under the limit in any case.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HOOK = Path(__file__).resolve().parent.parent / "dsbridge" / "observe" / "first"
TRAINING, NOTHING = "import torch, deepspeed", "pass"
FEWEST = 10  # pairs: fewer than 8 have no interval of 99 %


class Pair(NamedTuple):
    """CPU seconds of one process with the hook and of one without."""

    hooked: float
    alone: float


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


def pair(python: str, code: str, hook: dict[str, str], turn: int) -> Pair:
    """Each second pair the other way round: what comes second may find a warmer machine."""
    if turn % 2:
        alone = seconds(python, code, {})
        return Pair(seconds(python, code, hook), alone)
    hooked = seconds(python, code, hook)
    return Pair(hooked, seconds(python, code, {}))


def interval(values: list[float], doubt: float = 0.01) -> tuple[float, float]:
    """Where the median lies, but for `doubt`: the sign test turned round."""
    values, n = sorted(values), len(values)
    below, k = 0.0, 0
    while k < n // 2 and below + math.comb(n, k) / 2**n <= doubt / 2:
        below += math.comb(n, k) / 2**n
        k += 1
    k = max(k, 1)
    return values[k - 1], values[n - k]


def measured(python: str, hook: dict[str, str], pairs: int, limit: float) -> tuple[list[Pair], bool | None]:
    """The pairs of the program that trains, and whether the limit holds; None: too noisy to say."""
    pair(python, TRAINING, hook, 0)  # warm up
    found: list[Pair] = []
    while len(found) < pairs:
        found.append(pair(python, TRAINING, hook, len(found)))
        if len(found) >= FEWEST:
            low, high = interval([one.hooked / one.alone for one in found])
            if high <= limit:
                return found, True
            if low > limit:
                return found, False
    return found, None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="one that has torch and deepspeed")
    parser.add_argument("--pairs", type=int, default=30, help="at most")
    parser.add_argument("--limit", type=float, default=1.01)
    options = parser.parse_args()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "asked.json").write_text(json.dumps({"ranks": "0", "stop": False}), encoding="utf-8")
        hook = {"PYTHONPATH": str(HOOK), "DSBRIDGE_OBSERVE": folder}
        bare = [pair(options.python, NOTHING, hook, turn) for turn in range(100)]
        found, holds = measured(options.python, hook, max(FEWEST, options.pairs), options.limit)
    alone = statistics.median(one.alone for one in found)
    ratios = [one.hooked / one.alone for one in found]
    low, high = interval(ratios)
    print(f"{TRAINING}: {statistics.median(ratios):.3f} x of {alone * 1000:.0f} ms")
    print(f"    interval of 99 %: {low:.3f} to {high:.3f} x, {len(found)} pairs")
    added = statistics.median(one.hooked - one.alone for one in bare)
    print(f"the hook alone: {added * 1000:.2f} ms, {1 + added / alone:.4f} x")
    print(
        f"limit {options.limit} x: {'too noisy to say' if holds is None else 'kept' if holds else 'broken'}"
    )
    return 1 if holds is False or 1 + added / alone > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
