"""Every file of the corpus of real configs, where DSBRIDGE_CORPUS names its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tools.corpus import PAGE, page, rows
from tools.precision import DATA, counts, everything, section

CORPUS = os.environ.get("DSBRIDGE_CORPUS", "")


DATA_ = json.loads(DATA.read_text(encoding="utf-8"))


def test_the_page_tells_what_was_read_by_hand() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(section(DATA_)) in text, "run python -m tools.corpus FOLDER"
    assert "false alarm" in text


def test_every_finding_of_a_sample_has_a_verdict_and_a_reason() -> None:
    for sample in DATA_["samples"]:
        for finding in sample["findings"]:
            assert finding["verdict"] in ("true", "false"), finding
            assert len(finding["reason"]) > 10, finding


def test_the_last_sample_is_precise_enough() -> None:
    """No error is a false alarm, and of warnings less than 3 of 100."""
    last = [sample for sample in DATA_["samples"] if sample["name"] != "notes"][-1]
    assert len(last["findings"]) == 100
    by_severity = {
        severity: [one["verdict"] for one in last["findings"] if one["severity"] == severity]
        for severity in ("error", "warning")
    }
    assert by_severity["error"].count("false") == 0
    warnings = by_severity["warning"]
    assert warnings.count("false") < 0.03 * len(warnings)


@pytest.mark.skipif(not CORPUS, reason="the corpus is other people's files: DSBRIDGE_CORPUS names its folder")
def test_check_finds_what_the_page_counts() -> None:
    assert counts(everything(Path(CORPUS))) == DATA_["counts"], (
        "run python -m tools.precision FOLDER --recount"
    )


@pytest.mark.skipif(not CORPUS, reason="the corpus is other people's files: DSBRIDGE_CORPUS names its folder")
def test_every_file_is_parsed_or_refused_and_none_trains_something_else() -> None:
    found = list(rows(Path(CORPUS)))
    assert not [row for row in found if row.outcome == "differs"]
    assert page(found) == PAGE.read_text(encoding="utf-8"), "run python -m tools.corpus FOLDER"
