"""What loading a model takes, before the first step: on a GPU, and on the host that dies of it."""

from __future__ import annotations

from dsbridge.planner.candidate import NOWHERE, NVME, Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.layout import Layout
from dsbridge.planner.parameters import layout, packed_bytes, parameters
from dsbridge.planner.states import BYTES, flat, largest_sub_group, sharded
from dsbridge.planner.terms import Formula, Term
from dsbridge.rules import numbers

SHARD = 5e9  # bytes of a checkpoint's file at most: transformers' default until 5, 50 GB since
COPIES_SHARDS = (4, 50), (4, 51)  # releases that keep one file of a checkpoint mapped and copy the others
MAPS_PACKED = (5, 0)  # from here 4-bit weights do not go back to the host under stage 3
FLATTENS_ON_GPU = (0, 19, 0)  # `flatten_on_accelerator`, runtime/zero/stage_1_and_2.py of DeepSpeed
MEASURED = "measured (transformers 4.48.0 to 5.23.0, two ranks, conformance/planner/loading.py)"
GPU_WHOLE = Formula(
    "without zero.Init the whole model moves to each GPU before it is split, weight by weight; beyond what "
    "is held afterwards",
    "_configure_distributed_model, runtime/engine.py, and _convert_to_zero_parameters, "
    "runtime/zero/partition_parameters.py of DeepSpeed 0.19.8; that each weight goes as it is split was "
    "measured (conformance/planner/loading.py); master weights are made later",
)
ZEROS = Formula(
    "zeros as large as the master weights of a rank (in stage 3 of a sub-group) while the optimizer is made, "
    "beyond buffers that come later",
    "initialize_optimizer_states, stage_1_and_2.py:937 and stage3.py:1306 of DeepSpeed 0.19.8; measured in "
    "0.16.2 to 0.19.8 (conformance/planner/loading.py)",
)
HOST_READ = Formula(
    "nothing of their own: ranks map the checkpoint's files and share the pages, which the kernel takes back "
    "where memory is short; a checkpoint in another dtype becomes each rank's own, a whole model",
    MEASURED + ": 0 bytes a parameter of .safetensors and .bin alike, with low_cpu_mem_usage on and off",
)
HOST_CAST = Formula(
    "each rank's own whole model in fp32, where the checkpoint is in 16 bits; nothing where it is fp32 too",
    MEASURED + ": 4 bytes a parameter and rank",
)
HOST_COPIED = Formula(
    "each rank's own copy of all but the last file of a checkpoint; nothing with low_cpu_mem_usage",
    MEASURED + ": of transformers 4.49 to 4.51 only 4.50.0 and 4.50.3",
)
HOST_INIT = Formula(
    "nothing: rank 0 maps the checkpoint for all (whole in transformers 5, file by file before), and the "
    "kernel takes those pages back where memory is short; others read names and sizes",
    MEASURED + "; modeling_utils.py:4524 of 5.23.0, 4829 of 4.51.3",
)
HOST_PARTS = Formula("the ranks' parts, where parameters stay on the host", MEASURED)
HOST_PACKED = Formula(
    "nothing: each weight goes from the mapped file to the GPU to be packed, one by one",
    "measured with bitsandbytes 0.48.2 in transformers 5.6.0 (conformance/planner/loading.py)",
)
HOST_UNMOVED = Formula(
    "the packed model of each rank, which under stage 3 goes back to the host until the engine takes it",
    "_load_state_dict_into_meta_model, modeling_utils.py:833 of transformers 4.51.3; read, not run",
)
FLATTENED_HOST = Formula(
    "each rank copies all that is trained to the host and makes one tensor of it there, before it goes back "
    "to the GPU; from DeepSpeed 0.19.0 only where the GPU has no room for a second copy, else nothing",
    "stage_1_and_2.py:328 of DeepSpeed 0.16.9, :451 of 0.19.8; bytes counted in 0.16.2 to 0.19.8 "
    "(conformance/planner/loading.py)",
)
PARTS_FLATTENED = Formula(
    "each rank makes one tensor of its parts of all that is trained on the host",
    "defragment, runtime/zero/stage3.py; bytes counted in DeepSpeed 0.16.2 to 0.19.8 "
    "(conformance/planner/loading.py)",
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
    """What loading takes beyond what is held afterwards: the larger of the whole model, where stage 3 splits
    it weight by weight, and of zeros that an optimizer is made with."""
    zeros, split = _zeros(layout(job, candidate)), candidate.stage == 3 and not zero_init(job, candidate)
    size = max(0.0, whole(job) - after) if split else 0.0
    if size > zeros:
        low = zeros if candidate.offload_param != NOWHERE else size
        return (Term("the model before it is split", size, GPU_WHOLE, low, size),)
    return (Term("zeros in place of gradients", zeros, ZEROS),) if zeros else ()


def _zeros(told: Layout) -> float:
    """Gradients of a rank's master weights, given up again; stage 3 makes its buffers after that."""
    if told.unsharded or told.kept_in_full or told.offload_optimizer or not told.trainable:
        return 0.0
    if told.stage < 3:
        return float(BYTES[told.masters] * flat(told.trainable, told.ranks) // told.ranks)
    later = BYTES[told.accumulates] * sharded(told.trainable, told.ranks)
    if told.contiguous:
        later += BYTES[told.communicated or told.dtype] * told.bucket
    return float(max(0, BYTES[told.masters] * largest_sub_group(told) - later))


def on_host(job: Job, candidate: Candidate) -> Term:
    """Of the node of rank 0, all its ranks together: what they read, or what an engine makes afterwards."""
    ranks = min(job.cluster.per_node, job.cluster.world)
    both = _read(job, candidate), _made(job, candidate)
    told = max(both, key=lambda term: (term.bytes, term.most))
    least, most = max(term.least for term in both), max(term.most for term in both)
    return Term("loading", told.bytes * ranks, told.formula, least * ranks, most * ranks)


def _read(job: Job, candidate: Candidate) -> Term:
    """Of a rank, its own memory. Mapped files are not counted."""
    size, release = whole(job), numbers(job.shape.transformers)
    if job.scheme:
        back = candidate.stage == 3 and candidate.knobs.init and release < MAPS_PACKED
        return _named(size, HOST_UNMOVED) if back else _named(0.0, HOST_PACKED)
    if zero_init(job, candidate):
        if candidate.offload_param == NOWHERE:
            return _named(0.0, HOST_INIT)
        told = layout(job, candidate)
        parts = BYTES[job.dtype] * sharded((*told.trainable, *told.frozen), told.ranks)
        return _named(parts, HOST_PARTS, 0.0 if candidate.offload_param == NVME else parts)
    if job.dtype == "float32":
        return _named(size, HOST_CAST, 0.0)
    first, after = COPIES_SHARDS
    if first <= release[:2] < after and size > SHARD:
        return _named(size - SHARD, HOST_COPIED, 0.0, size)
    return _named(0.0, HOST_READ, 0.0, size)


def _made(job: Job, candidate: Candidate) -> Term:
    """Of a rank, on the host while DeepSpeed makes its optimizer, whatever stays there."""
    told = layout(job, candidate)
    if told.unsharded or told.kept_in_full or not told.trainable:
        return _named(0.0, HOST_READ)
    if told.stage == 3:
        stays = candidate.offload_param != NOWHERE
        return _named(
            0.0 if stays else BYTES[job.dtype] * sharded(told.trainable, told.ranks), PARTS_FLATTENED
        )
    once = float(BYTES[job.dtype] * sum(told.trainable))
    if told.deepspeed < FLATTENS_ON_GPU:
        return _named(2 * once, FLATTENED_HOST)
    return _named(0.0, FLATTENED_HOST, 0.0, 2 * once)


def _named(size: float, formula: Formula, low: float | None = None, high: float | None = None) -> Term:
    return Term("loading", size, formula, size if low is None else low, size if high is None else high)
