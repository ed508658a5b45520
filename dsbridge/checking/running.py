"""The check pass: every check looks at every unit; what two of them say of one place is said once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from dsbridge.checking.catalogue import all_checks
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.explaining import REFUSED
from dsbridge.plugins import Registry, registry
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.unit import Unit

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Report(NamedTuple):
    """What was found. units: names of what was checked; skipped: files that nobody recognised."""

    units: tuple[str, ...]
    findings: tuple[Diagnostic, ...]
    skipped: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings have it."""
        return sum(finding.severity is severity for finding in self.findings)


def check_units(
    units: Iterable[Unit], known: Registry | None = None, checks: Sequence[Check] | None = None
) -> Report:
    """Check each unit by itself. checks: all, unless given.

    Raises:
        InputError: the one unit that there is cannot be read; one of several is told as a finding.
    """
    units = list(units)
    known = known or registry()
    chosen = all_checks(known) if checks is None else checks
    names: list[str] = []
    found: list[Diagnostic] = []
    for unit in units:
        names.append(unit.name)
        found += findings_of(unit, known, chosen, alone=len(units) == 1)
    return Report(tuple(dict.fromkeys(names)), tuple(sorted(dict.fromkeys(found), key=_key)))


def findings_of(
    unit: Unit, known: Registry, checks: Sequence[Check], *, alone: bool = False
) -> list[Diagnostic]:
    """Everything that is to be said of one unit, each mistake once. alone: there is no other."""
    subject = Subject(unit, known)
    if subject.input is None and subject.failure is not None:
        if unit.guide or unit.words:
            return []  # a guide or a script leaves out much that a run needs
        if alone:
            raise subject.failure
        return [unit.placed(d) for d in subject.failure.diagnostics]
    found = [*subject.told]
    explained: set[str] = set()
    for check in checks:
        told = list(check.run(subject))
        explained.update(check.explains if told else ())
        found += told
    found = [finding for finding in found if _rule(finding) not in explained]
    return list(_once([unit.placed(finding) for finding in found]))


def _rule(finding: Diagnostic) -> str:
    """The rule behind a refusal."""
    return finding.message.rpartition("(")[2].rstrip(")") if finding.code == REFUSED.code else ""


def _once(found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """Without what another finding says better of the same key: a bare refusal beside a check, and a general
    check beside one of its own for that mistake; never a graver one beside a lighter."""
    beside: dict[object, list[Diagnostic]] = {}
    for finding in dict.fromkeys(found):
        beside.setdefault(_same(finding), []).append(finding)
    for several in beside.values():
        for finding in several:
            grave, rank = _ORDER[finding.severity], _rank(finding)
            if not any(_rank(other) < rank and _ORDER[other.severity] <= grave for other in several):
                yield finding


# the more general comes later
_GENERAL = ("CK200", REFUSED.code)


def _rank(finding: Diagnostic) -> int:
    return _GENERAL.index(finding.code) + 1 if finding.code in _GENERAL else 0


def _same(finding: Diagnostic) -> object:
    return (finding.file, finding.line, finding.key) if finding.key and finding.file else finding


def _key(finding: Diagnostic) -> tuple[Any, ...]:
    place = (finding.file or "", finding.line or 0, finding.column or 0)
    return (*place, _ORDER[finding.severity], finding.code, finding.message)


def run_example(example: Example, known: Registry | None = None) -> Report:
    """What `dsbridge check` says of an example."""
    from dsbridge.checking.units import units_of
    from dsbridge.reading import Files

    files = Files(memory=dict(example.files))
    command = (example.command,) if example.command else ()
    given = () if command else tuple(example.files)
    units, skipped = units_of(
        files, given, command, target=example.target, facts=example.facts, versions=example.versions
    )
    return check_units(units, known)._replace(skipped=tuple(skipped))


def to_json(report: Report, fixable: int = 0) -> dict[str, Any]:
    """The shape that the CLI contract fixes. fixable: how many findings --fix repairs."""
    return {
        "files": list(report.units),
        "diagnostics": [finding.to_json() for finding in report.findings],
        "summary": {
            **{severity.value: report.count(severity) for severity in Severity},
            "files": len(report.units),
            "skipped": len(report.skipped),
            "fixable": fixable,
        },
    }
