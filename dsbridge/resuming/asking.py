"""From the units of a command line to the findings about a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from dsbridge.checkpoints.folder import read_checkpoint
from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.plugins import registry
from dsbridge.resuming.judging import judged
from dsbridge.resuming.plan import planned
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.unit import Unit

ONE_RUN = Code(
    "IN042", "one-run", Severity.ERROR, "--resume asks about one run, and there are several or none."
)
CODES = (ONE_RUN,)


def resuming(units: Sequence[Unit], name: str) -> list[Diagnostic]:
    """What becomes of the checkpoint in the run, each finding with a place.

    Raises:
        InputError: there are several runs, or none.
    """
    if len(units) != 1:
        message = f"--resume asks about one run; the input has {len(units)}"
        hint = "Give the files of one run, or its launch command after `--`."
        raise InputError([ONE_RUN(message, hint=hint)])
    unit = units[0]
    found = judged(read_checkpoint(name), planned(Subject(unit, registry())))
    return [unit.placed(finding) for finding in found]
