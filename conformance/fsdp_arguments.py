"""FSDP as the real TrainingArguments set it up, before and behind dsbridge.

    python -m conformance.fsdp_arguments --out tests/recorded/fsdp/hf.json

Run it with the Python of an environment of conformance/envs. Each set of arguments is given to
TrainingArguments, and the FullyShardedDataParallelPlugin that comes of it is recorded; so is that of the
arguments which dsbridge renders from their parse, and that of the Accelerate YAML which they migrate to.
Then Accelerate's YAML stands around a script without such arguments, and is rendered back as arguments.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import tempfile
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

from dsbridge.diagnostics import InputError
from dsbridge.migrating import migrate
from dsbridge.observe.cpu import fsdp_current_device
from dsbridge.parsing import parse
from dsbridge.reading import Files
from dsbridge.rendering import render

LAYER = {"transformer_layer_cls_to_wrap": "LlamaDecoderLayer"}
CASES: dict[str, dict[str, Any]] = {
    "switch": {"fsdp": True},
    "words": {"fsdp": "full_shard auto_wrap", "fsdp_config": {**LAYER}},
    "words-prefixed": {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {f"fsdp_{k}": [v] for k, v in LAYER.items()},
    },
    "no-wrap": {"fsdp": "full_shard"},
    "offload": {"fsdp": "shard_grad_op auto_wrap offload", "fsdp_config": {**LAYER, "version": 1}},
    "list": {"fsdp": ["full_shard", "auto_wrap"], "fsdp_config": {**LAYER, "version": 1}},
    "size": {"fsdp": "full_shard auto_wrap", "fsdp_config": {"min_num_params": 2000, "version": 1}},
    "size-policy": {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {"min_num_params": 2000, "auto_wrap_policy": "SIZE_BASED_WRAP"},
    },
    "one": {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {
            **LAYER,
            "version": 1,
            "backward_prefetch": "backward_pre",
            "forward_prefetch": "true",
            "use_orig_params": "false",
            "sync_module_states": True,
            "cpu_ram_efficient_loading": "true",
            "activation_checkpointing": True,
            "limit_all_gathers": True,
        },
    },
    "in-environment": {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {**LAYER, "version": 1},
        "env": {"FSDP_SHARDING_STRATEGY": "SHARD_GRAD_OP"},
    },
    "hybrid": {"fsdp": "hybrid_shard auto_wrap", "fsdp_config": {**LAYER, "version": 1}},
    "two": {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {
            **LAYER,
            "version": 2,
            "cpu_ram_efficient_loading": True,
            "backward_prefetch": "backward_pre",
        },
    },
    "two-keeps": {"fsdp": "shard_grad_op auto_wrap", "fsdp_config": {**LAYER, "version": 2}},
    "two-reshard": {"fsdp": True, "fsdp_config": {**LAYER, "version": 2, "reshard_after_forward": False}},
    "config": {
        "fsdp": True,
        "fsdp_config": {
            **LAYER,
            "cpu_offload": True,
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": True,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        },
    },
    "named-file": {"fsdp": "full_shard auto_wrap", "fsdp_config": "fsdp.json"},
}
FILE = {
    "fsdp_transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"],
    "fsdp_backward_prefetch": "backward_post",
    "version": 1,
}
WRAP = {"fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP"}
# the launcher's YAML around a script that says nothing of FSDP
LAUNCHED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "wrap": WRAP,
    "layer": {**WRAP, "fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer,LlamaMLP"},
    "size": {"fsdp_auto_wrap_policy": "SIZE_BASED_WRAP"},
    "size-given": {"fsdp_auto_wrap_policy": "SIZE_BASED_WRAP", "fsdp_min_num_params": 2000},
    "example": {
        **WRAP, "fsdp_backward_prefetch": "BACKWARD_PRE", "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_forward_prefetch": True, "fsdp_offload_params": True, "fsdp_sharding_strategy": "FULL_SHARD",
        "fsdp_state_dict_type": "SHARDED_STATE_DICT", "fsdp_sync_module_states": True,
        "fsdp_use_orig_params": False, "fsdp_activation_checkpointing": True,
    },
    "grad-op": {**WRAP, "fsdp_sharding_strategy": "SHARD_GRAD_OP", "fsdp_cpu_ram_efficient_loading": False},
    "hybrid": {**WRAP, "fsdp_sharding_strategy": "HYBRID_SHARD"},
    "two": {"fsdp_version": 2, **WRAP},
    "two-nothing": {"fsdp_version": 2},
    "two-keeps": {
        "fsdp_version": 2, **WRAP, "fsdp_reshard_after_forward": False, "fsdp_offload_params": True,
        "fsdp_state_dict_type": "FULL_STATE_DICT", "fsdp_cpu_ram_efficient_loading": False,
    },
}  # fmt: skip
SCRIPT = """\
from transformers import Trainer, TrainingArguments

