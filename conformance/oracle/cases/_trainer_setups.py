"""Whole set-ups of the Trainer, drawn by hypothesis: files people share, arguments of their own, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from conformance.oracle.case import Case
from conformance.oracle.cases._trainer_files import (
    BUCKETS,
    DS,
    EITHER,
    FROM_CONFIG,
    GONE,
    MODEL_ARGUMENTS,
    MODEL_ARGUMENTS_IMPORTS,
    NO_MPI,
    OPTIMIZER,
    PRETRAINED,
    SCHEDULER,
    accelerate_yaml,
    case,
    changed,
    flags,
    literal_args,
    parser,
    script,
    text_of,
)

# ds_configs from public repositories that train with the Trainer
TEMPLATES = json.loads(Path(__file__).with_name("_trainer_templates.json").read_text(encoding="utf-8"))

_CPU = {"device": "cpu", "pin_memory": True}
# Values that a user may write beside or against the arguments, by key: None of them is "the" right one.
KEYS: dict[str, list[Any]] = {
    "train_micro_batch_size_per_gpu": ["auto", "auto", 1, 2, 4, GONE],
    "gradient_accumulation_steps": ["auto", "auto", 1, 2, 4, GONE],
    "train_batch_size": ["auto", "auto", 8, 16, GONE, GONE],
    "gradient_clipping": ["auto", "auto", 1.0, 0.5, 1, 0, GONE],
    "optimizer": [
        GONE,
        GONE,
        OPTIMIZER,
        {"type": "AdamW", "params": {"lr": 1e-4}},
        {"type": "Adam", "params": {"lr": "auto", "weight_decay": 0.1}},
    ],
    "scheduler": [
        GONE,
        GONE,
        SCHEDULER,
        {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"},
        },
        {
            "type": "WarmupDecayLR",
            "params": {
                "total_num_steps": "auto",
                "warmup_min_lr": 0,
                "warmup_max_lr": 1e-4,
                "warmup_num_steps": 10,
            },
        },
    ],
    "zero_optimization.stage": [0, 1, 2, 2, 3, 3, "auto"],
    "zero_optimization.offload_optimizer": [GONE, GONE, _CPU, {"device": "none"}, {"device": "auto"}],
    "zero_optimization.offload_param": [GONE, GONE, _CPU, {"device": "none"}],
    "zero_optimization.reduce_bucket_size": ["auto", 5e8, 200000000, GONE],
    "zero_optimization.stage3_gather_16bit_weights_on_model_save": [True, "auto", GONE],
    "bf16": [{"enabled": "auto"}, {"enabled": "auto"}, {"enabled": True}, {"enabled": False}, GONE],
    "fp16": [
        {"enabled": "auto"},
        {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 16, "hysteresis": 2},
        {"enabled": False},
        GONE,
    ],
    "wall_clock_breakdown": [False, GONE],
    "steps_per_print": [2000, "auto", GONE],
    "zero_allow_untested_optimizer": [True, False, GONE],
    "zero_force_ds_cpu_optimizer": [False, GONE],
    "communication_data_type": ["fp16", "fp32", GONE],
}
MISTAKES: list[dict[str, Any]] = [
    {"zero_optimization": GONE},
    {"zero_optimization.stage": "2"},
    {"zero_optimization.sub_group_size": "auto"},
    {"zero_optimization.overlap_com": True},
    {"wall_clock_breakdown": "auto"},
    {"optimizer": {"type": "AdamW", "params": {"lr": 5e-5, "eps": "auto"}}},
    {"scheduler": {"type": "cosine", "params": {"warmup_num_steps": "auto"}}},
    {"fp16.loss_scale": "auto"},
    {"gradient_clipping": "1.0"},
    {"train_batch_size": 7},
    {"activation_checkpointing": {"number_checkpoints": "auto"}},
    {"tensor_parallel": {"autotp_size": 2}},
    {"zero_optimization.cpu_offload": True},
    {"sparse_attention": {"mode": "fixed"}},
]
ARGUMENTS: dict[str, list[Any]] = {
    "per_device_train_batch_size": [1, 2, 4, GONE],
    "gradient_accumulation_steps": [1, 2, 4, 8, GONE],
    "learning_rate": [1e-4, 2e-5, GONE],
    "num_train_epochs": [1, 3, 0.5, GONE, GONE],
    "max_steps": [20, 100, GONE, GONE],
    "max_grad_norm": [1.0, 0.5, GONE, GONE],
    "weight_decay": [0.0, 0.1, GONE],
    "adam_beta2": [0.95, GONE],
    "warmup_steps": [0, 10, 0.1, GONE],
    "lr_scheduler_type": ["cosine", "linear", GONE],
    "optim": ["adamw_torch", "adafactor", "sgd", GONE, GONE, GONE],
    "gradient_checkpointing": [True, GONE],
    "save_on_each_node": [True, GONE, GONE],
    "logging_steps": [10, GONE],
    "seed": [42, GONE],
    "save_strategy": ["no", "steps", GONE],
}
WRONG: list[dict[str, Any]] = [
    {"fp16": True, "bf16": True},
    {"evaluation_strategy": "steps"},
    {"eval_strategy": "epoch"},
    {"load_best_model_at_end": True, "save_strategy": "steps"},
    {"warmup_ratio": 0.1},
    {"optim": "adamw"},
    {"learning_rate": "1e-4"},
    {"fsdp": "full_shard"},
    {"auto_find_batch_size": True},
]


def agreeing(ds: dict[str, Any], args: dict[str, Any], filled: bool) -> dict[str, Any]:
    """The config without what contradicts the arguments: \"auto\", or the arguments' own numbers."""
    numbers = {
        "train_micro_batch_size_per_gpu": args.get("per_device_train_batch_size", 8),
        "gradient_accumulation_steps": args.get("gradient_accumulation_steps", 1),
        "train_batch_size": "auto",
        "gradient_clipping": args.get("max_grad_norm", 1.0),
        "optimizer.params.lr": args.get("learning_rate", 5e-5),
        "optimizer.params.betas": "auto",
        "optimizer.params.eps": "auto",
        "optimizer.params.weight_decay": args.get("weight_decay", 0.0),
        "scheduler.params.warmup_max_lr": "auto",
        "scheduler.params.warmup_num_steps": "auto",
        "scheduler.params.total_num_steps": "auto",
        "fp16.enabled": bool(args.get("fp16")),
        "bf16.enabled": bool(args.get("bf16")),
    }
    changes = {}
    for key, value in numbers.items():
        node: Any = ds
        for name in key.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        if node is not None and node != "auto":
            changes[key] = value if filled else "auto"
    return changed(ds, changes)


