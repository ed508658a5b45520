"""Train from the written launches on two nodes, and compare with the recordings.

`python -m conformance.launching --env hf` inside the environment of that name. A node is a network
namespace (`nodes.py`), so address, interface and node rank are put to the test; where there can be none, it
says "not run".
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from conformance import cases, recording
from conformance.launcher import STEPS, Run, child_environment, tail
from conformance.launching.nodes import ADDRESSES, INTERFACE, available, two_nodes
from conformance.run import prepare, script_environment

EXAMPLE = "zero2-lora"
MEETS = ("launch.rendezvous=c10d", "launch.rendezvous_id=two nodes' $job", "launch.max_restarts=1")
# without spaces, at which LLaMA-Factory splits
PLAIN = ("launch.rendezvous=c10d", "launch.rendezvous_id=two-nodes", "launch.max_restarts=1")


class Launching(NamedTuple):
    """One way to start one target."""

    name: str
    target: str
    kind: str
    sets: tuple[str, ...] = ()


LAUNCHES = {
    "hf": (
        Launching("torchrun", "trainer", "torchrun"),
        Launching("torchrun-rendezvous", "trainer", "torchrun", MEETS),
        Launching("torchrun-elastic", "deepspeed", "torchrun", ("launch.min_nodes=2", "launch.max_nodes=3")),
        Launching("accelerate", "trainer", "accelerate"),
        Launching("accelerate-yaml", "accelerate", "accelerate"),
        Launching("accelerate-rendezvous", "accelerate", "accelerate", MEETS),
        Launching("deepspeed-no-ssh", "deepspeed", "deepspeed"),
    ),
    "llamafactory": (
        Launching("llamafactory", "llamafactory", "llamafactory"),
        Launching("llamafactory-rendezvous", "llamafactory", "llamafactory", PLAIN),
    ),
    "xtuner": (Launching("xtuner", "xtuner", "xtuner"),),
}


def sets_of(one: Launching) -> list[str]:
    """The example, small, on two nodes of one CPU rank each."""
    spec = cases.read_spec(cases.ROOT / "examples" / EXAMPLE / "dsbridge.yaml")
    case = cases.Case(EXAMPLE, one.target, "", spec)
    return [
        *cases.sets(case),
        "cluster.nodes=2",
        "cluster.gpus_per_node=1",
        f"launch.master_addr={ADDRESSES[0]}",
        f"launch.interface={INTERFACE}",
        "launch.env.DSBRIDGE_PROOF=it's $5",
        *one.sets,
    ]


def write(one: Launching, work: Path, sets: list[str]) -> tuple[Path, dict[str, Any]]:
    """`dsbridge launch --out`; the folder, and the JSON it printed."""
    folder = work / f"launch-{one.name}"
    shutil.rmtree(folder, ignore_errors=True)
    spec = cases.ROOT / "examples" / EXAMPLE / "dsbridge.yaml"
    words = [
        sys.executable,
        "-m",
        "dsbridge",
        "launch",
        str(spec),
        "--target",
        one.target,
        "--kind",
        one.kind,
    ]
    words += ["--out", str(folder), "--format", "json", *(w for item in sets for w in ("--set", item))]
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{one.name}: dsbridge exited with {done.returncode}\n{done.stderr}{done.stdout}")
    return folder, json.loads(done.stdout)


def run_on_both(folder: Path, work: Path, nodes: tuple[list[str], ...], timeout: float) -> Run:
    """The same script on both nodes, which differ in NODE_RANK alone."""
    spec = cases.read_spec(cases.ROOT / "examples" / EXAMPLE / "dsbridge.yaml")
    case = cases.Case(EXAMPLE, "", "", spec)
    record, logs, running = folder / "record.json", [], []
    for rank, node in enumerate(nodes):
        environment = child_environment(work, record, script_environment(case))
        environment["NODE_RANK"] = str(rank)
        del environment["GLOO_SOCKET_IFNAME"]  # the launch says it
        logs.append(folder / f"log-{rank}.txt")
        with logs[-1].open("w", encoding="utf-8") as out:
            process = subprocess.Popen(
                [*node, "bash", "launch.sh"], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        running.append(process)
    end = time.monotonic() + timeout
    codes = []
    for process in running:
        try:
            codes.append(process.wait(max(1.0, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            codes.append(process.wait())
    kept = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    return Run(max(codes, key=abs), kept, (), logs[0])


def check(env: str, one: Launching, nodes: tuple[list[str], ...], options: argparse.Namespace) -> str:
    """The problem with one launch; "" if it trained as recorded."""
    sets = sets_of(one)
    folder, printed = write(one, options.work, sets)
    run = run_on_both(folder, options.work, nodes, options.timeout)
    if not (run.trained and run.sharded):
        logs = "\n".join(f"--- {log.name}\n{tail(log)}" for log in sorted(folder.glob("log-*.txt")))
        return f"exit code {run.code}, {run.record.get('steps', 0)} of {STEPS} steps\n{logs}"
    call = run.record["calls"][0]
    made = {
        "example": EXAMPLE,
        "target": one.target,
        "kind": one.kind,
        "sets": sets,
        "versions": recording.versions(env),
        "files": printed["files"],
        "launch": {"env": printed["launch"]["env"], "argv": printed["launch"]["argv"]},
        "steps": run.record["steps"],
        "engine": call["engine"],
    }
    made = recording.portable(made, options.work)
    path = recording.FOLDER / "launching" / env / f"{one.name}.json"
    if options.write:
        recording.write(path, made)
        return ""
    return recording.differences(path, made)


def main(argv: list[str] | None = None) -> int:
    """0: every launch trained on both nodes, as recorded, or none could be tried."""
    parser = argparse.ArgumentParser(prog="conformance.launching", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--env", required=True, choices=sorted(LAUNCHES))
    parser.add_argument("--write", action="store_true", help="store what is seen, do not compare")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--work", type=Path, default=Path(sys.prefix) / "launching-work")
    options = parser.parse_args(argv)
    options.work = options.work.resolve()
    why = available()
    if why:
        print(f"not run: {why}")
        return 0
    prepare(options.work)
    chosen = [one for one in LAUNCHES[options.env] if not options.only or one.name in options.only]
    problems = int(not chosen)
    with two_nodes() as nodes:
        for one in chosen:
            start = time.monotonic()
            problem = check(options.env, one, nodes, options)
            problems += bool(problem)
            print(f"{one.name:26} {'failed' if problem else 'trained':8} {time.monotonic() - start:5.0f} s")
            print(problem, end="\n" if problem else "", flush=True)
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
