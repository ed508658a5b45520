"""What a call of `deepspeed.initialize` was given, where it was made, and on which rank.

Also loaded by path inside observed programs, whose Python may be 3.9: the standard library alone.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PACKAGES = (
    *(
        "torch",
        "deepspeed",
        "accelerate",
        "transformers",
        "llamafactory",
        "xtuner",
        "mmengine",
        "trl",
        "peft",
    ),
    *("bitsandbytes", "pydantic"),
)
# as torchrun and DeepSpeed's launcher, MPI, PMI and SLURM say it
RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
WORLDS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")


def bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, as far as the function takes them."""
    try:
        return dict(inspect.signature(function).bind_partial(*args, **kwargs).arguments)
    except TypeError:  # its own message is for the function to say
        return dict(kwargs)


def config_of(given: Mapping[str, Any]) -> tuple[dict[Any, Any] | None, str | None]:
    """The config as DeepSpeed takes it, and the file it was read from, if it was: `config`, or
    `config_params`, or what args name. Nothing that DeepSpeed could not read is read here."""
    config = given.get("config")
    if config is None:
        config = given.get("config_params")
    if config is None:
        args = given.get("args")
        config = getattr(args, "deepspeed_config", None) or getattr(args, "deepscale_config", None)
    if not isinstance(config, (str, os.PathLike)):
        return (config if isinstance(config, dict) else None), None
    try:
        read, name = _read(os.fspath(config))
    except (OSError, ValueError):  # DeepSpeed's own error is what we came for
        return None, None
    return (read if isinstance(read, dict) else None), name


def _read(config: str) -> tuple[Any, str | None]:
    """The file of that name, as DeepSpeed reads it; else what base64 hides in the text itself."""
    import base64

    import hjson  # type: ignore[import-untyped]
    from deepspeed.runtime.config_utils import dict_raise_error_on_duplicate_keys

    if not os.path.isfile(config):
        return hjson.loads(base64.urlsafe_b64decode(config).decode()), None
    with open(config, encoding="utf-8") as file:
        text = file.read()
    return hjson.loads(text, object_pairs_hook=dict_raise_error_on_duplicate_keys), config


def model_of(model: Any) -> dict[str, Any] | None:
    """The live model's class, and its config as transformers has it: its own, or a part's, as in XTuner."""
    if model is None:
        return None
    parts = [model, *(part for _, part in getattr(model, "named_children", tuple)())]
    found = (getattr(part, "config", None) for part in parts)
    config = next((entry for entry in found if callable(getattr(entry, "to_dict", None))), None)
    kind = type(model)
    made = None if config is None else config.to_dict()
    return {"class": f"{kind.__module__.split('.')[0]}.{kind.__name__}", "config": made}


def place(frame: Any, inside: Iterable[str] = ()) -> str | None:
    """The first frame from here outwards that lies outside of those folders, as file:line."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not any(name.startswith(folder) for folder in inside) and not name.startswith("<frozen"):
            return f"{short(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def raised_at(problem: BaseException) -> str | None:
    """The innermost line of a package or of the user's own files, as file:line."""
    found, trace = None, problem.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith("<") and os.path.dirname(os.__file__) != os.path.dirname(name):
            found = f"{short(name)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def short(name: str) -> str:
    """A file of a package from the package on, one below the working folder from there on."""
    for folder in ("site-packages", "dist-packages"):
        _, found, rest = name.partition(f"{os.sep}{folder}{os.sep}")
        if found:
            return rest
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:
        return name
    return name[len(here) :] if name.startswith(here) else name


def versions() -> dict[str, str]:
    """The packages that have a say, of those that are installed; none is imported."""
    from importlib import metadata

    found = {}
    for package in PACKAGES:
        try:
            found[package] = str(metadata.version(package))
        except metadata.PackageNotFoundError:
            continue
    return found


def ranks() -> tuple[int | None, int | None]:
    """Rank and number of ranks: of the process group, once there is one; else as the launcher says."""
    torch = sys.modules.get("torch")
    group = getattr(torch, "distributed", None)
    if group is not None and group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return _number(RANKS), _number(WORLDS)


def _number(names: Iterable[str]) -> int | None:
    said = (os.environ.get(name, "") for name in names)
    return next((int(value) for value in said if value.isdigit()), None)
