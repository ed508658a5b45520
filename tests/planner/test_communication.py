"""From a job and a layout to collectives: exact against engines, and on the wires as the links have it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.planner import model_shape
from dsbridge.planner.candidate import CPU, NVME, Candidate, Knobs, every
from dsbridge.planner.communication import DP, HPZ, QUANTISED, TP, ULYSSES, communication
from dsbridge.planner.hardware import cluster
from dsbridge.planner.job import Job
from dsbridge.planner.terms import Communication
from dsbridge.planner.tuning import ALL_LINEAR, Lora
from dsbridge.planner.wires import Group, sent
from tests.planner.measured import MEASURED, release, rows
from tests.planner.test_traffic import comparable, counted, scheme_of, shape_of

LLAMA = model_shape("meta-llama/Meta-Llama-3-70B")


def whole(row: dict[str, Any]) -> bool:
    """A Llama that trains all of itself or LoRA on 4 bits, under a config that candidates can say.

    Old releases' BF16_Optimizer and the like are in; a frozen base is `test_traffic`'s, no method trains
    just norms. Transformers 5.23 lets gradients into a checkpointed model, as the planner takes all to do;
    that changes nothing where all is trained. A job stores packed weights in its own dtype.
    """
    case = row["case"]
    bytewise = case.get("quantised", {}).get("storage") in ("uint8", "int8")
    return case["model"] == "llama" and not case.get("rank") and "ds" not in case and not bytewise


ROWS = [
    pytest.param(row, id=f"{env}-{row['id']}")
    for env in MEASURED
    for row in rows(env)
    if comparable(row) and whole(row)
]


def of_row(row: dict[str, Any]) -> tuple[Job, Candidate]:
    """What the planner would be asked."""
    case = row["case"]
    zero = case.get("zero", {})
    world, tp, ulysses = case["world"], case.get("tp", 1), case.get("ulysses", 1)
    defaults = Knobs()
    knobs = Knobs(
        reduce_bucket=case.get("bucket", 1000),
        persistence=zero.get("stage3_param_persistence_threshold", defaults.persistence),
        live=zero.get("stage3_max_live_parameters", defaults.live),
        reuse=zero.get("stage3_max_reuse_distance", defaults.reuse),
        prefetch=zero.get("stage3_prefetch_bucket_size", defaults.prefetch),
        hpz=zero.get("zero_hpz_partition_size", 1),
    )
    again = every(case.get("every", int(case.get("checkpointing", False))))
    candidate = Candidate(case["stage"], 1, case["g"], tp, ulysses, checkpointing=again, knobs=knobs)
    job = Job(
        shape_of(row),
        cluster(1, world, "h100"),
        sequence=8,
        global_batch=world // (tp * ulysses) * case["g"],
        method=Lora(4, targets=ALL_LINEAR) if "quantised" in case else None,
        scheme=scheme_of(row),
        reentrant=case.get("reentrant", False),
        deepspeed=release(row),
    )
    return job, candidate


def by_ranks(job: Job, candidate: Candidate, moved: Communication) -> Counter[tuple[str, str, int]]:
    """As the engines were counted: by the ranks of the group, not by its name."""
    ranks = {
        DP: candidate.sharding(job.cluster.world),
        TP: candidate.tp,
        ULYSSES: candidate.ulysses,
        HPZ: candidate.knobs.hpz,
    }
    found: Counter[tuple[str, str, int]] = Counter()
    for (group, kind, dtype), elements in moved.elements.items():
        found[kind, dtype, ranks[group]] += elements
    return found


def alone(counts: Counter[tuple[str, str, int]]) -> Counter[tuple[str, str, int]]:
    """Without what one rank does with itself, which moves nothing."""
    return Counter({key: n for key, n in counts.items() if key[2] > 1 and n})


@pytest.mark.parametrize("row", ROWS)
def test_what_is_predicted_of_a_job_is_what_engines_issued(row: dict[str, Any]) -> None:
    job, candidate = of_row(row)
    predicted = by_ranks(job, candidate, communication(job, candidate))
    for rank in range(row["case"]["world"]):
        assert alone(counted(row, rank)) == predicted, f"rank {rank}"


def job(nodes: int = 2, per_node: int = 8, **more: Any) -> Job:
    """A large model on H100."""
    return Job(LLAMA, cluster(nodes, per_node, "h100"), sequence=4096, global_batch=16, **more)


def test_a_ring_over_nodes_leaves_each_node_once() -> None:
    # 3 (n - 1) / n of 2 bytes a parameter, and a little less for what stays gathered
    moved = communication(job(), Candidate(3))
    assert moved.between == pytest.approx(3 * 15 / 16 * 2 * LLAMA.total, rel=0.01)
    assert moved.inside == moved.between
    assert communication(job(1, 8), Candidate(3)).between == 0


def test_rings_of_tensor_parallel_ranks_share_a_nodes_adapters() -> None:
    # facts of the worked comparison: 601 GB on NVLink and 212 GB a node between nodes, of a model cut by 8
    # to the last weight; AutoTP leaves the embedding whole (1.05e9 of 70.6e9), and gathers the logits on
    # top
    moved = communication(job(), Candidate(1, 1, 8, tp=8))
    layers = sum(w.inside for w in moved.wires if w.group == TP and w.kind == "all_reduce")
    assert layers == pytest.approx(601e9, rel=0.01)
    share = (LLAMA.total - LLAMA.parts["embedding"]) / 8 + LLAMA.parts["embedding"]
    ring = 3 * 1 / 2 * 2 * share
    assert moved.between == pytest.approx(8 * ring, rel=0.001)
    assert {w.members for w in moved.wires if w.group == DP} == {1}


def test_the_volumes_of_zero_plus_plus_are_a_quarter_between_nodes() -> None:
    # blogs/zeropp of DeepSpeed: M + M + M become 0.5 M + 0 + 0.25 M
    plain = communication(job(), Candidate(3))
    better = Knobs(hpz=8, quantized_weights=True, quantized_gradients=True)
    moved = communication(job(), Candidate(3, knobs=better))
    assert moved.between / plain.between == pytest.approx(0.25, abs=0.045)
    assert moved.unmeasured == (QUANTISED,)
    assert not plain.unmeasured


def test_a_second_copy_keeps_gathers_inside_the_node() -> None:
    near = communication(job(), Candidate(3, 1, 4, knobs=Knobs(hpz=8)))
    # from all ranks once a step, the gradients in each micro-step
    assert near.between == pytest.approx((1 + 4) * 15 / 16 * 2 * LLAMA.total, rel=0.01)


def test_limits_that_hold_the_model_gather_it_once() -> None:
    roomy = Knobs(live=10**12, reuse=10**12)
    moved = communication(job(), Candidate(3, 1, 4, knobs=roomy))
    assert moved.elements[DP, "all_gather", "bfloat16"] == pytest.approx(4 * LLAMA.total, rel=0.001)
    tight = communication(job(), Candidate(3, 1, 4, knobs=Knobs(live=1, reuse=1)))
    assert 2 < tight.elements[DP, "all_gather", "bfloat16"] / (4 * LLAMA.total) < 3


def test_one_gpu_moves_nothing() -> None:
    alone = Job(LLAMA, cluster(1, 1, "h200"))
    for stage in range(4):
        moved = communication(alone, Candidate(stage))
        assert (moved.elements, moved.inside, moved.between) == ({}, 0, 0)


@pytest.mark.parametrize(
    ("candidate", "bytes_per_parameter"),
    [
        (Candidate(1, offload_optimizer=CPU), 4 + 2),
        (Candidate(2, offload_optimizer=CPU), 4 + 2),
        (Candidate(3, offload_optimizer=CPU), 4 + 2 + 4),
        (Candidate(3, 1, 4, offload_optimizer=CPU), 4 + 2 + 4 * 4),
        (Candidate(3, offload_param=CPU, knobs=Knobs(live=10**12, reuse=10**12)), 2),
    ],
)
def test_offload_goes_over_pcie(candidate: Candidate, bytes_per_parameter: int) -> None:
    moved = communication(job(), candidate)
    assert moved.pcie == pytest.approx(bytes_per_parameter * LLAMA.total / 16, rel=0.001)
    assert moved.disk == 0


def test_sums_on_the_host_go_up_and_down_again() -> None:
    once = communication(job(), Candidate(2, 1, 1, offload_optimizer=CPU)).pcie
    four = communication(job(), Candidate(2, 1, 4, offload_optimizer=CPU)).pcie
    # down four times, up three, whole parameters
    assert four - once == pytest.approx(7 * 2 * LLAMA.total / 16, rel=0.25)


def test_disks_are_a_nodes() -> None:
    moved = communication(job(), Candidate(3, offload_optimizer=NVME))
    assert moved.disk == pytest.approx(8 * 8 * 4 * LLAMA.total / 16, rel=0.001)


@given(
    st.integers(2, 64), st.sampled_from([1, 2, 4, 8]), st.integers(1, 10**9), st.sampled_from([1, 2, 4, 8])
)
def test_only_a_group_that_spans_nodes_leaves_them(n: int, stride: int, elements: int, per_node: int) -> None:
    group = Group(n, stride)
    for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
        found = sent(kind, "bfloat16", elements, group, per_node)
        assert found.inside >= 0 <= found.between
        assert 1 <= found.members <= n
        if found.members == n:
            assert found.between == 0
        else:
            assert found.between > 0
