"""Which layouts are looked at, and what is said of those that cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.planner import model_shape
from dsbridge.planner.candidates import OPEN, Wanted, room
from dsbridge.planner.cluster import Cluster, Gpu, Link
from dsbridge.planner.errors import PlanError
from dsbridge.planner.job import Job
from dsbridge.planner.tuning import Lora

GPU = Gpu("h100-80gb", 85_000_000_000, 989e12, 794e12)
LINK = Link("any", 50e9)
LLAMA = model_shape("meta-llama/Llama-3.1-8B")
QWEN = model_shape("Qwen/Qwen2.5-7B")


def job(nodes: int = 1, per_node: int = 8, **other: object) -> Job:
    cluster = Cluster(nodes, per_node, GPU, LINK, LINK, LINK)
    return Job(LLAMA, cluster)._replace(**other)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    nodes=st.sampled_from([1, 2, 4]),
    per_node=st.sampled_from([1, 2, 4, 8]),
    batch=st.sampled_from([32, 48, 64, 96]),
    method=st.sampled_from([None, Lora()]),
)
def test_every_candidate_trains_the_global_batch(
    nodes: int, per_node: int, batch: int, method: Lora | None
) -> None:
    wanted = job(nodes, per_node, global_batch=batch, method=method)
    world = nodes * per_node
    for one in room(wanted).candidates:
        assert one.micro * one.accumulation * one.replicas(world) == batch
        assert one.stage < 3 or one.tp == 1
        assert one.stage == 3 or not one.offload_param
        assert one.tp == 1 or method is None


@pytest.mark.parametrize(
    ("asked", "wanted", "problem", "hint"),
    [
        (job(sequence=0), OPEN, "sequence length of 0", "2048"),
        (job(global_batch=0), OPEN, "global batch of 0", "32"),
        (job(per_node=0), OPEN, "number of GPUs of 0", "1 or more"),
        (job(), Wanted(tp=3), "tp 3 cannot be trained: 8 GPUs", "leave it out"),
        (job(per_node=6, global_batch=36), Wanted(tp=3), "32 attention heads do not divide by 3", "plan"),
        (job(shape=QWEN), Wanted(tp=8), "28 attention heads do not divide by 8; 1, 2, 4, 7 would", "plan"),
        (job(method=Lora()), Wanted(tp=2), "LoRA", "plan"),
        (job(), Wanted(tp=2, stage=3), "AutoTP is for stages 0 to 2", "decide less"),
        (job(), Wanted(stage=1, offload_param="cpu", offload_optimizer="cpu"), "stage 3 alone", "less"),
        (job(), Wanted(ulysses=3), "8 GPUs do not divide into groups of 3", "plan"),
        (job(sequence=1001), Wanted(ulysses=2), "1001 tokens does not divide by 2", "plan"),
        (job(global_batch=64), Wanted(micro=3), "a micro batch of 3 does not divide", "less"),
        (job(), Wanted(tp=16), "tp 16 needs more than 8 GPUs", "more GPUs"),
        (job(deepspeed=(0, 16, 2)), Wanted(tp=2), "0.16.4", "leave"),
        (job(deepspeed=(0, 16, 9)), Wanted(ulysses=2), "0.17.0", "leave"),
        (job(dtype="bfloat16")._replace(cluster=Cluster(1, 8, GPU._replace(bf16=False), LINK, LINK, LINK)),
         OPEN, "has no bf16", "fp16"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_with_what_would(
    asked: Job, wanted: Wanted, problem: str, hint: str
) -> None:
    with pytest.raises(PlanError) as error:
        room(asked, wanted)
    assert problem in str(error.value)
    assert hint in error.value.hint


def test_what_is_decided_is_all_that_is_looked_at() -> None:
    found = room(job(), Wanted(stage=2, tp=2, ulysses=1, micro=1, checkpointing="none", offload_optimizer=""))
    assert len(found.candidates) == 1


def test_disks_are_used_where_there_are_some() -> None:
    assert not any(one.offload_optimizer == "nvme" for one in room(job()).candidates)
    assert any(one.offload_param == "nvme" for one in room(job(), Wanted(disk=True)).candidates)


def test_kv_heads_and_unmeasured_models_are_ruled_out_with_the_reason() -> None:
    tied = room(job(shape=QWEN))  # 28 heads, 4 of keys and values
    assert {one.tp for one in tied.candidates} == {1, 2, 4}
    assert any("28 attention heads" in ruled.why for ruled in tied.ruled_out)
    mixture = room(job(shape=model_shape("Mixtral-8x7B-v0.1")))
    assert {one.tp for one in mixture.candidates} == {1}
    assert any("mixture of experts" in ruled.why for ruled in mixture.ruled_out)


def test_a_global_batch_that_not_all_ranks_can_share_is_told() -> None:
    found = room(job(global_batch=12))
    assert not any(one.tp == one.ulysses == 1 for one in found.candidates)
    assert any("12 does not divide by 8 data-parallel ranks; 8 would" in one.why for one in found.ruled_out)
