"""DeepSpeed files under XTuner: each table is {name: changes of the usual file}."""

from __future__ import annotations

from typing import Any

from conformance.oracle.cases._xtuner_files import GONE

BATCH: dict[str, dict[str, Any]] = {
    "micro-number": {"train_micro_batch_size_per_gpu": 8},
    "micro-missing": {"train_micro_batch_size_per_gpu": GONE},
    "micro-null": {"train_micro_batch_size_per_gpu": None},
    "micro-text": {"train_micro_batch_size_per_gpu": "8"},
    "accumulation-number": {"gradient_accumulation_steps": 8},
    "accumulation-missing": {"gradient_accumulation_steps": GONE},
    "accumulation-null": {"gradient_accumulation_steps": None},
    "clipping-number": {"gradient_clipping": 0.3},
    "clipping-zero": {"gradient_clipping": 0.0},
    "clipping-missing": {"gradient_clipping": GONE},
    "global-right": {"train_batch_size": 16},
    "global-wrong": {"train_batch_size": 32},
    "global-auto": {"train_batch_size": "auto"},
    "global-null": {"train_batch_size": None},
    "all-other": {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
        "train_batch_size": 16,
    },
    "print": {"steps_per_print": 10},
    "print-auto": {"steps_per_print": "auto"},
    "wall-clock-auto": {"wall_clock_breakdown": "auto"},
    "wall-clock": {"wall_clock_breakdown": True},
}
PRECISION: dict[str, dict[str, Any]] = {
    "none": {"fp16": GONE, "bf16": GONE},
    "fp16-only-auto": {"bf16": GONE},
    "bf16-only-auto": {"fp16": GONE},
    "fp16-only-true": {"fp16.enabled": True, "bf16": GONE},
    "bf16-only-true": {"fp16": GONE, "bf16.enabled": True},
    "fp16-true-bf16-auto": {"fp16.enabled": True},
    "fp16-auto-bf16-true": {"bf16.enabled": True},
    "fp16-true-bf16-false": {"fp16.enabled": True, "bf16.enabled": False},
    "fp16-false-bf16-true": {"fp16.enabled": False, "bf16.enabled": True},
    "both-true": {"fp16.enabled": True, "bf16.enabled": True},
    "both-false": {"fp16.enabled": False, "bf16.enabled": False},
    "both-one": {"fp16.enabled": 1, "bf16.enabled": 1},
    "both-text": {"fp16.enabled": "true", "bf16.enabled": "true"},
    "capital-auto": {"fp16.enabled": "Auto", "bf16.enabled": False},
    "fp16-no-enabled": {"fp16": {"initial_scale_power": 16}},
    "bf16-no-enabled": {"bf16": {"immediate_grad_update": True}},
    "bf16-empty": {"bf16": {}},
    "fp16-empty": {"fp16": {}},
    "fp16-is-true": {"fp16": True},
    "bf16-is-true": {"bf16": True},
    "bf16-only-is-true": {"bf16": True, "fp16": GONE},
    "bf16-is-text": {"bf16": "auto"},
    "fp16-null": {"fp16": None},
    "loss-scale": {"fp16.enabled": True, "bf16": GONE, "fp16.loss_scale": 128},
    "loss-scale-auto": {"fp16.enabled": True, "bf16": GONE, "fp16.loss_scale": "auto"},
    "scale-power-auto": {"fp16.enabled": True, "bf16": GONE, "fp16.initial_scale_power": "auto"},
    "old-bfloat16": {"bf16": GONE, "fp16": GONE, "bfloat16": {"enabled": True}},
    "old-bfloat16-beside": {"bfloat16": {"enabled": True}},
    "amp": {"fp16": GONE, "bf16": GONE, "amp": {"enabled": False}},
}
ZERO: dict[str, dict[str, Any]] = {
    "stage-0": {"zero_optimization.stage": 0},
    "stage-1": {"zero_optimization.stage": 1},
    "stage-3": {"zero_optimization.stage": 3},
    "stage-4": {"zero_optimization.stage": 4},
    "stage-auto": {"zero_optimization.stage": "auto"},
    "stage-text": {"zero_optimization.stage": "3"},
    "stage-float": {"zero_optimization.stage": 3.0},
    "stage-missing": {"zero_optimization": {"overlap_comm": True}},
    "block-missing": {"zero_optimization": GONE},
    "block-empty": {"zero_optimization": {}},
    "block-number": {"zero_optimization": 2},
    "block-true": {"zero_optimization": True},
    "block-null": {"zero_optimization": None},
    "buckets-auto": {
        "zero_optimization.stage": 3,
        "zero_optimization.reduce_bucket_size": "auto",
        "zero_optimization.stage3_prefetch_bucket_size": "auto",
        "zero_optimization.stage3_param_persistence_threshold": "auto",
        "zero_optimization.stage3_gather_16bit_weights_on_model_save": True,
    },
    "buckets": {
        "zero_optimization.reduce_bucket_size": 5e8,
        "zero_optimization.allgather_bucket_size": 2e8,
        "zero_optimization.contiguous_gradients": True,
        "zero_optimization.reduce_scatter": True,
    },
    "gather-auto": {
        "zero_optimization.stage": 3,
        "zero_optimization.stage3_gather_16bit_weights_on_model_save": "auto",
    },
    "unknown-key": {"zero_optimization.stage3_gather_fp16": True},
    "unknown-key-stage-3": {"zero_optimization.stage": 3, "zero_optimization.bucket": 1},
    "wrong-value-stage-3": {"zero_optimization.stage": 3, "zero_optimization.reduce_bucket_size": -1},
    "global-wrong-stage-3": {"zero_optimization.stage": 3, "train_batch_size": 32},
    "global-auto-stage-3": {"zero_optimization.stage": 3, "train_batch_size": "auto"},
    "both-dtypes-stage-3": {"zero_optimization.stage": 3, "fp16.enabled": 1, "bf16.enabled": 1},
    "wall-clock-auto-stage-3": {"zero_optimization.stage": 3, "wall_clock_breakdown": "auto"},
    "old-gather": {
        "zero_optimization.stage": 3,
        "zero_optimization.stage3_gather_fp16_weights_on_model_save": True,
    },
    "offload-cpu": {"zero_optimization.offload_optimizer": {"device": "cpu", "pin_memory": True}},
    "offload-none": {"zero_optimization.offload_optimizer": {"device": "none"}},
    "offload-auto": {"zero_optimization.offload_optimizer": {"device": "auto"}},
    "offload-is-true": {"zero_optimization.offload_optimizer": True},
    "offload-is-true-stage-1": {
        "zero_optimization.stage": 1,
        "zero_optimization.offload_optimizer": True,
    },
    "offload-device-list": {"zero_optimization.offload_optimizer": {"device": ["cpu"]}},
    "offload-param-text": {"zero_optimization.stage": 3, "zero_optimization.offload_param": "cpu"},
    "offload-force-true": {
        "zero_optimization.offload_optimizer": {"device": "cpu"},
        "zero_force_ds_cpu_optimizer": True,
    },
    "offload-force-missing": {
        "zero_optimization.offload_optimizer": {"device": "cpu"},
        "zero_force_ds_cpu_optimizer": GONE,
    },
    "offload-force-missing-stage-3": {
        "zero_optimization.stage": 3,
        "zero_optimization.offload_optimizer": {"device": "cpu"},
        "zero_optimization.offload_param": {"device": "cpu"},
        "zero_force_ds_cpu_optimizer": GONE,
    },
    "cpu-offload-old": {"zero_optimization.cpu_offload": True},
    "cpu-offload-both": {
        "zero_optimization.cpu_offload": True,
        "zero_optimization.offload_optimizer": {"device": "cpu"},
    },
    "untested-missing": {"zero_allow_untested_optimizer": GONE},
    "untested-false": {"zero_allow_untested_optimizer": False},
    "ratio": {"zero_optimization.offload_optimizer": {"device": "cpu", "ratio": 0.5}},
}
BLOCKS: dict[str, dict[str, Any]] = {
    "optimizer": {"optimizer": {"type": "Adam", "params": {"lr": 1e-3}}},
    "optimizer-auto": {"optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}}},
    "scheduler": {
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": 0, "warmup_max_lr": 1e-4, "warmup_num_steps": 10},
        }
    },
    "scheduler-auto-params": {
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"},
        }
    },
    "scheduler-auto": {"scheduler": {"type": "auto"}},
    "scheduler-decay": {
        "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 100, "warmup_num_steps": 10}}
    },
    "scheduler-decay-no-total": {"scheduler": {"type": "WarmupDecayLR", "params": {}}},
    "unknown-key": {"my_own_key": 1, "train_batch": 4},
    "tensor-parallel": {"tensor_parallel": {"autotp_size": 2}},
    "communication": {"communication_data_type": "fp32"},
    "communication-wrong": {"communication_data_type": "float8"},
    "data-types": {"data_types": {"grad_accum_dtype": "fp32"}},
    "activation-auto": {"activation_checkpointing": {"partition_activations": "auto"}},
    "activation": {"activation_checkpointing": {"partition_activations": True}},
    "checkpoint": {"checkpoint": {"load_universal": True, "use_node_local_storage": True}},
    "aio": {"aio": {"block_size": 1048576, "queue_depth": 8}},
    "flops": {"flops_profiler": {"enabled": False}},
    "sequence": {"sequence_parallel_size": 2},
    "sparse": {"sparse_gradients": False},
    "gradient-predivide": {"gradient_predivide_factor": 2.0, "prescale_gradients": True},
    "comms-logger": {"comms_logger": {"enabled": False}},
}
# Whole texts: what Python's json makes of them.
TEXTS: dict[str, str] = {
    "comment": '{\n  // two stages\n  "zero_optimization": {"stage": 2}\n}',
    "trailing-comma": '{"zero_optimization": {"stage": 2},}',
    "single-quotes": "{'zero_optimization': {'stage': 2}}",
    "empty": "",
    "empty-object": "{}",
    "list": "[]",
    "null": "null",
    "number": "2",
    "twice": '{"bf16": {"enabled": true}, "zero_optimization": {}, "zero_optimization": {"stage": 2}}',
    "cut": '{"zero_optimization": {"stage": 2}',
}
