"""Every layout of a job that can be trained, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dsbridge.planner import slicing
from dsbridge.planner.candidate import CPU, FULL, NONE, NOWHERE, NVME, Candidate, Knobs
from dsbridge.planner.errors import PlanError
from dsbridge.planner.job import Job
from dsbridge.planner.layout import AUTOTP, ULYSSES
from dsbridge.planner.quantised import FOUR_BIT
from dsbridge.rules import numbers

STAGES = (0, 1, 2, 3)
# (optimizer, parameters) in the order of DeepSpeed's guide: what slows least first
OFFLOADS = ((NOWHERE, NOWHERE), (CPU, NOWHERE), (CPU, CPU))
TO_DISK = ((NVME, NOWHERE), (NVME, CPU), (NVME, NVME))


EVERY_NTH_SINCE = (5, 16)  # every_n_layers, modeling_utils.py of transformers: in 5.16.0, not in 5.15.0


class Wanted(NamedTuple):
    """What the user has decided; None leaves it to the search. disk: NVMe is at hand."""

    stage: int | None = None
    tp: int | None = None
    ulysses: int | None = None
    micro: int | None = None
    checkpointing: str | None = None
    offload_optimizer: str | None = None
    offload_param: str | None = None
    disk: bool = False
    knobs: Knobs = Knobs()

    @property
    def spacing(self) -> int:
        """Each of how many layers is checkpointed; 0: none, or it is left to the search."""
        return Candidate(0, checkpointing=self.checkpointing or NONE).spacing


class Ruled(NamedTuple):
    """Layouts that are left out. what: which; why: the reason, for people."""

    what: str
    why: str


class Room(NamedTuple):
    """What there is to choose from."""

    candidates: tuple[Candidate, ...]
    ruled_out: tuple[Ruled, ...]


OPEN = Wanted()


def room(job: Job, wanted: Wanted = OPEN) -> Room:
    """Every candidate for a job, in the order of DeepSpeed's guide.

    Raises:
        PlanError: what was decided cannot be trained, or nothing is left.
    """
    check(job)
    if why := against_spacing(job, wanted.spacing):
        raise PlanError(why, "plan with --checkpointing, or with --no-checkpointing")
    found: list[Candidate] = []
    out: list[Ruled] = []
    for tp in _degrees(job, wanted.tp, "tp"):
        if why := against_tp(job, tp):
            _refuse(out, f"tp {tp}", why, decided=wanted.tp is not None)
            continue
        for ulysses in _degrees(job, wanted.ulysses, "ulysses"):
            if why := against_ulysses(job, ulysses, tp):
                what = "tp with ulysses" if tp > 1 else f"ulysses {ulysses}"
                _refuse(out, what, why, decided=wanted.ulysses is not None)
                continue
            found += _sharded(job, wanted, tp, ulysses, out)
    if not found:
        reasons = "; ".join(dict.fromkeys(f"{ruled.what}: {ruled.why}" for ruled in out))
        raise PlanError(f"no layout is left ({reasons})", "decide less, or change the global batch")
    return Room(tuple(found), tuple(dict.fromkeys(out)))


def check(job: Job) -> None:
    """Refuse a job that makes no sense.

    Raises:
        PlanError: with what would do.
    """
    for value, name, near in (
        (job.sequence, "sequence length", "give the tokens of a sequence, such as 2048"),
        (job.global_batch, "global batch", "give the sequences of an optimizer step, such as 32"),
        (job.cluster.nodes, "number of nodes", "give 1 or more"),
        (job.cluster.per_node, "number of GPUs", "give 1 or more"),
    ):
        if value < 1:
            raise PlanError(f"a {name} of {value} trains nothing", near)
    if job.dtype == "bfloat16" and not job.cluster.gpu.bf16:
        raise PlanError(f"{job.cluster.gpu.name} has no bf16", "plan with --dtype fp16")


def against_spacing(job: Job, spacing: int) -> str:
    """Why a job cannot have each of so many layers checkpointed; "" where it can."""
    if spacing <= 1:
        return ""
    if spacing > job.shape.layers:
        return f"the model has {job.shape.layers} layers, not {spacing}"
    if numbers(job.shape.transformers) < EVERY_NTH_SINCE:
        since, own = ".".join(map(str, EVERY_NTH_SINCE)), job.shape.transformers
        return f"every_n_layers came with Transformers {since}, and the model is built by {own}"
    return ""


def against_tp(job: Job, tp: int) -> str:
    """Why a job cannot be trained with so many tensor-parallel ranks; "" where it can."""
    shape = job.shape
    if tp == 1:
        return ""
    if job.deepspeed < AUTOTP:
        return f"AutoTP training came with DeepSpeed {'.'.join(map(str, AUTOTP))}"
    if job.cluster.per_node % tp:
        return f"{job.cluster.per_node} GPUs of a node do not divide into groups of {tp}"
    if job.method is not None:
        return "AutoTP does not know the layers of LoRA or of a frozen model (CK417)"
    if why := slicing.reason_against(shape):
        return why
    for count, name in ((shape.heads, "attention heads"), (shape.kv_heads, "key-value heads")):
        if count % tp:
            return f"{count} {name} do not divide by {tp}; {_divisors(count, job.cluster.per_node)} would"
    return ""


def against_ulysses(job: Job, degree: int, tp: int = 1) -> str:
    """Why a job cannot be trained with so many ranks on one sequence; "" where it can."""
    shape = job.shape
    if degree == 1:
        return ""
    if job.deepspeed < ULYSSES:
        return f"Ulysses for Transformers came with DeepSpeed {'.'.join(map(str, ULYSSES))}"
    if tp > 1:
        return "AutoTP and Ulysses together were not measured"
    if job.cluster.world % degree:
        return f"{job.cluster.world} GPUs do not divide into groups of {degree}"
    if shape.heads % degree:
        return f"{shape.heads} attention heads do not divide by {degree}"
    if shape.kv_heads % degree and degree % shape.kv_heads:
        return f"{shape.kv_heads} key-value heads neither divide by {degree} nor divide it"
    if shape.latent:
        return "Ulysses on multi-head latent attention was not measured"
    if job.sequence % degree:
        return f"a sequence of {job.sequence} tokens does not divide by {degree}"
    return ""


def against_stage(job: Job, stage: int, tp: int) -> str:
    """Why a stage cannot be had with a tensor-parallel degree; "" where it can."""
    if stage == 3 and tp > 1:
        return "AutoTP is for stages 0 to 2: DeepSpeed refuses stage 3, or has not validated it"
    if stage == 3 and job.scheme == "int8":
        return (
            "of 8-bit weights bitsandbytes keeps a whole copy beside what stage 3 splits, and LLaMA-Factory "
            "refuses them"
        )
    if stage == 3 and job.scheme and job.scheme not in FOUR_BIT:
        return f"what stage 3 does with weights quantised as {job.scheme} was not measured"
    return ""


def against_offload(stage: int, optimizer: str, param: str, scheme: str = "") -> str:
    """Why a stage has no such offload; "" where it has."""
    if optimizer != NOWHERE and stage == 0:
        return "stage 0 offloads nothing"
    if optimizer == NVME and stage < 3:
        return "NVMe takes the optimizer of stage 3 alone"
    if param != NOWHERE and stage < 3:
        return "parameters are offloaded by stage 3 alone"
    if param == NVME and scheme:
        return "quantised weights on NVMe were not measured"
    return ""


def _sharded(job: Job, wanted: Wanted, tp: int, ulysses: int, out: list[Ruled]) -> Iterator[Candidate]:
    world = job.cluster.world
    replicas, left = divmod(world, tp * ulysses)
    if left:
        out.append(Ruled(f"tp {tp} x ulysses {ulysses}", f"{world} GPUs do not divide into groups of both"))
        return
    if job.global_batch % replicas:
        near = f"{job.global_batch // replicas * replicas or replicas} would"
        why = (
            f"a global batch of {job.global_batch} does not divide by {replicas} data-parallel ranks; {near}"
        )
        _refuse(out, f"tp {tp}, ulysses {ulysses}", why, decided=False)
        return
    micros = _micros(job.global_batch // replicas, wanted.micro)
    if not micros:
        share = job.global_batch // replicas
        near = ", ".join(map(str, _micros(share, None)))
        why = f"a micro batch of {wanted.micro} does not divide the {share} sequences of a rank; {near} would"
        out.append(Ruled(f"tp {tp}, ulysses {ulysses}", why))
        return
    for stage in STAGES if wanted.stage is None else (wanted.stage,):
        if why := against_stage(job, stage, tp):
            out.append(Ruled(f"stage {stage} with tp" if tp > 1 else f"stage {stage}", why))
            continue
        for optimizer, param in _offloads(wanted):
            if why := against_offload(stage, optimizer, param, job.scheme):
                if wanted.offload_optimizer or wanted.offload_param:
                    out.append(Ruled(f"stage {stage}", why))
                continue
            for checkpointing in (NONE, FULL) if wanted.checkpointing is None else (wanted.checkpointing,):
                for micro in micros:
                    steps = job.global_batch // replicas // micro
                    yield Candidate(
                        stage, micro, steps, tp, ulysses, optimizer, param, checkpointing, wanted.knobs
                    )


def _offloads(wanted: Wanted) -> list[tuple[str, str]]:
    every = (*OFFLOADS, *TO_DISK) if wanted.disk else OFFLOADS
    asked = (wanted.offload_optimizer, wanted.offload_param)
    if None not in asked:
        return [(asked[0] or NOWHERE, asked[1] or NOWHERE)]
    return [
        pair for pair in every if all(a is None or a == have for a, have in zip(asked, pair, strict=True))
    ]


def _refuse(out: list[Ruled], what: str, why: str, *, decided: bool) -> None:
    if decided:
        raise PlanError(f"{what} cannot be trained: {why}", "leave it out, and see what plan finds")
    out.append(Ruled(what, why))


def _degrees(job: Job, wanted: int | None, name: str) -> Sequence[int]:
    """1, 2, 4, ... up to the GPUs of a node: both kinds want the fast links."""
    if wanted is None:
        return [degree for degree in (1, 2, 4, 8, 16) if degree <= job.cluster.per_node]
    if wanted < 1:
        raise PlanError(f"{name} is {wanted}", "give 1 or more")
    if wanted > job.cluster.world:
        raise PlanError(
            f"{name} {wanted} needs more than {job.cluster.world} GPUs", "give more GPUs, or less"
        )
    return [wanted]


def _micros(of_rank: int, wanted: int | None) -> list[int]:
    """Micro batches that divide what a rank trains in a step: the powers of 2, and that number itself."""
    if wanted is not None:
        return [wanted] if wanted >= 1 and of_rank % wanted == 0 else []
    powers = [1 << n for n in range(of_rank.bit_length()) if of_rank % (1 << n) == 0]
    return sorted({*powers, of_rank})


def _divisors(count: int, most: int) -> str:
    return ", ".join(str(n) for n in range(1, most + 1) if count % n == 0)
