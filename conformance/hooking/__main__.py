"""Run every case and compare with the recordings. `python -m conformance.hooking --env hf`.

A case must do what it was made for, recorded or not: a run that agrees does its two steps and ends with 0;
one that is stopped does none, names a field and who set it, and ends with another code. What `effective` said
of the engine is compared with what the spy kept of the call.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from conformance import recording
from conformance.cases import PACKAGES, ROOT
from conformance.hooking.cases import Case, chosen, described
from conformance.launcher import HERE, STEPS, Run, launch, tail
from conformance.run import prepare

# A warning has the line that told it in front, which is the framework's.
TOLD = re.compile(
    r"^  \S+: expected .*|^      set by .*|"
    r"Drift(?:Error|Warning): the run is not as .* says: \d+ difference.*",
    re.MULTILINE,
)
RANK = re.compile(r"^\[rank\d+\]: ", re.MULTILINE)  # torch's own, in front of every line of a traceback
RAISED = re.compile(r"^(?:\S*\.)?(DriftError): the run is not as", re.MULTILINE)


def lay_out(case: Case, work: Path) -> Path:
    """The example in a folder of its own, edited, with its launch."""
    folder = work / f"hooks-{case.example}-{case.name}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "hooks" / case.example, folder)
    for name, old, new in (*case.edits, *case.own):
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{case.name}: {name} has no {old!r}"
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    (folder / "launch.sh").write_text(f"set -euo pipefail\n{case.launch}\n", encoding="utf-8")
    return folder


def made(case: Case, run: Run, folder: Path, env: str) -> dict[str, Any]:
    """The recording."""
    log = RANK.sub("", run.log.read_text(encoding="utf-8", errors="replace"))
    calls = run.record.get("calls") or [{}]
    kept = folder / "drift.json"
    ended = re.search(r"ranks ended with (\d+) and (\d+)", log)
    return {
        "case": described(case),
        "versions": recording.versions(packages(env)),
        "ended": "with 0" if run.code == 0 else "with another code",
        "each_rank_ended": [code != "0" for code in ended.groups()] if ended else None,
        "steps": run.record.get("steps", 0),
        "raised": bool(RAISED.search(log)),
        "told": [line.strip() for line in TOLD.findall(log)],
        "received": calls[0].get("config"),
        "engine": calls[0].get("engine"),
        "recorded": json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None,
    }


def wrong(case: Case, seen: dict[str, Any], run: Run) -> str:
    """What the case was made for and did not do."""
    if case.trains:
        fine = run.code == 0 or run.aborted
        if not fine or seen["steps"] != STEPS or seen["raised"]:
            return f"should train: ended {seen['ended']}, {seen['steps']} steps, raised {seen['raised']}"
    elif (run.code == 0) != case.hides or seen["steps"] or not seen["raised"] or not seen["told"]:
        return f"should stop: ended {seen['ended']}, {seen['steps']} steps, raised {seen['raised']}"
    if "ended after" in run.log.read_text(encoding="utf-8", errors="replace")[-200:]:
        return "it did not end by itself"
    if seen["each_rank_ended"] and not all(seen["each_rank_ended"]):
        return "a rank ended as if all were well"
    call = (seen["recorded"] or {}).get("call")
    for name, spied in (("config", seen["received"]), ("engine", seen["engine"])):
        if call and call[name] != spied:
            return f"`effective` says {call[name]!r}, and initialize was called with {spied!r} ({name})"
    return ""


def packages(env: str) -> str:
    """The environment whose packages they are: `hf-old` has those of `hf`."""
    return env.removesuffix("-old")


def path_of(env: str, case: Case) -> Path:
    """tests/recorded/hooks/<versions>/<example>-<case>.json"""
    short = "_".join(f"{name}-{recording.version(name)}" for name in PACKAGES[packages(env)])
    return recording.FOLDER / "hooks" / short / f"{case.example}-{case.name}.json"


def check(env: str, case: Case, options: argparse.Namespace) -> str:
    """Run a case; "" when it does what it should, as recorded."""
    folder = lay_out(case, options.work)
    paths = os.pathsep.join(map(str, (HERE / "spy", ROOT, ROOT / "plugins")))
    run = launch(folder, options.work, {"PYTHONPATH": paths}, options.timeout)
    seen = recording.portable(made(case, run, folder, env), options.work)
    problem = wrong(case, seen, run)
    if problem:
        return f"{problem}\n{tail(run.log)}"
    if options.write:
        recording.write(path_of(env, case), seen)
        return ""
    return recording.differences(path_of(env, case), seen)


def main(argv: list[str] | None = None) -> int:
    """0: every case did what it should, and as recorded."""
    parser = argparse.ArgumentParser(prog="conformance.hooking")
    parser.add_argument("--env", required=True, choices=("hf", "hf-old", "llamafactory", "xtuner"))
    parser.add_argument("--write", action="store_true", help="store what is seen, do not compare")
    parser.add_argument("--only", action="append", default=[], metavar="EXAMPLE[/CASE]")
    parser.add_argument("--quick", action="store_true", help="one case of each kind")
    parser.add_argument("--timeout", type=float, default=300, help="seconds: longer is a hang")
    parser.add_argument("--work", type=Path, default=Path(sys.prefix) / "conformance-work")
    options = parser.parse_args(argv)
    options.work = options.work.resolve()
    prepare(options.work)
    failed, cases = 0, chosen(options.env, options.only, quick=options.quick)
    for case in cases:
        start = time.monotonic()
        problem = check(options.env, case, options)
        failed += bool(problem)
        word = "FAILED" if problem else "ok"
        print(f"{case.example}/{case.name:16} {word} {time.monotonic() - start:5.0f} s", flush=True)
        if problem:
            print(problem, flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return int(not cases or failed > 0)


if __name__ == "__main__":
    sys.exit(main())
