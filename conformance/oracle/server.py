"""One interpreter that has imported the frameworks; a fork a case."""

from __future__ import annotations

import importlib.metadata
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from conformance.oracle import builds
from conformance.oracle.case import Case, Observation
from conformance.oracle.child import observe
from dsbridge.observe import child

PACKAGES = (
    "deepspeed",
    "accelerate",
    "transformers",
    "llamafactory",
    "xtuner",
    "mmengine",
    "torch",
    "peft",
    "trl",
)
TIMEOUT = 90.0
EXTENSIONS = Path(child.ENVIRONMENT["TORCH_EXTENSIONS_DIR"])


def versions() -> dict[str, str]:
    """The installed packages that decide what happens."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Running(NamedTuple):
    """A forked child that runs one case."""

    case: Case
    folder: Path
    pid: int
    pidfd: int
    deadline: float


def _start(case: Case, tiny: Path) -> Running:
    folder = Path(tempfile.mkdtemp(prefix="case-"))
    (folder / "work").mkdir()
    pid = os.fork()
    if pid == 0:
        _child(case, folder / "work", tiny, folder / "answer.json", folder / "log.txt")
    return Running(
        case, folder, pid, os.pidfd_open(pid), time.monotonic() + float(case.get("timeout", TIMEOUT))
    )


def _ended(running: Running, jobs: int) -> str:
    """How the child ended; "" while it runs. One that hangs is ended, one that builds an operator is not."""
    late = time.monotonic() - running.deadline
    if select.select([running.pidfd], [], [], 0)[0]:
        return f"status {os.waitpid(running.pid, 0)[1]}"
    if late < 0 or (late < builds.LONGEST and builds.building(EXTENSIONS)):
        return ""
    os.killpg(running.pid, signal.SIGKILL)
    os.waitpid(running.pid, 0)
    builds.remove_locks(EXTENSIONS, older=0 if jobs == 1 else builds.LONGEST)
    return "no end in time"


def _seen(running: Running, ended: str, keep: Path | None) -> Observation:
    """What the child wrote."""
    os.close(running.pidfd)
    answer, log = running.folder / "answer.json", running.folder / "log.txt"
    try:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{running.case['id'].replace('/', '_')}.log").write_text(text, encoding="utf-8")
        if not answer.is_file():
            return {"outcome": "broken", "error": {"ended": ended, "log": text[-1500:]}}
        seen: Observation = json.loads(answer.read_text(encoding="utf-8"))
        error = seen.get("error")
        if error and error["type"] == "SystemExit":
            # argparse says why on stderr
            lines = [line for line in text.splitlines() if line.strip()]
            work = str((running.folder / "work").resolve())
            error["message"] = lines[-1].replace(work, "<case>") if lines else error["message"]
        return seen
    finally:
        shutil.rmtree(running.folder, ignore_errors=True)


def _child(case: Case, work: Path, tiny: Path, answer: Path, log: Path) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        seen = observe(case, work, tiny)
        sys.stdout.flush()
        sys.stderr.flush()
        part = answer.with_suffix(".part")
        part.write_text(json.dumps(seen, allow_nan=False), encoding="utf-8")
        part.replace(answer)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def run_all(
    env: str, cases: Iterable[Case], tiny: Path, keep: Path | None = None, jobs: int = 1
) -> Iterator[tuple[Case, Observation]]:
    """Every case with its observation, as they end; `jobs` of them run at a time."""
    child.preload(env)
    builds.remove_locks(EXTENSIONS, older=builds.LONGEST)
    begin, done = time.monotonic(), 0
    waiting, running = deque(cases), list[Running]()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_start(waiting.popleft(), tiny))
        # a second at least: past its deadline, a child that builds an operator is looked at again and again
        wait = max(1.0, min(one.deadline for one in running) - time.monotonic())
        select.select([one.pidfd for one in running], [], [], wait)
        for one in running[:]:
            if ended := _ended(one, jobs):
                running.remove(one)
                yield one.case, _seen(one, ended, keep)
                done += 1
                if done % 25 == 0:
                    rate = 60 * done / (time.monotonic() - begin)
                    print(f"{done} cases, {rate:.0f} a minute", file=sys.stderr, flush=True)
