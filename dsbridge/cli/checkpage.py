"""A check in words and as JSON: for `dsbridge rule CODE` and the reference page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsbridge.cli.rulepage import plain
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example

PAINS = "docs/reference/pains.md"


def check_json(check: Check) -> dict[str, Any]:
    """A check as strict JSON."""
    return {
        "code": check.code.code,
        "name": check.code.name,
        "severity": check.code.severity.value,
        "title": check.code.title,
        "why": check.why,
        "hint": check.hint,
        "fires": example_json(check.fires),
        "prints": printed(check),
        "holds": example_json(check.holds),
        "fix": fix_of(check),
        "evidence": [proof._asdict() for proof in check.evidence],
        "pains": list(check.pains),
    }


def example_json(example: Example) -> dict[str, Any]:
    """An example: its files, and the command if there is one."""
    return {
        "files": dict(example.files),
        "command": example.command,
        "target": example.target,
        "facts": plain(example.facts),
        "versions": dict(example.versions),
    }


def printed(check: Check) -> str:
    """What `dsbridge check` says of the example, as far as it is this check's."""
    from dsbridge.checking.running import run_example

    found = run_example(check.fires).findings
    return "\n".join(finding.to_text() for finding in found if finding.code == check.code.code)


def fix_of(check: Check) -> str:
    """What its repair of the example does; "" if it has none."""
    from dsbridge.checking.running import run_example

    found = run_example(check.fires).findings
    return next((f.fix.title for f in found if f.code == check.code.code and f.fix), "")


def arguments(example: Example) -> str:
    """What stands behind `dsbridge check` for an example."""
    words = [f"--target {example.target}"] if example.target else []
    words += [f"--fact {name}={value}" for name, value in example.facts.items()]
    if example.versions:
        words.append("--versions " + ",".join(f"{name}={value}" for name, value in example.versions.items()))
    words.append(f"-- {example.command}" if example.command else " ".join(example.files))
    return " ".join(words)


def check_text(check: Check) -> list[str]:
    """A check for people."""
    lines = [
        f"{check.code.code} {check.code.name} ({check.code.severity.value})",
        f"  {check.code.title}",
        f"  why it is bad: {check.why}",
        f"  what to do: {check.hint}",
        "",
        "fires on:",
        *_shown(check.fires),
        "",
        "and prints:",
        *(f"  {line}" for line in printed(check).splitlines()),
        "",
        "not on:",
        *_shown(check.holds),
    ]
    if fix := fix_of(check):
        lines += ["", f"--fix: {fix}"]
    lines += ["", *map(_proof, check.evidence)] if check.evidence else []
    if check.pains:
        lines += ["", f"pains ({PAINS}): {', '.join(map(str, check.pains))}"]
    return lines


def _shown(example: Example) -> Iterator[str]:
    yield f"  dsbridge check {arguments(example)}"
    for name, text in example.files.items():
        yield f"  {name}:"
        yield from (f"    {line}" for line in text.rstrip("\n").splitlines())


def _proof(proof: Evidence) -> str:
    seen = f"; recorded in {proof.recorded}" if proof.recorded else ""
    return f"proof: {proof.package} {proof.version} {proof.file}:{proof.lines}: {proof.quote.strip()}{seen}"
