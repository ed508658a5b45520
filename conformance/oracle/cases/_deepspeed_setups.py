"""Whole set-ups of bare DeepSpeed: a file as copied, some settings, now and then a mistake."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from conformance.oracle.case import Case
from conformance.oracle.cases import _deepspeed_factors as factors
from conformance.oracle.cases import _deepspeed_scalars as scalars
from conformance.oracle.cases._deepspeed_files import GONE, args_script, case, changed, literal, script
from conformance.oracle.cases._deepspeed_schedulers import SCHEDULER
from conformance.oracle.cases._deepspeed_scripts import CLIENTS

_ADAMW = {"type": "AdamW", "params": {"lr": 3e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}}
_FP16 = {"enabled": True, "loss_scale": 0, "loss_scale_window": 1000, "hysteresis": 2, "min_loss_scale": 1}
_STAGE_3 = {
    "stage": 3,
    "overlap_comm": True,
    "contiguous_gradients": True,
    "sub_group_size": 1e9,
    "reduce_bucket_size": 1e6,
    "stage3_prefetch_bucket_size": 1e6,
    "stage3_param_persistence_threshold": 1e4,
    "stage3_max_live_parameters": 1e9,
    "stage3_max_reuse_distance": 1e9,
    "stage3_gather_16bit_weights_on_model_save": True,
}
# As DeepSpeed's tutorials, its examples, and the files written for the Trainer have them.
TEMPLATES: dict[str, dict[str, Any]] = {
    "tutorial": {
        "train_batch_size": 16,
        "gradient_accumulation_steps": 1,
        "steps_per_print": 2000,
        "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.8, 0.999], "eps": 1e-8}},
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": 0, "warmup_max_lr": 0.001, "warmup_num_steps": 1000},
        },
        "gradient_clipping": 1.0,
        "prescale_gradients": False,
        "bf16": {"enabled": True},
        "wall_clock_breakdown": False,
        "zero_optimization": {"stage": 0, "reduce_bucket_size": 50000000, "overlap_comm": False},
    },
    "chat": {
        "train_batch_size": 32,
        "train_micro_batch_size_per_gpu": 4,
        "steps_per_print": 10,
        "zero_optimization": {
            "stage": 2,
            "offload_param": {"device": "none"},
            "offload_optimizer": {"device": "none"},
            "stage3_param_persistence_threshold": 1e4,
            "stage3_max_live_parameters": 3e7,
            "stage3_prefetch_bucket_size": 3e7,
            "memory_efficient_linear": False,
        },
        "fp16": {"enabled": True, "loss_scale_window": 100},
        "gradient_clipping": 1.0,
        "prescale_gradients": False,
        "wall_clock_breakdown": False,
        "optimizer": _ADAMW,
    },
    "reward-model": {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 4,
        "fp16": {**_FP16, "min_loss_scale": 0.5, "fp16_scale_tolerance": 0.0, "opt_level": "O2"},
        "zero_optimization": {"stage": 2, "allgather_partitions": True, "reduce_scatter": True},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-5, "betas": [0.9, 0.95]}},
    },
    "zero3-offload": {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 8,
        "bf16": {"enabled": True},
        "gradient_clipping": 1.0,
        "zero_optimization": {
            **_STAGE_3,
            "offload_optimizer": {"device": "cpu", "pin_memory": True},
            "offload_param": {"device": "cpu", "pin_memory": True},
        },
        "optimizer": _ADAMW,
    },
    "zero3": {
        "train_batch_size": 16,
        "train_micro_batch_size_per_gpu": 2,
        "bf16": {"enabled": True},
        "zero_optimization": _STAGE_3,
        "optimizer": _ADAMW,
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": {"total_num_steps": 1000, "warmup_num_steps": 100, "warmup_max_lr": 3e-5},
        },
    },
    "trainer-zero2": {
        "fp16": {**_FP16, "enabled": "auto", "initial_scale_power": 16},
        "bf16": {"enabled": "auto"},
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"},
        },
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"},
        },
        "zero_optimization": {
            "stage": 2,
            "offload_optimizer": {"device": "cpu", "pin_memory": True},
            "allgather_partitions": True,
            "allgather_bucket_size": 2e8,
            "overlap_comm": True,
            "reduce_scatter": True,
            "reduce_bucket_size": 2e8,
            "contiguous_gradients": True,
        },
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "steps_per_print": 2000,
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "wall_clock_breakdown": False,
    },
    "trainer-numbers": {
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 1,
        "fp16": {"enabled": False},
        "bf16": {"enabled": True},
        "zero_optimization": {
            "stage": 3,
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
        },
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": "auto",
        "activation_checkpointing": {"partition_activations": False, "cpu_checkpointing": False},
    },
    "small": {"train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": 1}, "optimizer": _ADAMW},
    "plain": {"train_batch_size": 8, "fp16": {"enabled": False}},
    "tensor-parallel": {
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": True},
        "tensor_parallel": {"autotp_size": 2},
        "zero_optimization": {"stage": 1},
        "optimizer": _ADAMW,
    },
}
_SOUND: tuple[dict[str, Any], ...] = (
    {"gradient_clipping": 0.3},
    {"gradient_accumulation_steps": 2, "train_batch_size": GONE},
    {"zero_optimization.stage": 1},
    {"zero_optimization.stage": 3},
    {"zero_optimization.overlap_comm": False},
    {"zero_optimization.reduce_bucket_size": 5e7},
    {"optimizer.params.lr": 5e-6},
    {"optimizer": GONE, "scheduler": GONE},
    {"data_types": {"grad_accum_dtype": "fp32"}},
    {"communication_data_type": "fp32"},
    {"wall_clock_breakdown": True},
    {"zero_optimization.round_robin_gradients": True},
    {"zero_allow_untested_optimizer": True},
    {"tensorboard": {"enabled": False, "output_path": "logs"}},
)
_MISTAKES = tuple(
    change
    for table in (
        *(
            factors.BATCH,
            factors.ZERO,
            factors.OFFLOAD,
            factors.PRECISION,
            factors.OPTIMIZER,
            factors.WRAPPERS,
        ),
        *(
            SCHEDULER,
            scalars.SCALARS,
            scalars.BLOCKS,
            scalars.REMOVED,
            scalars.TENSOR_PARALLEL,
            scalars.KINDS,
        ),
    )
    for change in table.values()
)


def _merged(config: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The change, where the config has the blocks that it goes into."""
    for dotted in change:
        node: Any = config
        for name in dotted.split(".")[:-1]:
            node = node.get(name, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            return config
    return changed(config, change)


@st.composite
def setups(draw: st.DrawFn) -> Case:
    """One set-up; the id is given by whoever asks."""
    config = TEMPLATES[draw(st.sampled_from(sorted(TEMPLATES)))]
    for change in draw(st.lists(st.sampled_from(_SOUND), max_size=3)):
        config = _merged(config, change)
    for change in draw(st.lists(st.sampled_from(_MISTAKES), max_size=2)):
        config = _merged(config, change)
    world = draw(st.sampled_from([1, 2, 4, 8]))
    client = draw(st.sampled_from([None, None, None, "adamw", "sgd", "cpu-adam"]))
    before = CLIENTS[client] if client else ""
    given = {"optimizer": "optimizer"} if client else {}
    gpu = {"bf16": draw(st.sampled_from([True, True, True, False])), "fp16": True}
    rest: dict[str, Any] = {"world_size": world, "gpu": gpu}
    form = draw(st.sampled_from(["path", "literal", "args", "json", "deepspeed"]))
    if form == "literal":
        text = script(f"{before}ds_config = {literal(config)}\n", config="ds_config", **given)
        return case("setup", {"train.py": text}, **rest)
    files = {"ds.json": _text(config, draw(st.sampled_from(["json", "json", "json", "hjson"])), form)}
    words = ["torchrun", "--nproc_per_node", str(world), "train.py"]
    if form in ("args", "deepspeed"):
        files["train.py"] = args_script(before, **given)
        if form == "deepspeed":
            words = ["deepspeed", f"--num_gpus={world}", "train.py"]
        words += ["--deepspeed", "--deepspeed_config", "ds.json"]
    elif form == "json":
        load = 'ds_config = json.load(open("ds.json"))\nds_config["steps_per_print"] = 50\n'
        files["train.py"] = "import json\n\n" + script(before + load, config="ds_config", **given)
    else:
        files["train.py"] = script(before, config='"ds.json"', **given)
    return case("setup", files, words, **rest)


def _text(config: dict[str, Any], style: str, form: str) -> str:
    text = json.dumps(config, indent=2)
    if style == "hjson" and form != "json":
        return "// made by hand\n" + text[:-2] + ",\n}\n"
    return text
