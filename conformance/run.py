"""Train every example from the files that dsbridge renders, and compare with the recordings.

`python -m conformance.run --env hf` inside the environment of that name; see conformance/README.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from conformance import cases, recording, tiny
from conformance.launcher import Run, child_environment, launch, tail

REFUSED = 1


class Result(NamedTuple):
    """One line of the closing table."""

    case: cases.Case
    outcome: str
    seconds: float
    note: str = ""
    problem: str = ""


class CannotRender(Exception):
    """dsbridge ended with neither files nor a refusal."""


def render(case: cases.Case, work: Path, sets: list[str]) -> dict[str, Any] | None:
    """`dsbridge render` into a fresh folder; the JSON it printed, with its exit code as `code`."""
    folder = work / f"{case.name}-{case.target}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = [sys.executable, "-m", "dsbridge", "render", str(case.path), "--target", case.target]
    words += ["--out", str(folder), "--format", "json"]
    words += [word for item in sets for word in ("--set", item)]
    if case.variant == "base":
        words += ["--base", str(work / cases.xtuner_config(case))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, REFUSED):
        raise CannotRender(f"dsbridge exited with {done.returncode}\n{done.stderr[-3000:]}")
    result = json.loads(done.stdout)
    return {**result, "code": done.returncode, "folder": folder}


def script_environment(case: cases.Case) -> dict[str, str]:
    """What the user's own script knows, because the target's files have no place for it."""
    micro = case.spec.get("batch", {}).get("micro_per_gpu", 1)
    return {"CONFORMANCE_METHOD": case.method, "CONFORMANCE_MICRO": str(micro)}


def train(case: cases.Case, work: Path, folder: Path, timeout: float) -> Run:
    """Run launch.sh; a relative NVMe path is made beside it first, as a user would have a disk."""
    if case.offloads_to_nvme():
        (folder / "nvme").mkdir()
    return launch(folder, work, script_environment(case), timeout)


def check(env: str, case: cases.Case, options: argparse.Namespace) -> Result:
    """Render, train, and write or compare the recording."""
    start = time.monotonic()
    if case.offloads_to_nvme() and not cases.has_libaio():
        return Result(case, "not run", 0.0, "libaio-dev is not installed")
    sets = cases.sets(case)
    try:
        rendered = render(case, options.work, sets)
    except CannotRender as error:
        return Result(case, "failed", time.monotonic() - start, problem=str(error))
    assert rendered is not None
    run = None
    if rendered["code"] != REFUSED:
        run = train(case, options.work, rendered["folder"], options.timeout)
        if not run.trained or not run.sharded:
            return failed(case, run, time.monotonic() - start)
    made = recording.make(env, case, sets, rendered, run)
    made = recording.portable(made, options.work)
    path = recording.path_of(env, case)
    problem = ""
    if options.write:
        recording.write(path, made)
    else:
        problem = recording.differences(path, made)
    note = ", ".join(made["diagnostics"] if run is None else made["patches"])
    outcome = "differs" if problem else made["outcome"]
    return Result(case, outcome, time.monotonic() - start, note, problem)


def failed(case: cases.Case, run: Run, seconds: float) -> Result:
    """A run that did not do its two steps, with the end of its log."""
    done, skipped = run.record.get("steps", 0), run.record.get("skipped", 0)
    head = f"exit code {run.code}, {done} steps of which {skipped} skipped; log: {run.log}"
    if not run.sharded:
        head = f"neither DeepSpeed nor FSDP was used; {head}"
    return Result(case, "failed", seconds, problem=f"{head}\n{tail(run.log)}")


def print_table(results: list[Result]) -> None:
    """One line a case."""
    width = max((len(r.case.name) for r in results), default=0)
    for r in results:
        head = f"{r.case.name:{width}}  {r.case.target:12}  {r.outcome:8}"
        print(f"{head}  {r.seconds:5.0f} s  {r.note}".rstrip())
    bad = [r for r in results if r.problem]
    skipped = [r for r in results if r.outcome == "not run"]
    good = len(results) - len(bad) - len(skipped)
    print(f"{good} passed, {len(bad)} failed, {len(skipped)} skipped")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="conformance.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--env", required=True, choices=sorted(cases.TARGETS))
    parser.add_argument("--write", action="store_true", help="store what is seen, do not compare")
    parser.add_argument("--only", action="append", default=[], metavar="EXAMPLE")
    parser.add_argument("--target", action="append", default=[], metavar="T")
    parser.add_argument(
        "--timeout", type=float, default=1200, help="seconds a run may take, the first one compiles"
    )
    default = Path(sys.prefix) / "conformance-work"
    parser.add_argument("--work", type=Path, default=default, help="scratch folder")
    options = parser.parse_args(argv)
    options.work = options.work.resolve()
    return options


def prepare(work: Path) -> None:
    """Model, data and scripts, with the environment's own transformers, offline."""
    work.mkdir(parents=True, exist_ok=True)
    cases.lay_out_scripts(work)
    environment = child_environment(work, work / "none", {})
    del environment["CONFORMANCE_RECORD"]
    words = [sys.executable, "-m", tiny.__name__, str(work)]
    subprocess.run(words, check=True, env=environment, cwd=cases.ROOT, stderr=subprocess.DEVNULL)


def main(argv: list[str] | None = None) -> int:
    """0: all trained or refused as recorded."""
    options = parse(argv)
    prepare(options.work)
    results = []
    for case in cases.cases(options.env, options.only, options.target):
        print(f"--- {case.name} -> {case.target}", flush=True)
        result = check(options.env, case, options)
        if result.problem:
            print(result.problem, flush=True)
        results.append(result)
    print_table(results)
    if not results:
        print("no example matches", file=sys.stderr)
    return int(not results or any(r.problem for r in results))


if __name__ == "__main__":
    sys.exit(main())
