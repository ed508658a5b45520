"""Which stages read which key, as runs of the real engine showed."""

from __future__ import annotations

import json

import pytest

from dsbridge.deepspeed.layer import VERIFIED
from dsbridge.deepspeed.zero_reads import default_of, stages_reading
from tools.merge_zero_reads import READS, RECORDED, zero_reads


def test_the_table_is_what_the_runs_gave() -> None:
    assert json.loads(READS.read_text()) == zero_reads()


@pytest.mark.parametrize("version", VERIFIED)
def test_every_version_was_run(version: str) -> None:
    recorded = json.loads((RECORDED / f"{version}.json").read_text())
    assert recorded["deepspeed"] == version
    assert sorted(recorded["reads"]) == ["0", "1", "2", "3"]
    assert "sub_group_size" in recorded["reads"]["3"]
    assert "sub_group_size" not in recorded["reads"]["2"]


@pytest.mark.parametrize("version", ["0.14.0", "0.16.2", "0.16.5", "0.19.8", "0.21.0"])
def test_versions_between_and_beyond_have_an_answer(version: str) -> None:
    assert stages_reading("stage3_max_live_parameters", version) == (3,)
    assert stages_reading("round_robin_gradients", version) == (1, 2)
    assert stages_reading("reduce_bucket_size", version) == (1, 2, 3)


def test_what_no_run_read_has_no_stages() -> None:
    assert stages_reading("allgather_partitions", "0.19.8") is None
    assert default_of("reduce_bucket_size") == 500_000_000
