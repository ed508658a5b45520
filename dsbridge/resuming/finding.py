"""Whether the planned run finds the checkpoint, and all of its files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from dsbridge.checkpoints.engine import Saved
from dsbridge.checkpoints.folder import Checkpoint, safe
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.resuming import codes
from dsbridge.resuming.commands import OURS, moved, to_universal
from dsbridge.resuming.plan import Planned

# these hand load_checkpoint the name of the tag; the others let it read `latest`
_NAMES_ITS_TAG = ("accelerate", "xtuner")
_TRAINERS = ("trainer", "llamafactory")
_NO_LATEST = "`Invalid for universal checkpoint: latest_universal does not exist`"
_STOPS = {"xtuner": "AssertionError: there is no zero/optimizer_state.pt in it"}
_KINDS = {
    "absent": "there is no such file or folder",
    "file": "it is a file; DeepSpeed resumes from the folder that it wrote",
    "fsdp": "it is a checkpoint of FSDP, which DeepSpeed cannot load",
    "weights": "it holds weights alone: no counters, no optimizer",
    "": "nothing in it looks like a checkpoint",
}


def loadable(checkpoint: Checkpoint) -> bool:
    """Whether DeepSpeed's files are there."""
    return checkpoint.saved is not None or checkpoint.universal is not None


