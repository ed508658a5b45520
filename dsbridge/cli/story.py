"""An explanation in words: a table by what became of each field, and one field's story in full."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from dsbridge.explaining import Explanation, defaults, strict
from dsbridge.inputs import place_text
from dsbridge.rules import Step
from dsbridge.stories import DEFAULT, Story
from dsbridge.values import UNSET, Unknown

# Worst first: what a user must not miss.
GROUPS = {
    "refused": "refused: at fault for the error above",
    "overwritten": "overwritten: not what you wrote",
    "ignored": "ignored: written, but without effect",
    "unresolved": "unresolved: depends on what is not known yet",
    "filled": "filled: left to the framework",
    "forced": "forced: added by the framework",
    "kept": "kept as written",
    DEFAULT: "DeepSpeed's own defaults",
}
COLOURS = {"refused": "red", "overwritten": "red", "ignored": "yellow", "unresolved": "yellow"}


def table(found: Explanation, *, everything: bool = False) -> list[str]:
    """The whole explanation, group by group."""
    stories = [*found.fields, *(defaults(found) if everything else ())]
    lines = [_head(found), *_outcome(found)]
    for status, title in GROUPS.items():
        group = [story for story in stories if story.status == status]
        if group:
            lines += ["", paint(title, COLOURS.get(status)), *_rows(group)]
    return [*lines, *_batch(found)]


def field_story(found: Explanation, path: str) -> list[str]:
    """One field, from where it was written to what the engine has."""
    wanted = path.removeprefix("ds.")
    stories = [*found.fields, *defaults(found)]
    chosen = [story for story in stories if story.path == wanted or story.path.startswith(f"{wanted}.")]
    if not chosen:
        return [f"{wanted}: not in the effective config, and nobody asked for it"]
    lines = []
    for story in chosen:
        lines += [f"{story.path} = {show(story.value)}  ({story.status})"]
        asked = "nothing" if story.requested is UNSET else show(story.requested)
        place = place_text(story.source)
        lines.append(f"  asked: {asked}" + (f", at {place}" if place else ""))
        for step in story.steps:
            lines += _step(step)
        lines.append("")
    return lines[:-1]


def _step(step: Step) -> list[str]:
    rule = step.rule
    change = f"{show(step.before)} -> {show(step.after)}"
    lines = [f"  {step.phase.name.lower():8} {rule.code} ({rule.loudness.name.lower()}) {change}"]
    lines.append(f"           {rule.title}: {rule.why}")
    for proof in rule.evidence[:1]:
        place = f"{proof.package} {proof.version} {proof.file}:{proof.lines}"
        lines.append(f"           {place}: {proof.quote.strip()}")
    return [*lines, f"           {rule.hint}"] if rule.hint else lines


def show(value: Any) -> str:
    """The value as JSON would say it, short."""
    if value is UNSET:
        return "-"
    if isinstance(value, Unknown):
        return f"? ({', '.join(sorted(value.needs))})"
    text = json.dumps(strict(value), ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _head(found: Explanation) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    ranks = found.facts.get("world_size")
    return f"{found.input.framework.title}, {ranks or 'an unknown number of'} ranks ({versions})"


def _outcome(found: Explanation) -> list[str]:
    if found.error is None:
        return []
    assert found.result.refused is not None
    rule = found.result.refused.rule
    message = found.error["message"].replace("\n", "\n  ")
    return [
        "",
        paint(f"stops with {found.error['type']} ({rule.code})", "red"),
        f"  {message}",
        f"  at fault: {', '.join(found.error['fields'])}",
        f"  why: {rule.why}",
        *([f"  what to do: {rule.hint}"] if rule.hint else []),
    ]


def _rows(stories: Sequence[Story]) -> Iterable[str]:
    cells = []
    for story in stories:
        change = show(story.value)
        if story.status == "refused":
            change = show(story.requested if story.value is UNSET else story.value)
        elif story.status not in ("kept", DEFAULT, "forced"):
            asked = f"{show(story.requested)} -> " if story.requested is not UNSET else ""
            change = f"{asked}{show(story.value)}"
        steps = " ".join(dict.fromkeys(step.rule.code for step in story.steps))
        cells.append((story.path, change, place_text(story.source), steps))
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        yield ("  " + "  ".join(padded)).rstrip()


def _batch(found: Explanation) -> list[str]:
    batch = found.batch
    if not any(value is not None for value in batch.values()):
        return []
    words = f"micro batch {_number(batch['micro_per_gpu'])} x accumulation {_number(batch['accumulation'])}"
    words += f" x data parallel {_number(batch['data_parallel'])}"
    line = f"batch: {words} = {_number(batch['global'])} samples a step"
    reported = batch["reported_by_deepspeed"]
    if reported is not None and batch["global"] is not None and reported != batch["global"]:
        line += f"; DeepSpeed reports {reported}, counting ranks that share their samples"
    return ["", line]


def _number(value: Any) -> str:
    return "?" if value is None else str(value)


def paint(text: str, colour: str | None) -> str:
    """The text in a colour, on a terminal."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour, bold=True)
