"""`accelerate launch`: flags and YAML together, and what it will start.

Where it refuses, and which ACCELERATE_* variables it exports, are rules; here its arguments are merged.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import yaml

from dsbridge.rulebook import Files, Launched, Launcher, Places, Reading, Setup, Words, sources_of, together
from dsbridge.sdk import InputError, Source
from dsbridge_accelerate.asked import NOT_ASKED, asked, places_of
from dsbridge_accelerate.dsfile import read_ds
from dsbridge_accelerate.flags import Flags, read_flags

# deepspeed_config's keys that become an environment variable, a field of DeepSpeedPlugin, or both
SETTINGS = {
    "zero_stage": "ACCELERATE_DEEPSPEED_ZERO_STAGE",
    "gradient_accumulation_steps": "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
    "gradient_clipping": "ACCELERATE_GRADIENT_CLIPPING",
    "offload_optimizer_device": "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE",
    "offload_param_device": "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE",
    "offload_optimizer_nvme_path": "",
    "offload_param_nvme_path": "",
    "zero3_init_flag": "ACCELERATE_DEEPSPEED_ZERO3_INIT",
    "zero3_save_16bit_model": "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL",
    "deepspeed_config_file": "ACCELERATE_DEEPSPEED_CONFIG_FILE",
    "deepspeed_moe_layer_cls_names": "ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES",
    "deepspeed_multinode_launcher": "",
    "mixed_precision": "ACCELERATE_MIXED_PRECISION",
}
_PARADIGMS = ("multi_gpu", "tpu", "use_deepspeed", "use_fsdp", "use_megatron_lm", "use_tp")
_GPUS = ("MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_SDAA", "MULTI_MUSA", "MULTI_XPU", "MULTI_HPU")
# keys of the YAML's top that are read into arguments that nobody gave
_TOP = ("num_processes", "num_machines", "machine_rank", "gpu_ids", "use_cpu", "main_process_ip")


class Config(NamedTuple):
    """The YAML (or JSON) that --config_file names."""

    values: dict[str, Any] | None = None
    sources: Mapping[str, Source] = {}
    problem: dict[str, str] | None = None


def read_config(files: Files, path: str) -> Config:
    """The file's mapping, or what Python raises at it."""
    if not files.has(path):
        message = f"The passed configuration file `{path}` does not exist. Please pass an existing file…"
        return Config(problem={"type": "FileNotFoundError", "message": message})
    if path.endswith(".json"):
        found = read_ds(files, path)
        places = found.sources
        named = Places(lambda: {name.replace("ds.", "yaml.", 1): at for name, at in places.items()})
        return Config(found.config, named, found.problem)
    try:
        document = files.yaml(path)
    except InputError:
        return _as_pyyaml(files.text(path), path)
    if not isinstance(document.value, dict):
        kind = type(document.value).__name__
        message = f"'{kind}' object has no attribute 'get'"
        return Config(problem={"type": "AttributeError", "message": message})
    return Config(document.value, sources_of(document, "yaml"))


class _Named(io.StringIO):
    """A text with a file's name."""

    name = ""


def _as_pyyaml(text: str, path: str) -> Config:
    """PyYAML's own words, or its value where only our reader was stricter."""
    stream = _Named(text)  # of a stream, PyYAML's errors quote no lines
    stream.name = path
    try:
        value = yaml.safe_load(stream)
    except yaml.YAMLError as error:
        return Config(problem={"type": type(error).__name__, "message": str(error)})
    except (RecursionError, ValueError) as error:
        return Config(problem={"type": type(error).__name__, "message": "…"})
    return Config(value if isinstance(value, dict) else {})


def _given(flags: Flags, config: Config, name: str) -> Any:
    """A flag, else the YAML's deepspeed_config."""
    if name in flags.values:
        return flags.values[name]
    section = (config.values or {}).get("deepspeed_config")
    return section.get(name) if isinstance(section, dict) else None


def merged(flags: Flags, config: Config, gpus: Any) -> dict[str, Any]:
    """The arguments that `accelerate launch` ends up with, as far as they matter here."""
    top = config.values or {}
    args: dict[str, Any] = {name: _given(flags, config, name) for name in SETTINGS}
    args["mixed_precision"] = flags.values.get("mixed_precision")
    args["fields"] = []
    for name in _TOP:
        args[name] = flags.values.get(name, top.get(name))
    if config.values is None:
        args["mixed_precision"] = args["mixed_precision"] or "no"
        args["num_processes"] = flags.values.get("num_processes", gpus)
    else:
        section = top.get("deepspeed_config")
        args["fields"] = list(section) if isinstance(section, dict) else []
        if not args["mixed_precision"]:
            args |= _precision(top, args["fields"])
        if args["num_processes"] is None:
            args["num_processes"] = 1 if top.get("distributed_type") == "NO" else -1
    args["num_machines"] = args["num_machines"] or 1
    args["kind"] = _kind(flags, config, args)
    return {name: value for name, value in args.items() if value is not None}


