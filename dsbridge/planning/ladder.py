"""Why a layout was chosen: DeepSpeed's own ladder, rung by rung, and what the rungs move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dsbridge.planner.candidate import CPU, NOWHERE, NVME, Candidate, name_of
from dsbridge.planner.search import FITS, TOO_LARGE, Found, Weighed

GIB = 2**30


class Rung(NamedTuple):
    """A way of sharding, with its smallest layout and its fastest that fits (None where none does)."""

    name: str
    smallest: Weighed
    fastest: Weighed | None


def kind_of(candidate: Candidate) -> tuple[int, str, str, int, int]:
    """What two layouts of one rung share."""
    c = candidate
    return c.stage, c.offload_optimizer, c.offload_param, c.tp, c.ulysses


def rungs(found: Sequence[Weighed]) -> list[Rung]:
    """From what slows least to what saves most, as DeepSpeed's guide climbs."""
    groups: dict[tuple[int, str, str, int, int], list[Weighed]] = {}
    for one in found:
        groups.setdefault(kind_of(one.candidate), []).append(one)
    made = [
        Rung(
            name_of(group[0].candidate),
            min(group, key=lambda one: one.lacking),
            next((one for one in group if one.verdict == FITS), None),  # they are ranked
        )
        for group in groups.values()
    ]
    return sorted(made, key=lambda rung: _height(rung.smallest.candidate))


_PLACES = (NOWHERE, CPU, NVME)


def _height(c: Candidate) -> tuple[int, ...]:
    offloads = (_PLACES.index(c.offload_optimizer), _PLACES.index(c.offload_param))
    return (sum(offloads), *offloads, c.stage, c.ulysses, c.tp)


def story(found: Found) -> Iterator[str]:
    """The ladder in sentences, one a rung, and the comparison with stage 3.

    The rungs are those of DeepSpeed's guide; of tensor and sequence parallelism, the best of each.
    """
    every, best = rungs(found.ranked), found.best
    for rung in every:
        c = rung.smallest.candidate
        if (c.tp, c.ulysses) == (1, 1):
            yield _sentence(rung, best)
    for parallel in ("tp", "ulysses"):
        kinds = (kind_of(one.candidate) for one in found.ranked if getattr(one.candidate, parallel) > 1)
        if first := next(kinds, None):
            yield _sentence(next(r for r in every if kind_of(r.smallest.candidate) == first), best)
    if best is not None:
        yield from _against_stage_3(best, every)


def _sentence(rung: Rung, best: Weighed | None) -> str:
    small = rung.smallest
    if rung.fastest is None:
        how = " and checkpointing" if small.candidate.spacing else ""
        at = f"even with a micro batch of {small.candidate.micro}{how}"
        if small.verdict == TOO_LARGE:
            return (
                f"{rung.name}: too large by {small.lacking / GIB:.1f} GiB, {at} ({', '.join(small.reasons)})"
            )
        return f"{rung.name}: may fit, {-small.lacking / GIB:.1f} GiB are left by the best guess, {at}"
    fast = rung.fastest
    time = fast.time.total
    chosen = "; chosen" if best is not None and fast is best else ""
    spare = f"fits with {-fast.lacking / GIB:.1f} GiB to spare"
    return f"{rung.name}: {spare}, {digits(time.low)} to {digits(time.high)} s a step{chosen}"


def digits(number: float) -> str:
    """Two significant digits at least, no exponent: 0.83, 2.7, 119."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def _against_stage_3(best: Weighed, every: Sequence[Rung]) -> Iterator[str]:
    third = next((rung for rung in every if kind_of(rung.smallest.candidate) == (3, "", "", 1, 1)), None)
    if third is None or best.candidate.stage == 3:
        return
    other = third.fastest or third.smallest
    for place, ours, theirs in (
        ("between nodes", best.communication.between, other.communication.between),
        ("inside a node", best.communication.inside, other.communication.inside),
    ):
        if ours and theirs and not 0.95 < ours / theirs < 1.05:
            more, ratio = ("fewer", theirs / ours) if theirs >= ours else ("more", ours / theirs)
            yield f"{name_of(best.candidate)} moves {ratio:.1f} x {more} bytes {place} than stage 3"
