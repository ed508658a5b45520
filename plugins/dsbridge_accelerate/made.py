"""The DeepSpeed config that `accelerate launch` alone gives to a program: as DeepSpeedPlugin makes it.

The rules of this plugin say the same step by step (rules/plugin.py, rules/config.py); here it is one value,
for a parser of a program that brings no config of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import UNSET, copied, lookup, store
from dsbridge_accelerate.fields import FIELD_TO_DS
from dsbridge_accelerate.given import mapping
from dsbridge_accelerate.launcher import SETTINGS

_USE = "ACCELERATE_USE_DEEPSPEED"
_ZERO = "zero_optimization."
_DEFAULT_STAGE = 2  # DeepSpeedPlugin's: utils/dataclasses.py:1238 of 1.15.0
# `accelerate launch` hands no path on: only the environment can say one
_PATHS = {
    "offload_optimizer_nvme_path": "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH",
    "offload_param_nvme_path": "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH",
}
Setting = tuple[Any, tuple[str, str]]


class Made(NamedTuple):
    """The config, and for each path of it that a setting decides the tree and name of that setting."""

    config: dict[str, Any]
    origins: Mapping[str, tuple[str, str]]


def asks(trees: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether the program's environment tells of DeepSpeed."""
    kind = mapping(trees.get("launch")).get("kind")
    return kind == "deepspeed" or environ.get(_USE, "").lower() == "true"


def made(trees: Mapping[str, Any], environ: Mapping[str, str], ds: Any, *, own: bool = False) -> Made | None:
    """The config. ds: the file, if one is named; own: it is the program's, which has filled its numbers.

    None where it cannot be said: the file cannot be read, or is no mapping.
    """
    said = {name: found for name in FIELD_TO_DS if (found := _said(name, trees, environ))}
    if ds is None:
        return None if "dsfile" in trees else _of_fields(said)
    return _of_file(ds, said, own) if isinstance(ds, Mapping) else None


def _said(name: str, trees: Mapping[str, Any], environ: Mapping[str, str]) -> Setting | None:
    """A setting as the training process hears of it: what is launched with stands above what is inherited."""
    launch = mapping(trees.get("launch"))
    variable = _PATHS.get(name) or SETTINGS.get(name, "")
    if launch.get("kind") == "deepspeed" and name not in _PATHS and launch.get(name) is not None:
        return _READ.get(name, str)(str(launch[name])), ("launch", name)
    if variable in environ:
        return _READ.get(name, str)(environ[variable]), ("env", variable)
    return None


def _steps(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() else text


def _clip(text: str) -> Any:
    try:
        return text if text.lower() == "auto" else float(text)
    except ValueError:
        return text  # Accelerate stops at it


_READ: Mapping[str, Callable[[str], Any]] = {
    "gradient_accumulation_steps": _steps,
    "gradient_clipping": _clip,
    "zero_stage": _steps,
    "zero3_save_16bit_model": lambda text: text.lower() == "true",
    "offload_optimizer_device": str.lower,
    "offload_param_device": str.lower,
}


def _of_fields(said: Mapping[str, Setting]) -> Made:
    """utils/dataclasses.py:1302-1323 of 1.15.0, without the "none" and false that nobody asked for."""
    values = {name: setting[0] for name, setting in said.items()}
    config: dict[str, Any] = {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": {"stage": _DEFAULT_STAGE},
    }
    for name, value in values.items():
        dead = name in _PATHS and values.get(name.replace("nvme_path", "device")) != "nvme"
        if not dead:
            store(config, FIELD_TO_DS[name], value)
    for block in ("offload_optimizer", "offload_param"):
        if values.get(f"{block}_device") == "nvme":
            config["zero_optimization"][block].setdefault("nvme_path", "none")
    if config["gradient_clipping"] == 0:
        del config["gradient_clipping"]
    origins = {FIELD_TO_DS[name]: setting[1] for name, setting in said.items()}
    return Made(config, origins)


def _of_file(ds: Mapping[str, Any], said: Mapping[str, Setting], own: bool) -> Made:
    """A file's "auto" is filled by the settings; without accumulation it gets 1."""
    config: dict[str, Any] = copied(dict(ds))
    origins: dict[str, tuple[str, str]] = {}
    for name, (value, origin) in said.items():
        path = FIELD_TO_DS[name]
        if lookup(ds, path) != "auto" or value == "auto" or (own and not path.startswith(_ZERO)):
            continue
        store(config, path, value)
        origins[path] = origin
    if not own and lookup(ds, "gradient_accumulation_steps") is UNSET:
        config["gradient_accumulation_steps"] = 1
    return Made(config, origins)
