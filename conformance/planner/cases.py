"""What is measured: rows of settings. A case that an environment refuses is recorded with its error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Case = dict[str, Any]
TINY_LIVE = {
    "stage3_max_live_parameters": 1,
    "stage3_max_reuse_distance": 1,
    "stage3_prefetch_bucket_size": 0,
}
BF16_MASTER = {"bf16": {"bf16_master_weights_and_grads": True, "bf16_optimizer_states": True}}
ACCUMULATE_FP32 = {"data_types": {"grad_accum_dtype": "fp32"}}
STAGES = (0, 1, 2, 3)


def row(name: str, stage: int, **changed: Any) -> Case:
    """A case: stage 3 keeps nothing small whole, unless the case says so."""
    case: Case = {
        "id": name,
        "stage": stage,
        "world": 2,
        "model": "small",
        "dtype": "bf16",
        "g": 1,
        **changed,
    }
    if stage == 3:
        case["zero"] = {"stage3_param_persistence_threshold": 0, **case.get("zero", {})}
    return case


def states() -> Iterator[Case]:
    """Stages by precision, accumulation, world and size; full, and a frozen base."""
    large = {"model": "large", "g": 4, "world": 4}
    for stage in STAGES:
        z = f"z{stage}"
        yield row(f"{z}-bf16-g1-w2", stage)
        yield row(f"{z}-bf16-g4-w2", stage, g=4)
        yield row(f"{z}-bf16-large-g4-w4", stage, **large)
        yield row(f"{z}-fp32-g1-w2", stage, dtype="fp32")
        yield row(f"{z}-fp32-large-g4-w2", stage, dtype="fp32", model="large", g=4)
        yield row(f"{z}-lora-large-g4-w4", stage, rank=3, **large)
        yield row(f"{z}-accumulate-fp32-large-g4-w2", stage, ds=ACCUMULATE_FP32, model="large", g=4)
    yield row("z1-fp16-g1-w2", 1, dtype="fp16")
    yield row("z2-bf16-large-g1-w4", 2, model="large", world=4)
    yield row("z3-bf16-large-g1-w4", 3, model="large", world=4)
    for stage in (1, 2, 3):
        yield row(f"z{stage}-bf16-master-large-g4-w2", stage, ds=BF16_MASTER, model="large", g=4)


def offloads() -> Iterator[Case]:
    """Optimizer states and parameters on the host."""
    for stage in (1, 2, 3):
        zero = {"offload_optimizer": {"device": "cpu", "pin_memory": True}}
        yield row(f"z{stage}-offload-g1-w2", stage, zero=zero)
        yield row(f"z{stage}-offload-large-g4-w4", stage, zero=zero, model="large", g=4, world=4)
    param = {"offload_param": {"device": "cpu", "pin_memory": True}}
    yield row("z3-offload-param-g1-w2", 3, zero=param)
    both = {**param, "offload_optimizer": {"device": "cpu", "pin_memory": True}}
    yield row("z3-offload-both-large-g4-w2", 3, zero=both, model="large", g=4)


def switches() -> Iterator[Case]:
    """Settings that change what is held or moved."""
    for stage in (1, 2):
        z = f"z{stage}"
        zero = {"use_multi_rank_bucket_allreduce": False}
        yield row(f"{z}-reduce-per-owner-g4-w4", stage, zero=zero, g=4, world=4, model="large")
        yield row(f"{z}-overlap-g4-w2", stage, zero={"overlap_comm": True}, g=4)
        yield row(f"{z}-no-contiguous-g4-w2", stage, zero={"contiguous_gradients": False}, g=4)
        yield row(f"{z}-no-reduce-scatter-g4-w2", stage, zero={"reduce_scatter": False}, g=4)
        yield row(f"{z}-round-robin-g1-w2", stage, zero={"round_robin_gradients": True})
        yield row(f"{z}-gather-buckets-w2", stage, zero={"allgather_bucket_size": 200})
    yield row("z2-reduce-fp32-g4-w2", 2, g=4, ds={"communication_data_type": "fp32"})
    yield row("z3-overlap-off-g4-w2", 3, zero={"overlap_comm": False}, g=4)
    yield row("z3-no-contiguous-g4-w2", 3, zero={"contiguous_gradients": False}, g=4)
    yield row("z3-persistent-g4-w2", 3, zero={"stage3_param_persistence_threshold": 50}, g=4, model="large")
    yield row("z3-all-persistent-g1-w2", 3, zero={"stage3_param_persistence_threshold": 100000})
    yield row("z3-sub-groups-g1-w2", 3, zero={"sub_group_size": 500}, model="large")
    yield row("z3-tiny-live-g1-w2", 3, zero=TINY_LIVE)
    yield row("z3-hpz-g4-w4", 3, zero={"zero_hpz_partition_size": 2}, world=4, model="large", g=4)
    hpz = {"world": 4, "model": "large", "g": 2}
    yield row("z3-hpz-tiny-live-g2-w4", 3, zero={"zero_hpz_partition_size": 2, **TINY_LIVE}, **hpz)
    small = {"zero_hpz_partition_size": 2, "stage3_param_persistence_threshold": 50}
    yield row("z3-hpz-persistent-g2-w4", 3, zero=small, **hpz)
    yield row("z3-hpz-lora-g2-w4", 3, zero={"zero_hpz_partition_size": 2}, rank=3, **hpz)
    yield row("z3-quantized-weights-w2", 3, zero={"zero_quantized_weights": True}, model="large")
    yield row("z3-quantized-gradients-w2", 3, zero={"zero_quantized_gradients": True}, model="large")


def llamas() -> Iterator[Case]:
    """A tiny Llama: stages, checkpointing, tensor parallelism, Ulysses."""
    big = {"model": "llama", "bucket": 100000}
    for stage in STAGES:
        yield row(f"llama-z{stage}-g4-w2", stage, g=4, **big)
        yield row(f"llama-z{stage}-frozen-g4-w2", stage, g=4, rank=1, **big)
    yield row("llama-z3-g1-w2", 3, **big)
    yield row("llama-z3-checkpointing-w2", 3, checkpointing=True, **big)
    for stage in (0, 1, 2):
        yield row(f"llama-z{stage}-tp2-w2", stage, tp=2, **big)
        yield row(f"llama-z{stage}-tp2-g4-w4", stage, tp=2, g=4, world=4, **big)
    yield row("llama-z1-tp2-tied-w2", 1, tp=2, llama={"tied": True}, **big)
    yield row("llama-z1-tp2-checkpointing-w2", 1, tp=2, checkpointing=True, **big)
    yield row("llama-z1-tp2-layers4-w2", 1, tp=2, llama={"layers": 4, "hidden": 32}, **big)
    yield row("llama-z1-tp4-w4", 1, tp=4, world=4, llama={"kv_heads": 4}, **big)
    yield row("llama-z1-tp4-kv2-w4", 1, tp=4, world=4, **big)
    yield row("llama-z3-tp2-w4", 3, tp=2, world=4, **big)
    yield row("llama-z3-tiny-live-w2", 3, zero=TINY_LIVE, **big)
    yield row("llama-z3-checkpointing-tiny-live-w2", 3, checkpointing=True, zero=TINY_LIVE, **big)
    for stage in (1, 3):
        yield row(f"llama-z{stage}-ulysses2-w2", stage, ulysses=2, **big)
    yield row("llama-z1-ulysses2-g4-w4", 1, ulysses=2, g=4, world=4, **big)
    yield row("llama-z3-ulysses2-checkpointing-w4", 3, ulysses=2, checkpointing=True, world=4, **big)
    yield row("llama-z1-ulysses4-kv2-w4", 1, ulysses=4, world=4, **big)


def limits() -> Iterator[Case]:
    """Stage 3 whose limits are between a module and the model: what is gathered twice."""
    wide = {"model": "llama", "bucket": 100000, "llama": {"layers": 4, "hidden": 32}}
    settings = {
        "reuse8k": (20000, 8000, 2000),
        "reuse8k-no-prefetch": (20000, 8000, 0),
        "prefetch5k": (20000, 1, 5000),
        "live5k": (5000, 1, 50000),
        "reuse20k": (1000000, 20000, 10000),
    }
    ways = {"": {}, "-checkpointing": {"checkpointing": True}}
    ways["-reentrant"] = {"checkpointing": True, "reentrant": True}
    ways["-frozen"] = {"rank": 1}
    ways["-frozen-checkpointing"] = {"rank": 1, "checkpointing": True}
    ways["-frozen-reentrant"] = {"rank": 1, **ways["-reentrant"]}
    ways["-tied"] = {"llama": {**wide["llama"], "tied": True}}
    for name, (live, reuse, prefetch) in settings.items():
        zero = {"stage3_max_live_parameters": live, "stage3_max_reuse_distance": reuse}
        zero["stage3_prefetch_bucket_size"] = prefetch
        for way, more in ways.items():
            yield row(f"llama-z3-{name}{way}-w2", 3, **{**wide, **more}, zero=zero)
    keep = {"stage3_param_persistence_threshold": 600, "stage3_max_reuse_distance": 1}
    yield row("llama-z3-persistent-reentrant-w2", 3, **wide, **ways["-reentrant"], zero=keep)


def every() -> Iterator[Case]:
    """Each second or third layer checkpointed, as Transformers does it from 5.16 on."""
    wide: Case = {"model": "llama", "bucket": 100000, "llama": {"layers": 4, "hidden": 32}}
    limits = {"stage3_max_live_parameters": 20000, "stage3_max_reuse_distance": 8000}
    limits["stage3_prefetch_bucket_size"] = 2000
    for spacing in (2, 3):
        ways: Case = {**wide, "checkpointing": True, "every": spacing}
        yield row(f"llama-z3-every{spacing}-w2", 3, **ways)
        yield row(f"llama-z3-every{spacing}-tiny-live-w2", 3, zero=TINY_LIVE, **ways)
        yield row(f"llama-z3-every{spacing}-limits-w2", 3, zero=limits, **ways)
        yield row(f"llama-z3-every{spacing}-limits-reentrant-w2", 3, zero=limits, reentrant=True, **ways)
        yield row(f"llama-z1-tp2-every{spacing}-w2", 1, tp=2, **ways)
        yield row(f"llama-z1-ulysses2-every{spacing}-w2", 1, ulysses=2, **ways)


def quantised() -> Iterator[Case]:
    """A tiny Llama whose base bitsandbytes has packed into 4 or 8 bits, with LoRA on all of it."""
    base: Case = {"model": "llama", "bucket": 100000, "llama": {"hidden": 24, "inner": 41}}
    bf16 = {"quantised": {"storage": "bfloat16"}}
    reentrant = {"checkpointing": True, "reentrant": True}
    for storage in ("uint8", "bfloat16"):
        packed = {**base, "quantised": {"storage": storage}}
        for stage in (0, 2, 3):
            yield row(f"llama-nf4-z{stage}-{storage}-g1-w2", stage, **packed)
            yield row(f"llama-nf4-z{stage}-{storage}-g4-w4", stage, g=4, world=4, **packed)
        z3 = f"llama-nf4-z3-{storage}"
        yield row(f"{z3}-checkpointing-w2", 3, checkpointing=True, **packed)
        yield row(f"{z3}-reentrant-w2", 3, **reentrant, **packed)
        yield row(f"{z3}-tiny-live-w2", 3, zero=TINY_LIVE, **packed)
        yield row(f"{z3}-tiny-live-checkpointing-w2", 3, zero=TINY_LIVE, checkpointing=True, **packed)
        yield row(f"{z3}-tiny-live-reentrant-w2", 3, zero=TINY_LIVE, **reentrant, **packed)
        keep = {"stage3_param_persistence_threshold": 150}
        yield row(f"{z3}-persistent-g4-w2", 3, zero=keep, g=4, **packed)
        param = {"offload_param": {"device": "cpu", "pin_memory": True}}
        yield row(f"{z3}-offload-param-w2", 3, zero=param, **packed)
        hpz = {"zero_hpz_partition_size": 2}
        yield row(f"{z3}-hpz-g2-w4", 3, zero=hpz, g=2, world=4, **packed)
    for stage in (2, 3):
        yield row(f"llama-int8-z{stage}-w2", stage, **base, quantised={"storage": "int8"})
    single = {"quantised": {"storage": "bfloat16", "double": False}}
    yield row("llama-nf4-single-z3-w2", 3, **base, **single)
    zero = {"stage3_max_live_parameters": 5000, "stage3_max_reuse_distance": 2000}
    zero["stage3_prefetch_bucket_size"] = 1500
    for way, more in {"": {}, "-reentrant": reentrant, "-checkpointing": {"checkpointing": True}}.items():
        yield row(f"llama-nf4-z3-limits{way}-w2", 3, zero=zero, **base, **bf16, **more)


def cases() -> list[Case]:
    """All of them, each id once."""
    found = [*states(), *offloads(), *switches(), *llamas(), *limits(), *every(), *quantised()]
    ids = [case["id"] for case in found]
    assert len(ids) == len(set(ids)), sorted(i for i in ids if ids.count(i) > 1)
    return found
