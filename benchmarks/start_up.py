"""How long `dsbridge render` takes as a whole process, as a ratio to importing its libraries.

    python benchmarks/start_up.py [--runs 15] [--limit 1.6]

Both commands run in turn, A B A B ..., in one go on one machine; the ratio is taken pair by pair, and the
median counts. The floor is what any tool with these libraries must pay before it does anything.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

FLOOR = (
    "import yaml, pluggy, pydantic, click; import importlib.metadata as m; m.entry_points(group='dsbridge')"
)
TARGETS = ("llamafactory", "xtuner", "accelerate", "trainer", "deepspeed")
ROOT = Path(__file__).parent.parent
SPECS = {
    "xtuner": ROOT / "examples/qlora-zero2-xtuner/dsbridge.yaml",
    "deepspeed": ROOT / "examples/zero3-nvme/dsbridge.yaml",
}
SPEC = ROOT / "examples/autotp-zero1-llamafactory/dsbridge.yaml"


def seconds(argv: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - start


def ratios(command: list[str], floor: list[str], runs: int) -> tuple[float, float, float]:
    """Median ratio, and the medians of both, over interleaved pairs after one warm-up each."""
    seconds(command), seconds(floor)
    pairs = [(seconds(command), seconds(floor)) for _ in range(runs)]
    ours, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    return ratio, statistics.median(ours), statistics.median(theirs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--limit", type=float, default=1.6)
    options = parser.parse_args()
    dsbridge = str(Path(sys.executable).with_name("dsbridge"))
    floor = [sys.executable, "-c", FLOOR]
    worst = 0.0
    for target in TARGETS:
        command = [dsbridge, "render", str(SPECS.get(target, SPEC)), "--target", target]
        ratio, ours, theirs = ratios(command, floor, options.runs)
        worst = max(worst, ratio)
        print(f"{target:13} {ratio:5.2f} x   {ours * 1000:6.1f} ms against {theirs * 1000:6.1f} ms")
    print(f"worst {worst:.2f} x, limit {options.limit} x")
    return 0 if worst <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
