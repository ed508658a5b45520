"""LLaMA-Factory's layer: its moments, rules and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.rulebook import Layer, OverrideRule, Versions
from dsbridge_llamafactory.flags import NEWEST, choices, rows
from dsbridge_llamafactory.moments import MOMENTS
from dsbridge_llamafactory.rules import all_rules
from dsbridge_llamafactory.v1_moments import MOMENTS as V1_MOMENTS
from dsbridge_llamafactory.v1_table import TABLES as V1_TABLES


def _placed(rules: Iterable[OverrideRule]) -> tuple[OverrideRule, ...]:
    """The rules with the lines of their quotes, which tools/harvest_llamafactory.py finds."""
    text = (Path(__file__).parent / "rules" / "lines.json").read_text(encoding="utf-8")
    lines: dict[str, str] = json.loads(text)
    return tuple(
        rule._replace(evidence=tuple(proof._replace(lines=lines[rule.code]) for proof in rule.evidence))
        for rule in rules
    )


def _within(since: str, until: str, version: str | None) -> bool:
    """In this version; a version nobody knows is the newest."""
    if version is None:
        return not until
    have = _numbers(version)
    return not (since and have < _numbers(since)) and not (until and have >= _numbers(until))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())


def argument_names(versions: Versions) -> frozenset[str]:
    """The keys that the training YAML may have."""
    return _names(versions.get("llamafactory"), versions.get("transformers"))


@cache
def _names(own: str | None, transformers: str | None) -> frozenset[str]:
    have = {"llamafactory": own, "transformers": transformers}
    return frozenset(name for name, row in rows() if _within(row.since, row.until, have[row.package]))


def trainer_arguments(versions: Versions) -> frozenset[str]:
    """Those that are TrainingArguments' own."""
    return frozenset(
        name
        for name, row in rows()
        if row.package == "transformers" and _within(row.since, row.until, versions.get(row.package))
    )


@cache
def _templates() -> dict[str, Any]:
    text = Path(__file__).with_name("arguments.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["templates"]
    return found


def template_names(versions: Versions) -> frozenset[str]:
    """The registered chat templates."""
    version = versions.get("llamafactory")
    return frozenset(name for name, (first, last) in _templates().items() if _within(first, last, version))


def methods(versions: Versions) -> tuple[str, ...]:
    """The values of finetuning_type."""
    return choices("finetuning_type", versions.get("llamafactory", NEWEST))


LAYER = Layer(
    "llamafactory",
    (*MOMENTS, *V1_MOMENTS),
    _placed(all_rules()),
    tables={
        "lf.names": argument_names,
        "lf.templates": template_names,
        "lf.methods": methods,
        **V1_TABLES,
    },
    verified={"llamafactory": ("0.9.3", "0.9.5")},
)