def told(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """Kind, tag, files."""
    if checkpoint.kind == "runs":
        last = f"{checkpoint.name.rstrip('/')}/{checkpoint.inside[-1]}"
        yield codes.NOTHING(
            f"{checkpoint.name} holds {len(checkpoint.inside)} checkpoints and is none itself",
            hint=f"Name one: --resume {last}",
        )
        return
    if not loadable(checkpoint) and checkpoint.latest is None and not checkpoint.tags:
        yield codes.NOTHING(
            f"{checkpoint.name}: {_KINDS.get(checkpoint.kind, _none(checkpoint))}", hint=_start(checkpoint)
        )
        return
    yield from _tag(checkpoint, plan)
    yield from _universal(checkpoint, plan)
    saved = checkpoint.saved
    if saved is not None and not plan.universal:
        yield from _files(checkpoint, saved, plan)
    yield from _unread(checkpoint)


def dropped(checkpoint: Checkpoint, plan: Planned) -> list[Diagnostic]:
    """A run without DeepSpeed does not look into its folder."""
    if plan.deepspeed or not loadable(checkpoint):
        return []
    does = "it does not look into DeepSpeed's folder"
    if plan.framework in _TRAINERS:
        model = "loads its weights and" if checkpoint.weights else "finds no weights to load;"
        does = (
            f"the Trainer {model} makes a new optimizer"
            if checkpoint.weights
            else f"the Trainer {model} it stops"
        )
    return [
        codes.DROPPED(
            f"{checkpoint.name} was written with DeepSpeed, and the run has none: {does}",
            hint="Give the run its DeepSpeed config again.",
        )
    ]


def _none(checkpoint: Checkpoint) -> str:
    if checkpoint.kind == "trainer":
        return "it has no global_step folder: it was not written with DeepSpeed, or without its optimizer"
    return "DeepSpeed's folder is not in it"


def _start(checkpoint: Checkpoint) -> str:
    if checkpoint.weights and checkpoint.kind in ("weights", "trainer"):
        what = "adapter_name_or_path" if checkpoint.adapter else "the model"
        return f"Start a new run from its weights: name {checkpoint.name} as {what}, and resume from nothing."
    return "Name the folder that save_checkpoint, the Trainer, Accelerate or XTuner wrote."


def _tag(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """The folder that DeepSpeed will look for."""
    latest = checkpoint.latest_universal if plan.universal else checkpoint.latest
    if (
        plan.framework in _NAMES_ITS_TAG
        or checkpoint.kind in ("tag", "mmengine")
        or (plan.universal and latest is None)
    ):
        return
    if latest is None:
        tags = ", ".join(checkpoint.tags) or "none"
        then = (
            "the Trainer stops with ValueError"
            if plan.framework in _TRAINERS
            else "load_checkpoint returns (None, None) after one warning: the run starts from the beginning"
        )
        hint = f"Write it: printf %s {checkpoint.tag} > {checkpoint.folder}/latest" if checkpoint.tag else ""
        yield codes.NO_TAG(f"{checkpoint.name} has no file `latest` (folders: {tags}); {then}", hint=hint)
    elif not safe(latest) or latest not in checkpoint.files:
        yield codes.NO_TAG(
            f"{checkpoint.name}: `latest` says {latest[:80]!r}, and there is no such folder",
            hint=_others(checkpoint),
        )
    if plan.framework in _TRAINERS and not any(tag.startswith("global_step") for tag in checkpoint.tags):
        yield codes.NO_TAG(
            f"{checkpoint.name}: the Trainer looks for global_step*, which is not here, and stops "
            "with ValueError"
        )


def _others(checkpoint: Checkpoint, but: str = "") -> str:
    others = [tag for tag in checkpoint.tags if tag != but]
    return f"There are {', '.join(others)}." if others else "Take another checkpoint."


def _universal(checkpoint: Checkpoint, plan: Planned) -> Iterator[Diagnostic]:
    """A universal checkpoint that is asked for."""
    if not plan.universal:
        if checkpoint.saved is None and checkpoint.universal is not None:
            yield codes.UNIVERSAL(
                f"{checkpoint.universal.tag} is a universal checkpoint, and the run is not told so: "
                "DeepSpeed looks for the shards of each rank, which are not in it, and stops",
                hint='Write "checkpoint": {"load_universal": true} into the DeepSpeed config.',
                key="checkpoint.load_universal",
            )
        return
    if checkpoint.universal is not None and plan.framework == "accelerate":
        yield from _in_place(checkpoint, checkpoint.universal)
        return
    if checkpoint.universal is None or (
        checkpoint.latest_universal is None and plan.framework not in _NAMES_ITS_TAG
    ):
        yield codes.UNIVERSAL(
            f"checkpoint.load_universal is set, and {checkpoint.name} has no universal checkpoint: "
            f"DeepSpeed stops with {_STOPS.get(plan.framework, _NO_LATEST)}",
            hint=_converting(checkpoint, plan),
            key="checkpoint.load_universal",
            at=plan.places.get("checkpoint.load_universal"),
        )


def _converting(checkpoint: Checkpoint, plan: Planned) -> str:
    if checkpoint.saved is None:
        return ""
    then = f" and resume from {checkpoint.tag}_universal" if plan.framework == "xtuner" else ""
    return f"Convert it: {to_universal(checkpoint, plan)}{then}"


def _in_place(checkpoint: Checkpoint, made: Saved) -> Iterator[Diagnostic]:
    """Accelerate's."""
    if made.tag != OURS:
        yield codes.UNIVERSAL(
            f"{made.tag} is converted, and load_state asks for the folder {OURS}",
            hint=f"Put it in its place: cd {shlex.quote(checkpoint.folder)} && {moved(checkpoint, made.tag)}",
        )


def _files(checkpoint: Checkpoint, saved: Saved, plan: Planned) -> Iterator[Diagnostic]:
    """Shards of every rank that wrote, and both ends of each file."""
    for name, why in list(saved.damaged.items())[:8]:
        yield codes.DAMAGED(f"{saved.tag}/{name}: {why}", hint=_others(checkpoint, saved.tag))
    dp, tp = saved.dp, saved.tp or 1
    if dp is None or dp * tp > 1_000_000:
        return
    everyone = {(d, t) for d in range(dp) for t in range(tp)}
    for kind, there, wanted in (
        ("optimizer states", saved.optim, everyone if saved.optim or saved.stage else set()),
        ("model states", saved.split, everyone if saved.stage == 3 else set()),
        (
            "model states",
            frozenset((0, t) for t in saved.models),
            {(0, t) for t in range(tp)} if saved.stage != 3 else set(),
        ),
    ):
        gone = sorted(wanted - there)
        if gone:
            who = ", ".join(f"rank {d}" if tp == 1 else f"rank {d} of tp {t}" for d, t in gone[:6])
            more = f" and {len(gone) - 6} more" if len(gone) > 6 else ""
            yield codes.DAMAGED(
                f"{saved.tag} has no {kind} of {who}{more}: {dp * tp} ranks wrote it",
                hint="Copy the missing files from the nodes that wrote them, or take another checkpoint.",
                severity=Severity.ERROR,
            )


def _unread(checkpoint: Checkpoint) -> Iterator[Diagnostic]:
    for part in (checkpoint.saved, checkpoint.universal):
        for name, why in part.unread.items() if part else ():
            yield codes.UNREAD(
                f"{part.tag if part else ''}/{name}: {why}", hint="What it says is not taken into account."
            )