Trainer(args=TrainingArguments(output_dir="o"), train_dataset=load()).train()
"""
FIELDS = (
    *("fsdp_version", "sharding_strategy", "reshard_after_forward", "cpu_offload", "auto_wrap_policy"),
    *("transformer_cls_names_to_wrap", "min_num_params", "backward_prefetch", "forward_prefetch"),
    *("use_orig_params", "sync_module_states", "cpu_ram_efficient_loading", "state_dict_type"),
    *("activation_checkpointing", "limit_all_gathers"),
)
PACKAGES = ("transformers", "accelerate", "torch")


def main() -> None:
    """Write the plugin of each case, three times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    _imports()
    versions = {name: metadata.version(name) for name in PACKAGES}
    found = {name: case(args, versions) for name, args in CASES.items()}
    launched = {name: beside(section, versions) for name, section in LAUNCHED.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": versions, "file": FILE, "cases": found, "launched": launched}, indent=1)
    out.write_text(text + "\n", encoding="utf-8")


def _imports() -> None:
    """Once, in front of all the forks."""
    import accelerate
    import transformers

    assert accelerate.FullyShardedDataParallelPlugin
    assert transformers.TrainingArguments


def case(args: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """What the arguments become, what dsbridge renders of them, and what that becomes."""
    own = {name: value for name, value in args.items() if name != "env"}
    texts = {"args.json": json.dumps({"output_dir": "o", **own}), "fsdp.json": json.dumps(FILE)}
    words = [f"{name}={value}" for name, value in args.get("env", {}).items()]
    given: Any = (Files(Path(), texts), (), (*words, "torchrun", "args.json"))
    found: dict[str, Any] = {"args": args, "plugin": apart("arguments", args)}
    rendered = render(parse(*given, source="trainer", versions=versions).loaded, "trainer")
    again = json.loads(rendered.files["training_args.json"]) if rendered.files else {}
    mine = {name: again[name] for name in again if name.startswith("fsdp")}
    env = {name: value for name, value in rendered.launch.env.items() if name.startswith("FSDP_")}
    found |= {"rendered": mine, "rendered_plugin": apart("arguments", {**mine, "env": env})}
    moved = migrate(
        *given, source="trainer", target="accelerate", versions=versions, sets=("cluster.gpus_per_node=2",)
    )
    yaml = moved.artifacts.files.get("accelerate_config.yaml", "")
    return {**found, "yaml": yaml, "yaml_plugin": apart("launched", yaml) if "fsdp_config" in yaml else None}


def beside(section: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """What Accelerate's YAML becomes around a script, and what the arguments that dsbridge renders become."""
    top = {"distributed_type": "FSDP", "num_machines": 1, "num_processes": 2, "fsdp_config": section}
    yaml = json.dumps(top)  # which is YAML too
    command = ("accelerate", "launch", "--config_file", "a.yaml", "train.py")
    texts = {"a.yaml": yaml, "train.py": SCRIPT}
    before = {"section": section, "plugin": apart("beside", yaml)}
    try:
        parsed = parse(Files(Path(), texts), command=command, source="trainer", versions=versions)
    except InputError as error:
        return {**before, "refused": error.diagnostics[0].code}
    rendered = render(parsed.loaded, "trainer")
    again = json.loads(rendered.files["training_args.json"]) if rendered.files else {}
    mine = {name: again[name] for name in again if name.startswith("fsdp")}
    env = {name: value for name, value in rendered.launch.env.items() if name.startswith("FSDP_")}
    told = [finding.code for finding in parsed.diagnostics]
    after = {"rendered": mine, "env": env, "rendered_plugin": apart("arguments", {**mine, "env": env})}
    return {**before, "told": told, **after}


def apart(how: str, given: Any) -> Any:
    """In a process of its own, for the environment that Transformers leaves behind."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_quiet, (how, given))


def _quiet(how: str, given: Any) -> Any:
    from accelerate.utils import dataclasses

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    fsdp_current_device(dataclasses)  # for a machine without GPUs
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("fsdp.json").write_text(json.dumps(FILE), encoding="utf-8")
        try:
            return {"arguments": _arguments, "launched": _launched, "beside": _beside}[how](given)
        except ValueError as error:
            return {"error": str(error)}


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    from accelerate import FullyShardedDataParallelPlugin
    from transformers import TrainingArguments

    os.environ.update(given.get("env", {}))
    given = {name: value for name, value in given.items() if name != "env"}
    args = TrainingArguments(output_dir="o", use_cpu=True, **given)
    made = getattr(args, "fsdp_plugin_args", None)
    plugin = FullyShardedDataParallelPlugin(**(made or {}))
    if made is None and os.environ.get("ACCELERATE_USE_FSDP") != "true":
        return {"fsdp": False}
    found = _told(plugin)
    if not (isinstance(args.fsdp, bool)):  # set by the Trainer itself: create_accelerator_and_postprocess
        for name in ("limit_all_gathers", "activation_checkpointing"):
            found[name] = _word((args.fsdp_config or {}).get(name, getattr(plugin, name)))
    return found


def _launched(text: str) -> dict[str, Any]:
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    Path("a.yaml").write_text(text, encoding="utf-8")
    args = launch_command_parser().parse_args(["--config_file", "a.yaml", "train.py"])
    args, _, _ = _validate_launch_command(args)
    os.environ.update(prepare_multi_gpu_env(args))
    return _told(FullyShardedDataParallelPlugin())


def _beside(text: str) -> dict[str, Any]:
    """The plugin of a Trainer whose arguments say nothing, in the launcher's environment."""
    _launched(text)
    return _arguments({})


def _told(plugin: Any) -> dict[str, Any]:
    return {name: _word(getattr(plugin, name)) for name in FIELDS if hasattr(plugin, name)}


def _word(value: Any) -> Any:
    """A value that JSON knows."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple | set):
        return sorted(map(str, value))
    name = getattr(value, "__name__", None) or getattr(value, "name", None)
    return str(name or getattr(value, "offload_params", value))


if __name__ == "__main__":
    main()
