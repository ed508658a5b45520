"""What is in the checkpoint, against what the run has: parameters, optimizer, scheduler."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dsbridge.checkpoints.engine import Saved
from dsbridge.checkpoints.folder import Checkpoint
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.resuming import codes
from dsbridge.resuming.plan import Planned

_ADAM = ("adam", "adamw", "fusedadam", "cpuadam", "onebitadam", "adamw_torch")
_STATES = {"sgd": ("momentum_buffer",), "lion": ("exp_avg",), "adagrad": ("sum",)}


def told(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """All that differs."""
    saved = checkpoint.universal if plan.universal else checkpoint.saved
    if saved is None:
        return
    yield from _parameters(checkpoint, saved, plan)
    yield from _optimizer(saved, plan)
    yield from _scheduler(saved, plan, checkpoint.files)
    yield from _elastic(saved, plan)


def adapted(checkpoint: Checkpoint, saved: Saved) -> bool | None:
    """Whether an adapter was trained; None where nobody says."""
    if checkpoint.adapter:
        return True
    names = saved.trained or saved.weights
    return any("lora_" in name for name in names) if names else None


def _parameters(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    was = adapted(checkpoint, saved)
    if was and plan.adapter is None:
        yield codes.UNKNOWN(
            f"{saved.tag} is of a run that trains an adapter; whether this run does is not known",
            hint="It loads if the run trains the same adapter. Give the script that makes it.",
        )
    if plan.adapter is None or was is None or was == plan.adapter:
        return
    before, now = ("an adapter", "the whole model") if was else ("the whole model", "an adapter")
    yield codes.PARAMETERS(
        f"{saved.tag} is of a run that trains {before}, and this run trains {now}: names of weights "
        "and the optimizer's "
        "groups differ",
        hint="Train what the checkpoint trained; or start a new run from the weights.",
    )


def _optimizer(saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    """Of an optimizer that the DeepSpeed config names."""
    name = (plan.optimizer or "").lower()
    want = ("exp_avg", "exp_avg_sq") if name in _ADAM else _STATES.get(name)
    if not want or not saved.states or set(want) & set(saved.states) == set(want):
        return
    yield codes.OPTIMIZER(
        f"{saved.tag} holds {', '.join(saved.states)} of each parameter, and {plan.optimizer} keeps "
        f"{', '.join(want)}",
        hint="Resume with the optimizer of the checkpoint.",
        key="optimizer.type",
        at=plan.places.get("optimizer.type"),
    )


def _scheduler(saved: Saved, plan: Planned, files: Collection[str]) -> Iterator[Diagnostic]:
    """DeepSpeed's own; one of the framework lies in a file beside."""
    if saved.scheduler is None or plan.scheduler is None or saved.scheduler == bool(plan.scheduler):
        return
    where = {"key": "scheduler.type", "at": plan.places.get("scheduler.type")}
    if plan.scheduler:
        yield codes.SCHEDULER(
            f"{saved.tag} has no state of a scheduler, and the DeepSpeed config names "
            f"{plan.scheduler}: DeepSpeed stops "
            "with TypeError",
            hint="Resume without the block `scheduler`, as the run began.",
            **where,  # type: ignore[arg-type]
        )
    elif plan.framework in ("trainer", "llamafactory") and "scheduler.pt" not in files:
        yield codes.SCHEDULER(
            f"{saved.tag} has the state of DeepSpeed's scheduler, and the DeepSpeed config names none: the "
            "Trainer stops with FileNotFoundError, for it looks for scheduler.pt",
            hint="Resume with the block `scheduler` of the run that wrote it.",
            **where,  # type: ignore[arg-type]
        )
    else:
        yield codes.SCHEDULER(
            f"{saved.tag} has the state of DeepSpeed's scheduler, and the DeepSpeed config names "
            "none: it is not used, "
            "and the rate stays where it was or follows another scheduler from its beginning",
            hint="Resume with the block `scheduler` of the run that wrote it.",
            severity=Severity.WARNING,
            **where,  # type: ignore[arg-type]
        )


def _elastic(saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    key = "zero_optimization.elastic_checkpoint"
    if plan.universal or not saved.stage:
        return
    if saved.stage == 3 and plan.elastic:
        yield codes.ELASTIC(
            "elastic_checkpoint with ZeRO-3: DeepSpeed stops with NotImplementedError",
            hint="Leave elastic_checkpoint out.",
            key=key,
            at=plan.places.get(key),
        )
    elif saved.rigid is False and saved.elastic_step is False:
        yield codes.ELASTIC(
            f"{saved.tag} was written with elastic_checkpoint and lacks the optimizer's step: "
            "DeepSpeed cannot load it",
            hint="Take the weights alone; or a checkpoint of a run without elastic_checkpoint.",
            key=key,
            at=plan.places.get(key),
        )
