"""Step times: against published ones, worked examples, and what must hold of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.planner import Lora, ModelShape, model_shape
from dsbridge.planner.candidate import CPU, NONE, NVME, Candidate, Knobs
from dsbridge.planner.cluster import Cluster
from dsbridge.planner.communication import communication
from dsbridge.planner.hardware import cluster
from dsbridge.planner.job import EAGER, Job
from dsbridge.planner.terms import Range, StepTime
from dsbridge.planner.timing import step_time

BIG = model_shape("meta-llama/Meta-Llama-3-70B")
SMALL = model_shape("Qwen/Qwen2.5-0.5B")


def timed(job: Job, candidate: Candidate) -> StepTime:
    return step_time(job, candidate, communication(job, candidate))


def within(value: float, between: Range) -> bool:
    return between.low <= value <= between.high


# XTuner v0.1.23, docs/zh_cn/acceleration/benchmark.rst: tokens a second of each A100-80GB, full fine-tuning,
# ZeRO-3, one sequence of that many tokens at a time, over so many ranks. `DENSE` was chosen with it in view.
XTUNER = [
    ("meta-llama/Llama-2-7b-hf", 8, 8192, 1, 3028.3),
    ("meta-llama/Llama-2-7b-hf", 8, 32_768, 1, 2234.2),
    ("meta-llama/Llama-2-7b-hf", 8, 131_072, 8, 948.6),
    ("meta-llama/Llama-2-7b-hf", 8, 262_144, 8, 540.1),
    ("meta-llama/Llama-2-7b-hf", 32, 1_048_576, 16, 133.6),
    ("meta-llama/Llama-2-70b-hf", 32, 8192, 1, 216.8),
    ("meta-llama/Llama-2-70b-hf", 32, 32_768, 4, 300.9),
    ("meta-llama/Llama-2-70b-hf", 32, 131_072, 8, 144.7),
    ("meta-llama/Llama-2-70b-hf", 32, 262_144, 16, 63.8),
    ("meta-llama/Llama-2-70b-hf", 64, 1_048_576, 64, 21.8),
    # not in view then
    ("01-ai/Yi-34B", 32, 8192, 1, 485.1),
    ("01-ai/Yi-34B", 32, 32_768, 2, 491.5),
    ("01-ai/Yi-34B", 32, 131_072, 8, 251.1),
    ("01-ai/Yi-34B", 32, 262_144, 8, 119.7),
]
YI = {
    "model_type": "llama",
    "hidden_size": 7168,
    "intermediate_size": 20_480,
    "num_hidden_layers": 60,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
    "vocab_size": 64_000,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(("model", "gpus", "sequence", "ulysses", "rate"), XTUNER)
def test_published_rates_of_xtuner(model: str, gpus: int, sequence: int, ulysses: int, rate: float) -> None:
    shape = model_shape(YI if "Yi" in model else model)
    machines = cluster(gpus // 8, 8, "a100-80gb")
    job = Job(shape, machines, sequence=sequence, global_batch=gpus // ulysses)
    assert within(sequence / ulysses / rate, timed(job, Candidate(3, ulysses=ulysses)).total)


def test_idefics_80b() -> None:
    # ml-engineering: 512 A100 on four 100 Gbit/s adapters a node, 3584 sequences of 1024 tokens, 49 s a
    # step; by hand 18 s of compute and 11 s of communication. Its 80e9 parameters as so many layers of
    # LLaMA-65B
    layers = {
        "model_type": "llama",
        "hidden_size": 8192,
        "intermediate_size": 22_016,
        "num_hidden_layers": 98,
        "num_attention_heads": 64,
        "vocab_size": 32_000,
        "tie_word_embeddings": False,
    }
    shape = model_shape(layers)
    assert shape.total == pytest.approx(80e9, rel=0.01)
    job = Job(shape, cluster(64, 8, "a100-80gb", inter="efa-v1"), sequence=1024, global_batch=3584)
    found = timed(job, Candidate(3, micro=7))
    assert within(49, found.total)
    assert within(11, found.data_parallel)
    # the 18 s are of 6 operations a parameter
    assert within(18, timed(job, Candidate(3, micro=7, checkpointing=NONE)).compute)


def test_ten_billion_on_one_gpu_with_the_optimizer_on_the_host() -> None:
    # DeepSpeed's ZeRO-Offload tutorial: GPT-2, 50 layers of 4096, ten sequences of 1024 on a V100-32GB:
    # forward 6.1 s, backward 11.8 s, optimizer 7.6 s (a bound of `rates.HOST` is from this row), 25.7 s in
    # all
    gpt = {"model_type": "gpt2", "n_embd": 4096, "n_layer": 50, "n_head": 32}
    job = Job(
        model_shape(gpt),
        cluster(1, 1, "v100-32gb"),
        sequence=1024,
        global_batch=10,
        dtype="float16",
        attention=EAGER,
    )
    found = timed(job, Candidate(2, 10, offload_optimizer=CPU))
    assert within(6.1 + 11.8, found.compute)
    assert within(7.6, found.offload)
    assert within(25.7, found.total)


# A comparison worked by hand for 2 x 8 H100, Llama-3.1-70B, 4096 tokens: sequences, adapters of 50 GB/s
# (0.25 is one of 12.5), seconds of ZeRO-3's communication, of AutoTP 8's on NVLink, and of ZeRO-1's between
# nodes beside it
WORKED = [
    (16, 8, 1.2, 1.7, 0.7),
    (16, 4, 2.5, 1.7, 1.3),
    (16, 1, 9.9, 1.7, 5.3),
    (16, 0.25, 39.7, 1.7, 21.2),
    (128, 8, 9.9, 13.4, 0.7),
    (128, 4, 19.8, 13.4, 1.3),
    (128, 1, 79, 13.4, 5.3),
    (128, 0.25, 318, 13.4, 21.2),
]


@pytest.mark.parametrize(("sequences", "adapters", "zero3", "tensor", "zero1"), WORKED)
def test_the_worked_comparison_of_a_70b(
    sequences: int, adapters: float, zero3: float, tensor: float, zero1: float
) -> None:
    inter = "ib-ndr" if adapters >= 1 else "eth-100"
    machines = cluster(2, 8, "h100", inter=inter, adapters=max(1, int(adapters)))
    job = Job(BIG, machines, sequence=4096, global_batch=sequences)
    sharded = timed(job, Candidate(3, 1, sequences // 16))
    cut = timed(job, Candidate(1, 1, sequences // 2, tp=8))
    assert within(zero3, sharded.data_parallel)
    assert within(tensor, cut.tensor_parallel)
    assert within(zero1, cut.data_parallel)
    assert within(sequences * 4096 * 8 * 70e9 / 16 / 400e12, sharded.compute)
    # what wins: AutoTP where little goes between nodes
    assert (cut.total.high < sharded.total.low) == (adapters == 0.25 and sequences == 128)
    if adapters == 8:
        assert sharded.total.middle < cut.total.middle


STAGES = st.sampled_from((0, 1, 2, 3))
OFFLOADS = st.sampled_from((("", ""), (CPU, ""), (CPU, CPU), (NVME, NVME)))


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    stage = draw(STAGES)
    optimizer, param = draw(OFFLOADS) if stage == 3 else ("", "")
    knobs = Knobs(overlap=draw(st.sampled_from((None, True, False))), hpz=draw(st.sampled_from((1, 2))))
    return Candidate(
        stage,
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
        draw(st.sampled_from((1, 2))) if stage < 3 else 1,
        1,
        optimizer,
        param,
        draw(st.sampled_from((NONE, "full"))),
        knobs,
    )


def quicker(machines: Cluster) -> list[Cluster]:
    """The same with one thing better."""
    gpu, intra, inter, pcie = machines.gpu, machines.intra, machines.inter, machines.pcie
    return [
        machines._replace(intra=intra._replace(rate=2 * intra.rate)),
        machines._replace(inter=inter._replace(rate=2 * inter.rate)),
        machines._replace(pcie=pcie._replace(rate=2 * pcie.rate)),
        machines._replace(adapters=2 * machines.adapters),
        machines._replace(gpu=gpu._replace(reached=2 * gpu.reached)),
    ]


@given(candidates())
def test_nothing_is_slower_on_better_machines(candidate: Candidate) -> None:
    plain = cluster(2, 4, "a100-80gb", adapters=2)
    before = timed(Job(SMALL, plain, sequence=512), candidate).total
    for better in quicker(plain):
        after = timed(Job(SMALL, better, sequence=512), candidate).total
        assert after.low <= before.low * (1 + 1e-9)
        assert after.high <= before.high * (1 + 1e-9)


@given(candidates())
def test_bounds_are_in_order_and_no_part_is_above_the_total(candidate: Candidate) -> None:
    found = timed(Job(SMALL, cluster(2, 4, "a100-80gb"), sequence=512), candidate)
    for one in found:
        assert 0 <= one.low <= one.high
    assert found.compute.low <= found.total.low
    assert found.total.high == pytest.approx(sum(one.high for one in found[:-1]))
    assert found.total.low <= sum(one.low for one in found[:-1]) + 1e-12


@given(candidates(), st.integers(1, 4))
def test_more_micro_steps_take_longer(candidate: Candidate, more: int) -> None:
    job = Job(SMALL, cluster(2, 4, "a100-80gb"), sequence=512)
    longer = candidate._replace(accumulation=candidate.accumulation + more)
    assert timed(job, candidate).total.low < timed(job, longer).total.low
    assert timed(job, candidate).total.high < timed(job, longer).total.high


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_overlap_can_only_hide(stage: int) -> None:
    job = Job(BIG, cluster(2, 8, "h100", adapters=1), sequence=4096)
    apart = timed(job, Candidate(stage, knobs=Knobs(overlap=False))).total
    beside = timed(job, Candidate(stage, knobs=Knobs(overlap=True))).total
    assert beside.low < apart.low
    assert beside.high == apart.high


def test_lora_computes_less_and_moves_little() -> None:
    machines = cluster(2, 8, "h100")
    full, lora = (
        timed(Job(BIG, machines, sequence=4096, method=m), Candidate(1)) for m in (None, Lora(rank=8))
    )
    assert 0.6 < lora.compute.low / full.compute.low < 0.8
    assert lora.data_parallel.high < 0.05 * full.data_parallel.high


def test_experts_are_slower_than_their_operations() -> None:
    def share(shape: ModelShape) -> float:
        found = timed(Job(shape, cluster(1, 8, "h100")), Candidate(3)).compute
        return found.high / found.low

    assert share(model_shape("Qwen/Qwen3-30B-A3B")) > 5 * share(SMALL)
