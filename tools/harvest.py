"""Harvest version tables from the real packages, so that dsbridge need not import them.

    python -m tools.harvest deepspeed --out 0.19.8.json

Run it with the Python of an environment that has the package, such as .nox/conformance-hf; for every release
of a range, `tools/harvest_all.py` makes the environments.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import inspect
import json
import os
import types
from pathlib import Path
from typing import Any

from tools.harvest_fields import field, plain
from tools.probe_keys import classes_of, read_keys

# Where each block's pydantic model lives. Before 0.17.1 fp16 and bf16 were read key by key.
MODELS = {
    "zero_optimization": ("deepspeed.runtime.zero.config", "DeepSpeedZeroConfig"),
    "zero_optimization.offload_param": (
        "deepspeed.runtime.zero.offload_config",
        "DeepSpeedZeroOffloadParamConfig",
    ),
    "zero_optimization.offload_optimizer": (
        "deepspeed.runtime.zero.offload_config",
        "DeepSpeedZeroOffloadOptimizerConfig",
    ),
    "zero_optimization.leaf_module": (
        "deepspeed.runtime.zero.leaf_module_config",
        "DeepSpeedZeroLeafModuleConfig",
    ),
    "zero_optimization.zenflow": ("deepspeed.runtime.zenflow.zenflow_config", "ZenFlowConfig"),
    "fp16": ("deepspeed.runtime.precision_config", "DeepSpeedFP16Config"),
    "bf16": ("deepspeed.runtime.precision_config", "DeepSpeedBF16Config"),
    "tensor_parallel": ("deepspeed.runtime.tensor_parallel.config", "TPTrainingConfig"),
    "tensor_parallel.tp": ("deepspeed.runtime.tensor_parallel.config", "TPConfig"),
    "hybrid_engine": ("deepspeed.runtime.config", "HybridEngineConfig"),
    "comms_logger": ("deepspeed.comm.config", "CommsLoggerConfig"),
    "compile": ("deepspeed.compile.config", "CompileConfig"),
    "monitor": ("deepspeed.monitor.config", "DeepSpeedMonitorConfig"),
    "tensorboard": ("deepspeed.monitor.config", "TensorBoardConfig"),
    "wandb": ("deepspeed.monitor.config", "WandbConfig"),
    "csv_monitor": ("deepspeed.monitor.config", "CSVConfig"),
    "comet": ("deepspeed.monitor.config", "CometConfig"),
    "timers.throughput": ("deepspeed.utils.config", "DeepSpeedThroughputTimerConfig"),
}
# Blocks that are read key by key: the constants that name the keys, and their defaults' suffix.
CONSTANTS = {
    "aio": ("deepspeed.runtime.swap_tensor.constants", "AIO_"),
    "activation_checkpointing": (
        "deepspeed.runtime.activation_checkpointing.config",
        "ACT_CHKPT_",
    ),
    "fp16": ("deepspeed.runtime.constants", "FP16_"),
    "bf16": ("deepspeed.runtime.constants", "BFLOAT16_"),
    "flops_profiler": ("deepspeed.profiling.constants", "FLOPS_PROFILER_"),
}


def load(module: str) -> types.ModuleType | None:
    """The module, or None in a version that does not have it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def from_model(module: str, name: str) -> dict[str, Any] | None:
    """All fields of one model, and whether it refuses keys it does not know."""
    found = load(module)
    model = getattr(found, name, None) if found else None
    if model is None:
        return None
    return {
        "source": f"{module.replace('.', '/')}.py",
        "class": name,
        "extra": plain(model.model_config.get("extra", "ignore")),
        "validators": validators(model),
        "fields": [field(key, info) for key, info in model.model_fields.items()],
    }


def validators(model: Any) -> list[str]:
    """The names of the functions that look further than a field's type, in their order."""
    found = model.__pydantic_decorators__
    return [*found.field_validators, *found.model_validators]


def from_constants(module: str, prefix: str) -> dict[str, Any] | None:
    """Keys named by constants: X = "key" beside X_DEFAULT = value."""
    found = load(module)
    if found is None:
        return None
    constants = vars(found)
    rows = [
        {"name": value, "default": plain(constants[f"{name}_DEFAULT"])}
        for name, value in constants.items()
        if name.startswith(prefix) and isinstance(value, str) and f"{name}_DEFAULT" in constants
    ]
    return {"source": module.replace(".", "/") + ".py", "fields": rows} if rows else None


