"""Scripts, YAML files and ds_configs of the raw Accelerate cases, as users write them."""

from __future__ import annotations

import copy
import json
import pprint
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from conformance.oracle.case import Case

GONE: Any = object()  # a dotted key with this value is taken out
Config = dict[str, Any]

# A complete ds_config as Accelerate's documentation has it: everything "auto" that can be.
AUTO: Config = {
    "fp16": {"enabled": "auto"},
    "bf16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 2,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": "auto",
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
}
# Numbers throughout.
NUMBERS: Config = {
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": 2},
    "gradient_accumulation_steps": 2,
    "gradient_clipping": 0.5,
    "train_micro_batch_size_per_gpu": 4,
}
OPTIMIZER: Config = {"type": "AdamW", "params": {"lr": "auto", "weight_decay": "auto"}}
SCHEDULER: Config = {
    "type": "WarmupLR",
    "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"},
}
DECAY: Config = {"type": "WarmupDecayLR", "params": {**SCHEDULER["params"], "total_num_steps": "auto"}}

IMPORTS = """\
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM
"""
MODEL = 'model = AutoModelForCausalLM.from_pretrained("model")\n'
ROWS = 'rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 64\n'
LOADER = "loader = DataLoader(rows, batch_size=4, shuffle=True)\n"
ADAMW = "optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)\n"
DUMMY = "optimizer = DummyOptim(model.parameters(), lr=2e-4, weight_decay=0.01)\n"


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """The config with each dotted key set, or taken out."""
    config = copy.deepcopy(dict(base))
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node: Any = config
        for name in parents:
            node = node.setdefault(name, {})
        if value is GONE:
            node.pop(last, None)
        else:
            node[last] = copy.deepcopy(value)
    return config


def literal(value: Any) -> str:
    """The value as a literal in a script."""
    return pprint.pformat(value, sort_dicts=False, width=90)


def call(name: str, **arguments: Any) -> str:
    """`name(a=1, ...)`; an argument that is a list of one text is source, not a literal."""
    given = ", ".join(
        f"{key}={value[0] if isinstance(value, Source) else literal(value)}"
        for key, value in arguments.items()
    )
    return f"{name}({given})"


class Source(tuple[str]):
    """Source text, to stand in a call as it is."""

    __slots__ = ()


def source(text: str) -> Source:
    """Source text for `call`."""
    return Source((text,))


def script(
    *,
    plugin: Mapping[str, Any] | None = None,
    accelerator: Mapping[str, Any] | None = None,
    imports: str = "",
    head: str = "",
    model: str = MODEL,
    loader: str = ROWS + LOADER,
    optimizer: str = ADAMW,
    scheduler: str = "",
    prepare: str = "",
    model_first: bool = False,
) -> str:
    """A training script. `plugin` gives DeepSpeedPlugin(...) its arguments."""
    given: dict[str, Any] = dict(accelerator or {})
    names = ["from accelerate.utils import " + name for name in ("DummyOptim", "DummyScheduler")
             if name in optimizer + scheduler]  # fmt: skip
    made = ""
    if plugin is not None:
        names.append("from accelerate import DeepSpeedPlugin")
        made = f"plugin = {call('DeepSpeedPlugin', **plugin)}\n"
        given["deepspeed_plugin"] = source("plugin")
    made += f"accelerator = {call('Accelerator', **given)}\n"
    words = prepare or ", ".join(
        name
        for name, text in (
            ("model", model),
            ("optimizer", optimizer),
            ("loader", loader),
            ("scheduler", scheduler),
        )
        if text
    )
    body = model + made if model_first else made + model
    extra = "".join(f"{name}\n" for name in names)
    last = f"{words} = accelerator.prepare({words})\n" if "=" not in words else f"{words}\n"
    return f"{IMPORTS}{extra}{imports}\n{head}{body}{loader}{optimizer}{scheduler}{last}"


def accelerate_yaml(settings: Mapping[str, Any] | None = None, **top: Any) -> str:
    """What `accelerate config` writes for DeepSpeed."""
    config = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "deepspeed_config": dict(settings or {}),
        "distributed_type": "DEEPSPEED",
        "downcast_bf16": "no",
        "machine_rank": 0,
        "main_training_function": "main",
        "mixed_precision": "bf16",
        "num_machines": 1,
        "num_processes": 2,
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": False,
        **top,
    }
    return yaml.safe_dump({k: v for k, v in config.items() if v is not GONE}, sort_keys=False)


def text_of(config: Any) -> str:
    """A ds_config's text; a text is itself."""
    return config if isinstance(config, str) else json.dumps(config, indent=2)


def case(name: str, files: Mapping[str, str], command: Sequence[str] = (), **rest: Any) -> Case:
    """One case; without a command, torchrun starts `train.py` on every rank."""
    world = rest.get("world_size", 2)
    words = list(command) or ["torchrun", f"--nproc_per_node={world}", "train.py"]
    return {
        "id": f"accelerate/{name}",
        "framework": "accelerate",
        "files": dict(files),
        "command": words,
        "world_size": world,
        **rest,
    }


LAUNCH = ("accelerate", "launch")
FROM_YAML = (*LAUNCH, "--config_file", "acc.yaml", "train.py")


def from_yaml(name: str, text: str, train: str = "", **rest: Any) -> Case:
    """`accelerate launch --config_file acc.yaml train.py`."""
    files = {"acc.yaml": text, "train.py": train or script(), **rest.pop("files", {})}
    return case(name, files, rest.pop("command", FROM_YAML), **rest)


def with_file(name: str, config: Any, train: str = "", **rest: Any) -> Case:
    """The ds_config in `ds.json`, given to DeepSpeedPlugin in the script, under torchrun."""
    layout = {key: rest.pop(key) for key in tuple(rest) if key in script.__kwdefaults__}
    layout.setdefault("accelerator", {"mixed_precision": "bf16"})
    body = train or script(plugin={"hf_ds_config": "ds.json", **layout.pop("plugin", {})}, **layout)
    return case(name, {"ds.json": text_of(config), "train.py": body}, **rest)


def in_code(name: str, plugin: Mapping[str, Any], **rest: Any) -> Case:
    """DeepSpeedPlugin(...) with fields, no file."""
    layout = {key: rest.pop(key) for key in tuple(rest) if key in script.__kwdefaults__}
    layout.setdefault("accelerator", {"mixed_precision": "bf16"})
    return case(name, {"train.py": script(plugin=plugin, **layout)}, **rest)
