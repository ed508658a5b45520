"""Start `dsbridge observe`, send it a signal, and look at what is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conformance.cases import ROOT
from conformance.launcher import alone, child_environment
from conformance.observing.cases import PORT, TRAINED, Case

HERE = Path(__file__).parent
MARK = "OBSERVING_CASE"
TIMEOUT = 300.0
_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


class Outcome(NamedTuple):
    """How `observe` ended, what it wrote, and what was printed."""

    code: int
    report: dict[str, Any] | None
    log: str


def launched_words(launch: dict[str, Any]) -> list[str]:
    """A rendered launch as the words of a command, as the shell of a single node has them."""
    words = [f"{name}={value}" for name, value in launch["env"].items()] + list(launch["argv"])
    return [_DEFAULT.sub(r"\1", word) for word in words]


def environment(folder: Path, work: Path) -> dict[str, str]:
    """A machine without a GPU; the patches come in by the program's own `sitecustomize`."""
    made = child_environment(work, folder / "none", {})
    del made["CONFORMANCE_RECORD"]
    paths = os.pathsep.join(str(path) for path in (HERE / "patches", ROOT, ROOT / "plugins"))
    return {**made, "PYTHONPATH": paths, MARK: str(folder), "CONFORMANCE_METHOD": "lora",
            "CONFORMANCE_MICRO": "4"}  # fmt: skip


def observed(case: Case, words: Sequence[str], folder: Path, work: Path) -> Outcome:
    """`dsbridge observe` as a user runs it."""
    report = folder / "report.json"
    argv = [sys.executable, "-m", "dsbridge", "observe", "-o", str(report), *case.options, "--", *words]
    code, log = run(argv, folder, work, case.kill)
    found = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None
    return Outcome(code, found, log)


def plain(case: Case, words: Sequence[str], folder: Path, work: Path) -> int:
    """The exit code of the command alone, or minus the signal that killed it."""
    for name in TRAINED:
        (folder / name).unlink(missing_ok=True)
    return run(["env", *words], folder, work, case.kill)[0]


def run(argv: Sequence[str], folder: Path, work: Path, kill: str) -> tuple[int, str]:
    """Exit code, or minus the signal, and what was printed."""
    with alone(PORT), (folder / "log.txt").open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            argv, cwd=folder, env=environment(folder, work), stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        if kill:
            world = 2 if "torchrun" in argv else 1
            deadline = time.monotonic() + TIMEOUT
            while not all((folder / name).exists() for name in TRAINED[:world]):
                if process.poll() is not None or time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            process.send_signal(getattr(signal, kill))
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    return code, (folder / "log.txt").read_text(encoding="utf-8", errors="replace")


def left_behind(folder: Path) -> list[str]:
    """Processes of the run that are still there; ones that are on their way out have two seconds."""
    mark = f"{MARK}={folder}".encode()
    found: list[str] = []
    for _ in range(20):
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append(f"{entry.name} {words[:200]}")
            except OSError:
                continue
        if not found:
            break
        time.sleep(0.1)
    return found


def predicted(words: Sequence[str], folder: Path, work: Path) -> dict[str, Any]:
    """What `dsbridge explain -- CMD` says: the same words, and the model that the script loads."""
    facts = ("--model", str(work / "model"), "--format", "json")
    argv = [sys.executable, "-m", "dsbridge", "explain", *facts, "--", *words]
    env = environment(folder, work)
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.stdout else {"config": done.stderr, "unknown": {}}
    assert isinstance(found, dict)
    return found
