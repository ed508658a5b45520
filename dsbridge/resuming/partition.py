"""How the checkpoint is split, against how the run splits: ranks, stage, tensor parallelism, number
format."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.checkpoints.engine import Saved
from dsbridge.checkpoints.folder import Checkpoint
from dsbridge.deepspeed.resuming import does
from dsbridge.diagnostics import Diagnostic
from dsbridge.resuming import codes
from dsbridge.resuming.commands import to_universal, to_weights, told_to_load
from dsbridge.resuming.plan import Planned

_STAGE = "zero_optimization.stage"


def told(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """All that differs."""
    if plan.universal:
        if _splits_without_zero(plan):
            plan = plan._replace(stage=1)
        if checkpoint.universal is not None:
            yield from _universal(checkpoint, checkpoint.universal, plan)
        return
    saved = checkpoint.saved
    if saved is None:
        return
    if _splits_without_zero(plan):
        plan = plan._replace(stage=1)
    elif plan.stage == 0 and plan.dtype == "bf16" and does("saves_bf16_without_optimizer", plan.version):
        yield _lost(saved, plan)
        return
    yield from _stage(checkpoint, saved, plan)
    yield from _tensor(checkpoint, saved, plan)
    if saved.stage and plan.stage:
        if (saved.tp or 1) == plan.tp:  # else the ranks are shared out in another way, too
            yield from _world(checkpoint, saved, plan)
        if _alike(saved.stage, plan.stage):
            yield from _dtype(checkpoint, saved, plan)
    elif saved.stage == 0 and plan.stage == 0:
        yield from _whole_dtype(checkpoint, saved, plan)


def _splits_without_zero(plan: Planned) -> bool:
    """Before 0.18 bf16 without ZeRO has an optimizer that splits its states as ZeRO-1 does."""
    return plan.stage == 0 and plan.dtype == "bf16" and does("loads_bf16_shards_without_zero", plan.version)


def _lost(saved: Saved, plan: Planned) -> Diagnostic:
    """From 0.18.0 to 0.18.4; recorded in 0.18.4 (tests/recorded/resuming/llamafactory.jsonl)."""
    return codes.DROPPED(
        f"bf16 without ZeRO: DeepSpeed {plan.version} loads neither fp32 weights nor optimizer states of "
        f"{saved.tag}; the first step trains on from the weights that the run began with",
        hint="Use ZeRO-1, or DeepSpeed 0.18.5 or newer for a run that begins.",
        key=_STAGE,
        at=plan.places.get(_STAGE),
    )


def _alike(saved: int, planned: int) -> bool:
    """Stages whose files are of one form."""
    return saved == planned or {saved, planned} == {1, 2}


def _stage(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    if plan.stage is None or saved.stage is None:
        yield _unknown(
            "the ZeRO stage of the run" if plan.stage is None else "the ZeRO stage of the checkpoint", ""
        )
        return
    if _alike(saved.stage, plan.stage):
        return
    if 3 in (saved.stage, plan.stage):
        why = "stage 3 saves the weights of each rank in a file of its own, the others in one file"
    elif plan.stage == 0:
        why = "the optimizer's states are in shards, which a run without ZeRO does not read"
    else:
        why = "it has no optimizer shards"
    yield codes.STAGE(
        f"{_of(saved)}, and the run uses {_zero(plan.stage)}: {why}",
        hint=f"Resume with {_zero(saved.stage)}. {_afresh(checkpoint, saved, plan)}",
        key=_STAGE,
        at=plan.places.get(_STAGE),
    )


def _of(saved: Saved) -> str:
    ranks = (
        f" of {saved.dp} data-parallel rank{'s' if saved.dp != 1 else ''}" if saved.dp and saved.stage else ""
    )
    return f"{saved.tag} is a checkpoint of {_zero(saved.stage)}{ranks}"


def _zero(stage: int | None) -> str:
    return f"ZeRO-{stage}" if stage else "no ZeRO" if stage == 0 else "an unknown stage"


def _afresh(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> str:
    """How to go on with the weights alone."""
    how = "Or take the weights alone, with a new optimizer"
    if plan.framework in ("trainer", "llamafactory") and checkpoint.weights:
        what = "adapter_name_or_path" if checkpoint.adapter else "model_name_or_path"
        return f"{how}: {what} {checkpoint.folder}, and resume from nothing."
    if not saved.stage and plan.stage == 3:  # whose load_checkpoint looks for other files
        return f"{how}: before deepspeed.initialize, load `module` of {saved.tag}/mp_rank_00_model_states.pt."
    if not saved.stage:
        return f"{how}: engine.load_checkpoint(..., load_module_only=True)."
    return f"{how}: {to_weights(checkpoint)}"


def _world(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    if plan.dp is None:
        yield _unknown("how many ranks the run has", "Say it: --world-size N, or give the launch command.")
        return
    if saved.dp is None:
        yield _unknown("how many ranks wrote the checkpoint", "")
        return
    if saved.dp == plan.dp:
        return
    tp = f" ({plan.world} ranks, tp {plan.tp})" if plan.tp > 1 else ""
    yield codes.WORLD(
        f"{_of(saved)}, and the run has {plan.dp}{tp}: DeepSpeed stops with ZeRORuntimeException, "
        "`The checkpoint being loaded used a DP world size of "
        f"{saved.dp} but the current world size is {plan.dp}`",
        hint=_convert(checkpoint, saved, plan),
    )


def _convert(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> str:
    load = told_to_load(checkpoint, plan)
    if checkpoint.universal is not None:
        return f"{checkpoint.universal.tag} is converted already: {load}."
    problem = unconvertible(saved, plan)
    if problem:
        return f"{problem} {_afresh(checkpoint, saved, plan)}"
    return f"Convert it once: {to_universal(checkpoint, plan)}; then {load}."


def unconvertible(saved: Saved, plan: Planned) -> str:
    """Why ds_to_universal.py cannot convert it; "" where it can."""
    if saved.rigid is False:
        return "The elastic form cannot be converted to a universal checkpoint."
    if saved.states and not {"exp_avg", "exp_avg_sq"} <= set(saved.states):
        return "Only states of Adam can be converted to a universal checkpoint."
    if saved.stage == 3 and len(saved.groups) > 1 and not does("converts_groups_of_stage_3", plan.version):
        return (
            f"DeepSpeed {plan.version} cannot convert ZeRO-3 with several groups of parameters; 0.18.0 can."
        )
    return ""


def _tensor(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    was = saved.tp or 1
    if was == plan.tp:
        return
    key = "tensor_parallel.autotp_size"
    yield codes.TENSOR(
        f"{saved.tag} holds the weights in {was} part{'s' if was > 1 else ''}, and the run has "
        f"autotp_size {plan.tp}",
        hint=_convert(checkpoint, saved, plan) if saved.stage else _afresh(checkpoint, saved, plan),
        key=key,
        at=plan.places.get(key),
    )


def _dtype(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    """A bf16 engine looks for files with bf16_ before their name, the others for those without."""
    if plan.dtype is None:
        yield _unknown("the number format of the run", "Give the launch command, or write bf16.enabled.")
        return
    if saved.bf16_names is None or saved.bf16_names == (plan.dtype == "bf16"):
        return
    was = "bf16" if saved.bf16_names else saved.dtype if saved.dtype in ("fp16", "fp32") else "fp16 or fp32"
    prefix = "bf16_" if plan.dtype == "bf16" else ""
    yield codes.DTYPE(
        f"{saved.tag} was written in {was}, and the run is in {plan.dtype}: DeepSpeed stops with "
        "FileNotFoundError, for "
        f"it looks for {prefix}zero_pp_rank_0_mp_rank_00_optim_states.pt",
        hint=f"Resume in {was}. {_convert(checkpoint, saved, plan)}",
        key="bf16.enabled",
        at=plan.places.get("bf16.enabled"),
    )


def _whole_dtype(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    """Without ZeRO the 16-bit optimizers have one form, the plain optimizer another."""
    if plan.dtype is None:
        yield _unknown("the number format of the run", "Give the launch command, or write bf16.enabled.")
        return
    if not saved.dtype or (saved.dtype == "fp32") == (plan.dtype == "fp32"):
        return
    yield codes.DTYPE(
        f"{saved.tag} was written in {saved.dtype}, and the run is in {plan.dtype}: without ZeRO the "
        "optimizer's states "
        "have another form, and DeepSpeed stops with KeyError",
        hint=f"Resume in {saved.dtype}. {_afresh(checkpoint, saved, plan)}",
        key="bf16.enabled",
        at=plan.places.get("bf16.enabled"),
    )


def _universal(checkpoint: Checkpoint, made: Saved, plan: Planned) -> Iterator[Diagnostic]:
    """Of a universal checkpoint only the kind of the stage is fixed."""
    if plan.stage is None:
        yield _unknown("the ZeRO stage of the run", "")
        return
    three = bool(made.split) or (made.universal_stage3 and not made.models)
    if three == (plan.stage == 3) and plan.stage:
        return
    was = "ZeRO-3" if three else "ZeRO-1 or 2"
    yield codes.STAGE(
        f"{made.tag} was converted from {was}, and the run uses {_zero(plan.stage)}, which does not load it",
        hint=f"Resume with {was}. {_afresh(checkpoint, checkpoint.saved or made, plan)}",
        key=_STAGE,
        at=plan.places.get(_STAGE),
    )


def _unknown(what: str, hint: str) -> Diagnostic:
    return codes.UNKNOWN(f"{what} is not known: whether it loads depends on it", hint=hint)
