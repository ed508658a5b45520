"""Findings as SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dsbridge.checking.running import Report
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.reading import COMMAND
from dsbridge.subjects.contract import Check
from dsbridge.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
PAGE = "docs/reference/checks.md"
CODES_PAGE = "docs/reference/codes.md"


def sarif(report: Report, checks: Iterable[Check], codes: Mapping[str, Code]) -> dict[str, Any]:
    """One run. checks: all that there are; codes: of every diagnostic, those of reading included."""
    by_code = {check.code.code: check for check in checks}
    names = list(dict.fromkeys(sorted(by_code) + [finding.code for finding in report.findings]))
    driver = {
        "name": "dsbridge",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(name, by_code.get(name), codes.get(name), report) for name in names],
    }
    results = [_result(finding, names.index(finding.code)) for finding in report.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str, check: Check | None, code: Code | None, report: Report) -> dict[str, Any]:
    if check is None:
        found = next((finding for finding in report.findings if finding.code == name), None)
        title = code.title if code else (found.name if found else name)
        page, why, hint = f"{CODES_PAGE}#{name.lower()}", title, ""
    else:
        title, page, why, hint = check.code.title, page_of(check.code), check.why, check.hint
    rule: dict[str, Any] = {
        "id": name,
        "shortDescription": {"text": title},
        "fullDescription": {"text": f"{title} {why}" if why != title else title},
        "helpUri": home() + page,
        "help": {"text": f"{why} {hint}".strip()},
    }
    known = check.code if check else code
    if known:
        rule["name"] = "".join(word.capitalize() for word in known.name.split("-"))
        rule["defaultConfiguration"] = {"level": _LEVELS[known.severity]}
    return rule


def page_of(code: Code) -> str:
    """Where the reference tells all about a check."""
    return f"{PAGE}#{code.code.lower()}-{code.name}"


def home() -> str:
    """Where the project's files can be read; "" (so a path in the repository) while it declares no place."""
    for line in metadata.metadata("dsbridge").get_all("Project-URL") or ():
        label, _, address = str(line).partition(",")
        if label.strip().lower() in ("documentation", "source"):
            return address.strip().rstrip("/") + "/"
    return ""


def _result(finding: Diagnostic, index: int) -> dict[str, Any]:
    text = f"{finding.message} {finding.hint}".strip()
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [_location(finding)],
        "partialFingerprints": {"dsbridge/v1": _fingerprint(finding)},
    }
    if finding.fix:
        result["properties"] = {"fix": finding.fix.title}
    return result


def _location(finding: Diagnostic) -> dict[str, Any]:
    if not finding.file or finding.file == COMMAND:
        return {"logicalLocations": [{"name": finding.key or COMMAND, "kind": "member"}]}
    path = Path(finding.file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if finding.line:
        physical["region"] = {"startLine": finding.line}
        if finding.column:
            physical["region"]["startColumn"] = finding.column
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.key:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.key, "kind": "member"}]
    return location


def _fingerprint(finding: Diagnostic) -> str:
    """The same for the same mistake when lines above it come or go."""
    told = "\n".join((finding.code, finding.file or "", finding.key or finding.message))
    return sha256(told.encode()).hexdigest()[:32]
