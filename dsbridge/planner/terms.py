"""What a prediction is made of: parts with their bytes, each with its formula and where that comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

GPU, HOST, DISK = "gpu", "host", "nvme"


class Formula(NamedTuple):
    """How a part is computed, for people, and where that was found or measured."""

    text: str
    source: str


class Term(NamedTuple):
    """A part. bytes: the best guess; low and high: where it is between, the same unless the formula is one of
    an allowance or of something that depends on the data."""

    part: str
    bytes: float
    formula: Formula
    low: float = -1.0
    high: float = -1.0

    @property
    def least(self) -> float:
        """The lower bound, bytes."""
        return self.bytes if self.low < 0 else self.low

    @property
    def most(self) -> float:
        """The upper bound, bytes."""
        return self.bytes if self.high < 0 else self.high


class Moment(NamedTuple):
    """What is held at one time, on one GPU, on one node's host, or on one node's disks."""

    name: str
    terms: tuple[Term, ...]

    @property
    def total(self) -> float:
        """Bytes."""
        return sum(term.bytes for term in self.terms)

    @property
    def least(self) -> float:
        """Bytes, all parts at their lower bound."""
        return sum(term.least for term in self.terms)

    @property
    def most(self) -> float:
        """Bytes, all parts at their upper bound."""
        return sum(term.most for term in self.terms)


class Memory(NamedTuple):
    """All moments by place: `gpu` of the fullest rank, `host` and `nvme` of one node."""

    gpu: tuple[Moment, ...]
    host: tuple[Moment, ...]
    nvme: tuple[Moment, ...]

    @property
    def peak(self) -> Moment:
        """The moment that needs most of a GPU."""
        return max(self.gpu, key=lambda moment: moment.total)


class Range(NamedTuple):
    """Between two numbers of one unit."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Half-way."""
        return (self.low + self.high) / 2

    def __add__(self, other: object) -> Range:
        assert isinstance(other, Range)
        return Range(self.low + other.low, self.high + other.high)


def total(ranges: Iterable[Range]) -> Range:
    """The sum."""
    found = Range(0.0, 0.0)
    for one in ranges:
        found = found + one
    return found


class Wire(NamedTuple):
    """Collectives of one kind in one group, of a whole optimizer step. inside: bytes that a GPU sends over
    the links of its node; between: bytes that a node sends to others, all its GPUs together; calls: how
    many; members: ranks of the group in a node. when: `last` or `other` micro-steps, or `step`."""

    group: str
    kind: str
    when: str
    inside: float
    between: float
    calls: float
    members: int


class Communication(NamedTuple):
    """What an optimizer step moves. elements: of each rank, by group, kind and dtype, as DeepSpeed hands
    them to the collective. Groups: `dp`, `tp`, `ulysses`; `hpz`, `node` and `nodes` are those of ZeRO++.
    inside, between: bytes that a GPU sends over the links of its node, and that a node sends to others, in
    rings. pcie: bytes that a GPU moves to and from its host; disk: that a node reads and writes.
    unmeasured: what of it was never seen in a run, and is as the source of DeepSpeed says.
    """

    elements: dict[tuple[str, str, str], int]
    inside: float
    between: float
    pcie: float
    disk: float = 0.0
    wires: tuple[Wire, ...] = ()
    unmeasured: tuple[str, ...] = ()


class StepTime(NamedTuple):
    """Seconds of an optimizer step. total: from all overlapping that can, to nothing overlapping."""

    compute: Range
    data_parallel: Range
    tensor_parallel: Range
    sequence_parallel: Range
    offload: Range
    total: Range
