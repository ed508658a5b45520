"""What loading a model takes, before the first step: on a GPU, and on the host that dies of it."""

from __future__ import annotations

from dsbridge.planner.candidate import NOWHERE, Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.parameters import packed_bytes, parameters
from dsbridge.planner.states import BYTES
from dsbridge.planner.terms import Formula, Term
from dsbridge.rules import numbers

SHARD = 5e9  # bytes of a checkpoint's file at most: transformers' default until 5, 50 GB since
MERGES = (5, 0)  # from here rank 0 reads all files of a checkpoint into one mapping first
GPU_WHOLE = Formula(
    "without zero.Init the whole model moves to each GPU before it is split, weight by weight; beyond what "
    "is held afterwards",
    "_configure_distributed_model, runtime/engine.py, and _convert_to_zero_parameters, "
    "runtime/zero/partition_parameters.py of DeepSpeed 0.19.8; master weights are made later",
)
HOST_WHOLE = Formula(
    "each rank of a node reads the whole model into its own memory: 2 bytes a parameter and rank",
    "from_pretrained of transformers 5.23.0 and 4.51.3 without zero.Init; up to twice that where weights are "
    "made before they are read (low_cpu_mem_usage off, 4.x)",
)
HOST_INIT = Formula(
    "rank 0 reads the checkpoint for all, whole in transformers 5, file by file before; others hold nothing",
    "modeling_utils.py:4524 of transformers 5.23.0; 4830 of 4.51.3",
)
HOST_PACKED = Formula(
    "a checkpoint's largest file on each rank: what is quantised goes to the GPU weight by weight",
    "from_pretrained of transformers with a quantisation config; an estimate",
)


def zero_init(job: Job, candidate: Candidate) -> bool:
    """Whether parameters are split as they are made."""
    return candidate.stage == 3 and candidate.knobs.init and not job.scheme


def whole(job: Job) -> float:
    """Bytes of the model as it is read, adapters with it."""
    every = parameters(job.shape, job.method, job.scheme, 1, job.deepspeed)
    held = sum(one.size for one in every if not one.packed)
    return float(BYTES[job.dtype] * held + packed_bytes(job))


def on_gpu(job: Job, candidate: Candidate, after: float) -> tuple[Term, ...]:
    """What the whole model takes beyond what is held afterwards, where stage 3 splits it weight by weight."""
    if candidate.stage != 3 or zero_init(job, candidate):
        return ()
    away = candidate.offload_param != NOWHERE
    size = max(0.0, whole(job) - after)
    return (Term("the model before it is split", size, GPU_WHOLE, 0.0 if away else size, size),)


def on_host(job: Job, candidate: Candidate) -> Term:
    """Of the node of rank 0, all its ranks together."""
    size, ranks = whole(job), min(job.cluster.per_node, job.cluster.world)
    if job.scheme:
        part = min(size, SHARD)
        return Term("loading", part * ranks, HOST_PACKED, part, size * ranks)
    if zero_init(job, candidate):
        merged = numbers(job.shape.transformers) >= MERGES
        own = size if merged else min(size, SHARD)
        return Term("loading", own, HOST_INIT, min(own, SHARD), size)
    twice = 1.0 if numbers(job.shape.transformers) >= MERGES else 2.0
    return Term("loading", size * ranks, HOST_WHOLE, size * ranks, twice * size * ranks)
