"""What frameworks do around DeepSpeed's checkpoint: random states, data, rates, which checkpoint is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from dsbridge.checkpoints.engine import Saved
from dsbridge.checkpoints.folder import Checkpoint
from dsbridge.diagnostics import Diagnostic
from dsbridge.resuming import codes, mmengine
from dsbridge.resuming.plan import Planned

_TRAINERS = ("trainer", "llamafactory")


def told(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """Warnings, where it loads and something is not gone on with."""
    saved = checkpoint.universal if plan.universal else checkpoint.saved
    if saved is None:
        return
    yield from _groups(checkpoint, saved, plan)
    yield from _frozen(saved, plan)
    if plan.framework in _TRAINERS:
        yield from _random(checkpoint, plan)
        yield from _data(checkpoint, plan)
        yield from _rate(checkpoint, plan)
    if plan.framework == "llamafactory":
        yield from _llamafactory(checkpoint, plan)
    elif plan.framework == "xtuner":
        yield from mmengine.path(checkpoint, plan)
        yield from mmengine.data(checkpoint, plan)
        yield from _rate(checkpoint, plan)
    elif plan.args:
        yield from _path(checkpoint, plan, plan.args.get("resume_from_checkpoint"))


def _groups(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    """runtime/zero/stage3.py, load_hp_checkpoint_state_from_checkpoint_dir_stage3: the first for all."""
    groups = saved.groups or (checkpoint.saved.groups if checkpoint.saved else ())
    differ = sorted({key for group in groups for key in group if group[key] != groups[0].get(key)})
    if plan.universal and plan.stage == 3 and differ:
        yield codes.GROUPS(
            f"{saved.tag} has {len(groups)} groups of parameters with different {', '.join(differ)}: from a "
            "universal checkpoint ZeRO-3 gives all of them the values of the first",
            hint="Resume with as many ranks as before and without load_universal; or set the groups' values "
            "again after load_checkpoint.",
        )


def _frozen(saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    if plan.universal and saved.frozen:
        yield codes.FROZEN(
            f"{saved.tag}: the {len(saved.frozen)} frozen weights are not loaded from a universal "
            "checkpoint; "
            "they stay as the run makes them",
            hint="Start from the same base model as the run that wrote it.",
        )


def _random(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    if plan.world is None or checkpoint.kind != "trainer":
        return
    if plan.world == 1:
        gone = "rng_state.pth" not in checkpoint.files
        who = "its one rank (rng_state.pth)"
    else:
        ranks = sorted(set(range(plan.world)) - checkpoint.ranks)
        gone, who = bool(ranks), "rank " + ", ".join(map(str, ranks[:8])) + (" ..." if len(ranks) > 8 else "")
    if gone:
        yield codes.RANDOM(
            f"{checkpoint.name} has no random state for {who}: dropout goes on with other random numbers",
            hint="Nothing, unless the run must be the same to the bit.",
        )


def _data(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """The Trainer counts the steps that it skips, and a step has as many samples as there are ranks."""
    saved = checkpoint.saved
    was = len(checkpoint.ranks) or (saved.dp * (saved.tp or 1) if saved and saved.dp else None)
    if checkpoint.kind != "trainer" or was is None or plan.world is None or was == plan.world:
        return
    step = checkpoint.trainer.get("global_step")
    after = f"{step} steps" if isinstance(step, int) else "as many steps as before"
    yield codes.DATA(
        f"{was} ranks wrote it and {plan.world} go on: the Trainer skips {after}, which are now of "
        "another number "
        "of samples; some are seen twice, or never",
        hint="Keep the global batch: gradient_accumulation_steps x ranks as it was.",
    )


def _rate(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    saved = checkpoint.saved
    rates = {group.get("initial_lr") for group in saved.groups} if saved else set()
    rate = next(iter(rates)) if len(rates) == 1 else None
    if plan.rate is None or not isinstance(rate, (int, float)) or math.isclose(rate, plan.rate, rel_tol=1e-6):
        return
    yield codes.RATE(
        f"the run asks for a learning rate of {plan.rate:g}, and the checkpoint goes on with its own, "
        f"{rate:g}",
        hint="Start a new run from the weights, if another rate is wanted.",
        key="learning_rate",
    )


def _llamafactory(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """hparams/parser.py: what is named, else the last one of output_dir, unless that is overwritten."""
    named, output = plan.args.get("resume_from_checkpoint"), plan.args.get("output_dir")
    if isinstance(named, str):
        yield from _path(checkpoint, plan, named)
    elif plan.args.get("overwrite_output_dir") is True:
        yield codes.PATH(
            "overwrite_output_dir is set and resume_from_checkpoint is not: the run starts from the "
            "beginning",
            hint=f"Write resume_from_checkpoint: {checkpoint.name}",
            key="overwrite_output_dir",
        )
    elif isinstance(output, str) and _real(str(Path(_real(checkpoint.name)).parent)) != _real(output):
        yield codes.PATH(
            f"nothing says which checkpoint is taken: LLaMA-Factory takes the last one of {output}, "
            "if there is one",
            hint=f"Write resume_from_checkpoint: {checkpoint.name}",
            key="output_dir",
        )


def _path(checkpoint: Checkpoint, plan: Planned, named: object) -> Iterator[Diagnostic]:
    if (
        isinstance(named, str)
        and named not in ("True", "true", "auto")
        and _real(named) != _real(checkpoint.name)
    ):
        yield codes.PATH(
            f"the run resumes from {named}, not from {checkpoint.name}",
            hint=f"Write {checkpoint.name} there.",
            key="resume_from_checkpoint",
        )


def _real(name: str) -> str:
    try:
        return os.path.realpath(name)
    except (OSError, ValueError):
        return name
