"""Render for `deepspeed`: a complete config for a script that calls `deepspeed.initialize` itself."""

from __future__ import annotations

import json
from typing import Any

from dsbridge.deepspeed.config import ds_config
from dsbridge.deepspeed.dialect import NO_FSDP, Dialect
from dsbridge.diagnostics import Diagnostic
from dsbridge.fields import LOSSY, Fidelity, Field, place
from dsbridge.framework import Rendered, RenderRequest
from dsbridge.launch.start import NO_RAY, Start, finish, refused_kind
from dsbridge.launch.words import deepspeed, torchrun
from dsbridge.spec.batch import dims
from dsbridge.spec.leaves import NOT_FOR_FRAMEWORKS, leaf_paths

DIALECT = Dialect(
    title="deepspeed.initialize",
    owner="deepspeed",
    versions=("0.19.8",),
    train_batch_size=True,
    needs_batch=True,
    knows_ulysses=True,  # the config names both sizes; deepspeed 0.19.8 runtime/config.py:464-465
)
_OTHERS = "it starts {}, and no script of yours"
STARTS = {
    "torchrun": "",
    "deepspeed": "",
    "slurm": "",
    "kubernetes": "",
    "accelerate": "a script that calls deepspeed.initialize reads nothing of what it adds to torchrun",
    "llamafactory": _OTHERS.format("LLaMA-Factory"),
    "xtuner": _OTHERS.format("XTuner"),
    "ray": NO_RAY,
}
_SCRIPT = "your script does this; DeepSpeed's config has no such key"
_HINTS = {
    "model.name_or_path": "load the model in your script",
    "training.gradient_checkpointing": "call model.gradient_checkpointing_enable()",
    "training.seed": "call torch.manual_seed(...)",
    "finetuning.method": "wrap the model with peft for LoRA",
}
FIELDS = tuple(
    Field(path, fidelity=Fidelity.UNSUPPORTED, reason=_SCRIPT, hint=_HINTS.get(path, ""))
    for path in leaf_paths()
    if path.startswith(("model.", "finetuning.", "training.", "batch.eval_"))
    and path not in NOT_FOR_FRAMEWORKS
) + tuple(
    Field(path, fidelity=Fidelity.UNSUPPORTED, reason="its owner is the framework: your own script")
    for path in leaf_paths()
    if path.startswith(("optimizer.", "scheduler.")) and not path.endswith(".owner")
)


def render(request: RenderRequest) -> Rendered:
    """`ds_config.json`, nothing "auto" in it, and a torchrun launch."""
    spec = request.spec
    built = ds_config(spec, DIALECT)
    config, sequence = _with_ulysses(built.config, request)
    rows = [row for row in FIELDS if row.path not in built.claimed]
    placed = place(rows, request.values)
    claimed = built.claimed | placed.claimed | sequence
    claimed |= {"optimizer.owner", "scheduler.owner"}
    found: list[Diagnostic] = [*built.diagnostics, *placed.diagnostics]
    if spec.precision.dtype == "fp8":
        message = "`precision.dtype: fp8` becomes bf16: DeepSpeed's config has no fp8"
        found.append(LOSSY(message, hint="Convert the layers in your script.", key="precision.dtype"))
    fsdp = [p for p in request.values if p.startswith("fsdp.")]
    if fsdp:
        message = f"`{fsdp[0]}` asks for FSDP, which DeepSpeed does not have"
        found = [NO_FSDP(message, hint="Use `zero:`; stage 3 is full_shard.", key=fsdp[0])]
    claimed |= set(fsdp)
    files = {"ds_config.json": to_json(config)}
    started = finish(request, start(request), files)
    found += [*refused_kind(request, STARTS, "torchrun"), *started.diagnostics]
    return Rendered({**files, **started.files}, started.launch, claimed | started.claimed, tuple(found))


def to_json(config: Any) -> str:
    """Strict JSON, as every reader of a DeepSpeed config takes it."""
    return json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _with_ulysses(config: dict[str, Any], request: RenderRequest) -> tuple[dict[str, Any], frozenset[str]]:
    """`deepspeed.initialize` makes the groups itself when the config names both sizes."""
    layout = dims(request.spec)
    if layout.ulysses > 1:
        config = {**config, "sequence_parallel_size": layout.ulysses}
        if layout.data_parallel:
            config["data_parallel_size"] = layout.data_parallel
    return config, frozenset({"parallelism.ulysses"})


def start(request: RenderRequest, words: tuple[str, ...] = ()) -> Start:
    """torchrun or deepspeed, and the user's script. words: of the script that is launched as it is."""
    launch = request.spec.launch
    script = words or (str(launch.script or "train.py"),)
    with_deepspeed = launch.kind == "deepspeed"
    made = (deepspeed if with_deepspeed else torchrun)(request.spec)
    more = launch.arguments or ()
    notes = [*made.notes]
    if not words:
        notes.append(f"{script[0]} is yours: it calls deepspeed.initialize(config='ds_config.json', ...)")
    return Start(
        "deepspeed" if with_deepspeed else "torchrun",
        (*made.argv, *script, *more),
        {},
        made.says | {"launch.script", "launch.arguments"},
        made.files,
        tuple(notes),
    )
