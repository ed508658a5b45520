"""Packed weights of bitsandbytes: what engines held and moved of them, and what is said of such a job."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dsbridge.planner.candidate import CPU, FULL, NONE, NOWHERE, NVME, Candidate
from dsbridge.planner.candidates import Wanted, room
from dsbridge.planner.communication import communication
from dsbridge.planner.gathered import gathered, keeps
from dsbridge.planner.job import Job
from dsbridge.planner.model_memory import placed
from dsbridge.planner.quantised import quantised
from dsbridge.planner.states import BETWEEN, BYTES, sharded
from dsbridge.planner.tuning import Lora
from tests.planner.jobs import job
from tests.planner.measured import ENVIRONMENTS, layout, of_rank, rows
from tests.planner.test_communication import of_row
from tests.planner.test_traffic import play, scheme_of, shape_of

ROWS = [
    pytest.param(row, id=f"{env}-{row['id']}")
    for env in ENVIRONMENTS
    for row in rows(env)
    if "quantised" in row["case"] and "seen" in row
]
FOUR = [param for param in ROWS if scheme_of(param.values[0]) != "int8"]  # type: ignore[arg-type]
BYTEWISE = [param for param in FOUR if "-z3-uint8-" in str(param.id)]


def test_there_are_recordings() -> None:
    assert len(FOUR) > 50
    assert len(BYTEWISE) > 10
    assert len(ROWS) > len(FOUR)


def size(held: dict[str, int]) -> int:
    return sum(BYTES[dtype] * elements for dtype, elements in held.items())


@pytest.mark.parametrize("row", FOUR)
def test_scales_are_whole_on_each_rank(row: dict[str, Any]) -> None:
    wanted = quantised(shape_of(row), scheme_of(row)).scales
    for moment in row["seen"]["held"].values():
        if "scales" in moment:
            assert size(of_rank(moment, 0)["scales"]) == wanted
    assert size(of_rank(row["seen"]["held"][BETWEEN], 0)["scales"]) == wanted


@pytest.mark.parametrize("row", [param for param in FOUR if "uint8" not in str(param.id)])
def test_the_parts_of_a_job_add_up_to_what_a_rank_held(row: dict[str, Any]) -> None:
    wanted, candidate = of_row(row)
    seen = of_rank(row["seen"]["held"][BETWEEN], 0)
    parts = Counter[str]()
    for term in placed(wanted, candidate)[BETWEEN].gpu:
        parts[term.part] += int(term.bytes)
    assert parts["parameters"] + parts["quantised weights"] == size(seen["parameters"])
    assert parts["scales of quantised weights"] == size(seen["scales"])


@pytest.mark.parametrize("row", BYTEWISE)
def test_what_autograd_keeps_of_gathered_weights(row: dict[str, Any]) -> None:
    """All of them but where a checkpoint is reentrant; not those of the first layer that pass nothing on."""
    case, told = row["case"], layout(row)
    seen = of_rank(row["seen"]["held"]["after forward"], 0)
    found = Counter(dict.fromkeys(told.packed, 0))
    for kind, times in seen["other_tensors"].items():
        dtype, _, elements = kind.partition(":")
        if dtype == "uint8" and int(elements) in found:
            found[int(elements)] += times
    alive = sum(n * times for n, times in found.items()) + seen.get("gathered", {}).get("uint8", 0)
    whole = told.ranks * sharded(told.packed, told.ranks)
    if case.get("reentrant"):
        assert alive == play(row).packed_turning
    elif case.get("checkpointing"):
        assert alive == whole
    else:
        queries_keys_values = sum(n for n in told.packed[:3] if n > told.persistence)
        assert alive == whole - queries_keys_values


@pytest.mark.parametrize("row", FOUR)
def test_the_loss_is_that_of_stage_0(row: dict[str, Any]) -> None:
    """So what was gathered is what was split."""
    case = row["case"]
    if case["world"] == 2 and case["g"] == 1 and case["quantised"].get("double", True):
        same = next(one for one in rows(row["env"]) if one["id"] == "llama-nf4-z0-uint8-g1-w2")
        assert row["seen"]["losses"] == pytest.approx(same["seen"]["losses"], abs=0.011)


def test_of_8_bits_a_whole_copy_stays_beside_what_is_split() -> None:
    for env in ("hf", "llamafactory"):
        row = next(one for one in rows(env) if one["id"] == "llama-int8-z3-w2")
        seen, packed = of_rank(row["seen"]["held"][BETWEEN], 0), sum(layout(row).packed)
        assert seen["parameters"]["int8"] == packed // 2
        assert seen["scales"]["int8"] == packed


def test_stage_3_is_a_choice_for_4_bits_alone() -> None:
    stages = {candidate.stage for candidate in room(qlora(per_node=8)).candidates}
    assert stages == {0, 1, 2, 3}
    for scheme, why in (("int8", "whole copy"), ("gptq-4bit", "not measured")):
        found = room(qlora(per_node=8)._replace(scheme=scheme))
        assert {candidate.stage for candidate in found.candidates} == {0, 1, 2}
        assert any(one.what == "stage 3" and why in one.why for one in found.ruled_out)


def test_packed_weights_are_not_put_on_a_disk() -> None:
    found = room(qlora(per_node=8), Wanted(stage=3, disk=True)).candidates
    assert {candidate.offload_param for candidate in found} == {NOWHERE, CPU}
    assert {candidate.offload_optimizer for candidate in found} >= {NVME}


def qlora(**changed: Any) -> Job:
    return job(method=Lora(), scheme="nf4", **changed)


def test_stage_3_holds_a_share_and_moves_the_rest() -> None:
    two, three = (
        {term.part: term.bytes for term in placed(qlora(per_node=8), Candidate(stage))[BETWEEN].gpu}
        for stage in (2, 3)
    )
    assert three["quantised weights"] == pytest.approx(two["quantised weights"] / 8, rel=1e-3)
    assert three["scales of quantised weights"] == two["scales of quantised weights"]
    moved = communication(qlora(per_node=8), Candidate(3))
    assert not moved.unmeasured
    assert moved.elements["dp", "all_gather", "bfloat16"] * 2 > two["quantised weights"]


def test_all_packed_weights_are_whole_when_the_backward_pass_begins_without_checkpointing() -> None:
    some = qlora(per_node=8)
    assert keeps(some, Candidate(3, checkpointing=NONE))
    assert not keeps(some, Candidate(3, checkpointing=FULL))
    assert keeps(some._replace(reentrant=False), Candidate(3, checkpointing=FULL))
    whole = quantised(some.shape, "nf4").weights
    assert gathered(some, Candidate(3, checkpointing=NONE)).turning.bytes >= whole