def top_level() -> dict[str, Any]:
    """Scalar keys of the config file, from `deepspeed.runtime.constants`."""
    constants = vars(importlib.import_module("deepspeed.runtime.constants"))
    rows = {
        name: {"name": value, "constant": name, "default": plain(constants[f"{name}_DEFAULT"])}
        for name, value in constants.items()
        if isinstance(value, str) and f"{name}_DEFAULT" in constants
    }
    return {"source": "deepspeed/runtime/constants.py", "fields": list(rows.values())}


def supported_optimizers() -> list[str]:
    """Optimizer types that a config block may name without `zero_allow_untested_optimizer`."""
    config = importlib.import_module("deepspeed.runtime.config")
    return [str(name) for name in config.DEEPSPEED_OPTIMIZERS]


def parameters(kind: Any, *given: str) -> dict[str, list[str]]:
    """What a class takes by name, and what of that it cannot do without; `given` comes from DeepSpeed."""
    found = [p for p in inspect.signature(kind).parameters.values() if p.name not in ("self", *given)]
    named = [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p.name for p in found if p.default is p.empty and p.name in named]
    return {"takes": named, "needs": required}


def subclasses(module: str, base: str, *given: str) -> dict[str, dict[str, list[str]]]:
    """Every class of the module that the config may name."""
    found = importlib.import_module(module)
    parent = getattr(found, base)
    return {
        name: parameters(kind, *given)
        for name, kind in vars(found).items()
        if isinstance(kind, type) and issubclass(kind, parent) and kind is not parent
    }


def scheduler_classes() -> dict[str, dict[str, list[str]]]:
    """DeepSpeed's own schedulers."""
    module = importlib.import_module("deepspeed.runtime.lr_schedules")
    return {str(name): parameters(getattr(module, name), "optimizer") for name in module.VALID_LR_SCHEDULES}


def optimizer_classes() -> dict[str, dict[str, list[str]]]:
    """The classes that DeepSpeed itself puts behind a name, as far as they import here."""
    places = {
        "FusedAdam": "deepspeed.ops.adam",
        "DeepSpeedCPUAdam": "deepspeed.ops.adam",
        "DeepSpeedCPUAdagrad": "deepspeed.ops.adagrad",
        "FusedLamb": "deepspeed.ops.lamb",
        "FusedLion": "deepspeed.ops.lion",
        "DeepSpeedCPULion": "deepspeed.ops.lion",
    }
    found = {name: getattr(load(module), name, None) for name, module in places.items()}
    return {name: parameters(kind, "params", "model_params") for name, kind in found.items() if kind}


def removed() -> dict[str, dict[str, str]]:
    """Keys that stop this version, whatever they say, with what it says."""
    config = vars(importlib.import_module("deepspeed.runtime.config"))
    return {
        "top_level": config.get("_REMOVED_TOP_LEVEL_CONFIG_KEYS", {}),
        "zero_optimization": config.get("_REMOVED_ZERO_CONFIG_KEYS", {}),
    }


def deepspeed() -> dict[str, Any]:
    """Everything about DeepSpeed's config that its classes and constants say."""
    blocks = {block: from_model(*where) for block, where in MODELS.items()}
    for block, where in CONSTANTS.items():
        if blocks.get(block) is None:
            blocks[block] = from_constants(*where)
    read = read_keys()
    for block, where in classes_of(read).items():
        known = {found["class"] for found in blocks.values() if found and "class" in found}
        if where[1] not in known:
            blocks[block] = from_model(*where)
    return {
        "package": "deepspeed",
        "version": importlib.metadata.version("deepspeed"),
        "generator": "tools/harvest.py",
        "blocks": {block: rows for block, rows in blocks.items() if rows is not None},
        "top_level": top_level(),
        "optimizers": supported_optimizers(),
        "optimizer_classes": optimizer_classes(),
        "torch_optimizers": subclasses("torch.optim", "Optimizer", "params"),
        "scheduler_classes": scheduler_classes(),
        "torch_schedulers": subclasses("torch.optim.lr_scheduler", "LRScheduler", "optimizer"),
        "removed": removed(),
        "read": read,
    }


HARVESTS = {"deepspeed": deepspeed}
PARTS = (("blocks", "fields"), ("read", "keys"))


def main() -> None:
    """Write one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("package", choices=sorted(HARVESTS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    table = HARVESTS[options.package]()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(table, indent=1, allow_nan=False) + "\n"
    options.out.write_text(text, encoding="utf-8")
    counts = [sum(len(b[name]) for b in table[where].values()) for where, name in PARTS]
    print(f"{options.out}: {counts[0]} fields of classes, {counts[1]} keys read one by one")


if __name__ == "__main__":
    main()
