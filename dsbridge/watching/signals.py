"""Signals, passed on to the child exactly once."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

PASSED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
PATIENCE = 0.1  # seconds in which the canary tells of a signal that we got too


class Passing(NamedTuple):
    """follow: names the child. before: what the child does before it runs its program."""

    follow: Callable[[subprocess.Popen[bytes]], None]
    before: Callable[[], None]


@contextlib.contextmanager
def passed_on() -> Iterator[Passing]:
    """Pass on what this process gets to the child that is then named, unless the child has it already.

    Ctrl-C, `timeout`, a scheduler's `kill` reach every process of our group, the child among them; a second
    one would cut short its way of ending. `kill PID` reaches us alone. Who sent it does not tell the two
    apart; a process of our group that does nothing but listen does. What is ignored (nohup) is ignored by
    the child too, until it asks for it, as torchrun asks for SIGHUP.
    """
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []
    with _canary() as heard:

        def send(number: int) -> None:
            if children[0].returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(children[0].pid, number)

        def handle(number: int, frame: FrameType | None) -> None:
            if not children:
                early.append(number)
            elif not heard(number):
                send(number)

        def follow(child: subprocess.Popen[bytes]) -> None:
            children.append(child)
            for number in early:
                send(number)

        kept = {number: signal.getsignal(number) for number in PASSED}

        def before() -> None:
            for number, found in kept.items():
                if found is signal.SIG_IGN:
                    signal.signal(number, signal.SIG_IGN)

        for number in PASSED:
            signal.signal(number, handle)
        try:
            yield Passing(follow, before)
        finally:
            for number, found in kept.items():
                signal.signal(number, found if found is not None else signal.SIG_DFL)


@contextlib.contextmanager
def _canary() -> Iterator[Callable[[int], bool]]:
    """A process of our group that tells which signals it got; it ends with us, however we end."""
    told, tell = os.pipe()
    alive, ours = os.pipe()
    canary = os.fork()
    if canary == 0:
        os.close(told)
        os.close(ours)
        _listen(tell, alive)
    os.close(tell)
    os.close(alive)

    def heard(number: int) -> bool:
        while select.select([told], [], [], PATIENCE)[0]:
            got = os.read(told, 64)
            if number in got:
                return True
            if not got:  # it was killed
                return False
        return False

    try:
        yield heard
    finally:
        os.close(ours)
        os.close(told)
        os.waitpid(canary, 0)


def _listen(tell: int, alive: int) -> Any:
    try:
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)
        for number in PASSED:
            signal.signal(number, lambda number, frame: None)
        os.read(alive, 1)  # until the other end is closed
    finally:
        os._exit(0)


def die_of(number: int) -> None:
    """End this process by the signal that ended the child, without a second core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
