"""Model states of a rank as parts in bytes, on the GPU, the host or a disk, at each moment."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner import states
from dsbridge.planner.candidate import NOWHERE, NVME, Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.layout import Layout
from dsbridge.planner.parameters import layout, packed_bytes, packed_weights
from dsbridge.planner.terms import Formula, Term

_MEASURED = "measured: tests/recorded/planner/measured, dsbridge/planner/states.py"
NAMES = {
    "parameters": ("parameters", "what a rank keeps of the weights, in the model's dtype"),
    "gradients": ("gradients", "stages 1, 2: of each weight it owns a piece of; 3: its pieces; 0: all"),
    "master": ("master weights", "4 bytes a trainable parameter, split from stage 1 on"),
    "master_gradients": (
        "gradients in fp32",
        "4 bytes a parameter of what the optimizer steps through at once",
    ),
    "states": ("optimizer states", "Adam: 8 bytes a trainable parameter, split from stage 1 on"),
    "buckets": ("communication buckets", "reduce_bucket_size elements, two with overlap_comm in stages 1, 2"),
    "gathered": ("small parameters kept whole", "all below stage3_param_persistence_threshold"),
    "offload_buffers": ("offload buffers", "a 16-bit copy of the rank's part, and the largest parameter"),
}
FORMULAS = {part: Formula(text, _MEASURED) for part, (_, text) in NAMES.items()}
PACKED = Formula(
    "quantised weights; stage 3 splits 4-bit ones by parameter, like any other",
    _MEASURED + "; tests/recorded/planner/quantised-llamafactory.json",
)
SCALES = Formula(
    "what unpacks quantised weights: no parameters, so whole on each rank in every stage",
    PACKED.source,
)
SECONDARY = Formula(
    "a second copy of the parameters split among zero_hpz_partition_size ranks",
    "ZeRO++ (zero_hpz_partition_size, runtime/zero/partition_parameters.py); not measured",
)
SWAP_BUFFERS = Formula(
    "offload_optimizer.buffer_count (4) pinned fp32 buffers of the largest sub-group of a rank",
    "runtime/swap_tensor/optimizer_utils.py of DeepSpeed 0.19.8; not measured",
)
PARAM_BUFFERS = Formula(
    "offload_param.buffer_count (5) pinned 16-bit buffers of buffer_size (1e8) elements",
    "runtime/swap_tensor/partitioned_param_swapper.py of DeepSpeed 0.19.8; not measured",
)
SWAPPED = Formula(
    "master weights and Adam's states, 12 bytes a parameter; 4 more where gradients are swapped out too",
    "runtime/swap_tensor/partitioned_optimizer_swapper.py of DeepSpeed 0.19.8; not measured",
)
SWAPPED_PARAMETERS = Formula("2 bytes a parameter", PARAM_BUFFERS.source)
SWAP_COUNT, PARAM_COUNT, PARAM_SIZE = 4, 5, 100_000_000
ON_HOST = ("master", "states", "master_gradients")


class Placed(NamedTuple):
    """Parts at one moment, of one rank, by where they are."""

    gpu: tuple[Term, ...]
    host: tuple[Term, ...]


def fullest(told: Layout) -> int:
    """The rank that holds most gradients in stages 1 and 2: of parameters on its edges it keeps all."""
    if told.stage not in (1, 2) or told.unsharded or told.kept_in_full or told.ranks == 1:
        return 0
    part = states.flat(told.trainable, told.ranks) // told.ranks
    found, start = [0] * told.ranks, 0
    for size in states.in_flat_order(told):
        for rank in range(start // part, -(-(start + size) // part)):
            found[rank] += size
        start += size
    # `start` is now all that is trained; states.padding sums it anew for every rank
    return max(range(told.ranks), key=lambda rank: found[rank] + min(part, max(0, (rank + 1) * part - start)))


def placed(job: Job, candidate: Candidate) -> dict[str, Placed]:
    """Every moment of states.MOMENTS: what is where."""
    told = layout(job, candidate)
    always = _always(job, candidate)
    # packed weights are told by themselves, where the other parameters are
    packed = packed_weights(job, candidate.tp)
    if told.packed:
        packed = states.BYTES[told.storage] * states.packed(told)
    found = {}
    for moment, parts in states.held(told, fullest(told)).items():
        gpu, host = list(always), []
        for part, by_dtype in parts.items():
            total = sum(states.BYTES[dtype] * count for dtype, count in by_dtype.items())
            if part == "parameters" and packed:
                total -= packed if told.packed else 0
                own, there = _split(part, packed, told, candidate)
                gpu += [Term("quantised weights", own, PACKED)] if own else []
                host += [Term("quantised weights", there, PACKED)] if there else []
            own, there = _split(part, total, told, candidate)
            gpu += [_term(part, own)] if own else []
            host += [_term(part, there)] if there else []
        found[moment] = Placed(tuple(gpu), tuple(host))
    return found


def _term(part: str, size: float) -> Term:
    return Term(NAMES[part][0], size, FORMULAS[part])


def _always(job: Job, candidate: Candidate) -> list[Term]:
    """On the GPU at every moment."""
    terms = []
    if size := packed_bytes(job, candidate.tp) - packed_weights(job, candidate.tp):
        terms.append(Term("scales of quantised weights", size, SCALES))
    knobs = candidate.knobs
    if candidate.stage == 3 and knobs.hpz > 1:
        told = layout(job, candidate)
        whole = sum(told.trainable) + sum(told.frozen) + sum(told.packed)
        terms.append(Term("second copy (hpZ)", states.BYTES[told.dtype] * whole / knobs.hpz, SECONDARY))
    return terms


def _split(part: str, total: float, told: Layout, candidate: Candidate) -> tuple[float, float]:
    """Bytes on the GPU, and on the host or a disk: where the sources say that they are."""
    if told.unsharded or told.kept_in_full:
        return total, 0
    if part == "parameters":
        away = told.stage == 3 and candidate.offload_param != NOWHERE
        return (0, total) if away else (total, 0)
    if not told.offload_optimizer:
        return total, 0
    if part in ON_HOST:
        return 0, total
    if part == "gradients":
        if told.stage == 3:
            return 0, total
        # stage 1 keeps them whole on the GPU until the boundary; stage 2 sums on the host
        return (0, total) if told.stage == 2 else (total, 0)
    if part == "offload_buffers":
        largest = states.BYTES[told.dtype] * max(told.trainable)
        return largest, total - largest
    return total, 0


def swapped(
    job: Job, candidate: Candidate, host: tuple[Term, ...]
) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Host and disk of one rank where something goes to NVMe."""
    told = layout(job, candidate)
    kept, disk = list(host), []
    part = states.sharded(told.trainable, told.ranks)
    if candidate.offload_optimizer == NVME and told.stage == 3:
        names = [NAMES[name][0] for name in ON_HOST]
        kept = [term for term in kept if term.part not in names]
        buffers = SWAP_COUNT * 4 * states.largest_sub_group(told)
        kept.append(Term("swap buffers of the optimizer, pinned", buffers, SWAP_BUFFERS))
        disk.append(Term("optimizer on disk", 12.0 * part, SWAPPED, 12.0 * part, 16.0 * part))
    if candidate.offload_param == NVME and told.stage == 3:
        kept = [term for term in kept if term.part != NAMES["parameters"][0]]
        kept.append(Term("swap buffers of parameters, pinned", 2.0 * PARAM_COUNT * PARAM_SIZE, PARAM_BUFFERS))
        whole = part + states.sharded(told.frozen, told.ranks)
        disk.append(Term("parameters on disk", states.BYTES[told.dtype] * whole, SWAPPED_PARAMETERS))
    return tuple(kept), tuple(disk)
