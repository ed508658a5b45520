"""Every check keeps its word: it fires on the one example, holds on the other, and is documented."""

from __future__ import annotations

import pytest

from dsbridge.checking.catalogue import own_checks
from dsbridge.checking.running import run_example
from dsbridge.subjects.contract import Check
from tests.conftest import ROOT

CHECKS = own_checks()
PAGE = (ROOT / "docs" / "reference" / "codes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code.code)
def test_a_check_fires_and_holds(check: Check) -> None:
    fired = [d for d in run_example(check.fires).findings if d.code == check.code.code]
    assert fired, f"{check.code.code} says nothing of its own example"
    assert all(d.message and d.name == check.code.name for d in fired)
    held = [d for d in run_example(check.holds).findings if d.code == check.code.code]
    assert not held, f"{check.code.code} finds fault with what is right: {held}"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code.code)
def test_a_check_is_documented(check: Check) -> None:
    assert not check.code.flaw()
    assert all(text.endswith(".") for text in (check.why, check.hint, check.code.title))
    assert f"| {check.code.code} | {check.code.name} |" in PAGE


def test_codes_are_told_apart() -> None:
    codes = [check.code.code for check in CHECKS]
    names = [check.code.name for check in CHECKS]
    assert len(set(codes)) == len(codes)
    assert len(set(names)) == len(names)
