"""What XTuner does before and after DeepSpeed's part, as real runs of 0.2.0 did.

Recorded in tests/recorded/resuming/frameworks-xtuner.jsonl.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import PurePath

from dsbridge.checkpoints.folder import Checkpoint
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.resuming import codes
from dsbridge.resuming.plan import UNPICKLES, Planned
from dsbridge.rules import numbers

_STRICT = (2, 6)  # torch.load(weights_only=True) by default


def named(checkpoint: Checkpoint, plan: Planned) -> str:
    """What --resume must be given: the tag's own folder, never the one around it."""
    found = checkpoint.universal if plan.universal else checkpoint.saved
    return _at(checkpoint, found.tag if found else checkpoint.tag)


def reader(plan: Planned) -> Iterator[Diagnostic]:
    """xtuner/tools/utils.py:199 reads the seed with torch.load, and mmengine's config is in that file."""
    if plan.framework != "xtuner" or plan.unpickles or (plan.torch and numbers(plan.torch) < _STRICT):
        return
    which = f"torch {plan.torch}" if plan.torch else "torch from 2.6 on"
    yield codes.READER(
        f"--resume of XTuner 0.2 reads the seed with torch.load, which in {which} takes weights alone, and "
        "stops with UnpicklingError (mmengine.config.config.ConfigDict)",
        hint=f"export {UNPICKLES}=1 for files that you trust, or take torch below 2.6"
        + ("." if plan.torch else " (--versions torch=2.5.1 says so here)."),
        severity=None if plan.torch else Severity.WARNING,
    )


def path(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """What the command says."""
    said, wanted = plan.args.get("resume"), named(checkpoint, plan)
    if not isinstance(said, str):
        yield codes.PATH("nothing says that the run resumes", hint=f"Add {_flag(wanted)}", key="resume")
    elif _real(said) == _real(checkpoint.folder):
        yield codes.NO_TAG(
            f"--resume {said} is the folder around the checkpoints: XTuner finds no *_model_states.pt in it "
            "and stops with FileNotFoundError",
            hint=f"Write {_flag(wanted)}",
            key="resume",
        )
    elif plan.universal and checkpoint.saved and _real(said) == _real(_at(checkpoint, checkpoint.saved.tag)):
        yield codes.UNIVERSAL(
            f"checkpoint.load_universal is set, and --resume {said} is not the converted folder: DeepSpeed "
            "stops with AssertionError, for there is no zero/optimizer_state.pt in it",
            hint=f"Write {_flag(wanted)}",
            key="resume",
        )
    elif _real(said) != _real(wanted):
        yield codes.PATH(
            f"the run resumes from {said}, not from {wanted}", hint=f"Write {_flag(wanted)}", key="resume"
        )


def data(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """mmengine/runner/loops.py: it takes as many batches off its loader as there were iterations."""
    found = checkpoint.universal if plan.universal else checkpoint.saved
    was = found.dp if found else None
    if was is None or plan.dp is None or was == plan.dp:
        return
    yield codes.DATA(
        f"{was} ranks wrote it and {plan.dp} go on: XTuner skips as many batches per rank as before, which "
        "are now of another number of samples; some are seen twice, or never",
        hint="Keep the global batch: accumulative_counts x batch_size x ranks as it was.",
    )


def _at(checkpoint: Checkpoint, tag: str) -> str:
    return str(PurePath(checkpoint.folder) / tag)


def _flag(wanted: str) -> str:
    return f"--resume {shlex.quote(wanted)}"


def _real(name: str) -> str:
    try:
        return os.path.realpath(name)
    except (OSError, ValueError):
        return name
