"""Shorter ways to write the Trainer's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Evidence, Expr, Loudness, OverrideRule, Range, Refusal

NEW, OLD = "5.23.0", "4.51.3"
# transformers 5 took out what 4 had deprecated
FIVE = "5.0.0"
ARGUMENTS_FILE, CONFIG_FILE, TRAINER_FILE = "training_args.py", "integrations/deepspeed.py", "trainer.py"


def ev(file: str, lines: str, quote: str, recorded: str, version: str = NEW) -> tuple[Evidence, ...]:
    """One piece of evidence in transformers."""
    return (Evidence("transformers", version, file, lines, quote, f"trainer/{recorded}"),)


def since(version: str) -> tuple[Range, ...]:
    """From this version on."""
    return (Range("transformers", since=version),)


def until(version: str) -> tuple[Range, ...]:
    """Before this version."""
    return (Range("transformers", until=version),)


def refusal(
    code: str,
    title: str,
    moment: str,
    when: Expr,
    error: tuple[str, Any, Any],
    why: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
    hint: str,
    versions: tuple[Range, ...] = (),
) -> OverrideRule:
    """A row that stops the run. error: type, message, fields."""
    return OverrideRule(
        code=code,
        title=title,
        layer="trainer",
        moment=f"trainer.{moment}",
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
    path: str,
    value: Any,
    why: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
    versions: tuple[Range, ...] = (),
    hint: str = "",
) -> OverrideRule:
    """A row that writes one value."""
    return OverrideRule(
        code=code,
        title=title,
        layer="trainer",
        moment=f"trainer.{moment}",
        when=when,
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        writes=path,
        value=value,
        hint=hint,
        versions=versions,
    )
