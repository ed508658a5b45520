"""Truth by experiment: what real DeepSpeedConfig accepts, refuses and never reads is what dsbridge says.

The recordings are written by `python -m conformance.ds_configs` alone; `.score` prints what differs.
"""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from conformance.ds_configs.cases import FOLDER, OWN, generated, own
from conformance.ds_configs.score import VERSIONS, check, predicted
from conformance.oracle.case import read_lines
from dsbridge.deepspeed.known import harvested

CORPUS = os.environ.get("DSBRIDGE_CORPUS", "")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_config_is_judged_as_the_real_package_treats_it(version: str) -> None:
    wrong = check(version, CORPUS)
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_enough_configs_are_recorded_and_none_is_broken(version: str) -> None:
    rows = list(read_lines(FOLDER / f"deepspeed-{version}.jsonl"))
    assert {row["id"] for row in read_lines(OWN)} <= {row["id"] for row in rows}
    outcomes = Counter(row["outcome"] for row in rows)
    assert set(outcomes) == {"accepted", "refused"}
    assert min(outcomes.values()) >= 90
    assert len({row["sha256"] for row in rows if "sha256" in row}) >= 150
    assert sum(bool(row.get("ignored")) for row in rows) >= 60


@pytest.mark.parametrize("version", harvested())
def test_in_every_release_explain_refuses_what_judge_refuses(version: str) -> None:
    start = harvested().index(version) % 5  # each fifth config, others in the next release
    for case in own()[start::5]:
        found, findings = predicted(case.text, version)
        told = {".".join(finding.path) for finding in findings if finding.refused}
        assert not told or found.outcome == "refused", (case.id, told)
        stop = found.result.refused
        if stop is not None and stop.type == "ValidationError" and "." in stop.fields[0]:
            assert told >= {*stop.fields}, (case.id, stop.fields)


def test_the_recorded_configs_are_those_that_the_seed_gives() -> None:
    assert [(row["id"], row["config"]) for row in read_lines(OWN)] == list(generated())