def _precision(top: Mapping[str, Any], fields: list[str]) -> dict[str, Any]:
    """The YAML's precision, then counted among its DeepSpeed fields; an old file says `fp16: true`."""
    value = top.get("mixed_precision", "fp16" if top.get("fp16") else None)
    if value is None:
        return {"mixed_precision": "no"}
    return {"mixed_precision": value, "fields": [*fields, "mixed_precision"]}


def _kind(flags: Flags, config: Config, args: Mapping[str, Any]) -> str:
    """Which launcher it takes: deepspeed, fsdp, multi (torchrun), or simple (one process)."""
    said = {name for name in _PARADIGMS if flags.values.get(name)}
    listed = (config.values or {}).get("distributed_type")
    if flags.values.get("cpu"):
        return "simple"
    if not said:
        if listed == "DEEPSPEED":
            return "deepspeed"
        if listed in ("FSDP", "MEGATRON_LM"):
            return "fsdp" if listed == "FSDP" else "multi"
        count = args["num_processes"]
        several = config.values is None and isinstance(count, int) and count > 1
        return "multi" if listed in _GPUS or several else "simple"
    if "use_deepspeed" in said:
        return "deepspeed"
    return "fsdp" if "use_fsdp" in said else "multi"


def _is_accelerate(words: Sequence[str]) -> bool:
    if len(words) < 2:
        return False
    name = PurePath(words[0]).name
    if name == "accelerate-launch":
        return True
    if name == "accelerate":
        return words[1] == "launch"
    return name.startswith("python") and list(words[1:3]) == ["-m", "accelerate.commands.launch"]


def _read(setup: Setup) -> Launched:
    items = setup.words.items
    name = PurePath(items[0]).name
    start = 1 if name == "accelerate-launch" else (3 if name.startswith("python") else 2)
    flags = read_flags(setup.words.after(start))
    path = flags.values.get("config_file")
    config = read_config(setup.files, path) if path else Config()
    args = merged(flags, config, setup.facts.get("gpus"))
    launch: dict[str, Any] = {"used": True, **args, "keys": _own_keys(config)}
    if flags.problem:
        launch["problem"] = flags.problem
    if path:
        launch["config_file"] = path
    if config.problem:
        launch["file_problem"] = config.problem
    trees: dict[str, Any] = {"flags": flags.values, "launch": launch, "yaml": config.values or {}}
    sources: Mapping[str, Source] = Places(lambda: _places(flags, config))
    if flags.values.keys() - set(NOT_ASKED) or config.values is None:
        trees["asked"] = asked(flags.values, config.values)
        sources = together(sources, Places(lambda: places_of(flags.values, flags.places, config.sources)))
    if args["kind"] == "deepspeed":
        found = _ds(setup.files, args.get("deepspeed_config_file"))
        trees, sources = {**trees, **found[0]}, together(sources, found[1])
    facts, exported = _ranks(args, setup)
    program = Words(()) if flags.problem else flags.program
    if flags.values.get("module") and program.items:
        program = Words(("-m", *program.items), program.first - 1)
    return Launched(Reading(trees, sources, facts), program, exported, "" if program.items else "accelerate")


def _own_keys(config: Config) -> list[str]:
    """The YAML's keys after the old ones are converted, sorted."""
    keys = {str(key) for key in config.values or {}} - {"fp16"}
    if "dynamo_backend" in keys:
        keys = keys - {"dynamo_backend"} | {"dynamo_config"}
    return sorted(keys)


def _ds(files: Files, named: Any) -> tuple[dict[str, Any], Mapping[str, Source]]:
    """The ds_config that the training process will open."""
    if named is None or str(named) == "none":
        return {}, {}
    found = read_ds(files, str(named))
    if found.problem:
        return {"dsfile": {"problem": found.problem}}, {}
    return {"ds": found.config}, found.sources


def _places(flags: Flags, config: Config) -> dict[str, Source]:
    """Where each setting was written, under every name by which rules know it."""
    places = {f"flags.{name}": at for name, at in flags.places.items()} | dict(config.sources)
    for name, variable in SETTINGS.items():
        at = flags.places.get(name) or config.sources.get(f"yaml.deepspeed_config.{name}")
        at = at or (config.sources.get("yaml.mixed_precision") if name == "mixed_precision" else None)
        if at is not None:
            places |= {f"launch.{name}": at, f"plugin.{name}": at}
            if variable:
                places[f"env.{variable}"] = at
    return places


def _ranks(args: Mapping[str, Any], setup: Setup) -> tuple[dict[str, Any], dict[str, str]]:
    """World size, and what torchrun will export for rank 0."""
    if args["kind"] == "simple":
        return {"world_size": 1, "local_world_size": 1}, {}
    exported = {"RANK": "0", "LOCAL_RANK": "0"}
    count = str(args.get("num_processes", ""))
    if not count.isdigit() or int(count) < 1:
        return {}, exported
    machines = args["num_machines"] if isinstance(args["num_machines"], int) else 1
    world = int(count)
    facts = {"world_size": world, "local_world_size": max(world // max(machines, 1), 1)}
    return facts, {**exported, "WORLD_SIZE": count}


LAUNCHER = Launcher("accelerate launch", _is_accelerate, _read)
