"""Processes that a stopped run has left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

GRACE = 5.0  # seconds between the request and the end


def end_leftovers(name: str, folder: Path) -> int:
    """End every process with this variable in its environment: nobody else has it. How many there were."""
    first = list(_carrying(name, folder))
    _signal(first, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(_carrying(name, folder)):
        time.sleep(0.05)
    _signal(list(_carrying(name, folder)), signal.SIGKILL)
    return len(first)


def _carrying(name: str, folder: Path) -> Iterator[int]:
    mark = f"{name}={folder}".encode()
    for entry in Path("/proc").glob("[0-9]*"):  # Linux; elsewhere there is nothing to ask
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                yield int(entry.name)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
