"""The layouts of a job, weighed: which fit, how fast each is, best first."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from dsbridge.planner.candidate import Candidate, name_of
from dsbridge.planner.candidates import OPEN, Ruled, Wanted, room
from dsbridge.planner.communication import communication
from dsbridge.planner.errors import PlanError
from dsbridge.planner.job import Job
from dsbridge.planner.memory import memory
from dsbridge.planner.terms import Communication, Memory, Moment, StepTime
from dsbridge.planner.timing import step_time

FITS, TIGHT, TOO_LARGE = "fits", "tight", "too large"


class Weighed(NamedTuple):
    """A candidate of a job with what it costs. verdict: `fits` if even the upper bound of its peak does,
    `tight` if only the best guess does. lacking: bytes that the peak is too large by, below 0 what is left.
    Its memory and traffic are computed when somebody asks: of thousands, few are looked at."""

    job: Job
    candidate: Candidate
    time: StepTime
    verdict: str
    lacking: float
    reasons: tuple[str, ...] = ()

    @property
    def memory(self) -> Memory:
        """What it holds, part by part."""
        return memory(self.job, self.candidate)

    @property
    def communication(self) -> Communication:
        """What an optimizer step moves."""
        return communication(self.job, self.candidate)


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


def search(job: Job, wanted: Wanted = OPEN, refuses: Callable[[Candidate], str] | None = None) -> Found:
    """Weigh every layout of a job. refuses: why a framework cannot train a layout, "" where it can.

    Raises:
        PlanError: the job makes no sense, or no layout is left.
    """
    found = room(job, wanted)
    left, out = found.candidates, dict.fromkeys(found.ruled_out)
    if refuses is not None:
        judged = [(one, refuses(one)) for one in left]
        left = tuple(one for one, why in judged if not why)
        out |= dict.fromkeys(_ruled(judged))
        if not left:
            raise PlanError(f"the framework trains none of the layouts ({judged[0][1]})", "decide less")
    return Found(weighed(job, left), tuple(out), len(left))


def _ruled(judged: Sequence[tuple[Candidate, str]]) -> Iterator[Ruled]:
    """What a framework refuses; a degree as a whole where it refuses all of it for one reason."""
    groups: dict[tuple[int, int], list[tuple[Candidate, str]]] = {}
    for one, why in judged:
        groups.setdefault((one.tp, one.ulysses), []).append((one, why))
    for (tp, ulysses), group in groups.items():
        reasons = {why for _, why in group}
        if (tp, ulysses) != (1, 1) and len(reasons) == 1:
            names = [f"tp {tp}"] * (tp > 1) + [f"ulysses {ulysses}"] * (ulysses > 1)
            found = [(", ".join(names), next(iter(reasons)))]
        else:
            found = [(name_of(one), why) for one, why in group]
        yield from (Ruled(name, why) for name, why in found if why)


def weighed(job: Job, candidates: Iterable[Candidate]) -> tuple[Weighed, ...]:
    """All of them, best first."""
    with _uncollected():
        return ranked(weigh(job, one) for one in candidates)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Thousands of small tuples are made and kept: the collector would walk them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def weigh(job: Job, candidate: Candidate) -> Weighed:
    """What a layout holds and moves, and whether it fits."""
    held = memory(job, candidate)
    time = step_time(job, candidate, communication(job, candidate))
    room_of = job.cluster.gpu.memory
    peak, guess, most = _fullest(held)
    verdict = TOO_LARGE if guess > room_of else TIGHT if most > room_of else FITS
    lacking, reasons = guess - room_of, []
    if verdict == TOO_LARGE:
        reasons.append(f"the GPU is too small: {peak.name}")
    elif verdict == TIGHT:
        reasons.append("the upper bound of the GPU's memory does not fit")
    if job.cluster.host_memory is not None:
        over = max((moment.total for moment in held.host), default=0.0) - job.cluster.host_memory
        if over > 0:
            verdict, lacking = TOO_LARGE, max(lacking, over)
            reasons.append("the host's memory is too small")
    return Weighed(job, candidate, time, verdict, lacking, tuple(reasons))


def _fullest(held: Memory) -> tuple[Moment, float, float]:
    """The moment with the largest best guess, that guess, and the largest upper bound of all, in one pass."""
    peak, guess, most = held.gpu[0], -1.0, -1.0
    for moment in held.gpu:
        here = upper = 0.0
        for _, size, _, _, high in moment.terms:
            here += size
            upper += size if high < 0 else high
        if here > guess:
            peak, guess = moment, here
        most = max(most, upper)
    return peak, guess, most


_VERDICTS = (FITS, TIGHT, TOO_LARGE)
# middles of step times that are closer than this say nothing: the ranges are wider by far
_AS_FAST = 1.1


def ranked(several: Iterable[Weighed]) -> tuple[Weighed, ...]:
    """Best first: what fits by the middle of its step time, and of those that are as fast as the fastest the
    simplest, as DeepSpeed's guide climbs; what is tight alike; what is too large by what it lacks."""
    groups: dict[str, list[tuple[float, Weighed]]] = {verdict: [] for verdict in _VERDICTS}
    for one in several:
        groups[one.verdict].append((one.time.total.middle, one))
    found: list[Weighed] = []
    for verdict in (FITS, TIGHT):
        fast = _AS_FAST * min((middle for middle, _ in groups[verdict]), default=0.0)
        found += (one for _, one in sorted(groups[verdict], key=lambda pair: _rank(pair[0], pair[1], fast)))
    found += sorted((one for _, one in groups[TOO_LARGE]), key=lambda one: one.lacking)
    return tuple(found)


def _rank(middle: float, one: Weighed, fast: float) -> tuple[float, ...]:
    c = one.candidate
    extras = (c.tp > 1) + (c.ulysses > 1) + bool(c.offload_optimizer) + bool(c.offload_param)
    if middle <= fast:
        return 0.0, extras, c.stage, middle, one.lacking
    return 1.0, middle, extras, one.lacking, c.stage


def distinct(several: Sequence[Weighed]) -> tuple[Weighed, ...]:
    """The best of each kind: one for every stage, offload, tp and ulysses; the order is kept."""
    seen: dict[object, Weighed] = {}
    for one in several:
        c = one.candidate
        seen.setdefault((c.stage, c.offload_optimizer, c.offload_param, c.tp, c.ulysses), one)
    return tuple(seen.values())
