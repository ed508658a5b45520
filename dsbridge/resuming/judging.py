"""What becomes of a checkpoint in a planned run: every judge looks at both, and says what it knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsbridge.checkpoints.folder import Checkpoint
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.resuming import beyond, codes, contents, finding, mmengine, partition
from dsbridge.resuming.plan import Planned


def judged(checkpoint: Checkpoint, plan: Planned) -> list[Diagnostic]:
    """All findings. Without an error or an open question, the last says that it loads, and why."""
    found = list(finding.dropped(checkpoint, plan) or finding.told(checkpoint, plan))
    if finding.loadable(checkpoint) and not _errors(found):
        found += partition.told(checkpoint, plan)
        found += contents.told(checkpoint, plan)
        found += beyond.told(checkpoint, plan)
        found += mmengine.reader(plan)
    if not _errors(found) and not any(d.code == codes.UNKNOWN.code for d in found):
        found += _loads(checkpoint, plan)
    return found


def _errors(found: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in found)


def _loads(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    saved = checkpoint.universal if plan.universal else checkpoint.saved
    if saved is None:
        return
    step = checkpoint.trainer.get("global_step", saved.steps)
    after = f" after step {step}" if isinstance(step, int) else ""
    how = "; any number of ranks loads it" if plan.universal or saved.stage == 0 else ""
    split = f"ZeRO-{saved.stage}" if saved.stage else "no ZeRO" if saved.stage == 0 else "ZeRO-1 or 2"
    ranks = f" of {saved.dp} rank{'s' if saved.dp != 1 else ''}" if saved.dp else ""
    kind = "universal, from " if plan.universal else ""
    yield codes.LOADS(
        f"{checkpoint.name}, {saved.tag}: weights, optimizer and counters{after} are loaded "
        f"({kind}{split}{ranks}{how})"
    )
