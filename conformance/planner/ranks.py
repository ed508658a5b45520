"""Ranks of a case: forks of one interpreter that has imported DeepSpeed, with the environment torchrun
gives."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMEOUT = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun sets on one node."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }


def _rank(case: dict[str, Any], rank: int, port: int, folder: Path) -> None:
    code = 1
    try:
        log = os.open(folder / f"{rank}.log", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(environment(rank, case["world"], port))
        child = importlib.import_module(case.get("child", "conformance.planner.child"))
        child.main(case, folder)
        code = 0
    except BaseException as error:
        traceback.print_exc()
        told = {"type": type(error).__name__, "message": str(error)[:300]}
        (folder / f"{rank}.error").write_text(json.dumps(told), encoding="utf-8")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Running:
    """The forked ranks of a case."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case, self.folder = case, Path(tempfile.mkdtemp(prefix="planner-"))
        self.deadline = time.monotonic() + case.get("patience", TIMEOUT)
        port = free_port()
        self.pids = [self._fork(rank, port) for rank in range(case["world"])]

    def _fork(self, rank: int, port: int) -> int:
        pid = os.fork()
        if pid == 0:
            _rank(self.case, rank, port, self.folder)
        return pid

    def ended(self) -> bool:
        """All have; when one failed or time is up, the others are ended too."""
        self.pids = [pid for pid in self.pids if not os.waitpid(pid, os.WNOHANG)[0]]
        if self.pids and (list(self.folder.glob("*.error")) or time.monotonic() > self.deadline):
            time.sleep(1)  # the one at fault may not be the first to tell
            for pid in self.pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            self.pids = []
        return not self.pids

    def seen(self, logs: Path | None) -> dict[str, Any]:
        """Each rank's answer, or the error that ended the case."""
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
            for log in self.folder.glob("*.log"):
                shutil.copy(log, logs / f"{self.case['id']}.{log.name}")
        answers = [self.folder / f"{rank}.json" for rank in range(self.case["world"])]
        errors = [
            json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("*.error"))
        ]
        found = (
            {"ranks": [json.loads(path.read_text(encoding="utf-8")) for path in answers]}
            if all(path.is_file() for path in answers)
            else {"error": blamed(errors)}
        )
        shutil.rmtree(self.folder, ignore_errors=True)
        return found


def blamed(errors: list[dict[str, str]]) -> dict[str, str]:
    """The first error that is not the loss of another rank."""
    own = [one for one in errors if "peer" not in one["message"] and "gloo" not in one["message"].lower()]
    return (own or errors or [{"type": "Timeout", "message": f"no end in {TIMEOUT:.0f} s"}])[0]


def run_all(
    cases: list[dict[str, Any]], jobs: int, logs: Path | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The cases with what was seen, as they end."""
    waiting, running = list(cases), list[Running]()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(Running(waiting.pop(0)))
        for one in [one for one in running if one.ended()]:
            running.remove(one)
            yield one.case, one.seen(logs)
        time.sleep(0.05)
