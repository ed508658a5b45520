"""What a step moves and how long it takes, for every micro batch, accumulation and sequence."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from dsbridge.planner import rates
from dsbridge.planner.candidate import NOWHERE, Candidate
from dsbridge.planner.communication import LAST, OTHER, TP, ULYSSES, communication
from dsbridge.planner.job import Job
from dsbridge.planner.terms import Communication
from dsbridge.planner.timing import of_wire, pace, step_time
from dsbridge.report.fitting import Coefficients, meets, solved
from dsbridge.report.surfaces import Pool

# what is told of a step, in this order; the page makes the total of them as `timing.step_time` does. last,
# other: the lower bound of what data parallelism moves beside the passes of the last micro-step, of the
# others; window: what all micro-steps have to hide it behind; transfer: between GPU and host, at least
QUANTITIES = (
    "compute_low", "compute_high", "data_low", "data_high", "tensor_low", "tensor_high", "sequence_low",
    "sequence_high", "offload_low", "offload_high", "last", "other", "window", "transfer", "inside",
    "between", "pcie",
)  # fmt: skip
# what the coefficients stand before, of accumulation g, micro batch m, and a sequence of s tokens
BASIS = ("1", "g", "g m", "g m s", "g m s s")
Point = tuple[int, int, int]
SMALL = 1e-9


# where to ask, without accumulating and with it; the last two check
ONCE: tuple[Point, ...] = (
    (1, 1, 256), (1, 2, 256), (1, 1, 1024), (1, 1, 4096), (1, 3, 1024), (1, 4, 32768),
)  # fmt: skip
AGAIN: tuple[Point, ...] = (
    (2, 1, 256), (3, 1, 256), (2, 2, 256), (2, 1, 1024), (2, 1, 4096), (5, 3, 1024), (2, 1, 32768),
)  # fmt: skip


class Steps:
    """Every kind of layout, with the numbers of its coefficients."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.kinds: dict[str, list[int]] = {}
        self.fits: Pool[Coefficients] = Pool()

    def add(self, key: str, one: Candidate) -> None:
        """A kind of layout; nothing where there are no coefficients for one of its quantities."""
        points = AGAIN if one.accumulation > 1 else ONCE
        values = zip(*(self._quantities(one, point) for point in points), strict=True)
        found = [fit for each in values if (fit := fitted(points, each))]
        if len(found) == len(QUANTITIES):
            self.kinds[key] = [self.fits.number(fit) for fit in found]

    def to_json(self) -> dict[str, Any]:
        """As the page reads it."""
        return {"steps": self.kinds, "step_fits": self.fits.items, "step_names": QUANTITIES}

    def _quantities(self, one: Candidate, point: Point) -> tuple[float, ...]:
        steps, micro, sequence = point
        job = self.job._replace(sequence=sequence)
        return _quantities(job, one._replace(micro=micro, accumulation=steps))


@lru_cache(maxsize=65536)
def fitted(points: tuple[Point, ...], values: tuple[float, ...]) -> Coefficients | None:
    """What gives these values there."""
    rows = tuple((1, g, g * m, g * m * s, g * m * s * s) for g, m, s in points)
    columns = (0, 1, 2, 3, 4) if points[0][0] > 1 else (0, 2, 3, 4)
    found = solved(rows, values, tuple(range(len(columns))), columns)
    return found if found and meets((found,), rows, values, SMALL) else None


def _quantities(job: Job, one: Candidate) -> tuple[float, ...]:
    moved = communication(job, one)
    time = step_time(job, one, moved)
    speed = pace(job, one.spacing)
    hidden = {LAST: 0.0, OTHER: 0.0}
    for wire in moved.wires:
        if wire.group not in (TP, ULYSSES) and wire.when in hidden:
            hidden[wire.when] += of_wire(wire, speed)[0]
    tokens = one.micro * job.sequence / (one.tp * one.ulysses)
    beside = speed.backward.low + (speed.forward.low if one.stage == 3 else 0.0)
    ranges = (time.compute, time.data_parallel, time.tensor_parallel, time.sequence_parallel, time.offload)
    return (
        *(bound for each in ranges for bound in each),
        *hidden.values(),
        one.accumulation * tokens * beside,
        _transfer(job, one, moved),
        moved.inside,
        moved.between,
        moved.pcie,
    )


def _transfer(job: Job, one: Candidate, moved: Communication) -> float:
    if one.offload_optimizer == NOWHERE and one.offload_param == NOWHERE:
        return 0.0
    share = rates.PINNED if one.knobs.pin else rates.PAGEABLE
    return moved.pcie / (share.high * job.cluster.pcie.rate)
