"""Training YAMLs, ds_configs and commands of LLaMA-Factory's cases, as users write them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.oracle.case import Case

GONE: Any = object()  # a key with this value is taken out
SHIPPED: dict[str, str] = json.loads(
    Path(__file__).with_name("_llamafactory_examples.json").read_text(encoding="utf-8")
)["files"]

# LLaMA-Factory's src/train.py, which its users copy.
TRAIN = """\
from llamafactory.train.tuner import run_exp


def main():
    run_exp()


if __name__ == "__main__":
    main()
"""

# What most cases change one thing of.
BASE: dict[str, Any] = {
    "model_name_or_path": "model",
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "full",
    "deepspeed": "ds.json",
    "dataset": "identity",
    "template": "qwen",
    "cutoff_len": 64,
    "max_samples": 16,
    "overwrite_cache": True,
    "output_dir": "saves/sft",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "learning_rate": 1e-4,
    "max_steps": 20,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "bf16": True,
    "report_to": "none",
}
# Every number left to LLaMA-Factory, as its own examples do.
AUTO: dict[str, Any] = json.loads(SHIPPED["z2"])
OPTIMIZER = {
    "type": "AdamW",
    "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"},
}
SCHEDULER = {
    "type": "WarmupDecayLR",
    "params": {
        "total_num_steps": "auto",
        "warmup_min_lr": "auto",
        "warmup_max_lr": "auto",
        "warmup_num_steps": "auto",
    },
}
# Packages that some settings need and the recording environments lack.
ABSENT = {
    "use_unsloth": "unsloth",
    "enable_liger_kernel": "liger_kernel",
    "use_kt": "kt_kernel",
    "mixture_of_depths": "mixture_of_depth",
    "use_swanlab": "swanlab",
    "use_badam": "badam",
    "use_adam_mini": "adam_mini",
    "predict_with_generate": "jieba",
}
CLI = ("llamafactory-cli", "train", "train.yaml")
FORCE = {"FORCE_TORCHRUN": "1"}


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with each dotted key set, or taken out."""
    config = copy.deepcopy(dict(base))
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node = config
        for name in parents:
            node = node.setdefault(name, {})
        if value is GONE:
            node.pop(last, None)
        else:
            node[last] = copy.deepcopy(value)
    return config


def plain(value: Any) -> str:
    """A YAML value; text is written as it stands, so a case may say `1e-4` or `'4'`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and "e" in repr(value):
        digits, _, power = repr(value).partition("e")
        return f"{digits if '.' in digits else digits + '.0'}e{power}"
    return json.dumps(value)


def yaml_of(settings: Mapping[str, Any]) -> str:
    """The training YAML; a nested mapping in flow style."""
    return "".join(f"{key}: {plain(value)}\n" for key, value in settings.items())


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """The same settings as `--name value` words."""
    words = []
    for key, value in settings.items():
        if value is not None:
            words += [f"--{key}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def absent(settings: Mapping[str, Any]) -> dict[str, bool]:
    """The facts about packages that these settings need."""
    found = {f"has_{package}": False for name, package in ABSENT.items() if settings.get(name)}
    method = settings.get("quantization_method")
    return {**found, f"has_{method}": False} if method in ("hqq", "eetq") else found


def case(
    name: str,
    settings: Mapping[str, Any] | str | None = None,
    ds: Mapping[str, Any] | str | None = None,
    command: Sequence[str] = CLI,
    **more: Any,
) -> Case:
    """A training YAML with the ds.json it names. `settings` and `ds` default to BASE and AUTO."""
    text = settings if isinstance(settings, str) else yaml_of(BASE if settings is None else settings)
    files = {"train.yaml": text}
    files["ds.json"] = ds if isinstance(ds, str) else json.dumps(AUTO if ds is None else ds, indent=2)
    if any(word.endswith("train.py") for word in command):
        files["src/train.py"] = TRAIN
    files |= more.pop("files", {})
    files = {key: value for key, value in files.items() if value is not GONE}
    more.setdefault("environ", FORCE if command[0].startswith(("llamafactory", "lmf")) else {})
    return {
        "id": f"llamafactory/{name}",
        "framework": "llamafactory",
        "files": files,
        "command": list(command),
        **more,
    }
