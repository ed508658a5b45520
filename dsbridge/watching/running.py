"""Run a command as it is, with the hook in its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.inputs import words_of
from dsbridge.watching.leftovers import end_leftovers
from dsbridge.watching.signals import passed_on

NOT_STARTED = Code("OB001", "not-started", Severity.ERROR, "The command to observe cannot be started.")
CODES = (NOT_STARTED,)

HOOK = Path(__file__).parent.parent / "observe" / "first"
FOLDER = "DSBRIDGE_OBSERVE"
GRACE = 20.0  # seconds that a launcher has to end once all its ranks have been stopped


class Ended(NamedTuple):
    """How the command ended: an exit code, or the signal that killed it. seconds: from start to end."""

    code: int | None
    signal: int | None
    seconds: float


def words(command: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The environment in front and the words of the program, as `explain` reads them.

    Raises:
        InputError: there is no program.
    """
    environ, found = words_of(command)
    argv = list(found.items)
    return environ, (["env", *argv] if argv[0].startswith("-") else argv)  # `env -u NAME program`


def environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The child's: ours, what the command says, the hook's folder first, and where it reports."""
    made = {**os.environ, **environ}
    paths = [str(HOOK), *([made["PYTHONPATH"]] if made.get("PYTHONPATH") else [])]
    return {**made, "PYTHONPATH": os.pathsep.join(paths), FOLDER: str(folder)}


def run(command: Sequence[str], folder: Path, *, quiet_stdout: bool, stop: bool) -> Ended:
    """Run to the end. quiet_stdout: what the child prints goes to stderr. stop: see that nothing is left.

    Raises:
        InputError: it cannot be started.
    """
    environ, argv = words(command)
    env = environment(environ, folder)
    start = time.monotonic()
    with passed_on() as passing:
        try:
            child = subprocess.Popen(
                argv,
                env=env,
                stdout=sys.stderr.fileno() if quiet_stdout else None,
                preexec_fn=passing.before,
            )
        except OSError as error:
            raise InputError([_not_started(argv[0], env, error)]) from None
        passing.follow(child)
        code = _stopped(child, folder) if stop else child.wait()
    ended = Ended(None if code < 0 else code, -code if code < 0 else None, time.monotonic() - start)
    if stop and any(folder.glob("stopped-*")):
        end_leftovers(FOLDER, folder)
    return ended


def _stopped(child: subprocess.Popen[bytes], folder: Path) -> int:
    """The exit code of a run whose ranks end themselves. A program that has started them by multiprocessing
    would go on without them: it is ended, and that is no failure."""
    while True:
        try:
            return child.wait(1.0)
        except subprocess.TimeoutExpired:
            marks = [path.stat().st_mtime for path in folder.glob("stopped-*")]
            if marks and time.time() - max(marks) > GRACE:
                child.terminate()
                try:
                    child.wait(GRACE)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
                return 0


def _not_started(program: str, env: Mapping[str, str], error: OSError) -> Diagnostic:
    if isinstance(error, FileNotFoundError) and not shutil.which(program, path=env.get("PATH")):
        hint = "Is its environment active? PATH is searched as your shell does."
        return NOT_STARTED(f"{program}: no such program", hint=hint)
    return NOT_STARTED(f"{program}: {error.strerror}")
