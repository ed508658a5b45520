"""A rule in words and as JSON: for `dsbridge rule`, `dsbridge rules` and the reference pages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dsbridge.diagnostics import Code, InputError
from dsbridge.language import describe, parts, paths_in
from dsbridge.plugins import registry
from dsbridge.rendering import UNKNOWN_TARGET
from dsbridge.rules import Layer, OverrideRule
from dsbridge.trees import copied
from dsbridge.values import UNSET

# Every core module that declares diagnostics.
WITH_CODES = (
    "artifacts", "assumed", "bounds", "checking.environment", "checking.settings", "checking.writing",
    "cli.given", "cli.launch", "cli.rule",
    "deepspeed.dialect", "explaining", "fields",
    "formats.document", "formats.yaml_edit", "hooks.accelerating", "inputs",
    "launch.kubernetes", "launch.settings", "launch.start", "launching",
    "parsing", "planning.given", "planning.question",
    "plugins", "prediction", "rendering", "resuming.asking", "resuming.codes",
    "building", "sharding", "sides",
    "spec.build", "spec.consistency", "spec.load", "verification", "watching.running",
)  # fmt: skip


def all_layers(framework: str | None) -> list[Layer]:
    """The layers that a framework runs through, lowest last; all layers for None.

    Raises:
        InputError: nobody knows the framework, or it has no reader.
    """
    known = registry()
    if framework is not None and framework not in known.frameworks:
        close = difflib.get_close_matches(framework, known.frameworks, n=1)
        hint = f"Did you mean `{close[0]}`?" if close else f"There are {', '.join(sorted(known.frameworks))}."
        raise InputError([UNKNOWN_TARGET(f"no plugin knows `{framework}`", hint=hint)])
    chosen = known.frameworks.values() if framework is None else [known.frameworks[framework]]
    names: dict[str, None] = {}
    for found in chosen:
        if found.reader is not None:
            names |= dict.fromkeys(found.reader().layers)
    return [known.layer(name) for name in names]


def diagnostic_codes() -> dict[str, Code]:
    """Every diagnostic code of the core and the plugins."""
    from dsbridge.checking.catalogue import check_codes

    known = {code.code: code for module in WITH_CODES for code in import_module(f"dsbridge.{module}").CODES}
    plugins = registry()
    return known | check_codes(plugins) | {name: code for name, (code, _) in plugins.codes.items()}


def touches(rule: OverrideRule, field: str) -> bool:
    """True when the rule writes, names or reads the field."""
    paths = [str(rule.writes) if isinstance(rule.writes, str) else "", *paths_in(rule.writes)]
    if rule.refuses:
        fields = rule.refuses.fields
        paths += fields if isinstance(fields, tuple) and not hasattr(fields, "op") else paths_in(fields)
    paths += paths_in(rule.when)
    return any(path == field or path.endswith(f".{field}") for path in paths)


def phase_of(layer: Layer, rule: OverrideRule) -> str:
    """The phase of the rule's moment, in lower case."""
    return next(m.phase.name.lower() for m in layer.moments if m.name == rule.moment)


def effect(rule: OverrideRule) -> str:
    """What it does, in one sentence."""
    if rule.refuses is not None:
        return f"stops with {rule.refuses.type}: {_bare(describe(rule.refuses.message))}"
    where = f"`{rule.writes}`" if isinstance(rule.writes, str) else describe(rule.writes)
    if rule.asked is not None and rule.value is None:
        return f"{describe(rule.asked)} never reaches {where}"
    if rule.value is UNSET:
        return f"removes {where}"
    return f"sets {where} to {describe(rule.value)}"


def _bare(text: str) -> str:
    return text.strip('`"')


def versions_text(rule: OverrideRule) -> str:
    """`accelerate from 1.6.0, before 1.16.0`; "all" without bounds."""
    said = []
    for package, since, until in rule.versions:
        words = [f"from {since}"] if since else []
        words += [f"before {until}"] if until else []
        said.append(f"{package} {' and '.join(words)}")
    return ", ".join(said) or "all"


def rule_json(layer: Layer, rule: OverrideRule) -> dict[str, Any]:
    """A rule as strict JSON."""
    return {
        "code": rule.code,
        "title": rule.title,
        "layer": layer.name,
        "phase": phase_of(layer, rule),
        "moment": rule.moment,
        "versions": versions_text(rule),
        "when": describe(rule.when),
        "effect": effect(rule),
        "loudness": rule.loudness.name.lower(),
        "why": rule.why,
        "hint": rule.hint,
        "evidence": [proof._asdict() for proof in rule.evidence],
        "fires": plain(rule.fires),
        "holds": plain(rule.holds),
    }


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """An example as JSON can say it."""
    from dsbridge.explaining import strict

    made: dict[str, Any] = strict(copied(dict(value)))
    return made


def rule_text(layer: Layer, rule: OverrideRule) -> list[str]:
    """A rule for people."""
    lines = [
        f"{rule.code} {rule.title}",
        f"  {effect(rule)}",
        f"  when: {describe(rule.when)}",
        f"  why: {rule.why}",
    ]
    if rule.hint:
        lines.append(f"  what to do: {rule.hint}")
    moment = next(m for m in layer.moments if m.name == rule.moment)
    lines += [
        f"  phase: {moment.phase.name.lower()}, {moment.title} ({rule.moment})",
        f"  versions: {versions_text(rule)}",
        f"  loudness: {rule.loudness.name.lower()}",
    ]
    for proof in rule.evidence:
        lines.append(
            f"  proof: {proof.package} {proof.version} {proof.file}:{proof.lines}: {proof.quote.strip()}"
        )
        lines.append(f"         recorded in {proof.recorded}")
    return [*lines, f"  fires on: {plain(rule.fires)}", f"  not on: {plain(rule.holds)}"]


def facts_used() -> dict[str, list[str]]:
    """Every fact that rules ask for, with the codes of those rules."""
    found: dict[str, list[str]] = {}
    for layer in all_layers(None):
        for rule in layer.rules:
            everything = (rule.when, rule.value, rule.writes, rule.asked, rule.refuses)
            for name in dict.fromkeys(p.args[0] for e in everything for p in parts(e) if p.op == "fact"):
                found.setdefault(name, []).append(rule.code)
    return found
