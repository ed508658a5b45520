"""The oracle's look-up of quotes sees what rules say, and what checks say."""

from __future__ import annotations

from conformance.oracle.quotes import proofs
from dsbridge.checking.catalogue import own_checks
from dsbridge.cli.rulepage import all_layers


def test_all_evidence_is_looked_up() -> None:
    seen = list(proofs())
    of_checks = [(check.code.code, proof) for check in own_checks() for proof in check.evidence]
    of_rules = [(r.code, proof) for layer in all_layers(None) for r in layer.rules for proof in r.evidence]
    assert of_checks
    assert sorted(seen) == sorted([*of_rules, *of_checks])
