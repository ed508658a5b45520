"""Whether an input is of LLaMA-Factory's V1, which has words of its own. Light: every input is asked."""

from __future__ import annotations

from collections.abc import Mapping

from dsbridge.rulebook import Setup

SWITCH = "USE_V1"
MODULES = ("llamafactory.v1.launcher", "llamafactory.v1.trainers.sft_trainer")
COMMANDS = ("train", "sft", "dpo", "rm")
_KEYS = (
    "dist_config",
    "train_dataset",
    "model",
    "model_class",
    "micro_batch_size",
    "global_batch_size",
    "peft_config",
    "kernel_config",
    "quant_config",
    "init_config",
    "optim_config",
    "lr_scheduler_config",
    "batching_strategy",
    "batching_workers",
    "enable_activation_checkpointing",
    "sample_backend",
    "cutoff_len",
    "save_ckpt_as_hf",
)
# extras/misc.py, by which `llamafactory-cli` chooses; V1's own list is longer (v1/utils/env.py)
_CHOOSES = ("true", "y", "1")
_ENABLED = ("true", "yes", "on", "t", "y", "1")


def enabled(value: str) -> bool:
    """V1's is_env_enabled."""
    return value.lower() in _ENABLED


def switched_on(environ: Mapping[str, str]) -> bool:
    """Whether `llamafactory-cli` starts V1."""
    return environ.get(SWITCH, "0").lower() in _CHOOSES


def is_module(items: tuple[str, ...]) -> bool:
    """`-m llamafactory.v1...`."""
    return items[:1] == ("-m",) and items[1:2] != () and items[1] in MODULES


def is_file(setup: Setup, name: str) -> bool:
    """A training file in V1's words."""
    if name.endswith(".json"):
        text = setup.files.text(name)
        found = {key for key in _KEYS if f'"{key}":' in text}
    elif name.endswith((".yaml", ".yml")):
        lines = setup.files.text(name).splitlines()
        found = {line.partition(":")[0].strip() for line in lines if line[:1] not in (" ", "\t", "#")}
        found &= set(_KEYS)
    else:
        return False
    # `dist_config` is V1's alone; `train_dataset` might be somebody else's
    return len(found) >= (2 if "dist_config" in found else 3 if "train_dataset" in found else 99)
