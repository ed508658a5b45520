"""Shorter ways to write DeepSpeed's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.language.blocks import block_problem
from dsbridge.rulebook import (
    Evidence,
    Expr,
    OverrideRule,
    Range,
    Rows,
    all_of,
    fact,
    first_set,
    get,
    is_a,
    is_set,
    item,
    no,
    table,
    text,
    type_name,
)

# Where behaviour changed, from the tags of DeepSpeed's repository; what lies between 0.19.5 and 0.19.8
# was seen in 0.19.8 only.
TP_SINCE = "0.16.4"
COMPILE_SINCE = "0.16.6"
SEQUENCE_SINCE = "0.17.0"
SEQUENCE_DTYPE_SINCE = "0.16.5"
PRECISION_SINCE = "0.17.1"
AUTOCAST_SINCE = "0.17.2"
MAX_SINCE = "0.17.2"
BF16_ALONE_SINCE = "0.17.6"
BF16_NAMED_SINCE = "0.18.5"
MASTER_SINCE = "0.18.3"
LOAD_SINCE = "0.18.6"
MIXED_SINCE = "0.19.2"
TP_STAGE_3_SINCE = "0.19.4"
MANAGED_SINCE = "0.19.4"
WARMUP_SINCE = "0.19.3"
REMOVED_SINCE = "0.19.7"
NEWEST = "0.19.8"


# Processes: those the launcher is told to start, or as many as there are GPUs (DS242).
RANKS = first_set(get("launch.ranks"), fact("world_size"))


_ROWS = Rows("deepspeed", "deepspeed", NEWEST, "Change the value, or leave the key out.")
ev, since, until = _ROWS.evidence, _ROWS.since, _ROWS.until
refusal, write = _ROWS.refusal, _ROWS.write


def between(first: str, last: str) -> tuple[Range, ...]:
    """From the first on, before the last."""
    return (Range("deepspeed", since=first, until=last),)


def param(name: str, default: Any) -> Expr:
    """param_dict.get(name, default)."""
    return first_set(get(f"engine.{name}"), default)


def classes() -> Expr:
    """The config classes of the version."""
    return table("deepspeed.blocks")


def problem(value: Any, name: str) -> Expr:
    """What the class of a block raises."""
    return block_problem(value, name, classes())


def block_rule(
    code: str,
    name: str,
    value: Any,
    given: Expr,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
    versions: tuple[Range, ...] = (),
) -> OverrideRule:
    """A block that its class refuses."""
    found = problem(value, name)
    return refusal(
        code,
        f"{name} is read by a class that takes known keys and types only",
        "config.parameters",
        all_of(given, is_set(found)),
        (item(found, "type"), item(found, "message"), item(found, "fields")),
        f"DeepSpeed reads `{name}` with a strict class: an unknown key or a wrong type stops it.",
        evidence,
        fires,
        holds,
        versions=versions,
        hint=f"See DeepSpeed's documentation of `{name}` for its keys.",
    )


def no_attribute(
    code: str,
    path: str,
    attribute: str,
    moment: str,
    evidence: tuple[Evidence, ...],
    versions: tuple[Range, ...] = (),
    extra: Expr | None = None,
) -> OverrideRule:
    """A block that is no mapping where DeepSpeed takes one for granted."""
    value = get(f"engine.{path}")
    wrong = all_of(is_set(value), no(is_a(value, "dict")), *([extra] if extra else []))
    return refusal(
        code,
        f"`{path}` must be a mapping",
        moment,
        wrong,
        ("AttributeError", text(f"'{{}}' object has no attribute '{attribute}'", type_name(value)), (path,)),
        f"DeepSpeed asks `{path}` for its keys without looking at what it is.",
        evidence,
        {f"engine.{path}": "x" if extra else None},
        {f"engine.{path}": {}},
        versions=versions,
        hint="Write a mapping, or leave the key out.",
    )
