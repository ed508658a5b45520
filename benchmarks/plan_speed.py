"""How many layouts a second `dsbridge plan` weighs: memory, traffic and step time of each, and their order.

    python benchmarks/plan_speed.py [--count 20000] [--limit 1.5] [--runs 3]

All layouts of a 70B model on 16 nodes x 8 GPUs with disks, as often as it takes for COUNT; what is remembered
between layouts is forgotten before each run. CPU seconds, the best of RUNS, and the ratio to a plain loop of
Python that took one second on the machine where the bar of one second was set, run in turn. Exit code 1: the
ratio is above LIMIT. So a slow machine fails no sooner than a fast one.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from functools import _lru_cache_wrapper
from itertools import cycle, islice

from dsbridge.planner import search
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.candidates import Wanted, room
from dsbridge.planner.hardware import cluster
from dsbridge.planner.job import Job
from dsbridge.planner.loading import model_shape

ROUNDS = 3_100_000


def forget() -> None:
    """Empty every cache of the planner."""
    for one in gc.get_objects():
        if isinstance(one, _lru_cache_wrapper) and one.__module__.startswith("dsbridge.planner"):
            one.cache_clear()


def seconds(job: Job, layouts: list[Candidate]) -> float:
    """CPU seconds to weigh and rank them, nothing remembered."""
    forget()
    start = time.process_time()
    found = search.weighed(job, layouts)
    took = time.process_time() - start
    assert len(found) == len(layouts)
    return took


def yardstick() -> float:
    """CPU seconds of plain Python: calls, tuples, floats and a dict, as weighing a layout is made of."""
    start = time.process_time()
    kept: dict[int, tuple[float, float]] = {}
    for number in range(ROUNDS):
        low, high = kept.get(number % 1000, (0.0, 1.0))
        kept[number % 1000] = min(low + number, 1e18), max(high, 0.5 * number)
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--limit", type=float, default=1.5)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    machines = cluster(16, 8, "h100-80gb")
    job = Job(model_shape("Llama-3.1-70B"), machines, sequence=4096, global_batch=2**14)
    different = room(job, Wanted(disk=True)).candidates
    layouts = list(islice(cycle(different), options.count))
    pairs = [(seconds(job, layouts), yardstick()) for _ in range(options.runs)]
    best, unit = (min(values) for values in zip(*pairs, strict=True))
    print(f"{len(layouts)} layouts ({len(different)} different): {best:.2f} s, the plain loop {unit:.2f} s")
    print(f"{best / unit:.2f} x, limit {options.limit} x")
    return 0 if best / unit <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
