"""Shorter ways to write Accelerate's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import (
    Evidence,
    Expr,
    Loudness,
    OverrideRule,
    Range,
    Refusal,
    all_of,
    get,
    is_a,
    is_set,
    no,
    same,
)

NEWEST = "1.15.0"
# Where behaviour changed, from the tags of Accelerate's repository.
TP_UNTIL = "1.7.0"
STATE_SINCE = "1.8.0"
COMM_SINCE = "1.9.0"
PARALLELISM_SINCE = "1.10.0"
ANY_CASE_SINCE = "1.10.0"
SEQUENCE_SINCE = "1.12.0"
WARMUP_SINCE = "1.15.0"

LAUNCH = "commands/launch.py"
EXPORT = "utils/launch.py"
YAML = "commands/config/config_args.py"
PLUGIN = "utils/dataclasses.py"
CONFIG = "utils/deepspeed.py"
ACCELERATOR = "accelerator.py"
STATE = "state.py"

USED = same(get("deepspeed.used"), True)
LAUNCHED = same(get("launch.used"), True)


def ev(file: str, lines: str, quote: str, recorded: str, version: str = NEWEST) -> tuple[Evidence, ...]:
    """One piece of evidence in Accelerate itself."""
    return (Evidence("accelerate", version, file, lines, quote, f"accelerate/{recorded}"),)


def since(version: str) -> tuple[Range, ...]:
    """From this version on."""
    return (Range("accelerate", since=version),)


def until(version: str) -> tuple[Range, ...]:
    """Before this version."""
    return (Range("accelerate", until=version),)


def given(path: str) -> Expr:
    """There, and not null: what Python asks with `is not None`."""
    return all_of(is_set(get(path)), no(is_a(get(path), "null")))


def not_given(path: str) -> Expr:
    """Missing or null."""
    return no(given(path))


def refusal(
    code: str,
    title: str,
    moment: str,
    when: Expr,
    error: tuple[Any, Any, Any],
    why: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
    hint: str = "",
    versions: tuple[Range, ...] = (),
) -> OverrideRule:
    """A row that stops the run. `error` is type, message and fields."""
    return OverrideRule(
        code=code,
        title=title,
        layer="accelerate",
        moment=f"accelerate.{moment}",
        when=when,
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        refuses=Refusal(*error),
        loudness=Loudness.RAISES,
        hint=hint,
        versions=versions,
    )


def write(
    code: str,
    title: str,
    moment: str,
    when: Expr,
    path: str | Expr,
    value: Any,
    why: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
    **more: Any,
) -> OverrideRule:
    """A row that writes."""
    return OverrideRule(
        code=code,
        title=title,
        layer="accelerate",
        moment=f"accelerate.{moment}",
        when=when,
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        writes=path,
        value=value,
        **more,
    )
