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
from collections.abc import Iterable, Iterator
from pathlib import Path

from conformance.oracle.case import Case, Observation
from conformance.oracle.child import observe
from dsbridge.observe import child

PACKAGES = ("deepspeed", "accelerate", "transformers", "llamafactory", "xtuner", "mmengine", "torch", "peft")
TIMEOUT = 90.0


def versions() -> dict[str, str]:
    """The installed packages that decide what happens."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run_case(case: Case, tiny: Path, keep: Path | None = None) -> Observation:
    """Fork, run, and read what the child wrote. A child that hangs is ended and said so."""
    folder = Path(tempfile.mkdtemp(prefix="case-"))
    work, answer, log = folder / "work", folder / "answer.json", folder / "log.txt"
    work.mkdir()
    pid = os.fork()
    if pid == 0:
        _child(case, work, tiny, answer, log)
    try:
        ended = _wait(pid, float(case.get("timeout", TIMEOUT)))
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{case['id'].replace('/', '_')}.log").write_text(text, encoding="utf-8")
        if not answer.is_file():
            return {"outcome": "broken", "error": {"ended": ended, "log": text[-1500:]}}
        seen: Observation = json.loads(answer.read_text(encoding="utf-8"))
        error = seen.get("error")
        if error and error["type"] == "SystemExit":
            # argparse says why on stderr
            lines = [line for line in text.splitlines() if line.strip()]
            error["message"] = lines[-1].replace(str(work.resolve()), "<case>") if lines else error["message"]
        return seen
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(pid: int, timeout: float) -> str:
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], timeout)[0]:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return f"no end after {timeout:.0f} s"
        return f"status {os.waitpid(pid, 0)[1]}"
    finally:
        os.close(pidfd)


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
    env: str, cases: Iterable[Case], tiny: Path, keep: Path | None = None
) -> Iterator[tuple[Case, Observation]]:
    """Every case with its observation, in order."""
    child.preload(env)
    start = time.monotonic()
    for done, case in enumerate(cases, 1):
        yield case, run_case(case, tiny, keep)
        if done % 25 == 0:
            rate = 60 * done / (time.monotonic() - start)
            print(f"{done} cases, {rate:.0f} a minute", file=sys.stderr, flush=True)
