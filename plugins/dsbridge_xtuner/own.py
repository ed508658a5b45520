"""`frameworks.xtuner`: the config, and what is XTuner's alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.sdk import Diagnostic, RenderRequest, show
from dsbridge_xtuner import codes
from dsbridge_xtuner.config_shape import described
from dsbridge_xtuner.fields import VARIABLES
from dsbridge_xtuner.shape import Shape, assumed, like, shipped
from dsbridge_xtuner.wants import Wants, means

# shape: how the config differs from the usual one. accepts: codes of errors that are to be warnings
KEYS = ("config", "shape", "accepts", "cfg_options", "work_dir", "resume")
_FLAGS = {"work_dir": "--work-dir", "resume": "--resume"}
_ELSEWHERE = {
    "seed": "training.seed",
    "launcher": "launch.kind",
    "deepspeed": "zero, precision, deepspeed",
    "output_dir": "training.output_dir",
}
_OWN = "frameworks.xtuner"


def unknown_keys(request: RenderRequest) -> Iterator[Diagnostic]:
    """Keys of `frameworks.xtuner` that nothing reads."""
    for key in request.own():
        if key in KEYS:
            continue
        close = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"It takes {', '.join(KEYS)}; any field of the config goes under cfg_options."
        if key in _ELSEWHERE:
            hint = f"The spec says this as `{_ELSEWHERE[key]}`."
        elif close:
            hint = f"Did you mean `{close[0]}`? {hint}"
        yield codes.UNKNOWN_OWN_KEY(f"`{_OWN}.{key}` is unknown", hint=hint, key=f"{_OWN}.{key}")


def named_config(request: RenderRequest, found: list[Diagnostic]) -> tuple[str, Shape] | None:
    """The config of `frameworks.xtuner.config`, and what is known of it."""
    name = request.own().get("config")
    if not isinstance(name, str) or not name:
        hint = (
            "Write `frameworks: {xtuner: {config: NAME}}` with a name that `xtuner list-cfg` prints (`-p "
            "qwen` to search) or the path of your own file, or give --base my_config.py."
        )
        what = "no config is named" if name is None else "`frameworks.xtuner.config` is not a name"
        found.append(codes.NO_CONFIG(what, hint=hint, key="frameworks.xtuner"))
        return None
    if isinstance(request.own().get("shape"), dict):
        return name, described(name, request.own()["shape"])
    if "/" in name or name.endswith(".py"):
        message = f"{name} is not read; the fields of XTuner's usual config are assumed"
        hint = (
            f"With --base {name} dsbridge sees it, the tokenizers of its custom_hooks too, and edits a copy."
        )
        found.append(codes.ASSUMED(message, hint=hint, key=f"{_OWN}.config"))
        return name, assumed(name)
    shape = shipped(name)
    if shape is None:
        close = like(name)
        hint = f"Did you mean {', '.join(close)}? " if close else ""
        message = f"XTuner 0.2.0 ships no config `{name}`"
        hint += "`xtuner list-cfg` lists all. A file of your own is given by its path, ending in .py."
        found.append(codes.NO_SUCH_CONFIG(message, hint=hint, key=f"{_OWN}.config"))
        return None
    return name, shape


def add_own(request: RenderRequest, wants: Wants) -> None:
    """Put cfg_options and flags beside what the spec wants; report where they disagree."""
    own = request.own()
    for key, flag in _FLAGS.items():
        if key not in own:
            continue
        value = str(own[key])
        if wants.flags.setdefault(flag, value) != value:
            wants.tell(_conflict(f"{_OWN}.{key}", value, "training.output_dir", wants.flags[flag]))
    options = own.get("cfg_options", {})
    if not isinstance(options, dict):
        message = f"`{_OWN}.cfg_options` must be a mapping of dotted fields to values"
        hint = "As cfg_options: {train_dataloader.dataset.shuffle_before_pack: false}."
        wants.tell(codes.UNKNOWN_OWN_KEY(message, hint=hint, key=f"{_OWN}.cfg_options"))
        return
    for path, value in _flat(options):
        wants.tell(*_clash(path, value, wants))
        wants.fields.setdefault(path, value)
        wants.keys.setdefault(path, f"{_OWN}.cfg_options")


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _clash(path: str, value: Any, wants: Wants) -> Iterator[Diagnostic]:
    key = f"{_OWN}.cfg_options"
    if path in VARIABLES:
        yield codes.NOT_READ(
            f"`{path}` is a variable of the config: XTuner has substituted it when the option comes, so "
            "setting it changes nothing",
            hint=f"Set the field itself: `{VARIABLES[path]}`.",
            key=key,
        )
    for other, wanted in wants.fields.items():
        nested = path.startswith(f"{other}.") or other.startswith(f"{path}.")
        if nested or (other == path and not means(path, value, wanted)):
            yield _conflict(f"{key}.{path}", value, wants.keys[other], wanted, other)


def _conflict(own: str, value: Any, key: str, wanted: Any, field: str = "") -> Diagnostic:
    makes = f" (`{field}`)" if field else ""
    message = f"`{own}` is {show(value)}, but `{key}` makes it {show(wanted)}{makes}"
    return codes.OWN_CONFLICT(message, hint="Say it once.", key=key)
