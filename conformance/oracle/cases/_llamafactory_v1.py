"""LLaMA-Factory's V1: another YAML (`dist_config`), another trainer, switched on by USE_V1=1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._llamafactory_files import (
    AUTO,
    GONE,
    OPTIMIZER,
    SCHEDULER,
    SHIPPED,
    changed,
    yaml_of,
)

V1 = {"FORCE_TORCHRUN": "1", "USE_V1": "1"}
CLI = ("llamafactory-cli", "train", "train.yaml")
MODULE = ("torchrun", "--nproc_per_node", "2", "-m", "llamafactory.v1.launcher", "sft", "train.yaml")
BASE: dict[str, Any] = {
    "model": "model",
    "model_class": "llm",
    "dist_config": {"name": "deepspeed", "config_file": "ds.json"},
    "train_dataset": "rows.json",
    "output_dir": "outputs/sft",
    "micro_batch_size": 2,
    "global_batch_size": 8,
    "batching_workers": 0,
    "cutoff_len": 64,
    "learning_rate": 1e-4,
    "max_steps": 3,
}
Z3 = {"zero_optimization.stage": 3}


def _said(role: str, text: str, weight: float) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "value": text}], "loss_weight": weight}


_ROWS = [{"messages": [_said("user", f"Say {n}.", 0.0), _said("assistant", "Yes.", 1.0)]} for n in range(32)]
_PAIRS = [
    {
        "chosen_messages": [_said("user", f"Say {n}.", 0.0), _said("assistant", "Yes.", 1.0)],
        "rejected_messages": [_said("user", f"Say {n}.", 0.0), _said("assistant", "No.", 1.0)],
    }
    for n in range(32)
]
# each: changes of the YAML, changes of the ds_config
Row = tuple[Mapping[str, Any], Mapping[str, Any]]
DS: dict[str, Row] = {
    "micro-same": ({}, {"train_micro_batch_size_per_gpu": 2}),
    "micro-other": ({}, {"train_micro_batch_size_per_gpu": 4}),
    "micro-missing": ({}, {"train_micro_batch_size_per_gpu": GONE}),
    "micro-null": ({}, {"train_micro_batch_size_per_gpu": None}),
    "micro-missing-3": ({}, {"train_micro_batch_size_per_gpu": GONE, **Z3}),
    "micro-other-3": ({}, {"train_micro_batch_size_per_gpu": 4, **Z3}),
    "steps-other": ({}, {"gradient_accumulation_steps": 4}),
    "steps-same": ({}, {"gradient_accumulation_steps": 2}),
    "steps-missing": ({}, {"gradient_accumulation_steps": GONE}),
    "steps-missing-3": ({}, {"gradient_accumulation_steps": GONE, **Z3}),
    "total-right": ({}, {"train_batch_size": 8}),
    "total-wrong": ({}, {"train_batch_size": 16}),
    "total-right-3": ({}, {"train_batch_size": 8, **Z3}),
    "total-missing": ({}, {"train_batch_size": GONE}),
    "batch-missing": (
        {},
        {
            "train_batch_size": GONE,
            "train_micro_batch_size_per_gpu": GONE,
            "gradient_accumulation_steps": GONE,
        },
    ),
    "clip-number": ({"max_grad_norm": 0.3}, {"gradient_clipping": 0.5}),
    "clip-auto": ({"max_grad_norm": 0.3}, {}),
    "clip-missing": ({"max_grad_norm": 0.3}, {"gradient_clipping": GONE}),
    "bf16-off": ({"bf16": False}, {}),
    "bf16-true": ({}, {"bf16.enabled": True}),
    "bf16-false": ({}, {"bf16.enabled": False}),
    "bf16-text": ({}, {"bf16.enabled": "False"}),
    "bf16-missing": ({}, {"bf16": GONE}),
    "bf16-list": ({}, {"bf16": []}),
    "bf16-list-3": ({}, {"bf16": [], **Z3}),
    "bf16-empty": ({}, {"bf16": {}, "fp16": {}}),
    "fp16-true": ({}, {"fp16.enabled": True}),
    "fp16-true-3": ({}, {"fp16.enabled": "true", **Z3}),
    "fp16-text": ({}, {"fp16.enabled": "False", "bf16.enabled": True}),
    "fp16-null": ({}, {"fp16": None}),
    "fp16-false": ({}, {"fp16.enabled": False}),
    "fp16-missing": ({}, {"fp16": GONE}),
    "both-missing": ({}, {"fp16": GONE, "bf16": GONE}),
    "both-missing-3": ({}, {"fp16": GONE, "bf16": GONE, **Z3}),
    "both-false-3": ({}, {"fp16.enabled": False, "bf16.enabled": False, **Z3}),
    "optimizer": ({}, {"optimizer": OPTIMIZER}),
    "scheduler": ({}, {"scheduler": SCHEDULER}),
    "optimizer-and-scheduler": ({}, {"optimizer": OPTIMIZER, "scheduler": SCHEDULER}),
    "optimizer-3": ({}, {"optimizer": OPTIMIZER, **Z3}),
    "zero-missing": ({}, {"zero_optimization": GONE}),
    "zero-true": ({}, {"zero_optimization": True}),
    "stage-auto": ({}, {"zero_optimization.stage": "auto"}),
    "stage-text": ({}, {"zero_optimization.stage": "3"}),
    "stage-missing": ({}, {"zero_optimization.stage": GONE}),
    "stage-1": ({}, {"zero_optimization.stage": 1}),
    "buckets": ({}, {"zero_optimization.reduce_bucket_size": "auto", **Z3}),
    "gather-auto": ({}, {"zero_optimization.stage3_gather_16bit_weights_on_model_save": "auto", **Z3}),
    "offload": ({}, {"zero_optimization.offload_optimizer": {"device": "cpu"}}),
    "offload-kept": (
        {},
        {"zero_optimization.offload_optimizer": {"device": "cpu"}, "zero_force_ds_cpu_optimizer": False},
    ),
    "offload-auto": ({}, {"zero_optimization.offload_optimizer": {"device": "auto"}}),
    "untested": ({}, {"zero_allow_untested_optimizer": GONE}),
    "untested-false": ({}, {"zero_allow_untested_optimizer": False}),
    "unknown-key": ({}, {"zero_optimization.stagee": 3}),
    "unknown-key-3": ({}, {"zero_optimization.stagee": 3, **Z3}),
    "other-auto": ({}, {"aio.block_size": "auto"}),
    "other-auto-3": ({}, {"aio.block_size": "auto", **Z3}),
    "steps-per-print": ({}, {"steps_per_print": 10}),
    "micro-text": ({}, {"train_micro_batch_size_per_gpu": "2"}),
    "tensor-parallel-3": ({}, {"tensor_parallel.autotp_size": 2, **Z3}),
    "tensor-parallel": ({}, {"tensor_parallel.autotp_size": 2}),
}
_LORA = {"name": "lora", "r": 8, "lora_alpha": 16, "target_modules": "all"}
YAML: dict[str, Row] = {
    "no-dist": ({"dist_config": GONE}, {}),
    "null-dist": ({"dist_config": None}, {}),
    "dist-text": ({"dist_config": "deepspeed"}, {}),
    "dist-json": ({"dist_config": '\'{"name": "deepspeed", "config_file": "ds.json"}\''}, {}),
    "no-name": ({"dist_config": {"config_file": "ds.json"}}, {}),
    "unknown-name": ({"dist_config": {"name": "ddp"}}, {}),
    "borrowed-name": ({"dist_config": {"name": "auto"}}, {}),
    "no-file": ({"dist_config": {"name": "deepspeed"}}, {}),
    "empty-file": ({"dist_config": {"name": "deepspeed", "config_file": ""}}, {}),
    "absent-file": ({"dist_config": {"name": "deepspeed", "config_file": "gone.json"}}, {}),
    "absent-file-uneven": (
        {"dist_config": {"name": "deepspeed", "config_file": "gone.json"}, "global_batch_size": 6},
        {},
    ),
    "unknown-key-in-dist": (
        {"dist_config": {"name": "deepspeed", "config_file": "ds.json", "zero_stage": 3}},
        {},
    ),
    "cp": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "cp_size": 2}}, {}),
    "cp-text": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "cp_size": "2"}}, {}),
    "cp-one": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "cp_size": 1}}, {}),
    "dp": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "dp_size": 2}}, {}),
    "dp-wrong": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "dp_size": 4}}, {}),
    "dp-and-cp": (
        {"dist_config": {"name": "deepspeed", "config_file": "ds.json", "dp_size": 1, "cp_size": 2}},
        {},
    ),
    "mp": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "mp_shard_size": 2}}, {}),
    "mp-wrong": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "mp_shard_size": 4}}, {}),
    "mp-replicate": (
        {"dist_config": {"name": "deepspeed", "config_file": "ds.json", "mp_replicate_size": 2}},
        {},
    ),
    "mp-both": (
        {
            "dist_config": {
                "name": "deepspeed",
                "config_file": "ds.json",
                "mp_replicate_size": 2,
                "mp_shard_size": 1,
            }
        },
        {},
    ),
    "timeout": ({"dist_config": {"name": "deepspeed", "config_file": "ds.json", "timeout": 600}}, {}),
    "cp-at-top": ({"cp_size": 2, "cp_mode": "ulysses"}, {}),
    "global-uneven": ({"global_batch_size": 6}, {}),
    "global-uneven-3": ({"global_batch_size": 6}, Z3),
    "global-none": ({"global_batch_size": GONE}, {}),
    "global-null": ({"global_batch_size": None}, {}),
    "global-one-step": ({"global_batch_size": 4}, {}),
    "global-small": ({"global_batch_size": 2}, {}),
    "micro-none": ({"micro_batch_size": GONE}, {}),
    "micro-text": ({"micro_batch_size": '"2"'}, {}),
    "unknown-key": ({"per_device_train_batch_size": 2}, {}),
    "two-unknown-keys": ({"stage": "sft", "do_train": True}, {}),
    "lora": ({"peft_config": _LORA}, {}),
    "lora-3": ({"peft_config": _LORA}, Z3),
    "lora-offload": ({"peft_config": _LORA}, {"zero_optimization.offload_optimizer": {"device": "cpu"}}),
    "freeze": ({"peft_config": {"name": "freeze", "freeze_trainable_layers": 1}}, {}),
    "freeze-3": ({"peft_config": {"name": "freeze", "freeze_trainable_layers": 1}}, Z3),
    "quant-2-unknown-key-3": (
        {"quant_config": {"name": "auto", "quantization_bit": 2}},
        {"zero_optimization.stagee": 3, **Z3},
    ),
    "peft-unknown": ({"peft_config": {"name": "oft"}}, {}),
    "peft-no-name": ({"peft_config": {"r": 8}}, {}),
    "quant": ({"peft_config": _LORA, "quant_config": {"name": "bnb", "quantization_bit": 4}}, {}),
    "quant-8": ({"peft_config": _LORA, "quant_config": {"name": "bnb", "quantization_bit": 8}}, {}),
    "quant-2": ({"peft_config": _LORA, "quant_config": {"name": "auto", "quantization_bit": 2}}, {}),
    "quant-unknown": ({"peft_config": _LORA, "quant_config": {"name": "gptq"}}, {}),
    "kernel": ({"kernel_config": {"name": "auto"}}, {}),
    "kernel-unknown": ({"kernel_config": {"name": "triton"}}, {}),
    "init-default": ({"init_config": {"name": "init_on_default"}}, {}),
    "init-unknown": ({"init_config": {"name": "init_on_gpu"}}, {}),
    "lora-on-meta": ({"peft_config": _LORA, "init_config": {"name": "init_on_meta"}}, {}),
    "optim": ({"optim_config": {"name": "adamw", "lr": 0.0001}}, {}),
    "optim-no-name": ({"optim_config": {"lr": 0.0001}}, {}),
    "optim-muon-3": ({"optim_config": {"name": "muon"}}, Z3),
    "scheduler": ({"lr_scheduler_config": {"name": "cosine"}}, {}),
    "attention-unknown": ({"flash_attn": "fa2"}, {}),
    "attention-eager": ({"flash_attn": "eager"}, {}),
    "class-unknown": ({"model_class": "vlm"}, {}),
    "template-unknown": ({"template": "qwen"}, {}),
    "template-chatml": ({"template": "chatml"}, {}),
    "no-data": ({"train_dataset": GONE}, {}),
    "no-data-3": ({"train_dataset": GONE}, Z3),
    "padding-free": ({"batching_strategy": "padding_free"}, {}),
    "padding-free-3": ({"batching_strategy": "padding_free"}, Z3),
    "dynamic": ({"batching_strategy": "dynamic_batching"}, {}),
    "dynamic-no-steps": ({"batching_strategy": "dynamic_batching", "max_steps": GONE}, {}),
    "dynamic-epochs": ({"batching_strategy": "dynamic_batching", "save_epochs": 1.0}, {}),
    "strategy-unknown": ({"batching_strategy": "packing"}, {}),
    "no-checkpointing": ({"enable_activation_checkpointing": False}, {}),
    "saving": ({"save_steps": 2, "save_total_limit": 1, "save_ckpt_as_hf": True, "seed": 7}, {}),
    "rate-text": ({"learning_rate": "1e-4"}, {}),
    "resume-absent": ({"resume_from_checkpoint": "gone"}, {}),
    "sampling": ({"sample_backend": "hf", "max_new_tokens": 128}, {}),
}


def case(
    name: str,
    own: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | str | None = None,
    command: Sequence[str] = CLI,
    **more: Any,
) -> Case:
    """A V1 YAML with the ds.json it names; each is BASE or AUTO with these changes."""
    rows = more.pop("rows", _ROWS)
    text = config if isinstance(config, str) else json.dumps(changed(AUTO, config or {}), indent=2)
    files = {
        "train.yaml": more.pop("text", None) or yaml_of(changed(BASE, own or {})),
        "ds.json": text,
        "rows.json": json.dumps(rows),
        **more.pop("files", {}),
    }
    files = {key: value for key, value in files.items() if value is not GONE}
    more.setdefault("environ", V1)
    return {
        "id": f"llamafactory/v1-{name}",
        "framework": "llamafactory",
        "files": files,
        "command": list(command),
        **more,
    }


def designed() -> Iterator[Case]:
    """Every factor alone."""
    for name, text in SHIPPED.items():
        yield case(f"shipped/{name}", config=text)
    for name, (own, config) in DS.items():
        yield case(f"ds/{name}", own, config)
    for name, (own, config) in YAML.items():
        yield case(f"yaml/{name}", own, config)
    yield case("ds/no-json", config="{")
    yield case("ds/list", config="[]")
    yield case("ds/comment", config='{"zero_optimization": {"stage": 2}, // no JSON\n}')
    yield from started()


def started() -> Iterator[Case]:
    """How it is started."""
    yield case("start/sft", command=("llamafactory-cli", "sft", "train.yaml"))
    yield case("start/lmf", command=("lmf", "sft", "train.yaml"))
    yield case("start/dpo", command=("llamafactory-cli", "dpo", "train.yaml"))
    yield case("start/rm", command=("llamafactory-cli", "rm", "train.yaml"), rows=_PAIRS)
    yield case("start/no-switch", environ={"FORCE_TORCHRUN": "1"})
    yield case("start/longer-word", environ={"FORCE_TORCHRUN": "1", "USE_V1": "on"})
    yield case("start/two-gpus", environ={"USE_V1": "y"})
    yield case("start/one-gpu", environ={"USE_V1": "true"}, world_size=1,
               facts={"mpi4py_installed": False})  # fmt: skip
    yield case("start/four", environ={**V1, "NPROC_PER_NODE": "4"}, world_size=4)
    yield case("start/nodes", environ={**V1, "NNODES": "2", "NPROC_PER_NODE": "2"}, world_size=4)
    yield case("start/module", command=MODULE, environ={})
    yield case("start/json", command=("llamafactory-cli", "train", "train.json"),
               files={"train.json": json.dumps(BASE), "train.yaml": GONE})  # fmt: skip
    yield case("start/absent", command=("llamafactory-cli", "train", "gone.yaml"))
    over = ("micro_batch_size=1", "dist_config.config_file=z3.json")
    yield case("start/overridden", command=(*CLI, *over), files={"z3.json": SHIPPED["z3"]})
    flags = [word for key, value in BASE.items() if key != "dist_config" for word in (f"--{key}", str(value))]
    yield case("start/flags", command=("llamafactory-cli", "sft", *flags))
    yield case("start/flags-unknown", command=("llamafactory-cli", "sft", *flags, "--stage", "sft"))
    config = json.dumps(BASE["dist_config"])
    yield case("start/flags-dist", command=("llamafactory-cli", "sft", *flags, "--dist_config", config))
    yield case("start/extra-keys", {"stage": "sft"}, environ={**V1, "ALLOW_EXTRA_KEYS": "1"})
    for name, value in (("MIXED_PRECISION", "fp16"), ("GRADIENT_ACCUMULATION_STEPS", "4"),
                        ("GRADIENT_CLIPPING", "0.5"), ("MIXED_PRECISION", "bf16")):  # fmt: skip
        environ = {**V1, f"ACCELERATE_{name}": value}
        yield case(f"environ/{name.lower()}-{value}", environ=environ)
        yield case(f"environ/{name.lower()}-{value}-3", config=Z3, environ=environ)
