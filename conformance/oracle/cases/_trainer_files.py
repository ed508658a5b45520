"""Scripts, argument files and ds_configs of the Trainer's cases, as users write them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from conformance.oracle.case import Case

GONE: Any = object()  # a key with this value is taken out

# What most cases change one thing of: transformers' own template, and the arguments beside it.
DS: dict[str, Any] = {
    "fp16": {"enabled": "auto"},
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 2, "overlap_comm": True, "contiguous_gradients": True},
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
}
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
BUCKETS = {
    "zero_optimization.reduce_bucket_size": "auto",
    "zero_optimization.stage3_prefetch_bucket_size": "auto",
    "zero_optimization.stage3_param_persistence_threshold": "auto",
}
ARGS: dict[str, Any] = {
    "output_dir": "out",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-4,
    "bf16": True,
    "report_to": "none",
}
PRETRAINED = 'AutoModelForCausalLM.from_pretrained("model")'
FROM_CONFIG = 'AutoModelForCausalLM.from_config(AutoConfig.from_pretrained("model"))'
ROWS = '[{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]}] * 64'
NO_MPI = {"mpi4py_installed": False}  # of the oracle's environments; asked for where nobody says the rank
TRAINER = {"model": "model", "args": "args", "train_dataset": "rows"}


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The config with each dotted key set, or taken out."""
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


def literal_args(args: Mapping[str, Any]) -> str:
    """`args = TrainingArguments(...)` with literals."""
    lines = "".join(f"    {name}={value!r},\n" for name, value in args.items())
    return f"args = TrainingArguments(\n{lines})\n"


def script(
    args: str,
    *,
    model: str = PRETRAINED,
    rows: str = ROWS,
    imports: Sequence[str] = (),
    before: str = "",
    model_first: bool = False,
    trainer: Mapping[str, str] = TRAINER,
    end: str = "trainer.train()\n",
) -> str:
    """A training script. `args` is the source that makes the arguments."""
    names = {"AutoModelForCausalLM", "Trainer", "TrainingArguments"}
    if "AutoConfig" in model:
        names.add("AutoConfig")
    if "HfArgumentParser" in args:
        names.add("HfArgumentParser")
    text = "".join(f"{line}\n" for line in imports)
    text += f"from transformers import {', '.join(sorted(names))}\n\n{before}"
    made = f"model = {model}\n" if model else ""
    text += made + args if model_first else args + made
    text += f"rows = {rows}\n" if rows else ""
    call = ", ".join(f"{name}={value}" for name, value in trainer.items())
    return f"{text}trainer = Trainer({call})\n{end}"


def parser(ending: str = "parse_args_into_dataclasses()") -> str:
    """Arguments from the command line or a file, by HfArgumentParser."""
    return f"parser = HfArgumentParser(TrainingArguments)\n(args,) = parser.{ending}\n"


# transformers' examples begin so.
EITHER = """\
parser = HfArgumentParser((ModelArguments, TrainingArguments))
if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
    model_args, args = parser.parse_json_file(json_file=os.path.abspath(sys.argv[1]))
else:
    model_args, args = parser.parse_args_into_dataclasses()
"""
MODEL_ARGUMENTS = """\
@dataclass
class ModelArguments:
    model_name_or_path: str = field(default="model")
    use_lora: bool = False


"""
MODEL_ARGUMENTS_IMPORTS = ("import os", "import sys", "from dataclasses import dataclass, field")


def flags(args: Mapping[str, Any]) -> list[str]:
    """The arguments as flags of the command line."""
    words = []
    for name, value in args.items():
        words.append(f"--{name}")
        words += [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return words


def case(name: str, files: Mapping[str, str], command: Sequence[str] = (), **rest: Any) -> Case:
    """One case; without a command, torchrun starts `train.py` on every rank."""
    world = rest.pop("world_size", 2)
    words = list(command) or ["torchrun", f"--nproc_per_node={world}", "train.py"]
    return {
        "id": f"trainer/{name}",
        "framework": "trainer",
        "files": dict(files),
        "command": words,
        "world_size": world,
        **rest,
    }


def text_of(config: Any) -> str:
    """A ds_config's text; a text is itself."""
    return config if isinstance(config, str) else json.dumps(config, indent=2)


def plain(
    name: str, ds: Any = None, args: Mapping[str, Any] | None = None, source: str = "", **rest: Any
) -> Case:
    """Literal arguments in the script, the config in `ds.json`. `ds` and `args` are changes."""
    given = changed(ARGS, {**(args or {}), "deepspeed": "ds.json"})
    config = changed(DS, ds or {}) if ds is None or isinstance(ds, Mapping) else ds
    layout = {
        key: rest.pop(key)
        for key in ("model", "rows", "imports", "before", "model_first", "trainer", "end")
        if key in rest
    }
    text = script(source or literal_args(given), **layout)
    files = {"ds.json": text_of(config), "train.py": text, **rest.pop("files", {})}
    return case(name, files, **rest)


def accelerate_yaml(settings: Mapping[str, Any] | None = None, **top: Any) -> str:
    """What `accelerate config` writes for DeepSpeed."""
    config = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "deepspeed_config": dict(settings or {}),
        "distributed_type": "DEEPSPEED",
        "machine_rank": 0,
        "main_training_function": "main",
        "num_machines": 1,
        "num_processes": 2,
        **top,
    }
    return yaml.safe_dump({k: v for k, v in config.items() if v is not GONE}, sort_keys=False)
