"""Memory of a layout: what must hold whatever the numbers, and the numbers that can be worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.planner import Freeze, Lora
from dsbridge.planner.allowance import ALLOWANCES
from dsbridge.planner.candidate import CPU, FULL, NONE, NVME, Candidate, Knobs, every
from dsbridge.planner.job import EAGER, FUSED_LOSS
from dsbridge.planner.memory import memory
from dsbridge.planner.moments import BACK, IDLE, LOADING, LOSS, STEP
from dsbridge.planner.terms import Memory, Moment, Term
from tests.planner.jobs import LLAMA, SMALL, job

GIB = 2**30


def at(found: Memory, name: str) -> Moment:
    return next(moment for moment in found.gpu if moment.name == name)


def term(moment: Moment, part: str) -> Term:
    return next(term for term in moment.terms if term.part == part)


candidates = st.builds(
    Candidate,
    stage=st.integers(0, 3),
    micro=st.sampled_from([1, 2, 4]),
    accumulation=st.sampled_from([1, 4]),
    tp=st.sampled_from([1, 2]),
    ulysses=st.sampled_from([1, 2]),
    checkpointing=st.sampled_from([NONE, FULL]),
    knobs=st.just(Knobs()),
)


@given(candidates)
@settings(deadline=None, max_examples=60)
def test_every_part_is_between_its_bounds_and_has_a_source(candidate: Candidate) -> None:
    found = memory(job(SMALL), candidate)
    for moment in (*found.gpu, *found.host, *found.nvme):
        assert moment.least <= moment.total <= moment.most
        for one in moment.terms:
            assert 0 <= one.least <= one.bytes <= one.most, one
            assert one.formula.text
            assert one.formula.source
    assert found.peak.total == max(moment.total for moment in found.gpu)


@given(candidates)
@settings(deadline=None, max_examples=40)
def test_more_sequences_at_once_take_more(candidate: Candidate) -> None:
    small, large = (memory(job(SMALL), candidate._replace(micro=n)) for n in (1, 8))
    assert small.peak.total <= large.peak.total
    assert at(small, LOSS).total < at(large, LOSS).total
    assert at(small, STEP) == at(large, STEP)


@given(candidates)
@settings(deadline=None, max_examples=40)
def test_checkpointing_takes_no_more_of_activations(candidate: Candidate) -> None:
    kept, run_again = (
        memory(job(SMALL), candidate._replace(checkpointing=way, micro=8)) for way in (NONE, FULL)
    )
    assert at(run_again, LOSS).total < at(kept, LOSS).total


@given(st.integers(0, 3), st.sampled_from([1, 4]))
@settings(deadline=None, max_examples=20)
def test_more_ranks_take_no_more(stage: int, accumulation: int) -> None:
    """But for the bounds of what is in flight, which one rank has not."""
    few, many = (memory(job(LLAMA, per_node=n), Candidate(stage, accumulation=accumulation)) for n in (2, 8))
    for name in (STEP, IDLE):
        assert at(many, name).total <= at(few, name).total


@pytest.mark.parametrize("name", [LOADING, STEP, IDLE])
def test_each_stage_takes_less_than_the_one_before(name: str) -> None:
    totals = [at(memory(job(), Candidate(stage)), name).total for stage in (0, 1, 3)]
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == 3


def test_workspaces_of_the_matrix_library_are_larger_from_hopper_on() -> None:
    for name, size in (("h100-80gb", 2**25), ("a100-80gb", 8_519_680)):
        cluster = job().cluster
        asked = job()._replace(cluster=cluster._replace(gpu=cluster.gpu._replace(name=name)))
        one = term(at(memory(asked, Candidate(2)), IDLE), "cuBLAS's workspaces")
        assert (one.least, one.bytes, one.most) == (size, 2 * size, 4 * size)


def test_dropout_in_front_of_adapters_keeps_a_mask_and_a_result_of_each() -> None:
    plain, dropping = (
        at(
            memory(
                job(method=Lora(targets=("q_proj", "v_proj"), dropout=p)), Candidate(2, checkpointing=NONE)
            ),
            LOSS,
        )
        for p in (0.0, 0.1)
    )
    more = term(dropping, "activations").bytes - term(plain, "activations").bytes
    # a mask of a byte for each of the two; a result for each in place of the one input that both shared. The
    # first layer is given nothing that needs a gradient, and keeps no mask
    assert more == pytest.approx(4096 * job().sequence * (32 * (2 * 1 + 2 * 2 - 2) - 2))


def test_twenty_bytes_a_parameter_in_the_step() -> None:
    parameters = 8_030_261_248
    found = memory(job(), Candidate(0))
    step = sum(one.bytes for one in at(found, STEP).terms if "gradients in flight" not in one.part)
    libraries = ("CUDA", "NCCL", "cuBLAS")
    fixed = sum(one.bytes for one in at(found, STEP).terms if one.part.startswith(libraries))
    allocated = (step - fixed - at(found, STEP).terms[-1].bytes) / parameters
    assert allocated == pytest.approx(20, abs=0.001)


def test_the_loss_of_a_large_vocabulary() -> None:
    """ALST measured a whole run of 71.9 GB at 32,000 tokens: four fifths of that are here."""
    found = memory(job(per_node=1, sequence=32_000), Candidate(3))
    own = term(at(found, LOSS), "logits and loss")
    assert own.bytes == 12 * 32_000 * 128_256
    assert own.most == 14 * 32_000 * 128_256


def test_a_fused_loss_takes_little() -> None:
    found = memory(job(per_node=1, sequence=32_000, loss=FUSED_LOSS), Candidate(3))
    assert term(at(found, LOSS), "logits and loss").bytes < 4e9


def test_autotp_gathers_all_logits_of_an_untied_head() -> None:
    whole, cut = (term(at(memory(job(), Candidate(1, tp=n)), LOSS), "logits and loss") for n in (1, 2))
    assert cut.bytes > whole.bytes
    tied = [term(at(memory(job(SMALL), Candidate(1, tp=n)), LOSS), "logits and loss").bytes for n in (1, 2)]
    assert tied[1] == tied[0] / 2


def test_ulysses_cuts_tokens() -> None:
    whole, cut = (at(memory(job(), Candidate(3, ulysses=n)), LOSS) for n in (1, 2))
    for part in ("checkpoints", "logits and loss"):
        assert term(cut, part).bytes == term(whole, part).bytes / 2


def test_offload_holds_eighteen_bytes_a_parameter_on_the_host() -> None:
    parameters = 8_030_261_248
    for stage in (2, 3):
        found = memory(job(), Candidate(stage, offload_optimizer=CPU))
        held = sum(one.bytes for one in found.host[-1].terms if one.part != "processes")
        # ZeRO-2: a buffer as large as the largest parameter on each rank
        extra = 8 * 2 * 128_256 * 4096 if stage == 2 else 0
        assert held - extra == pytest.approx(18 * parameters, rel=0.001)


def test_the_gpu_holds_no_master_weights_with_offload() -> None:
    found = memory(job(), Candidate(3, offload_optimizer=CPU, offload_param=CPU))
    parts = {one.part for moment in found.gpu for one in moment.terms}
    assert not parts & {"master weights", "optimizer states", "parameters"}
    assert "parameters" in {one.part for one in found.host[-1].terms}


def test_disks_hold_twelve_bytes_a_parameter_at_least() -> None:
    found = memory(job(), Candidate(3, offload_optimizer=NVME, offload_param=NVME))
    assert found.nvme[0].least == pytest.approx(14 * 8_030_261_248, rel=0.001)
    assert not memory(job(), Candidate(3, offload_optimizer=CPU)).nvme


def test_loading_without_zero_init_puts_the_model_on_every_gpu() -> None:
    size = 2 * 8_030_261_248
    split, whole = (memory(job(), Candidate(3, knobs=Knobs(init=way))) for way in (True, False))
    # weight by weight: the whole model and what is split of it are never held at once
    parts = [one for one in at(whole, LOADING).terms if one.part not in ALLOWANCES]
    assert sum(one.bytes for one in parts) == size
    assert at(whole, LOADING).total > at(split, LOADING).total


def test_all_experts_of_a_layer_are_gathered_at_once() -> None:
    """transformers 5 holds them in one module: 604 million parameters of Qwen3-30B-A3B."""
    found = memory(job("Qwen/Qwen3-30B-A3B"), Candidate(3))
    assert term(at(found, BACK), "parameters gathered").bytes > 2 * 600e6


def test_a_small_model_stays_gathered() -> None:
    found = term(at(memory(job(SMALL), Candidate(3, checkpointing=NONE)), LOSS), "parameters gathered")
    assert found.bytes == pytest.approx(2 * 494_000_000, rel=0.01)


def test_every_other_layer_is_between_all_and_none() -> None:
    ways = (FULL, every(2), every(4), NONE)
    for stage in (1, 3):
        found = [memory(job(), Candidate(stage, 4, checkpointing=way)) for way in ways]
        peaks = [one.peak.total for one in found]
        assert peaks == sorted(peaks)
        assert peaks[0] < 0.9 * peaks[-1]
        kept = [sum(t.bytes for t in at(one, LOSS).terms if t.part == "activations") for one in found]
        assert kept[0] == 0
        assert kept[1:3] == pytest.approx([kept[3] / 2, kept[3] * 3 / 4], rel=0.01)
        all_of_them, half = (term(at(found[n], LOSS), "checkpoints").bytes for n in (0, 1))
        assert half / all_of_them == pytest.approx(17 / 33)  # reentrant: one more while it goes back


def test_lora_keeps_more_in_stage_3() -> None:
    """DeepSpeed's linear keeps its input whether its weight is trained or not."""
    some = job(method=Lora(targets=("q_proj", "v_proj")))
    two, three = (
        term(at(memory(some, Candidate(stage, checkpointing=NONE)), LOSS), "activations") for stage in (2, 3)
    )
    assert three.bytes > two.bytes


