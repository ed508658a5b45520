"""The written sbatch scripts, taken by a real Slurm: `sbatch --test-only`, then a job that trains two steps.

`python -m conformance.launching.slurm --env hf` where sbatch reaches a cluster of two nodes; elsewhere it
says "not run". docs/launching.md has the smallest slurm.conf that makes two nodes of one machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from conformance import cases, recording
from conformance.launcher import STEPS, child_environment
from conformance.launching.__main__ import EXAMPLE, LAUNCHES, Launching, sets_of, write
from conformance.run import prepare, script_environment

SLURM = (
    "launch.slurm.gpus=none",
    "launch.slurm.job_name=two nodes \"and\" 'quotes'",
    "launch.slurm.time=10:00",
    "launch.slurm.output=job.log",
    "launch.slurm.requeue=false",
    "launch.interface=lo",
)
TARGETS = {
    "hf": ("trainer", "accelerate", "deepspeed"),
    "llamafactory": ("llamafactory",),
    "xtuner": ("xtuner",),
}
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def reachable() -> str:
    """Why there is no Slurm to ask; "" when there is."""
    if shutil.which("sbatch") is None:
        return "sbatch is not installed"
    done = subprocess.run(["sinfo", "-h", "-o", "%D %t"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 and "2 " in done.stdout else "no cluster of two nodes answers"


def ended(job: str, timeout: float) -> str:
    """The state in which the job ended."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        words = ["scontrol", "show", "job", job]
        done = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        state = done.partition("JobState=")[2].split()
        if state and state[0] in ENDED:
            return state[0]
        time.sleep(2)
    subprocess.run(["scancel", job], check=False)
    return "did not end"


def check(env: str, target: str, options: argparse.Namespace) -> str:
    """The problem with one target; "" if it trained as recorded."""
    one = Launching(f"slurm-{target}", target, "slurm", SLURM)
    sets = [item for item in sets_of(one) if not item.startswith("launch.master_addr")]
    folder, printed = write(one, options.work, sets)
    spec = cases.read_spec(cases.ROOT / "examples" / EXAMPLE / "dsbridge.yaml")
    record = folder / "record.json"
    environment = child_environment(
        options.work, record, script_environment(cases.Case(EXAMPLE, target, "", spec))
    )
    del environment["GLOO_SOCKET_IFNAME"]
    tested = subprocess.run(
        ["sbatch", "--test-only", "launch.sbatch"], cwd=folder, capture_output=True, text=True, check=False
    )
    if tested.returncode:
        return tested.stderr
    done = subprocess.run(
        ["sbatch", "--parsable", "launch.sbatch"],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    job = done.stdout.strip().partition(";")[0]
    state = ended(job, options.timeout)
    kept = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if state != "COMPLETED" or kept.get("steps") != STEPS:
        log = folder / "job.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        return f"{state}, {kept.get('steps')} steps\n" + "\n".join(text.splitlines()[-40:])
    shown = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=True).stdout
    made = {
        "example": EXAMPLE,
        "target": target,
        "kind": "slurm",
        "sets": sets,
        "versions": {**recording.versions(env), "slurm": shown.split()[-1]},
        "files": printed["files"],
        "launch": {"env": printed["launch"]["env"], "argv": printed["launch"]["argv"]},
        "state": state,
        "steps": kept["steps"],
        "engine": kept["calls"][0]["engine"],
    }
    made = recording.portable(made, options.work)
    path = recording.FOLDER / "launching" / env / f"{one.name}.json"
    if options.write:
        recording.write(path, made)
        return ""
    return recording.differences(path, made)


def main(argv: list[str] | None = None) -> int:
    """0: Slurm took and ran them all, or there is none."""
    parser = argparse.ArgumentParser(prog="conformance.launching.slurm")
    parser.add_argument("--env", required=True, choices=sorted(LAUNCHES))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--work", type=Path, default=Path(sys.prefix) / "launching-work")
    options = parser.parse_args(argv)
    options.work = options.work.resolve()
    why = reachable()
    if why:
        print(f"not run: {why}")
        return 0
    prepare(options.work)
    problems = 0
    for target in TARGETS[options.env]:
        problem = check(options.env, target, options)
        problems += bool(problem)
        print(f"slurm {target:14} {'failed' if problem else 'trained'}\n{problem}".rstrip(), flush=True)
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
