"""Shorter ways to write LLaMA-Factory's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import (
    Evidence,
    Expr,
    Loudness,
    OverrideRule,
    Range,
    Refusal,
    Rows,
    all_of,
    eq,
    fact,
    first_set,
    get,
    no,
    truthy,
)
from dsbridge_llamafactory.flags import known_arguments

VERSION = "0.9.5"
STAGE_3 = eq(get("ds.zero_optimization.stage"), 3)
# training_args.parallel_mode is DISTRIBUTED: a launcher gave this process a rank
DISTRIBUTED = get("run.distributed")
_ROWS = Rows("llamafactory", "llamafactory", VERSION)
since, until = _ROWS.since, _ROWS.until


def arg(name: str) -> Expr:
    """An argument, or its default."""
    return first_set(get(f"lf.{name}"), known_arguments()[name].default)


def on(name: str) -> Expr:
    """A switch is on."""
    return truthy(arg(name))


def is_(name: str, value: Any) -> Expr:
    """An argument has this value."""
    return eq(arg(name), value)


def ev(file: str, quote: str, recorded: str, version: str = VERSION) -> tuple[Evidence, ...]:
    """One piece of evidence in LLaMA-Factory itself; lines.json says on which line."""
    return (Evidence("llamafactory", version, f"llamafactory/{file}", "", quote, f"llamafactory/{recorded}"),)


class At(NamedTuple):
    """The line of LLaMA-Factory that raises a rule's own message."""

    file: str
    recorded: str
    version: str = VERSION


def refusal(
    code: str,
    title: str,
    moment: str,
    when: tuple[Any, ...],
    message: Expr | str,
    fields: tuple[str, ...] | Expr,
    why: str,
    hint: str,
    evidence: tuple[Evidence, ...] | At,
    fires: Mapping[str, Any],
    holds: Mapping[str, Any],
    kind: str = "ValueError",
    versions: tuple[Range, ...] = (),
) -> OverrideRule:
    """A row that stops the run. `when` are conditions that all hold; At: where its own message stands."""
    if isinstance(evidence, At):
        quote = f'raise {kind}("{message}")'
        evidence = ev(evidence.file, quote, evidence.recorded, evidence.version)
    return OverrideRule(
        code=code,
        title=title,
        layer="llamafactory",
        moment=moment,
        when=when[0] if len(when) == 1 else all_of(*when),
        why=why,
        evidence=evidence,
        fires=fires,
        holds=holds,
        refuses=Refusal(kind, message, fields),
        loudness=Loudness.RAISES,
        hint=hint,
        versions=versions,
    )


def needs(
    code: str,
    moment: str,
    when: Expr,
    package: str,
    requirement: str,
    fires: Mapping[str, Any],
    evidence: tuple[Evidence, ...],
    versions: tuple[Range, ...] = (),
) -> OverrideRule:
    """A package that the arguments in `fires` ask for: whether it is installed is a fact of the machine."""
    installed = f"has_{package.replace('-', '_')}"
    asks = list(fires)[-1].removeprefix("lf.")
    return refusal(
        code,
        f"{package} is not installed",
        moment,
        (when, no(fact(installed))),
        f"No package metadata was found for The '{requirement}' distribution was not found and is required …",
        tuple(fires),
        f"{asks} needs the package {package}.",
        f"pip install {package}",
        evidence,
        {**fires, f"fact.{installed}": False},
        {**fires, f"fact.{installed}": True},
        kind="PackageNotFoundError",
        versions=versions,
    )
