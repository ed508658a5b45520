"""What a GPU, a host and a disk hold at each moment whatever the size of a micro batch."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dsbridge.planner import allowance, model_memory, start_up, states, stepping
from dsbridge.planner.candidate import NVME, Candidate, Knobs
from dsbridge.planner.gathered import gathered
from dsbridge.planner.job import Job
from dsbridge.planner.model_memory import NAMES, Placed
from dsbridge.planner.parameters import layout
from dsbridge.planner.per_token import Tokens, per_token
from dsbridge.planner.terms import DISK, Formula, Moment, Term
from dsbridge.planner.unpacking import unpacked

LOADING, LOSS, TURN, BACK, STEP, IDLE = (
    "loading",
    "loss",
    "backward of the last layer",
    "end of backward",
    "in the optimizer step",
    "between steps",
)
FRESH = Formula("the largest weight's gradient, before it is in a bucket", "torch's autograd")
IN_FLIGHT = Formula(
    "stages 1, 2: reduce_bucket_size elements, two with overlap_comm; 3: a copy of the bucket by ranks; 0: "
    "gradients flattened to be reduced, at most 5e8 elements",
    "setup_buckets, runtime/zero/stage_1_and_2.py; reduce_scatter_coalesced; buffered_allreduce_fallback",
)
MAKING = Formula(
    "beyond what is held when AdamW is called: gradients joined in their own type and cast to the master "
    "weights', all at once; at most, the roots of second moments of torch's AdamW over all tensors (foreach)",
    "counted: tests/recorded/planner/stepping-hf.jsonl; dsbridge/planner/stepping.py",
)
MADE = "made in the step"
FLATTENED = 500_000_000
Terms = tuple[Term, ...]


class Part(NamedTuple):
    """Terms, with their sums: best, least and most. Those of the context are in `terms` and not in the sums,
    for they do not fragment."""

    terms: Terms
    best: float
    least: float
    most: float


class Fixed(NamedTuple):
    """loss, turn, back: what a micro batch is added to; loading, step, idle: whole moments."""

    loading: Moment
    loss: Part
    turn: Part
    back: Part
    step: Moment
    idle: Moment
    host: tuple[Moment, ...]
    nvme: tuple[Moment, ...]
    tokens: Tokens


Rest = tuple[int, int, str, str, str, Knobs]


@cache
def fixed(job: Job, stage: int, accumulation: int, rest: Rest) -> Fixed:
    """The parts of a layout; rest: the fields of a candidate behind its accumulation, which is one or
    more."""
    candidate = Candidate(stage, 1, accumulation, *rest)
    # what does not depend on the data is found once for every length of it
    return _without_data(job._replace(sequence=1, global_batch=1), candidate)._replace(
        tokens=per_token(job, candidate)
    )


@cache
def _without_data(job: Job, candidate: Candidate) -> Fixed:
    found = model_memory.placed(job, candidate)
    host, disk = _elsewhere(job, candidate, found)
    context = allowance.context(job.cluster.world)
    cublas = (allowance.workspaces(job.cluster.gpu.name),)
    losing, turning, working = _beside(job, candidate)
    kept, after = _without_buckets(found, candidate)
    flight, fresh = _in_flight(job, candidate)
    flat = flight if candidate.stage == 0 else ()
    step = (*found[states.STEPPING].gpu, *flat, *_made(job, candidate), *cublas)
    loading = start_up.on_gpu(job, candidate, sum(term.bytes for term in found[states.INITIALIZED].gpu))
    return Fixed(
        loading=_whole(LOADING, _part(context, (*found[states.INITIALIZED].gpu, *loading))),
        loss=_part(context, (*kept, *losing, *cublas)),
        turn=_part(context, (*kept, *turning, *fresh, *flight, *cublas)),
        back=_part(context, (*after, *working, *fresh, *flight, *cublas)),
        step=_whole(STEP, _part(context, step)),
        idle=_whole(IDLE, _part(context, (*found[states.BETWEEN].gpu, *cublas))),
        host=host,
        nvme=disk,
        tokens=per_token(job, candidate),
    )


def _part(context: Terms, terms: Terms) -> Part:
    sums = (sum(t.bytes for t in terms), sum(t.least for t in terms), sum(t.most for t in terms))
    return Part((*context, *terms), *sums)


def _whole(name: str, part: Part) -> Moment:
    return Moment(name, (*part.terms, allowance.fragmentation(part.best, part.least, part.most)))


def _made(job: Job, candidate: Candidate) -> Terms:
    """What the optimizer's step allocates itself; nothing where it runs on the host."""
    told = layout(job, candidate)
    if told.offload_optimizer or not told.trainable:
        return ()
    rank = model_memory.fullest(told)
    entering = states.size(states.held(told, rank)[states.STEPPING])
    fused, foreach = (float(stepping.peak(told, many, rank) - entering) for many in (False, True))
    return (Term(MADE, fused, MAKING, fused, foreach),)


