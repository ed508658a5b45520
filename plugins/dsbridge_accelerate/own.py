"""`frameworks.accelerate`: the user's own keys of the YAML, merged as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import Diagnostic, show
from dsbridge_accelerate.codes import MIXED_STYLES, OWN_CONFLICT, OWN_UNKNOWN
from dsbridge_accelerate.deepspeed import STYLE_KEY
from dsbridge_accelerate.fields import FIELD_TO_DS, TOP_LEVEL
from dsbridge_accelerate.section import Section, flatten


def merge_own(section: Section, own: Mapping[str, Any]) -> None:
    """Add the keys; what contradicts the spec's, or what Accelerate would stop at, is an error."""
    section.found += [_unknown(key) for key in own if key not in TOP_LEVEL]
    file_style = STYLE_KEY in section.said
    by_spec = any(_refused_beside_file(key) for key in section.said)
    by_spec = by_spec and section.said.get("distributed_type") == "DEEPSPEED"
    for key, value in _flat(own).items():
        if key == "num_processes" and value is None:
            continue  # parsed from files that leave the number to a flag
        old = section.said.get(key, value)
        if old != value:
            message = f"`frameworks.accelerate.{key}` is {show(value)}, but the spec makes it {show(old)}"
            hint = "Say it once, in the spec's own key."
            section.found.append(OWN_CONFLICT(message, hint=hint, key=f"frameworks.accelerate.{key}"))
        elif file_style and _refused_beside_file(key):
            section.found.append(_mixed(key, "the spec needs a DeepSpeed file"))
        else:
            section.said[key] = value
            section.usual.pop(key, None)
            section.removed.pop(key, None)
    if by_spec and not file_style and STYLE_KEY in section.said:
        message = f"`frameworks.accelerate.{STYLE_KEY}` beside DeepSpeed settings of the spec"
        hint = "Put what the file says into the spec, or under `deepspeed:`."
        section.found.append(MIXED_STYLES(message, hint=hint, key=f"frameworks.accelerate.{STYLE_KEY}"))


def _flat(own: Mapping[str, Any]) -> dict[str, Any]:
    """One level down: the YAML's sections, whose own values stay whole."""
    out: dict[str, Any] = {}
    for key, value in own.items():
        if isinstance(value, Mapping) and value:
            out |= {f"{key}.{inner}": v for inner, v in value.items()}
        else:
            out |= flatten({key: value})
    return out


def _refused_beside_file(key: str) -> bool:
    section, _, name = key.rpartition(".")
    return key in ("mixed_precision", "fp16") or (section == "deepspeed_config" and name in FIELD_TO_DS)


def _mixed(key: str, why: str) -> Diagnostic:
    message = f"`frameworks.accelerate.{key}` stops Accelerate beside a deepspeed_config_file; {why}"
    name = key.rpartition(".")[2]
    said = FIELD_TO_DS.get(name)
    hint = f"Say it by the spec's own key, or as `{said}` under `deepspeed:`." if said else ""
    return MIXED_STYLES(message, hint=hint or "Write `precision.dtype`.", key=f"frameworks.accelerate.{key}")


def _unknown(key: str) -> Diagnostic:
    message = f"Accelerate's YAML has no key `{key}`, and stops at keys that it does not know"
    hint = "DeepSpeed's keys go under `deepspeed:`."
    return OWN_UNKNOWN(message, hint=hint, key=f"frameworks.accelerate.{key}")
