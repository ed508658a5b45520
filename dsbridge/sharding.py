"""FSDP to ZeRO and back, for a target that has only one of them or a user who wants the other.

The strategies divide the same things (PyTorch's FSDP documentation, the ZeRO paper): full_shard is stage 3,
shard_grad_op is stage 2. What differs is told: FSDP keeps the weights in the dtype they are loaded in, where
ZeRO keeps fp32 master weights beside the 16-bit ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.framework import Framework
from dsbridge.trees import copied

CONVERTED = Code("MG001", "sharding-converted", Severity.WARNING, "FSDP became ZeRO, or ZeRO became FSDP.")
LEFT_OUT = Code(
    "MG002", "sharding-option", Severity.WARNING, "An option of the other sharding has no counterpart."
)
CODES = (CONVERTED, LEFT_OUT)

STAGES = {"full_shard": 3, "shard_grad_op": 2, "no_shard": 0, "hybrid_shard": 3, "hybrid_shard_zero2": 2}
STRATEGIES = {3: "full_shard", 2: "shard_grad_op"}
# FSDP's own, which ZeRO does in its own way or not at all
_FSDP_ONLY = ("version", "auto_wrap", "transformer_layer_cls", "min_num_params", "use_orig_params",
              "sync_module_states", "cpu_ram_efficient_loading", "forward_prefetch", "backward_prefetch",
              "reshard_after_forward", "state_dict_type")  # fmt: skip


def converted(
    root: Mapping[str, Any], target: Framework, wanted: str
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """A copy of a spec's mapping, sharded as wanted ("zero", "fsdp", "": as it is) or as the target can."""
    spec = copied(dict(root))
    if spec.get("fsdp") and (wanted == "zero" or not target.fsdp):
        return spec, list(_to_zero(spec))
    if wanted == "fsdp" and not spec.get("fsdp"):
        return spec, list(_to_fsdp(spec))
    return spec, []


def _to_zero(spec: dict[str, Any]) -> list[Diagnostic]:
    fsdp = spec.pop("fsdp")
    strategy = fsdp.get("sharding")
    if strategy is None:
        strategy = "shard_grad_op" if fsdp.get("reshard_after_forward") is False else "full_shard"
    stage = STAGES.get(strategy, 3)
    zero = spec.setdefault("zero", {})
    zero["stage"] = stage
    if fsdp.get("offload_params"):
        zero["offload_optimizer"] = {"device": "cpu"}
        if stage == 3:
            zero["offload_param"] = {"device": "cpu"}
    found = [
        CONVERTED(
            f"`fsdp.sharding: {strategy}` becomes `zero.stage: {stage}`: the same things are divided; ZeRO "
            "keeps fp32 master weights, FSDP those of the dtype that the model is loaded in",
            hint="Load the model in fp32 to come close; the two were not compared in a run.",
            key="fsdp.sharding",
        )
    ]
    if strategy.startswith("hybrid"):
        message = f"`fsdp.sharding: {strategy}` divides within a node; ZeRO divides over all ranks"
        hint = "Write `zero.zero_hpz_partition_size`: the GPUs of a node, for ZeRO++'s like of it."
        found.append(LEFT_OUT(message, hint=hint, key="fsdp.sharding"))
    if fsdp.get("activation_checkpointing") is True:
        spec.setdefault("training", {}).setdefault("gradient_checkpointing", True)
    found += [
        LEFT_OUT(
            f"`fsdp.{name}: {fsdp[name]}` has no counterpart in ZeRO",
            key=f"fsdp.{name}",
            severity=Severity.INFO,
        )
        for name in _FSDP_ONLY
        if name in fsdp
    ]
    return found


def _to_fsdp(spec: dict[str, Any]) -> list[Diagnostic]:
    zero = spec.pop("zero", {})
    stage = zero.get("stage", 0)
    strategy = STRATEGIES.get(stage, "no_shard")
    fsdp: dict[str, Any] = {"sharding": strategy}
    found = [
        CONVERTED(
            f"`zero.stage: {stage}` becomes `fsdp.sharding: {strategy}`: FSDP keeps the weights in the dtype "
            "that the model is loaded in, ZeRO fp32 master weights beside them",
            hint="Load the model in fp32 to come close; the two were not compared in a run."
            + (" Stage 1 divides the optimizer alone, which FSDP cannot." if stage == 1 else ""),
            key="zero.stage",
        )
    ]
    offload = [
        n
        for n in ("offload_optimizer", "offload_param")
        if zero.get(n, {}).get("device") not in (None, "none")
    ]
    if offload:
        fsdp["offload_params"] = True
    for name, value in zero.items():
        if name not in ("stage", *offload):
            message = f"`zero.{name}: {value}` has no counterpart in FSDP"
            found.append(LEFT_OUT(message, key=f"zero.{name}", severity=Severity.INFO))
    gone = [name for name in ("deepspeed", "aio", "activation_checkpointing") if spec.pop(name, None)]
    found += [LEFT_OUT(f"`{name}` is DeepSpeed's alone", key=name) for name in gone]
    spec["fsdp"] = fsdp
    return found
