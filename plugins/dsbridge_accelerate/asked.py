"""Flags and YAML of `accelerate launch` as one YAML: a flag stands where the YAML's key for it would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import Source
from dsbridge_accelerate.fields import TOP_LEVEL

# flags whose names say in which section of the YAML they belong
_SECTIONS = {
    "fsdp_": "fsdp_config",
    "parallelism_config_": "parallelism_config",
    "megatron_lm_": "megatron_lm_config",
    "mpirun_": "mpirun_config",
    "dynamo_": "dynamo_config",
    "fp8_": "fp8_config",
}
_SHORT = ("fp8_config",)  # its keys stand there without the prefix
_DEEPSPEED = frozenset(
    (
        "zero_stage", "gradient_accumulation_steps", "gradient_clipping", "offload_optimizer_device",
        "offload_param_device", "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_init_flag",
        "zero3_save_16bit_model", "deepspeed_config_file", "deepspeed_hostfile", "deepspeed_exclusion_filter",
        "deepspeed_inclusion_filter", "deepspeed_multinode_launcher", "deepspeed_moe_layer_cls_names",
    )
)  # fmt: skip
TYPES = {
    "use_deepspeed": "DEEPSPEED",
    "use_fsdp": "FSDP",
    "use_megatron_lm": "MEGATRON_LM",
    "multi_gpu": "MULTI_GPU",
    "tpu": "XLA",
    "cpu": "NO",
}
NOT_ASKED = ("config_file", "use_parallelism_config")  # they say nothing of their own


def place_of(flag: str) -> tuple[str, ...]:
    """Where the YAML says what a flag says; () if it cannot."""
    if flag in _DEEPSPEED:
        return ("deepspeed_config", flag)
    for prefix, section in _SECTIONS.items():
        if flag.startswith(prefix):
            return (section, flag.removeprefix(prefix) if section in _SHORT else flag)
    if flag in TYPES:
        return ("distributed_type",)
    return (flag,) if flag in TOP_LEVEL else ()


def asked(flags: Mapping[str, Any], yaml: Mapping[str, Any] | None) -> dict[str, Any]:
    """The YAML with the flags in it."""
    tree = {k: dict(v) if isinstance(v, Mapping) else v for k, v in (yaml or {}).items()}
    for flag, value in flags.items():
        path = place_of(flag)
        if not path or value is False:
            continue
        *above, last = path
        into: Any = tree
        if above:
            if not isinstance(tree.get(above[0]), dict):
                tree[above[0]] = {}
            into = tree[above[0]]
        into[last] = TYPES.get(flag) or _typed(path, value)
        if flag == "cpu":
            tree["use_cpu"] = True
    if yaml is None and isinstance(flags.get("num_processes"), int):
        tree.setdefault("distributed_type", "MULTI_GPU" if flags["num_processes"] > 1 else "NO")
    return tree


def places_of(
    flags: Mapping[str, Any], places: Mapping[str, Source], sources: Mapping[str, Source]
) -> dict[str, Source]:
    """Where each value of `asked` stands. places: of the flags; sources: of the YAML."""
    at = {name.replace("yaml.", "asked.", 1): source for name, source in sources.items()}
    for flag, value in flags.items():
        path = place_of(flag)
        if path and value is not False:
            at[".".join(("asked", *path))] = places[flag]
    return at


def _typed(path: tuple[str, ...], value: Any) -> Any:
    """The text of a flag as the YAML's key takes it."""
    if not isinstance(value, str) or path[0] not in ("deepspeed_config", "fsdp_config", "parallelism_config"):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