@st.composite
def setups(draw: Any) -> Case:
    """One set-up; the id is given by whoever collects them."""
    way = draw(
        st.sampled_from(["file", "file", "dict", "flags", "either", "json", "yaml", "launch", "launch-file"])
    )
    world = draw(st.sampled_from([1, 2, 2, 4, 8]))
    gpu = {"bf16": draw(st.sampled_from([True, True, True, True, False]))}
    ds, args = draw(_config()), draw(_arguments())
    if draw(st.sampled_from([True, True, False])):
        ds = agreeing(ds, args, draw(st.booleans()))
    rows = draw(st.sampled_from([64, 67, 100, 1000]))
    layout = {
        "model": draw(st.sampled_from([PRETRAINED, PRETRAINED, PRETRAINED, FROM_CONFIG])),
        "model_first": draw(st.sampled_from([False, False, False, False, True])),
        "rows": f'[{{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}}] * {rows}',
    }
    if way.startswith("launch"):
        return _launched(draw, way, ds, args, layout, world, gpu)
    files, words = _given(way, ds, args, layout)
    run = draw(st.sampled_from(["torchrun", "torchrun", "deepspeed", "python"]))
    if run == "python":
        world = 1
    front = {
        "torchrun": ["torchrun", f"--nproc_per_node={world}"],
        "deepspeed": ["deepspeed", f"--num_gpus={world}"],
        "python": ["python"],
    }[run]
    facts = NO_MPI if run == "python" else {}
    return case("setup", files, [*front, "train.py", *words], world_size=world, gpu=gpu, facts=facts)


