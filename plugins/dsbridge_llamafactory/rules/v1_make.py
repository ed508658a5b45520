"""Shorter ways to write the rows of LLaMA-Factory's V1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Evidence, Expr, OverrideRule, eq, first_set, get
from dsbridge_llamafactory import v1_table as table
from dsbridge_llamafactory.rules._make import VERSION, refusal

DEEPSPEED = eq(get("v1.dist_config.name"), "deepspeed")
BY_DEEPSPEED = {"v1.dist_config.name": "deepspeed"}


def arg(name: str) -> Expr:
    """An argument of V1, or its default."""
    return first_set(get(f"v1.{name}"), table.default(name))


def ev(file: str, quote: str, recorded: str) -> tuple[Evidence, ...]:
    """One piece of evidence in V1; lines.json says on which line."""
    path = f"llamafactory/v1/{file}"
    return (Evidence("llamafactory", VERSION, path, "", quote, f"llamafactory/v1-{recorded}"),)


def stops(
    code: str,
    title: str,
    moment: str,
    when: tuple[Any, ...],
    error: tuple[Expr | str, Expr | str, tuple[str, ...] | Expr],
    why: str,
    hint: str,
    evidence: tuple[Evidence, ...],
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
) -> OverrideRule:
    """A row that stops the run; error: type, message, fields."""
    kind, message, fields = error
    found = refusal(code, title, f"lf.v1.{moment}", when, message, fields, why, hint, evidence, fires, holds)
    return found._replace(refuses=found.refuses._replace(type=kind) if found.refuses else None)


def writes(
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
    **more: Any,
) -> OverrideRule:
    """A row that writes; `more` as in OverrideRule."""
    return OverrideRule(
        code=code,
        title=title,
        layer="llamafactory",
        moment=f"lf.v1.{moment}",
        when=when,
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        writes=path,
        value=value,
        **more,
    )
