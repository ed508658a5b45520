"""Measure what DeepSpeed holds and moves, with the Python of the environment it is installed in.

python -m conformance.planner --env hf                  # every case again, compared with the recording
python -m conformance.planner --env hf --case z2-       # those whose id contains this
python -m conformance.planner --env hf --write          # every case again, stored
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from conformance.planner import recording
from conformance.planner.cases import cases
from conformance.planner.ranks import run_all

PACKAGES = ("deepspeed", "torch", "transformers")
QUANTISING = ("bitsandbytes", "peft")
# imported before the forks, so that no case pays for it
WARM = ("deepspeed.runtime.engine", "torch._dynamo", "transformers.models.llama.modeling_llama")


def quantises() -> bool:
    """Whether this environment has what packs weights."""
    return all(importlib.util.find_spec(name) for name in QUANTISING)


def warm() -> None:
    """Import what every rank needs, on one thread, and keep the collector from walking it in each rank."""
    os.environ.update({"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
    os.environ.update({"HF_HUB_OFFLINE": "1"})
    import torch

    torch.set_num_threads(1)
    for name in WARM + (QUANTISING if quantises() else ()):
        importlib.import_module(name)
    # DeepSpeed has an all-reduce of its own for ranks that share memory, which a GPU has not: the calls
    # must go the way they go there. And nothing is compiled, so no rank waits for a compiler.
    sys.modules["deepspeed"].ops.__compatible_ops__["deepspeed_shm_comm"] = False  # type: ignore[attr-defined]
    importlib.import_module("conformance.planner.child")
    gc.collect()
    gc.freeze()


def measured(case: dict[str, Any], env: str, seen: dict[str, Any]) -> dict[str, Any]:
    """The line of a case."""
    packages = PACKAGES + (QUANTISING if "quantised" in case else ())
    versions = {name: importlib.metadata.version(name) for name in packages}
    line = {"id": case["id"], "case": case, "env": env, "versions": versions}
    if "error" in seen:
        return {**line, "error": seen["error"]}
    return {**line, "seen": recording.merge(seen["ranks"])}


def known(value: Any) -> Any:
    """Without tensors that belong to no part: when Python lets go of those differs from run to run."""
    if not isinstance(value, dict):
        return value
    return {key: known(one) for key, one in value.items() if key not in ("other", "other_tensors")}


def told(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    """How a line differs from the recorded one; "" where it does not."""
    if before is None:
        return "not recorded"
    before, after = known(before), known(after)
    keys = [key for key in ("case", "versions", "error", "seen") if before.get(key) != after.get(key)]
    was = {key: before.get(key) for key in keys}
    now = {key: after.get(key) for key in keys}
    return f"\n    was {json.dumps(was)}\n    is  {json.dumps(now)}" if keys else ""


def store(env: str, recorded: dict[str, dict[str, Any]]) -> None:
    """The lines of the cases there are, in their order."""
    recording.write(env, [recorded[case["id"]] for case in cases() if case["id"] in recorded])


def main() -> int:
    """Run the cases; compare, or write."""
    parser = argparse.ArgumentParser(description="Measure what DeepSpeed holds and moves.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--case", default="", help="cases whose id contains this")
    parser.add_argument("--exactly", default="", help="the case of this id alone")
    parser.add_argument("--print", action="store_true", help="print the last line measured, as JSON")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--logs", type=Path, help="keep what each rank printed")
    options = parser.parse_args()
    warm()
    chosen = [case for case in cases() if options.case in case["id"]]
    if not quantises():
        print("without bitsandbytes and PEFT: no quantised case", flush=True)
        chosen = [case for case in chosen if "quantised" not in case]
    if options.exactly:
        chosen = [case for case in chosen if case["id"] == options.exactly]
    recorded, differ, started = recording.read(options.env), 0, time.monotonic()
    for case, seen in run_all(chosen, options.jobs, options.logs):
        line = measured(case, options.env, seen)
        if options.print:
            print(json.dumps(line), flush=True)
            continue
        problem = told(recorded.get(case["id"]), line)
        recorded[case["id"]] = line
        differ += bool(problem)
        ended = line["error"]["type"] if "error" in line else "measured"
        print(f"{case['id']}: {ended}{problem if not options.write else ''}", flush=True)
        if options.write:
            store(options.env, recorded)
    took = time.monotonic() - started
    if options.print:
        return 0 if chosen else 1
    print(f"{len(chosen) - differ} of {len(chosen)} cases as recorded, {took:.0f} s", flush=True)
    if options.write:
        return 0
    return 1 if differ or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
