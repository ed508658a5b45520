"""The three batch sizes of a DeepSpeed config and the ranks that share them: what fits, and what is near."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

TOTAL, MICRO, STEPS = "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"
# Ranks that clusters have: one node's part, a node, or whole nodes of 4 or 8 GPUs.
_ON_ONE_NODE = 8


class Batch(NamedTuple):
    """What is known of the arithmetic; None for a size that is left to DeepSpeed, or for unknown ranks."""

    total: int | None
    micro: int | None
    steps: int | None
    ranks: int | None = None

    def fits(self, ranks: int) -> bool:
        """Whether total = micro x steps x ranks has whole numbers; a missing size is derived."""
        if self.total is None:
            return True
        share = self.total / ((self.micro or 1) * (self.steps or 1) * ranks)
        exact = self.micro is not None and self.steps is not None
        return share == 1 if exact else share >= 1 and share == int(share)

    def worlds(self) -> tuple[int, ...]:
        """Every number of ranks that fits, ascending; none where no number does."""
        if self.total is None:
            return ()
        most = self.total // ((self.micro or 1) * (self.steps or 1))
        if self.micro is not None and self.steps is not None:
            return (most,) if most and self.fits(most) else ()
        return tuple(ranks for ranks in _divisors(most) if self.fits(ranks))

    def product(self) -> str:
        """`2 x 3 x 8 ranks`, as far as it is known."""
        parts = [str(size) for size in (self.micro, self.steps) if size is not None]
        return " x ".join([*parts, f"{self.ranks} ranks" if self.ranks else "the number of ranks"])

    def repairs(self) -> tuple[str, ...]:
        """What would fit instead, the least change first: each keeps what it does not name."""
        if self.total is None or self.ranks is None:
            return ()
        return tuple(dict.fromkeys(self._repairs(self.total, self.ranks)))

    def _repairs(self, total: int, ranks: int) -> Iterator[str]:
        micro, steps = self.micro, self.steps
        each = total // ranks if total % ranks == 0 else 0  # samples of one rank in one step
        if each and micro and each % micro == 0:
            yield f"{STEPS} {each // micro}"
        elif each and micro:
            best = min(_divisors(each), key=lambda size: (abs(size - micro), size))
            yield f"{MICRO} {best} and {STEPS} {each // best}"
        elif each and steps:
            best = min(_divisors(each), key=lambda count: (abs(count - steps), count))
            yield f"{MICRO} {each // best} and {STEPS} {best}"
        if micro and steps:
            yield f"{TOTAL} {micro * steps * ranks}"
        else:
            unit = ranks * (micro or 1) * (steps or 1)
            below, above = total // unit * unit, -(-total // unit) * unit
            yield f"{TOTAL} " + " or ".join(str(size) for size in (below, above) if size)
        others = [count for count in self.worlds() if count != ranks]
        if others:
            near = sorted(sorted(others, key=lambda count: (abs(count - ranks), count))[:2])
            yield " or ".join(str(count) for count in near) + " ranks"


def usual(ranks: int) -> bool:
    """Whether a cluster could have that many: up to eight, else whole nodes of four or eight."""
    return ranks <= _ON_ONE_NODE or ranks % 4 == 0


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})
