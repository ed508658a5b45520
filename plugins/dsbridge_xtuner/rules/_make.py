"""Shorter ways to write XTuner's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import (
    Evidence,
    Expr,
    OverrideRule,
    Rows,
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

_ROWS = Rows("xtuner", "xtuner", VERSIONS["xtuner"])
refusal, write = _ROWS.refusal, _ROWS.write


def ev(package: str, file: str, lines: str, quote: str, recorded: str) -> tuple[Evidence, ...]:
    """One piece of evidence in the versions that were recorded."""
    return (Evidence(package, VERSIONS[package], file, lines, quote, f"xtuner/{recorded}"),)


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
        evidence,
        fires,
        holds,
        hint=f"Write `{path}` in the config.",
    )


def on(path: str) -> Expr:
    """A switch of the config counts as true."""
    return truthy(get(path))
