"""Guides that people copy from: every mistake in them is found, and what is right is not called wrong.

The documents are other people's, so they are not in this repository: DSBRIDGE_SEEDS names their folder. What
is to be found stands line by line in tests/cases/seeds/: `line:column severity CODE key`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsbridge.checking.running import check_units
from dsbridge.checking.units import units_of
from dsbridge.reading import Files
from tests.conftest import ROOT

EXPECTED = sorted((ROOT / "tests" / "cases" / "seeds").glob("*.findings"))
SEEDS = os.environ.get("DSBRIDGE_SEEDS", "")


def findings(path: Path) -> list[str]:
    """What check says of a document, in the form of the expected lines."""
    units, _ = units_of(Files(path.parent), [path.name])
    return [
        f"{d.line}:{d.column} {d.severity.value} {d.code} {d.key or '-'}" for d in check_units(units).findings
    ]


@pytest.mark.skipif(not SEEDS, reason="DSBRIDGE_SEEDS does not name the documents")
@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.stem)
def test_the_mistakes_of_a_guide_are_found(expected: Path) -> None:
    wanted = expected.read_text(encoding="utf-8").splitlines()
    assert findings(Path(SEEDS) / f"{expected.stem}.txt") == [line for line in wanted if line[:1] != "#"]


def test_there_are_findings_to_compare_with() -> None:
    assert len(EXPECTED) == 4


if __name__ == "__main__":
    for expected in EXPECTED:
        print(expected.name, *findings(Path(SEEDS) / f"{expected.stem}.txt"), sep="\n")
