"""What no formula gives: the CUDA context, NCCL's buffers, fragmentation; and the processes on a host."""

from __future__ import annotations

from dsbridge.planner.terms import Formula, Term

GIB = 2.0**30
CONTEXT = Term(
    "CUDA context and kernels",
    0.7 * GIB,
    Formula(
        "0.5 to 0.9 GiB (2^30 bytes) that torch does not count",
        "published: ml-engineering training/performance (0.47 to 0.92 GiB, torch 2.1.1); not measured here",
    ),
    0.5 * GIB,
    0.9 * GIB,
)
NCCL = Term(
    "NCCL's buffers",
    0.9 * GIB,
    Formula(
        "0.4 to 1.5 GiB with more than one GPU",
        "published: ml-engineering training/performance (torch.distributed's first barrier on 2 "
        "GPUs: +1.5 GiB)",
    ),
    0.4 * GIB,
    1.5 * GIB,
)
WORKSPACE = Formula(
    "32 MiB from Hopper on, else 8.1 MiB, for each thread and stream that multiplies: two of them, of the "
    "forward and of the backward pass (1 to 4)",
    "getChosenWorkspaceSize, aten/src/ATen/cuda/CublasHandlePool.cpp of torch, taken from torch's allocator; "
    "not measured here",
)
_LARGE, _SMALL = 2.0**25, 4096 * 1024 * 2 + 16 * 1024 * 8.0
_HOPPER = ("h100", "h200", "h800", "h20", "gh200", "b100", "b200", "b300", "gb200", "gb300")
FRAGMENTS = Formula(
    "8 % (0 to 25 %) of all that torch allocates",
    "set by published peaks: the median of what they are above our parts; the upper bound as far as half of "
    "their ranges stay within 15 % (benchmarks/published.json, docs/reference/accuracy.md)",
)
SHARE_LEAST, SHARE, SHARE_MOST = 0.0, 0.08, 0.25
# the series of benchmarks/published.json that set them: tools/published.py says which may
SET_BY = (
    "peft-llama2-70b-qlora-zero3",
    "qwen-1.8b-lora-emb",
    "qwen-7b-lora",
    "qwen-7b-lora-nodes",
    "swift4-7b-zero3-liger-packing",
    "swift4-7b-zero3-packing",
)
FRAGMENTED = "fragmentation"
# parts that `torch.cuda.max_memory_allocated` does not show
ALLOWANCES = (CONTEXT.part, NCCL.part, FRAGMENTED)
PROCESSES = Formula(
    "2 GiB (1 to 5) for each rank's process: Python, torch, DeepSpeed, CUDA's own, and the data it loads",
    "an allowance: 0.7 GiB were resident after importing torch, transformers and deepspeed on a CPU",
)


def context(world: int) -> tuple[Term, ...]:
    """What torch does not count, of a GPU among so many."""
    return (CONTEXT, NCCL) if world > 1 else (CONTEXT,)


def workspaces(gpu: str) -> Term:
    """cuBLAS's, on a GPU of this name."""
    name = gpu.lower().replace("-", " ").split(" ")[0]
    one = _LARGE if name in _HOPPER else _SMALL
    return Term("cuBLAS's workspaces", 2 * one, WORKSPACE, one, 4 * one)


def fragmentation(best: float, least: float, most: float) -> Term:
    """A share of what torch allocates."""
    return Term(FRAGMENTED, SHARE * best, FRAGMENTS, SHARE_LEAST * least, SHARE_MOST * most)


def processes(ranks: int) -> Term:
    """Of a node's host."""
    return Term("processes", 2 * GIB * ranks, PROCESSES, GIB * ranks, 5 * GIB * ranks)