def _without_buckets(found: dict[str, Placed], candidate: Candidate) -> tuple[Terms, Terms]:
    """Before a backward pass and behind it; stage 3's bucket always lives, others are told as in flight."""
    before = states.NOT_BOUNDARY if candidate.accumulation > 1 else states.BETWEEN
    both = (found[before].gpu, found[states.BOUNDARY].gpu)
    bucket = "" if candidate.stage == 3 else NAMES["buckets"][0]
    kept, after = (tuple(term for term in terms if term.part != bucket) for terms in both)
    return kept, after


def _beside(job: Job, candidate: Candidate) -> tuple[Terms, Terms, Terms]:
    """Between forward and backward; while the last layer goes back, and the first."""
    whole: tuple[Terms, ...] = ((), (), ())
    if candidate.stage == 3:
        whole = tuple((term,) for term in gathered(job, candidate))
    loss, turn, back = ((*one, *more) for one, more in zip(whole, unpacked(job, candidate), strict=True))
    return loss, turn, back


def _in_flight(job: Job, candidate: Candidate) -> tuple[Terms, Terms]:
    """Buckets of the backward pass, and a gradient that is not in one yet."""
    told = layout(job, candidate)
    size, total = states.BYTES[told.communicated or told.dtype], sum(told.trainable)
    if not total:
        return (), ()
    largest = max(told.trainable)
    if told.unsharded or told.kept_in_full:
        most = size * min(FLATTENED, total) if told.ranks > 1 else 0
        flight = Term("gradients in flight", most, IN_FLIGHT, 0.0, most)
    elif told.stage == 3:
        most = size * min(total, max(told.bucket, largest))
        flight = Term("gradients in flight", most, IN_FLIGHT, 0.0, most)
    else:
        elements = (1 + told.overlap) * told.bucket if told.contiguous else min(told.bucket, total)
        flight = Term("gradients in flight", size * elements, IN_FLIGHT)
    return (flight,), (Term("a gradient just made", states.BYTES[told.dtype] * largest, FRESH),)


def _elsewhere(
    job: Job, candidate: Candidate, found: dict[str, Placed]
) -> tuple[tuple[Moment, ...], tuple[Moment, ...]]:
    """A node's host and disks: all its ranks together."""
    ranks = min(job.cluster.per_node, job.cluster.world)
    process = allowance.processes(ranks)
    moments = [Moment(LOADING, (process, start_up.on_host(job, candidate)))]
    disks: list[Moment] = []
    for name, moment in ((BACK, states.BOUNDARY), (STEP, states.STEPPING), (IDLE, states.BETWEEN)):
        terms: Terms = found[moment].host
        disk: Terms = ()
        if NVME in (candidate.offload_optimizer, candidate.offload_param):
            terms, disk = model_memory.swapped(job, candidate, terms)
        moments.append(Moment(name, (process, *(_times(term, ranks) for term in terms))))
        if disk and not disks:
            disks.append(Moment(DISK, tuple(_times(term, ranks) for term in disk)))
    return tuple(moments), tuple(disks)


def _times(term: Term, ranks: int) -> Term:
    return term._replace(bytes=term.bytes * ranks, low=term.least * ranks, high=term.most * ranks)
