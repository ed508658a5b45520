"""The recorded measurements, as the planner's inputs and as numbers to meet."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from conformance.planner.recording import of_rank
from dsbridge.planner.layout import CHECKPOINTED_GO, Layout
from tests.conftest import ROOT

ENVIRONMENTS = ("hf", "llamafactory", "hf-old", "xtuner")
# and the releases on both sides of a change (conformance/planner/releases.py)
MEASURED = (*ENVIRONMENTS, "releases")
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
PARTS = (
    "parameters",
    "gathered",
    "master",
    "master_gradients",
    "gradients",
    "states",
    "buckets",
    "offload_buffers",
)


@cache
def rows(env: str) -> tuple[dict[str, Any], ...]:
    """The lines of an environment."""
    path = ROOT / "tests" / "recorded" / "planner" / "measured" / f"{env}.jsonl"
    return tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def release(row: dict[str, Any]) -> tuple[int, int, int]:
    """The DeepSpeed that ran."""
    major, minor, patch = (int(part) for part in row["versions"]["deepspeed"].split(".")[:3])
    return major, minor, patch


def asks_fp32(case: dict[str, Any]) -> bool:
    """Do gradients travel in fp32? Ulysses makes them."""
    return "ulysses" in case or case.get("ds", {}).get("communication_data_type") == "fp32"


def first(row: dict[str, Any], sizes: list[int]) -> tuple[int, ...]:
    """Parameters of the first module that has gradients: before 0.19 it stays gathered until the step."""
    case = row["case"]
    if "quantised" in case:
        # the embedding, or the first matrices of the adapters of queries, keys and values
        return tuple(sizes[:1] if case.get("checkpointing") else [4 * case["llama"]["hidden"]] * 3)
    again = case.get("checkpointing") and not case.get("reentrant")
    if again and release(row) < CHECKPOINTED_GO:
        return tuple(sizes[:-2])  # all but the last norm and the head, which are not checkpointed
    if case["model"] != "llama":
        # weight and bias; where the base is frozen, its first small matrix
        mine = sizes[2:3] if case.get("rank") else sizes[:2]
    else:
        # the first norm, where the base is frozen and nothing asks for gradients of the embedded tokens
        norm = case.get("rank") and not case.get("reentrant")
        mine = [case.get("llama", {}).get("hidden", 16)] if norm else sizes[:1]
    return tuple(mine)


def layout(row: dict[str, Any], rank: int = 0) -> Layout:
    """What the planner is told about a case."""
    case = row["case"]
    ds, zero = case.get("ds", {}), case.get("zero", {})
    sizes = of_rank(row["seen"].get("local_sizes", row["seen"]["sizes"]), rank)
    dtype = DTYPES[case["dtype"]]
    packed = row["seen"].get("packed", ())
    low = ds.get("bf16", {}).get("bf16_master_weights_and_grads", False)
    return Layout(
        stage=case["stage"],
        ranks=case["world"] // case.get("tp", 1),
        trainable=tuple(n for n, trains in sizes if trains),
        frozen=tuple(n for place, (n, trains) in enumerate(sizes) if not trains and place not in packed),
        packed=tuple(sizes[place][0] for place in packed),
        storage=case.get("quantised", {}).get("storage", ""),
        dtype=dtype,
        accumulation=case["g"],
        accumulate=DTYPES.get(ds.get("data_types", {}).get("grad_accum_dtype", ""), ""),
        master="bfloat16" if low else "float32",
        states="bfloat16" if low else "float32",
        bucket=case.get("bucket", 1000),
        overlap=zero.get("overlap_comm", False),
        contiguous=zero.get("contiguous_gradients", True),
        persistence=zero.get("stage3_param_persistence_threshold", 100_000),
        sub_group=zero.get("sub_group_size", 1_000_000_000),
        round_robin=zero.get("round_robin_gradients", False),
        offload_optimizer="offload_optimizer" in zero,
        communicated="float32" if asks_fp32(case) else "",
        first=first(row, [n for n, _ in sizes]),
        deepspeed=release(row),
    )


def counted(seen: dict[str, Any], rank: int) -> dict[str, dict[str, int]]:
    """The parts that the planner speaks of."""
    mine = of_rank(seen, rank)
    return {part: mine[part] for part in PARTS if mine.get(part)}
