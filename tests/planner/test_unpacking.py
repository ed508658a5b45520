"""What GPTQ's layers unpack, against what was counted in those of auto-gptq."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsbridge.planner import unpacking
from dsbridge.planner.candidate import FULL, NONE, Candidate
from dsbridge.planner.job import Lora
from tests.conftest import ROOT
from tests.planner.jobs import job

RECORDED = json.loads(
    (ROOT / "tests" / "recorded" / "planner" / "unpacked-auto-gptq.json").read_text(encoding="utf-8")
)
SIZES = [inputs * outputs for inputs, outputs in RECORDED["stack"]]
# zeros and scales of groups of 128, and hidden states of one token
SMALL = 0.01


def most(row: dict[str, Any]) -> int:
    """Bytes a weight while it is unpacked: without desc_act, and with it."""
    return unpacking.MOST[f"gptq-{row['bits']}bit"][row["kernel"] == "qlinear_cuda"]


@pytest.mark.parametrize("name", RECORDED["matrix"])
def test_bytes_of_a_matrix(name: str) -> None:
    kernel, bits = name.split(", ")
    seen, row = RECORDED["matrix"][name], {"kernel": kernel, "bits": int(bits.split()[0])}
    assert seen["kept"] == unpacking.RESULT
    assert seen["most"] == pytest.approx(most(row), abs=0.03)


@pytest.mark.parametrize(
    "row",
    RECORDED["rows"],
    ids=lambda row: f"{row['kernel']}-{row['bits']}-{row['layers']}-{row['checkpointing']}",
)
def test_bytes_of_a_pass(row: dict[str, Any]) -> None:
    """Checkpointed, one layer at a time is unpacked; else each is kept, the last one's peak on top."""
    before = 0 if row["checkpointing"] != "none" else (row["layers"] - 1) * unpacking.RESULT * sum(SIZES)
    assert row["bytes"] == pytest.approx(before + unpacking.peak(SIZES, most(row)), rel=SMALL)


def test_a_layer_or_all_of_them() -> None:
    gptq = job(method=Lora(), scheme="gptq-4bit", per_node=1)
    layer = 4096 * (4096 + 1024 + 1024 + 4096 + 3 * 14336)
    again = unpacking.unpacked(gptq, Candidate(2, checkpointing=FULL))
    assert again.loss == ()
    assert (again.turn[0].least, again.turn[0].bytes) == (2 * layer, 2 * layer + 3 * 4096 * 14336)
    assert again.back == again.turn
    kept = unpacking.unpacked(gptq, Candidate(2, checkpointing=NONE))
    some = unpacking.unpacked(gptq, Candidate(2, checkpointing="every 2"))
    assert [term.bytes for term in some.turn] == [32 * layer]  # the last of 32 does not run again
    assert some.back == again.back
    last = unpacking.unpacked(gptq, Candidate(2, checkpointing="every 31"))
    assert [term.bytes for term in last.turn] == [60 * layer, again.turn[0].bytes]
    assert [kept.loss[0].bytes, kept.turn[0].bytes, kept.back[0].bytes] == [64 * layer, 64 * layer, 2 * layer]
