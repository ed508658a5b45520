"""Printing: findings on stderr, results on stdout; colour on a terminal only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from dsbridge.diagnostics import NOT_RENDERED, UNSUPPORTED, Diagnostic, Severity

COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text for people, json for programs.",
)


def tell(diagnostics: Iterable[Diagnostic]) -> None:
    """Print findings to stderr. What is not rendered for one and the same reason is one paragraph."""
    for text, finding in _paragraphs(list(diagnostics)):
        click.echo(_coloured(text, finding), err=True)


def print_json(value: Any) -> None:
    """Strict JSON to stdout, alone."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def _paragraphs(diagnostics: list[Diagnostic]) -> Iterable[tuple[str, Diagnostic]]:
    groups: dict[object, list[Diagnostic]] = {}
    for finding in diagnostics:
        alone = finding.code != UNSUPPORTED.code
        groups.setdefault(finding if alone else _reason(finding), []).append(finding)
    for group in groups.values():
        yield (group[0].to_text() if len(group) == 1 else _together(group)), group[0]


def _reason(finding: Diagnostic) -> str:
    return finding.message.partition(NOT_RENDERED)[2]


def _together(group: list[Diagnostic]) -> str:
    first = group[0]
    head = f"{first.file}: " if first.file else ""
    lines = [
        f"{head}{first.severity.value} {first.code} {first.name}: "
        f"{len(group)} settings are not rendered: {_reason(first)}"
    ]
    for finding in group:
        setting = finding.message.partition(NOT_RENDERED)[0].strip("`")
        place = f"line {finding.line}: " if finding.line else ""
        lines.append(f"    {place}{setting}" + (f"  ({finding.hint})" if finding.hint else ""))
    return "\n".join(lines)


def painted(word: str, severity: Severity, *, err: bool = False) -> str:
    """A word in its severity's colour: on a terminal, unless NO_COLOR says otherwise."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return word
    return click.style(word, fg=COLOURS[severity], bold=True)


def _coloured(text: str, finding: Diagnostic) -> str:
    word = finding.severity.value
    seen = painted(word, finding.severity, err=True)
    return text.replace(f"{word} {finding.code}", f"{seen} {finding.code}", 1)
