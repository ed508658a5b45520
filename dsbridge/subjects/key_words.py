"""What is said of a key that DeepSpeed does not take as it stands, and what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dsbridge.deepspeed.expecting import expected
from dsbridge.deepspeed.keys import KeyFinding
from dsbridge.deepspeed.known import harvested, releases_with
from dsbridge.fields import show
from dsbridge.rules import numbers
from dsbridge.trees import lookup
from dsbridge.values import UNSET

_USE = re.compile(r"[Uu]se '([\w.]+)' instead")
# what has taken the place of a removed key, where DeepSpeed does not say it
_RENAMED = {"aio.thread_count": "aio.intra_op_parallelism"}
# a value that moves into a block of its own (runtime/zero/config.py: new_param_fn)
_BLOCKS = {"cpu_offload": "offload_optimizer", "cpu_offload_param": "offload_param"}
_PINNED = "cpu_offload_use_pin_memory"  # runtime/zero/config.py: set_new_param False
_SCALING = ("loss_scale", "initial_scale_power", "loss_scale_window", "hysteresis", "min_loss_scale")
# what nobody means who did not write the block
_FEATURES = ("autotuning", "compression_training", "data_efficiency", "elasticity", "flops_profiler")
_BF16 = "bf16 has the range of fp32 and takes no loss scale."


def told(found: KeyFinding, value: Any, version: str) -> str:
    """What happened, with the release."""
    key, block = ".".join(found.path), ".".join(found.path[:-1])
    does = f"DeepSpeed {version} stops at it" if found.refused else f"DeepSpeed {version} ignores it"
    where = f"`{block}` has no key" if block else "there is no key"
    if found.kind == "misplaced":
        return f"`{key}`: {where} `{found.path[-1]}`; {does}"
    if found.kind == "removed":
        return f"`{key}` is gone since DeepSpeed {_since(found, version)}; {does}{_said(found)}"
    if found.kind == "deprecated":
        return _deprecated(found, value, version)
    if found.kind in ("quoted", "wrong-type"):
        return _wrong(found, value, version)
    return f"{where} `{found.path[-1]}`; {does}"


def _deprecated(found: KeyFinding, value: Any, version: str) -> str:
    key = ".".join(found.path)
    if found.becomes is not UNSET:
        form = f"`{key}`: {_short(value)} is the form of old releases"
        return f"{form}; DeepSpeed {version} reads it as {json.dumps(found.becomes)}"
    does = "; it does nothing any more" if found.path[-1] == _PINNED else ""
    return f"`{key}` is deprecated in DeepSpeed {version}{does}{_said(found)}"


def _wrong(found: KeyFinding, value: Any, version: str) -> str:
    key = ".".join(found.path)
    becomes = "" if found.becomes is UNSET else f", and reads it as {show(found.becomes)}"
    ends = "stops at it" if found.refused else f"takes it{becomes}"
    if found.kind == "quoted":
        return f"the value of `{key}` is a text, not a number or boolean; DeepSpeed {version} {ends}"
    takes = expected(found.path, version)
    wants = f"; it takes {takes}" if takes else ""
    return f"`{key}` is {_short(value)}{wants}; DeepSpeed {version} {ends}"


def _short(value: Any) -> str:
    text = value.rstrip(",") if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else "a block" if isinstance(value, dict) else f"{text[:60]}..."


def _said(found: KeyFinding) -> str:
    return f": {found.says.strip()}" if found.says.strip() else ""


def _since(found: KeyFinding, version: str) -> str:
    """The first harvested release without it."""
    with_it = releases_with(".".join(found.path[:-1]), found.path[-1])
    later = [one for one in harvested() if with_it and numbers(one) > numbers(with_it[-1])]
    return later[0] if later else version


def advice(found: KeyFinding, config: Mapping[str, Any], version: str) -> str:
    """What to write instead."""
    value = lookup(config, ".".join(found.path))
    if found.path == ("zero_optimization",) and found.kind == "wrong-type":
        return 'Write a block, such as "zero_optimization": {"stage": 1}.'
    if found.kind in ("quoted", "wrong-type"):
        takes = expected(found.path, version)
        return f"Write {found.instead or takes}." if found.instead or takes else "Remove it for the default."
    if found.kind == "comment":
        return "Move it to the top level."
    if found.kind == "removed":
        return _replaced(found)
    if found.kind == "deprecated":
        return _modern(found, value)
    if found.kind == "unknown" and found.path[0] == "bf16" and found.path[-1] in _SCALING:
        return f"Remove it: {_BF16}"
    if not found.instead:
        return "Remove it."
    block = found.instead.partition(".")[0]
    if found.kind == "misplaced" and block in _FEATURES and block not in config:
        return f"Remove it: it belongs to `{block}`, which is not here."
    where = " at the top level" if found.kind == "misplaced" and "." not in found.instead else ""
    newer = _BLOCKS.get(found.instead.rpartition(".")[2])
    newer = f', or "{newer}": {{"device": "cpu"}}, which has taken its place' if newer else ""
    return f"Write `{found.instead}`{where}{newer}."


def _replaced(found: KeyFinding) -> str:
    said = _USE.search(found.says)
    if said:
        return f"Remove it, or write `{said[1]}`, whose form is another."
    renamed = _RENAMED.get(".".join(found.path))
    return f"Write `{renamed}`." if renamed else "Remove it, or train with a release that has it."


def _modern(found: KeyFinding, value: Any) -> str:
    if found.becomes is not UNSET:
        return f'Write "{found.path[-1]}": {json.dumps(found.becomes)}.'
    block = _BLOCKS.get(found.path[-1])
    if block:
        return f'Write "{block}": {{"device": "cpu"}}.' if value is True else "Remove it."
    if found.path[-1] == _PINNED:
        return 'Write "pin_memory": true inside offload_optimizer or offload_param.'
    return f"Write `{found.instead}`." if found.instead else "Remove it."
