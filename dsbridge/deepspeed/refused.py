"""Values that DeepSpeed's own parser refuses, found in a finished config before anybody starts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.deepspeed.dialect import REFUSED, Dialect
from dsbridge.diagnostics import Diagnostic

# deepspeed 0.19.8 runtime/config.py:702-714, 0.18.4 :978-990
_SPLIT_ONLY = {
    "fp16.fp16_master_weights_and_grads": "precision.fp16.fp16_master_weights_and_grads",
    "bf16.bf16_master_weights_and_grads": "precision.bf16.bf16_master_weights_and_grads",
    "bf16.bf16_optimizer_states": "precision.bf16.bf16_optimizer_states",
}

# deepspeed 0.19.8 runtime/config.py:81-112 _REMOVED_TOP_LEVEL_CONFIG_KEYS
_REMOVED = (
    *("nebula", "compression_training", "amp", "quantize_training", "sparse_gradients", "eigenvalue"),
    *("sparse_attention", "elasticity", "graph_harvesting", "curriculum_learning", "progressive_layer_drop"),
)


def refused(config: Mapping[str, Any], dialect: Dialect, dtype: object) -> Iterator[Diagnostic]:
    """Every finding. Blocks that are no mappings are not looked into: native keys may hold anything."""
    stage = _at(config, "zero_optimization.stage")
    stage = 2 if stage == "auto" else 0 if stage is None else stage  # accelerate 1.15.0 dataclasses.py:1281
    yield from _stage(config, stage)
    for key, path in _SPLIT_ONLY.items():
        if _at(config, key) is True and stage == 0:
            yield _finding(path, "true", "takes ZeRO stage 1, 2 or 3", "Write `zero.stage: 2`.")
    states, master = _at(config, "bf16.bf16_optimizer_states"), "bf16.bf16_master_weights_and_grads"
    if states is True and _at(config, master) is not True:
        needs = f"needs `{_SPLIT_ONLY[master]}: true`"
        yield _finding("precision.bf16.bf16_optimizer_states", "true", needs, f"Add {needs[6:]}.")
    yield from _loss_scale(config, dialect, dtype)
    yield from _accumulation(config, dialect, dtype, stage)
    yield from _native(config, dialect)


def _stage(config: Mapping[str, Any], stage: object) -> Iterator[Diagnostic]:
    """runtime/zero/config.py:389-400 of 0.19.8 (the ratio: all versions)."""
    ratio = _at(config, "zero_optimization.offload_optimizer.ratio")
    if isinstance(ratio, int | float) and ratio < 1 and stage != 3:
        hint = "Write `zero.stage: 3`, or remove the ratio."
        yield _finding("zero.offload_optimizer.ratio", ratio, "is for ZeRO stage 3 only", hint)
    if _at(config, "zero_optimization.compute_grad_norm") is False and stage not in (1, 2):
        hint = "Write `zero.stage: 1` or 2, or remove it."
        yield _finding("zero.compute_grad_norm", "false", "is for ZeRO stages 1 and 2 only", hint)


def _loss_scale(config: Mapping[str, Any], dialect: Dialect, dtype: object) -> Iterator[Diagnostic]:
    """deepspeed 0.19.8 runtime/precision_config.py:131-145; the older ones take a floor of 0."""
    dynamic = not _at(config, "fp16.loss_scale")
    enabled = _at(config, "fp16.enabled")
    on = enabled is True or (enabled == "auto" and dtype == "fp16")
    if "0.19.8" in dialect.versions and on and dynamic and _at(config, "fp16.min_loss_scale") == 0:
        hint = "Write 1 or more, or give a fixed `precision.fp16.loss_scale`."
        needs = "must be above 0 while the loss scale is dynamic"
        yield _finding("precision.fp16.min_loss_scale", 0, needs, hint)


def _accumulation(
    config: Mapping[str, Any], dialect: Dialect, dtype: object, stage: object
) -> Iterator[Diagnostic]:
    """deepspeed 0.19.8 runtime/engine.py _do_optimizer_sanity_check; up to 0.18.4 bf16 may add up in fp32."""
    accum = _at(config, "data_types.grad_accum_dtype")
    model = {"fp8": "bf16"}.get(str(dtype), str(dtype)) if dtype in ("fp16", "bf16", "fp8") else "fp32"
    old = "0.19.8" not in dialect.versions and (model, accum) == ("bf16", "fp32")
    if stage == 0 and accum in ("fp16", "bf16", "fp32") and accum != model and not old:
        needs = f"does not go with {model} weights at ZeRO stage 0"
        hint = f"Write `{model}`, or a ZeRO stage of 1 to 3."
        yield _finding("precision.grad_accumulation_dtype", accum, needs, hint)


def _native(config: Mapping[str, Any], dialect: Dialect) -> Iterator[Diagnostic]:
    """deepspeed 0.19.8 runtime/config.py:119-127 (whatever the block says), :230 (all versions)."""
    for block in _REMOVED if "0.19.8" in dialect.versions else ():
        if block in config:
            message = f"`deepspeed.{block}` is no longer in DeepSpeed 0.19.8, which stops there"
            yield REFUSED(message, hint="Remove it.", key=f"deepspeed.{block}")
    kind = config.get("communication_data_type")
    if kind not in (None, "auto", "fp16", "bf16", "fp32"):
        hint = "Write `precision.communication_dtype: bf16`, fp16 or fp32."
        yield _finding("deepspeed.communication_data_type", kind, "is no number format it sends", hint)


def _at(config: Mapping[str, Any], dotted: str) -> Any:
    node: Any = config
    for name in dotted.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _finding(path: str, value: object, why: str, hint: str) -> Diagnostic:
    return REFUSED(f"`{path}: {value}` {why}; DeepSpeed stops there", hint=hint, key=path)
