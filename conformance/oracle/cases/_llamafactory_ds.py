"""What the ds_config of LLaMA-Factory's users can hold: a line a case, as in _llamafactory_settings."""

from __future__ import annotations

from typing import Any

from conformance.oracle.cases._llamafactory_files import GONE, OPTIMIZER, SCHEDULER
from conformance.oracle.cases._llamafactory_settings import EPOCHS, Change

ALL: dict[str, Any] = {
    "train_batch_size": 16,
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": 4,
    "gradient_clipping": 1.0,
}
BATCH: dict[str, Change] = {
    "all-right": ({}, ALL),
    "all-wrong": (
        {},
        {
            "train_batch_size": 32,
            "train_micro_batch_size_per_gpu": 4,
            "gradient_accumulation_steps": 2,
            "gradient_clipping": 0.3,
        },
    ),
    "micro-wrong": ({}, {"train_micro_batch_size_per_gpu": 4}),
    "micro-missing": ({}, {"train_micro_batch_size_per_gpu": GONE}),
    "micro-text": ({}, {"train_micro_batch_size_per_gpu": "2"}),
    "accumulation-wrong": ({}, {"gradient_accumulation_steps": 8}),
    "accumulation-wrong-stage-3": ({}, {"gradient_accumulation_steps": 8}, "z3"),
    "accumulation-missing": ({}, {"gradient_accumulation_steps": GONE}),
    "accumulation-missing-and-total": ({}, {"gradient_accumulation_steps": GONE, "train_batch_size": GONE}),
    "accumulation-missing-but-one": (
        {"gradient_accumulation_steps": 1},
        {"gradient_accumulation_steps": GONE},
    ),
    "total-wrong": ({}, {"train_batch_size": 8}),
    "total-missing": ({}, {"train_batch_size": GONE}),
    "total-alone": (
        {},
        {"train_micro_batch_size_per_gpu": GONE, "gradient_accumulation_steps": GONE},
    ),
    "none": (
        {},
        {
            "train_batch_size": GONE,
            "train_micro_batch_size_per_gpu": GONE,
            "gradient_accumulation_steps": GONE,
        },
    ),
    "clip-missing": ({}, {"gradient_clipping": GONE}),
    "clip-wrong": ({}, {"gradient_clipping": 0.5}),
    "clip-off": ({}, {"gradient_clipping": 0.0}),
    "clip-null": ({}, {"gradient_clipping": None}),
    "clip-int": ({}, {"gradient_clipping": 1}),
}
OPTIMIZERS: dict[str, Change] = {
    "explicit": ({}, {"optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.999]}}}),
    "rate-wrong": ({}, {"optimizer": {"type": "AdamW", "params": {"lr": 2e-5}}}),
    "everything-wrong": (
        {},
        {
            "optimizer": {
                "type": "AdamW",
                "params": {"lr": 2e-5, "betas": [0.8, 0.9], "eps": "1e-8", "weight_decay": 0.1},
            },
            "scheduler": {
                "type": "WarmupDecayLR",
                "params": {
                    "warmup_min_lr": 1e-6,
                    "warmup_max_lr": 3e-4,
                    "total_num_steps": 1000,
                    "warmup_num_steps": 100,
                },
            },
        },
    ),
    "no-rate": ({}, {"optimizer": {"type": "AdamW", "params": {"weight_decay": "auto"}}}),
    "no-params": ({}, {"optimizer": {"type": "AdamW"}}),
    "adam": ({}, {"optimizer": {**OPTIMIZER, "type": "Adam"}}),
    "type-auto": ({}, {"optimizer": {**OPTIMIZER, "type": "auto"}}),
    "type-unknown": ({}, {"optimizer": {**OPTIMIZER, "type": "AdamX"}}),
    "sgd": ({}, {"optimizer": {"type": "SGD", "params": {"lr": "auto"}}}),
    "sgd-untested": (
        {},
        {"optimizer": {"type": "SGD", "params": {"lr": "auto"}}, "zero_allow_untested_optimizer": GONE},
    ),
    "other-auto": ({}, {"optimizer": {"type": "AdamW", "params": {"lr": "auto", "adam_w_mode": "auto"}}}),
    "offload": ({}, {"optimizer": OPTIMIZER}, "z2_offload"),
    "offload-stage-3": ({}, {"optimizer": OPTIMIZER}, "z3_offload"),
    "untested-off": ({}, {"zero_allow_untested_optimizer": False}),
    "untested-off-block": ({}, {"zero_allow_untested_optimizer": False, "optimizer": OPTIMIZER}),
    "own-offload": ({}, {"zero_force_ds_cpu_optimizer": False}, "z2_offload"),
}
SCHEDULERS: dict[str, Change] = {
    "alone": ({}, {"scheduler": SCHEDULER}),
    "warmup": (
        {},
        {"scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": "auto", "warmup_num_steps": "auto"}}},
    ),
    "steps-wrong": ({}, {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 100}}}),
    "total-wrong": (
        {},
        {"scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 1000}}},
    ),
    "minimum": (
        {},
        {"scheduler": {"type": "WarmupLR", "params": {"warmup_min_lr": 1e-6, "warmup_max_lr": "auto"}}},
    ),
    "cosine": (
        {},
        {
            "scheduler": {
                "type": "WarmupCosineLR",
                "params": {"total_num_steps": "auto", "warmup_num_steps": "auto"},
            }
        },
    ),
    "type-auto": ({}, {"scheduler": {**SCHEDULER, "type": "auto"}}),
    "type-unknown": ({}, {"scheduler": {**SCHEDULER, "type": "cosine"}}),
    "warmup-type-auto": ({}, {"scheduler": {"type": "WarmupLR", "params": {"warmup_type": "auto"}}}),
    "no-params": ({}, {"scheduler": {"type": "WarmupLR"}}),
    "epochs": (EPOCHS, {"optimizer": OPTIMIZER, "scheduler": SCHEDULER}),
    "epochs-steps-given": (
        {**EPOCHS, "warmup_ratio": GONE, "warmup_steps": 2},
        {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": "auto"}}},
    ),
}
ZERO: dict[str, Change] = {
    "stage-auto": ({}, {"zero_optimization.stage": "auto"}),
    "stage-missing": ({}, {"zero_optimization.stage": GONE}),
    "stage-1": ({}, {"zero_optimization": {"stage": 1}}),
    "stage-text": ({}, {"zero_optimization.stage": "3"}),
    "stage-4": ({}, {"zero_optimization.stage": 4}),
    "missing": ({}, {"zero_optimization": GONE}),
    "true": ({}, {"zero_optimization": True}),
    "empty": ({}, {"zero_optimization": {}}),
    "buckets-auto": (
        {},
        {"zero_optimization.reduce_bucket_size": "auto", "zero_optimization.allgather_bucket_size": 5e8},
    ),
    "allgather-auto": ({}, {"zero_optimization.allgather_bucket_size": "auto"}),
    "overlap-auto": ({}, {"zero_optimization.overlap_comm": "auto"}),
    "unknown-key": ({}, {"zero_optimization.zero_stage": 2}),
    "unknown-key-stage-3": ({}, {"zero_optimization.zero_stage": 2}, "z3"),
    "offload-auto": (
        {},
        {"zero_optimization.offload_optimizer": {"device": "auto"}},
    ),
    "offload-old": ({}, {"zero_optimization.cpu_offload": True}),
    "offload-nvme": (
        {},
        {"zero_optimization.offload_param": {"device": "nvme", "nvme_path": "auto"}},
        "z3",
    ),
    "gather-auto": (
        {},
        {"zero_optimization.stage3_gather_16bit_weights_on_model_save": "auto"},
        "z3",
    ),
    "live-auto": ({}, {"zero_optimization.stage3_max_live_parameters": "auto"}, "z3"),
    "persistence-given": ({}, {"zero_optimization.stage3_param_persistence_threshold": 100000}, "z3"),
    "sub-group": ({}, {"zero_optimization.sub_group_size": 1e8}, "z3"),
}
REST: dict[str, Change] = {
    "steps-per-print": ({}, {"steps_per_print": 100, "wall_clock_breakdown": False}),
    "breakdown-auto": ({}, {"wall_clock_breakdown": "auto"}),
    "communication": ({}, {"communication_data_type": "fp32"}),
    "communication-wrong": ({}, {"communication_data_type": "fp64"}),
    "checkpointing-auto": ({}, {"activation_checkpointing": {"number_checkpoints": "auto"}}),
    "unknown": ({}, {"zero_stage": 3, "precision": "bf16"}),
    "unknown-auto": ({}, {"precision": "auto"}),
    "capital-auto": ({}, {"precision": "AUTO", "tags": ["auto"]}),
    "tp-and-stage-3": ({}, {"tensor_parallel": {"autotp_size": 2}}, "z3"),
    "tp-1": ({}, {"tensor_parallel": {"autotp_size": 1}}),
    "tp-old-form": ({}, {"tensor_parallel": {"enabled": True, "tp_size": 2}}),
    "tp-auto": ({}, {"tensor_parallel": {"autotp_size": "auto"}}),
    "node-storage": ({"save_on_each_node": True}, {"checkpoint": {"tag_validation": "Warn"}}),
    "amp": ({"bf16": GONE}, {"amp": {"enabled": "auto", "opt_level": "auto"}}),
    "old-bfloat16": ({}, {"bf16": GONE, "bfloat16": {"enabled": "auto"}}),
    "data-types": ({}, {"data_types": {"grad_accum_dtype": "fp32"}}),
    "zero-and-refusal": ({"predict_with_generate": True, "val_size": 0.1}, {"zero_optimization": GONE}),
}
