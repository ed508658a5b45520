"""One factor at a time: schedulers that the config names."""

from __future__ import annotations

from typing import Any

from conformance.oracle.cases._deepspeed_files import GONE

_WARM = {"warmup_min_lr": 0, "warmup_max_lr": 1e-4, "warmup_num_steps": 10}
SCHEDULER: dict[str, dict[str, Any]] = {
    "warmup": {"scheduler": {"type": "WarmupLR", "params": _WARM}},
    "decay": {"scheduler": {"type": "WarmupDecayLR", "params": {**_WARM, "total_num_steps": 100}}},
    "decay-no-total": {"scheduler": {"type": "WarmupDecayLR", "params": _WARM}},
    "decay-total-auto": {
        "scheduler": {"type": "WarmupDecayLR", "params": {**_WARM, "total_num_steps": "auto"}}
    },
    "decay-total-less": {"scheduler": {"type": "WarmupDecayLR", "params": {**_WARM, "total_num_steps": 5}}},
    "cosine": {
        "scheduler": {"type": "WarmupCosineLR", "params": {"total_num_steps": 100, "warmup_num_steps": 10}}
    },
    "one-cycle": {"scheduler": {"type": "OneCycle", "params": {"cycle_min_lr": 1e-5, "cycle_max_lr": 1e-3}}},
    "torch-step": {"scheduler": {"type": "StepLR", "params": {"step_size": 10}}},
    "no-params": {"scheduler": {"type": "WarmupLR"}},
    "no-type": {"scheduler": {"params": _WARM}},
    "null": {"scheduler": None},
    "unknown": {"scheduler": {"type": "CosineLR", "params": _WARM}},
    "type-auto": {"scheduler": {"type": "auto", "params": _WARM}},
    "lower": {"scheduler": {"type": "warmuplr", "params": _WARM}},
    "auto": {
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"},
        },
    },
    "steps-auto": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_num_steps": "auto"}}},
    "steps-zero": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_num_steps": 0}}},
    "warmup-type-wrong": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_type": "cubic"}}},
    "unknown-param": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "total_num_steps": 100}}},
    "params-null": {"scheduler": {"type": "WarmupLR", "params": None}},
    "params-word": {"scheduler": {"type": "WarmupLR", "params": "x"}},
    "min-auto": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_min_lr": "auto"}}},
    "max-auto": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_max_lr": "auto"}}},
    "both-lr-auto": {
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "total_num_steps": 9},
        },
    },
    "max-null": {"scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": None, "warmup_num_steps": 5}}},
    "min-list": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_min_lr": [0, 0]}}},
    "max-list": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_max_lr": [1e-4, 1e-5]}}},
    "steps-float": {"scheduler": {"type": "WarmupLR", "params": {**_WARM, "warmup_num_steps": 10.0}}},
    "steps-text": {"scheduler": {"type": "WarmupDecayLR", "params": {**_WARM, "total_num_steps": "100"}}},
    "cosine-no-total": {"scheduler": {"type": "WarmupCosineLR", "params": {"warmup_num_steps": 10}}},
    "cosine-zero": {
        "scheduler": {"type": "WarmupCosineLR", "params": {"total_num_steps": 100, "warmup_num_steps": 0}},
    },
    "cosine-auto": {
        "scheduler": {"type": "WarmupCosineLR", "params": {"total_num_steps": "auto", "warmup_num_steps": 5}},
    },
    "range-test": {"scheduler": {"type": "LRRangeTest", "params": {"lr_range_test_min_lr": 1e-4}}},
    "one-cycle-empty": {"scheduler": {"type": "OneCycle", "params": {}}},
    "torch-step-stage-0-fp32": {
        "scheduler": {"type": "StepLR", "params": {"step_size": 10}},
        "zero_optimization.stage": 0,
        "bf16": GONE,
    },
    "without-optimizer": {"optimizer": GONE, "scheduler": {"type": "WarmupLR", "params": _WARM}},
}
