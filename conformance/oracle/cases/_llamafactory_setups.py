"""Whole set-ups of LLaMA-Factory: an example of its repository as users change it, sometimes wrongly."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from conformance.oracle.case import Case
from conformance.oracle.cases._llamafactory_ds import BATCH, OPTIMIZERS, REST, SCHEDULERS, ZERO
from conformance.oracle.cases._llamafactory_files import (
    AUTO,
    BASE,
    CLI,
    FORCE,
    GONE,
    OPTIMIZER,
    SCHEDULER,
    SHIPPED,
    absent,
    case,
    changed,
    words_of,
    yaml_of,
)
from conformance.oracle.cases._llamafactory_settings import DATA, METHODS, NUMBERS, PRECISION
from conformance.oracle.cases._llamafactory_stages import FILES

# Needs a fact of its own, or tells of the machine rather than of the files.
LEFT_OUT = ("epochs", "epochs-steps-given")
MISTAKES: list[dict[str, Any]] = [
    {"zero_stage": 3},
    {"evaluation_strategy": "no"},
    {"deepspeed": "ds_z2.json"},
    {"template": "qwen-7b"},
    {"dataset": "my_data"},
    {"fp16": True},
    {"eval_strategy": "steps"},
    {"finetuning_type": "qlora"},
    {"optim": "adam"},
    {"pissa_init": True},
    {"use_galore": True},
    {"use_badam": True, "finetuning_type": "full"},
    {"quantization_bit": 4, "finetuning_type": "full"},
    {"pure_bf16": True},
    {"predict_with_generate": True},
    {"streaming": True},
    {"lr_scheduler_type": "constant_with_decay"},
    {"stage": "dpo", "dpo_label_smoothing": 0.1, "pref_loss": "ipo"},
    {"loraplus_lr_ratio": 16.0, "finetuning_type": "full"},
    {"load_best_model_at_end": True},
    {"infer_backend": "vllm"},
    {"do_predict": True, "val_size": 0.1},
]
PLAIN: list[dict[str, Any]] = [
    {},
    {"finetuning_type": "lora", "lora_rank": 8, "lora_target": "all"},
    {"finetuning_type": "lora", "lora_target": "q_proj,v_proj", "lora_dropout": 0.05},
    {"finetuning_type": "lora", "loraplus_lr_ratio": 16.0},
    {"finetuning_type": "freeze", "freeze_trainable_layers": 1},
    {"val_size": 0.25, "eval_strategy": "steps", "eval_steps": 5, "per_device_eval_batch_size": 1},
    {"dataset": "identity,alpaca_en_demo", "dataloader_num_workers": 2, "ddp_timeout": 180000000},
    {"plot_loss": True, "save_steps": 500, "logging_steps": 10, "save_only_model": True},
    {"overwrite_output_dir": True, "resume_from_checkpoint": None, "seed": 7},
    {"template": GONE},
    {"stage": "pt", "packing": False},
    {"dataset_dir": "rows", "dataset": "pairs", "stage": "dpo", "finetuning_type": "lora", "pref_beta": 0.2},
    {"dataset_dir": "rows", "dataset": "pairs", "stage": "rm"},
    {"dataset_dir": "rows", "dataset": "labels", "stage": "kto", "finetuning_type": "lora"},
    {"use_muon": True},
    {"optim": "sgd"},
    {"optim": "adafactor"},
    {"save_on_each_node": True},
    {"packing": True, "cutoff_len": 128},
]
PRECISIONS: list[dict[str, Any]] = [
    {},
    {},
    {"bf16": GONE},
    {"bf16": GONE, "fp16": True},
    {"bf16": GONE, "pure_bf16": True},
    {"bf16": "on"},
    {"bf16": False},
]


@st.composite
def _own(draw: Any) -> dict[str, Any]:
    """The training YAML."""
    changes: dict[str, Any] = {
        "per_device_train_batch_size": draw(st.sampled_from([1, 2, 4, GONE])),
        "gradient_accumulation_steps": draw(st.sampled_from([1, 2, 8, GONE])),
        "learning_rate": draw(st.sampled_from([1e-5, 2e-5, 5e-5, "1e-5", "3e-4", 0.0001, GONE])),
        "max_steps": draw(st.sampled_from([10, 30, 100])),
        **draw(st.sampled_from(PRECISIONS)),
        **draw(st.sampled_from(PLAIN)),
    }
    changes |= draw(
        st.sampled_from(
            [
                {},
                {},
                {"max_grad_norm": 0.5},
                {"max_grad_norm": 0},
                {"weight_decay": 0.1, "adam_beta2": 0.95},
                {"weight_decay": 0, "adam_epsilon": "1e-6"},
            ]
        )
    )
    warmups = [{}, {"warmup_ratio": GONE, "warmup_steps": 5}, {"warmup_ratio": GONE}, {"warmup_ratio": 0.03}]
    changes |= draw(st.sampled_from(warmups))
    if draw(st.integers(0, 4)) == 0:
        table = draw(st.sampled_from([NUMBERS, PRECISION, METHODS, DATA]))
        name = draw(st.sampled_from([key for key in table if key not in LEFT_OUT]))
        changes |= {key: value for key, value in table[name][0].items() if key != "max_steps"}
    if draw(st.integers(0, 7)) == 0:
        changes |= draw(st.sampled_from(MISTAKES))
    return changed(BASE, changes)


@st.composite
def _config(draw: Any, own: dict[str, Any]) -> dict[str, Any]:
    """The ds_config: a shipped one, some numbers given, now and then a mistake."""
    micro, gas = own.get("per_device_train_batch_size", 8), own.get("gradient_accumulation_steps", 1)
    rate = own.get("learning_rate", 5e-5)
    config: dict[str, Any] = json.loads(SHIPPED[draw(st.sampled_from(sorted(SHIPPED)))])
    if draw(st.integers(0, 4)) == 0:
        config = changed(AUTO, {"zero_optimization": {"stage": draw(st.sampled_from([0, 1, 2, 3, "auto"]))}})
    changes: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        changes["optimizer"] = draw(
            st.sampled_from(
                [
                    OPTIMIZER,
                    OPTIMIZER,
                    {"type": "AdamW", "params": {"lr": rate, "weight_decay": "auto"}},
                    {"type": "AdamW", "params": {"lr": 1e-5, "weight_decay": 0.0}},
                    {"type": "Adam", "params": {"lr": "auto", "betas": "auto"}},
                ]
            )
        )
    if draw(st.integers(0, 2)) == 0:
        changes["scheduler"] = draw(
            st.sampled_from(
                [
                    SCHEDULER,
                    {"type": "WarmupLR", "params": {"warmup_num_steps": "auto", "warmup_max_lr": "auto"}},
                ]
            )
        )
    for key, values in {
        "train_micro_batch_size_per_gpu": [micro, micro, 2, GONE],
        "gradient_accumulation_steps": [gas, gas, 8, GONE],
        "train_batch_size": [16, GONE, GONE],
        "gradient_clipping": [own.get("max_grad_norm", 1.0), GONE, GONE, 0.5],
        "zero_allow_untested_optimizer": [GONE, False],
        "zero_optimization.reduce_bucket_size": ["auto", 2e8],
        "steps_per_print": [10, 2000],
        "wall_clock_breakdown": [False],
    }.items():
        if draw(st.integers(0, 6)) == 0:
            changes[key] = draw(st.sampled_from(values))
    if draw(st.integers(0, 4)) == 0:
        table = draw(st.sampled_from([BATCH, OPTIMIZERS, SCHEDULERS, ZERO, REST]))
        changes |= table[draw(st.sampled_from(sorted(key for key in table if key not in LEFT_OUT)))][1]
    if any(key.startswith("zero_optimization.") for key in changes) and "zero_optimization" in changes:
        changes = {key: value for key, value in changes.items() if not key.startswith("zero_optimization.")}
    return changed(config, changes)


@st.composite
def setups(draw: Any) -> Case:
    """A set-up, under one of the launchers."""
    own = draw(_own())
    config = draw(_config(own))
    world = draw(st.sampled_from([1, 2, 2, 4, 8]))
    more: dict[str, Any] = {"world_size": world, "facts": absent(own)}
    if draw(st.integers(0, 9)) == 0:
        more["gpu"] = {"bf16": False, "fp16": True}
    if own.get("dataset_dir") == "rows":
        more["files"] = FILES
    if draw(st.integers(0, 5)) == 0 and own.get("deepspeed") == "ds.json":
        own["deepspeed"] = config
    kind = draw(st.sampled_from(["cli", "cli", "cli", "auto", "torchrun", "flags", "accelerate", "override"]))
    if kind in ("cli", "auto", "override"):
        words = list(CLI)
        if kind == "override":
            words += draw(
                st.sampled_from(
                    [
                        ["learning_rate=2e-5"],
                        ["gradient_accumulation_steps=16"],
                        ["bf16=true"],
                        ["max_grad_norm=1.0"],
                    ]
                )
            )
        environ = {} if kind == "auto" else FORCE
        return case("setup", own, config, words, environ=environ, **more)
    program = words_of(own) if kind == "flags" else ["train.yaml"]
    if kind == "flags":
        more["files"] = {**more.get("files", {}), "train.yaml": GONE}
    start = ["torchrun", "--nproc_per_node", str(world)]
    if kind == "accelerate":
        section = draw(
            st.sampled_from(
                [
                    {"distributed_type": "MULTI_GPU"},
                    {"deepspeed_config": {"zero_stage": 2, "gradient_accumulation_steps": 8}},
                    {"deepspeed_config": {"deepspeed_config_file": "ds.json"}},
                ]
            )
        )
        text = yaml_of(
            {
                "compute_environment": "LOCAL_MACHINE",
                "distributed_type": "DEEPSPEED",
                "num_machines": 1,
                "num_processes": world,
                **section,
            }
        )
        more["files"] = {**more.get("files", {}), "acc.yaml": text}
        start = ["accelerate", "launch", "--config_file", "acc.yaml"]
        if "deepspeed_config" in section and draw(st.booleans()):
            program_own = {key: value for key, value in own.items() if key != "deepspeed"}
            return case("setup", program_own, config, [*start, "src/train.py", *program], **more)
    return case("setup", own, config, [*start, "src/train.py", *program], **more)
