"""Fractions that old Transformers computed."""

from __future__ import annotations

import pytest

from dsbridge.checks.fractional_buckets import CHECKS
from tests.checks.finding import found

_OLD = {"transformers": "4.44.2", "deepspeed": "0.16.2"}


@pytest.mark.parametrize(
    ("hidden", "versions", "severity"),
    [
        (4096, _OLD, "error"),
        (None, _OLD, "info"),
        (5120, _OLD, ""),
        (4096, {**_OLD, "transformers": "4.45.0"}, ""),
        (4096, {**_OLD, "deepspeed": "0.14.4"}, ""),
    ],
    ids=["a fraction", "no model", "5120 x 5120 x 0.9 is whole", "int() since 4.45", "taken before 0.15"],
)
def test_a_fraction_is_refused(hidden: int | None, versions: dict[str, str], severity: str) -> None:
    example = CHECKS[0].fires
    facts = {"model": {"hidden_size": hidden}} if hidden else {}
    told = found("CK311", example.files, example.command, facts=facts, versions=versions)
    assert [one.severity.value for one in told] == ([severity] if severity else [])
