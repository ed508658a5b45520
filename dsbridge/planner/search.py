"""The layouts of a job, weighed: which fit, how fast each is, best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dsbridge.planner.candidate import Candidate
from dsbridge.planner.candidates import OPEN, Ruled, Wanted, room
from dsbridge.planner.communication import communication
from dsbridge.planner.job import Job
from dsbridge.planner.memory import memory
from dsbridge.planner.terms import Communication, Memory, StepTime
from dsbridge.planner.timing import step_time

FITS, TIGHT, TOO_LARGE = "fits", "tight", "too large"


class Weighed(NamedTuple):
    """A candidate with what it costs. verdict: `fits` if even the upper bound of its peak does, `tight` if
    only the best guess does. lacking: bytes that the peak is too large by, below 0 what is left."""

    candidate: Candidate
    memory: Memory
    communication: Communication
    time: StepTime
    verdict: str
    lacking: float
    reasons: tuple[str, ...] = ()


class Found(NamedTuple):
    """ranked: what fits, fastest first, then what is tight, then what is too large by how much. looked_at:
    how many layouts were weighed."""

    ranked: tuple[Weighed, ...]
    ruled_out: tuple[Ruled, ...]
    looked_at: int

    @property
    def best(self) -> Weighed | None:
        """The fastest layout that fits; None where none does."""
        return next((one for one in self.ranked if one.verdict == FITS), None)


def search(job: Job, wanted: Wanted = OPEN) -> Found:
    """Weigh every layout of a job.

    Raises:
        PlanError: the job makes no sense, or no layout is left.
    """
    found = room(job, wanted)
    return Found(ranked(weigh(job, one) for one in found.candidates), found.ruled_out, len(found.candidates))


def weigh(job: Job, candidate: Candidate) -> Weighed:
    """What a layout holds and moves, and whether it fits."""
    held = memory(job, candidate)
    moved = communication(job, candidate)
    time = step_time(job, candidate, moved)
    room_of, peak = job.cluster.gpu.memory, held.peak
    lacking = peak.total - room_of
    most = max(moment.most for moment in held.gpu)
    verdict = TOO_LARGE if lacking > 0 else TIGHT if most > room_of else FITS
    reasons = [_of_gpu(verdict, peak.name)] if verdict != FITS else []
    if job.cluster.host_memory is not None:
        host = max((moment.total for moment in held.host), default=0.0)
        if host > job.cluster.host_memory:
            verdict = TOO_LARGE
            lacking = max(lacking, host - job.cluster.host_memory)
            reasons.append("the host's memory is too small")
    return Weighed(candidate, held, moved, time, verdict, lacking, tuple(reasons))


def _of_gpu(verdict: str, moment: str) -> str:
    return f"the GPU is too small {moment}" if verdict == TOO_LARGE else f"the upper bound is above {moment}"


_VERDICTS = (FITS, TIGHT, TOO_LARGE)


def ranked(weighed: Iterable[Weighed]) -> tuple[Weighed, ...]:
    """Best first: what fits by the middle of its step time, what does not by what it lacks."""
    return tuple(sorted(weighed, key=_rank))


def _rank(one: Weighed) -> tuple[float, ...]:
    place = float(_VERDICTS.index(one.verdict))
    if one.verdict == TOO_LARGE:
        return (place, one.lacking)
    return (place, one.time.total.middle, one.memory.peak.total, float(one.candidate.stage))


def distinct(weighed: Sequence[Weighed]) -> tuple[Weighed, ...]:
    """The best of each kind: one for every stage, offload, tp and ulysses; the order is kept."""
    seen: dict[object, Weighed] = {}
    for one in weighed:
        c = one.candidate
        seen.setdefault((c.stage, c.offload_optimizer, c.offload_param, c.tp, c.ulysses), one)
    return tuple(seen.values())
