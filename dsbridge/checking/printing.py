"""Findings for people, and as GitHub's workflow commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from dsbridge.checking.running import Report
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.reading import COMMAND

_NOUNS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_ASKED = "CK7"  # the answers of --resume, which was asked
_COMMAND_UNIT = "the command"  # `Unit.name` of one
Paint = Callable[[str, Severity], str]


def plain(text: str, _: Severity) -> str:
    """No colour."""
    return text


def shown(findings: Iterable[Diagnostic], *, everything: bool) -> list[Diagnostic]:
    """Notes only where everything is asked for."""
    return [
        finding
        for finding in findings
        if everything or finding.severity is not Severity.INFO or finding.code.startswith(_ASKED)
    ]


def text_lines(
    report: Report,
    *,
    everything: bool = False,
    paint: Paint = plain,
    fixable: Callable[[Diagnostic], bool] = lambda finding: False,
) -> Iterator[str]:
    """One paragraph a file, and the count."""
    for _, group in groupby(shown(report.findings, everything=everything), lambda finding: finding.file):
        for finding in group:
            yield _told(finding, paint, fixable(finding))
        yield ""
    yield summary(report, sum(map(fixable, report.findings)), everything=everything)


def _told(finding: Diagnostic, paint: Paint, applicable: bool) -> str:
    word = finding.severity.value
    text = finding.to_text().replace(
        f"{word} {finding.code}", f"{paint(word, finding.severity)} {finding.code}", 1
    )
    if finding.fix is None:
        return text
    return f"{text}\n    {'fix with --fix' if applicable else 'fix by hand'}: {finding.fix.title}"


def repair_lines(fixed: Iterable[Diagnostic], failed: Iterable[tuple[Diagnostic, str]]) -> Iterator[str]:
    """What --fix did, and what it could not do."""
    said = False
    for finding in fixed:
        said = True
        yield f"fixed {finding.file}: {_title(finding)} ({finding.code} {finding.name})"
    for finding, reason in failed:
        said = True
        yield f"not fixed: {_title(finding)} ({finding.code} {finding.name}): {reason}"
    if said:
        yield ""


def _title(finding: Diagnostic) -> str:
    return finding.fix.title if finding.fix else finding.name


def summary(report: Report, fixable: int = 0, *, everything: bool = True) -> str:
    """`2 errors, 1 warning, 3 notes in 4 files; 2 can be fixed with --fix`."""
    counts = [(report.count(severity), noun) for severity, noun in _NOUNS.items()]
    said = ", ".join(_number(count, noun) for count, noun in counts if count)
    units = _where(report.units)
    text = f"{said} in {units}" if said else f"no mistakes found in {units}"
    if report.skipped:
        text += f"; {_number(len(report.skipped), 'file')} that nobody recognises"
    if fixable:
        text += f"; {fixable} can be fixed with --fix"
    hidden = len(report.findings) - len(shown(report.findings, everything=everything))
    return f"{text}; --all shows the notes" if hidden else text


def _where(units: Iterable[str]) -> str:
    """The files of all units, each once; a unit may be several files, or a place in one."""
    names = {part.partition(":")[0] for unit in units for part in unit.split(", ")}
    files = names - {_COMMAND_UNIT, COMMAND}
    said = _number(len(files), "file") if files or not names else ""
    return " and ".join(word for word in (said, "the command" if names - files else "") if word)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def github_lines(report: Report, *, everything: bool = False) -> Iterator[str]:
    """`::error file=...,line=...,col=...,title=...::message`, which GitHub shows beside the line."""
    for finding in shown(report.findings, everything=everything):
        place = {} if finding.file in (None, COMMAND) else {"file": finding.file, "line": finding.line}
        if place.get("line"):
            place["col"] = finding.column
        place["title"] = f"{finding.code} {finding.name}"
        words = ",".join(f"{name}={_escaped(str(value))}" for name, value in place.items() if value)
        text = f"{finding.message}\n{finding.hint}" if finding.hint else finding.message
        yield f"::{_COMMANDS[finding.severity]} {words}::{_data(text)}"


def _data(text: str) -> str:
    """As GitHub's own toolkit escapes a message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped(text: str) -> str:
    """As it escapes the value of a property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
