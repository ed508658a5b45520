"""A layout as the canonical spec that `render` takes."""

from __future__ import annotations

from typing import Any

from dsbridge.planner.candidate import NONE, NOWHERE, NVME, Candidate, Knobs
from dsbridge.planner.job import EAGER, Job
from dsbridge.planner.tuning import Freeze, Lora

_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
# nobody says where the disks are; a spec without a path does not load (SP012)
NVME_PATH = "/local_nvme"
# ZeRO's keys of the spec, by knob
ZERO_KEYS = {
    "reduce_bucket": "reduce_bucket_size",
    "allgather_bucket": "allgather_bucket_size",
    "prefetch": "stage3_prefetch_bucket_size",
    "persistence": "stage3_param_persistence_threshold",
    "live": "stage3_max_live_parameters",
    "reuse": "stage3_max_reuse_distance",
    "sub_group": "sub_group_size",
    "overlap": "overlap_comm",
    "contiguous": "contiguous_gradients",
    "round_robin": "round_robin_gradients",
    "hpz": "zero_hpz_partition_size",
    "quantized_weights": "zero_quantized_weights",
    "quantized_gradients": "zero_quantized_gradients",
}


def layout_spec(candidate: Candidate) -> dict[str, Any]:
    """What the layout decides: the parts of a spec that differ between layouts."""
    zero: dict[str, Any] = {"stage": candidate.stage}
    for key, device in (
        ("offload_optimizer", candidate.offload_optimizer),
        ("offload_param", candidate.offload_param),
    ):
        if device != NOWHERE:
            zero[key] = {"device": device, "pin_memory": candidate.knobs.pin}
            if device == NVME:
                zero[key]["nvme_path"] = NVME_PATH
    usual = Knobs()
    for knob, key in ZERO_KEYS.items():
        if (value := getattr(candidate.knobs, knob)) != getattr(usual, knob):
            zero[key] = value
    found = {
        "parallelism": {"tp": candidate.tp, "ulysses": candidate.ulysses},
        "zero": zero,
        "batch": {"micro_per_gpu": candidate.micro, "accumulation": candidate.accumulation},
        "training": {"gradient_checkpointing": candidate.checkpointing != NONE},
    }
    if candidate.spacing > 1:
        # no other framework has it, so no field of the spec does
        kwargs = {"every_n_layers": candidate.spacing}
        found["frameworks"] = {"trainer": {"gradient_checkpointing_kwargs": kwargs}}
    return found


def whole_spec(job: Job, candidate: Candidate, model: str) -> dict[str, Any]:
    """A dsbridge.yaml that trains the job in this layout. model: its name or path, "" where nobody knows."""
    layout = layout_spec(candidate)
    cluster = job.cluster
    spec: dict[str, Any] = {"version": 1}
    if model:
        spec["model"] = {"name_or_path": model}
    spec["finetuning"] = _method(job)
    spec["cluster"] = {
        "nodes": cluster.nodes,
        "gpus_per_node": cluster.per_node,
        "gpu": cluster.gpu.name,
        "interconnect": {"intra": cluster.intra.name, "inter": cluster.inter.name},
    }
    spec |= {key: layout[key] for key in ("parallelism", "zero", "batch")}
    spec["precision"] = {"dtype": _DTYPES[job.dtype]}
    if job.accumulate:
        spec["precision"]["grad_accumulation_dtype"] = _DTYPES[job.accumulate]
    if job.attention == EAGER:
        spec.setdefault("model", {})["attention"] = "eager"
    spec["training"] = {"sequence_length": job.sequence, **layout["training"]}
    if "frameworks" in layout:
        spec["frameworks"] = layout["frameworks"]
    return spec


def _method(job: Job) -> dict[str, Any]:
    method, found = job.method, dict[str, Any]()
    if method is None:
        return {"method": "full"}
    if isinstance(method, Freeze):
        return {"method": "freeze", "trainable_layers": method.layers}
    assert isinstance(method, Lora)
    found["method"] = "qlora" if job.scheme else "lora"
    found["rank"] = method.rank
    found["target_modules"] = "all" if isinstance(method.targets, str) else list(method.targets)
    if method.dropout:
        found["dropout"] = method.dropout
    if method.dora:
        found["use_dora"] = True
    if job.scheme:
        found["quantization_bits"] = 8 if job.scheme == "int8" else 4
        if job.scheme != "int8":
            found["quantization_type"] = job.scheme.partition("-")[0]
            found["double_quantization"] = not job.scheme.endswith("-single")
    return found
