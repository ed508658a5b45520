"""Render for `deepspeed`: a complete config for a script that calls `deepspeed.initialize` itself."""

from __future__ import annotations

import json
from typing import Any

from dsbridge.deepspeed.config import ds_config
from dsbridge.deepspeed.dialect import NO_FSDP, Dialect
from dsbridge.diagnostics import Diagnostic
from dsbridge.fields import LOSSY, Fidelity, Field, place
from dsbridge.framework import Launch, Rendered, RenderRequest
from dsbridge.launch.script import make_launch, torchrun_words
from dsbridge.spec.batch import dims
from dsbridge.spec.leaves import NOT_FOR_FRAMEWORKS, leaf_paths
from dsbridge.values import UNSET

DIALECT = Dialect(
    title="deepspeed.initialize",
    owner="deepspeed",
    versions=("0.19.8",),
    train_batch_size=True,
    needs_batch=True,
    knows_ulysses=True,  # the config names both sizes; deepspeed 0.19.8 runtime/config.py:464-465
)
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
    claimed |= {"cluster.nodes", "cluster.gpus_per_node", "optimizer.owner", "scheduler.owner"}
    claimed |= {f"launch.{name}" for name in ("master_addr", "master_port", "node_rank", "script")}
    if spec.launch.kind in (UNSET, "torchrun"):
        claimed |= {"launch.kind"}
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
    launch = _launch(request)
    return Rendered({**files, "launch.sh": launch.script}, launch, frozenset(claimed), tuple(found))


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


def _launch(request: RenderRequest) -> Launch:
    spec = request.spec
    script = str(spec.launch.script or "train.py")
    note = f"{script} is yours: it calls deepspeed.initialize(config='ds_config.json', ...)"
    return make_launch(request.header(), {}, (*torchrun_words(spec), script), [note])