def test_qlora_holds_packed_weights_and_unpacks_one() -> None:
    found = memory(job(method=Lora(), scheme="nf4", per_node=1), Candidate(2))
    parts = {one.part: one.bytes for one in at(found, LOSS).terms}
    assert parts["quantised weights"] < 4.5e9
    assert parts["an unpacked matrix"] == 2 * 4096 * 14336
    assert found.peak.total < 12 * GIB


def test_frozen_layers_keep_nothing() -> None:
    few, all_of_it = (
        at(memory(job(method=way), Candidate(2, checkpointing=NONE)), LOSS) for way in (Freeze(2), None)
    )
    assert term(few, "activations").bytes < term(all_of_it, "activations").bytes / 15


def test_eager_attention_takes_more() -> None:
    flash, eager = (
        memory(job(attention=way, sequence=8192), Candidate(3, checkpointing=NONE)).peak.total
        for way in ("flash", EAGER)
    )
    assert eager > 2 * flash


def test_the_second_copy_of_hpz() -> None:
    found = memory(job(nodes=2), Candidate(3, knobs=Knobs(hpz=8)))
    assert term(at(found, IDLE), "second copy (hpZ)").bytes == pytest.approx(2 * 8_030_261_248 / 8)


def test_an_architecture_that_nobody_measured_gets_a_wide_range() -> None:
    shape_known = term(at(memory(job(), Candidate(2, checkpointing=NONE)), LOSS), "activations")
    assert shape_known.least == shape_known.bytes == shape_known.most
    config = {"model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71}
    from dsbridge.planner import model_shape

    falcon = job()._replace(shape=model_shape(config))
    found = term(at(memory(falcon, Candidate(2, checkpointing=NONE)), LOSS), "activations")
    assert found.least < 0.8 * found.bytes < 1.2 * found.bytes < found.most