@st.composite
def _config(draw: Any) -> dict[str, Any]:
    """A ds_config: a shared one or the template, a few keys changed, sometimes a mistake."""
    base = draw(st.sampled_from([DS, *TEMPLATES]))
    names = draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=6, unique=True))
    changes = {name: draw(st.sampled_from(KEYS[name])) for name in names}
    if "scheduler" in changes and changes["scheduler"] is not GONE and draw(st.booleans()):
        changes.setdefault("optimizer", OPTIMIZER)
    if draw(st.sampled_from([False, False, True])):
        changes |= BUCKETS
    if draw(st.sampled_from([False] * 5 + [True])):
        changes |= draw(st.sampled_from(MISTAKES))
    return changed(base, changes)


@st.composite
def _arguments(draw: Any) -> dict[str, Any]:
    """TrainingArguments: some chosen, sometimes a wrong one."""
    names = draw(st.lists(st.sampled_from(sorted(ARGUMENTS)), max_size=8, unique=True))
    args = {name: draw(st.sampled_from(ARGUMENTS[name])) for name in names}
    args |= draw(st.sampled_from([{"bf16": True}, {"bf16": True}, {"fp16": True}, {}]))
    if draw(st.sampled_from([False] * 7 + [True])):
        args |= draw(st.sampled_from(WRONG))
    return changed({"output_dir": "out", "report_to": "none"}, args)


def _given(
    way: str, ds: dict[str, Any], args: dict[str, Any], layout: dict[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """The files, and the words after the script."""
    named = {**args, "deepspeed": "ds_config.json"}
    files = {"ds_config.json": text_of(ds)}
    if way == "dict":
        return {"train.py": script(literal_args({**args, "deepspeed": ds}), **layout)}, []
    if way == "flags":
        return {**files, "train.py": script(parser(), **layout)}, flags(named)
    if way == "json":
        text = script(parser('parse_json_file("args.json")'), **layout)
        return {**files, "args.json": json.dumps(named, indent=2), "train.py": text}, []
    if way == "yaml":
        text = script(parser('parse_yaml_file("args.yaml")'), **layout)
        return {**files, "args.yaml": yaml.safe_dump(named, sort_keys=False), "train.py": text}, []
    if way == "either":
        text = script(
            EITHER,
            imports=MODEL_ARGUMENTS_IMPORTS,
            before=MODEL_ARGUMENTS,
            **{**layout, "model_first": False},
        )
        if len(args) % 2:
            body = json.dumps({"model_name_or_path": "model", **named}, indent=2)
            return {**files, "run.json": body, "train.py": text}, ["run.json"]
        return {**files, "train.py": text}, ["--model_name_or_path", "model", *flags(named)]
    return {**files, "train.py": script(literal_args(named), **layout)}, []


def _launched(
    draw: Any,
    way: str,
    ds: dict[str, Any],
    args: dict[str, Any],
    layout: dict[str, Any],
    world: int,
    gpu: dict[str, bool],
) -> Case:
    """`accelerate launch` with a YAML that names a file, or says everything itself."""
    run = ["accelerate", "launch", "--config_file", "acc.yaml", "train.py"]
    precision = draw(st.sampled_from(["bf16", "bf16", "no", "fp16", GONE]))
    if way == "launch-file":
        filed = {"deepspeed_config_file": "ds_config.json", "zero3_init_flag": draw(st.booleans())}
        text = accelerate_yaml(filed, num_processes=world)
        named = draw(st.sampled_from([{}, {}, {"deepspeed": "ds_config.json"}]))
    else:
        settings = {
            "gradient_accumulation_steps": draw(st.sampled_from([1, 2, 4, GONE])),
            "gradient_clipping": draw(st.sampled_from([1.0, 0.5, GONE])),
            "zero_stage": draw(st.sampled_from([0, 1, 2, 3, 3])),
            "offload_optimizer_device": draw(st.sampled_from(["none", "cpu"])),
            "offload_param_device": draw(st.sampled_from(["none", "cpu"])),
            "zero3_init_flag": draw(st.sampled_from([True, False, GONE])),
            "zero3_save_16bit_model": draw(st.sampled_from([True, GONE])),
        }
        kept = {key: value for key, value in settings.items() if value is not GONE}
        text = accelerate_yaml(kept, num_processes=world, mixed_precision=precision)
        named = {}
    files = {"acc.yaml": text, "train.py": script(literal_args({**args, **named}), **layout)}
    if way == "launch-file":
        files["ds_config.json"] = text_of(ds)
    return case("setup", files, run, world_size=world, gpu=gpu)
