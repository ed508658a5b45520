"""Shorter ways to write XTuner's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import (
    Evidence,
    Expr,
    Loudness,
    OverrideRule,
    Refusal,
    all_of,
    differs,
    get,
    is_set,
    missing,
    truthy,
)

VERSIONS = {"xtuner": "0.2.0", "mmengine": "0.10.6", "accelerate": "1.15.0", "deepspeed": "0.16.2"}
TRAIN = "tools/train.py"
# --deepspeed is given, and the config's optimizer wrapper is not DeepSpeed's already.
CONVERTED = all_of(
    truthy(get("flags.deepspeed")), differs(get("cfg.optim_wrapper.type"), "DeepSpeedOptimWrapper")
)
USED = is_set(get("ds"))


def ev(package: str, file: str, lines: str, quote: str, recorded: str) -> tuple[Evidence, ...]:
    """One piece of evidence in the versions that were recorded."""
    return (Evidence(package, VERSIONS[package], file, lines, quote, f"xtuner/{recorded}"),)


def refusal(
    code: str,
    title: str,
    moment: str,
    when: Expr,
    error: tuple[Any, Any, Any],
    why: str,
    hint: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
) -> OverrideRule:
    """A row that stops the run. `error` is type, message and fields."""
    return OverrideRule(
        code=code,
        title=title,
        layer="xtuner",
        moment=f"xtuner.{moment}",
        when=when,
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        refuses=Refusal(*error),
        loudness=Loudness.RAISES,
        hint=hint,
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
    loudness: Loudness = Loudness.SILENT,
    hint: str = "",
    asked: Expr | None = None,
) -> OverrideRule:
    """A row that writes."""
    return OverrideRule(
        code=code,
        title=title,
        layer="xtuner",
        moment=f"xtuner.{moment}",
        when=when,
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        writes=path,
        value=value,
        asked=asked,
        loudness=loudness,
        hint=hint,
    )


def lacks(
    code: str,
    path: str,
    moment: str,
    when: Expr,
    why: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
) -> OverrideRule:
    """A key of the config that XTuner takes for granted."""
    key = path.rpartition(".")[2]
    return refusal(
        code,
        f"`{path}` is missing",
        moment,
        all_of(when, missing(get(f"cfg.{path}"))),
        ("AttributeError", f"'ConfigDict' object has no attribute '{key}'", (f"cfg.{path}",)),
        why,
        f"Write `{path}` in the config.",
        evidence,
        fires,
        holds,
    )


def on(path: str) -> Expr:
    """A switch of the config counts as true."""
    return truthy(get(path))
