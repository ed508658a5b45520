"""What quantised weights are as they are multiplied: one matrix at a time, or all that autograd keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dsbridge.planner.candidate import Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.modules import Block
from dsbridge.planner.quantised import quantisable
from dsbridge.planner.states import BYTES
from dsbridge.planner.terms import Formula, Term

PART = "an unpacked matrix"
LARGEST = Formula("the largest quantised matrix, unpacked to be multiplied", "bitsandbytes functional.py")
_COUNTED = "forward in qlinear_cuda_old.py of auto-gptq 0.7.1; tests/recorded/planner/unpacked-auto-gptq.json"
KEPT_PART = "unpacked weights"
KEPT = Formula(
    "GPTQ: autograd keeps each matrix that was unpacked, in fp16, until its backward pass: of layers that do "
    "not run again all of them",
    _COUNTED,
)
AGAIN = Formula(
    "GPTQ: the matrices of the layer that runs again, in fp16, and what unpacking each of them takes beside "
    "those before it; at most, with desc_act",
    _COUNTED,
)
# bytes a weight while a matrix is unpacked (without desc_act, with it); 2 of them are its result and stay
MOST = {"gptq-4bit": (5, 6), "gptq-8bit": (6, 8)}
RESULT = 2


class Unpacked(NamedTuple):
    """Terms between forward and backward; while the last layer goes back; while the first does."""

    loss: tuple[Term, ...]
    turn: tuple[Term, ...]
    back: tuple[Term, ...]


def unpacked(job: Job, candidate: Candidate) -> Unpacked:
    """Of a rank; nothing without a scheme."""
    if not job.scheme:
        return Unpacked((), (), ())
    if job.scheme not in MOST:
        largest = max((m.size for m, _ in job.shape.modules() if quantisable(m)), default=0)
        one = (Term(PART, BYTES[job.dtype] * largest, LARGEST),)
        return Unpacked(one, one, one)
    spacing, end = candidate.spacing, job.shape.layers - 1
    staying = [
        sum(_sizes(block)) * sum(1 for index in block.layers if not spacing or index % spacing)
        for block in job.shape.blocks
    ]
    kept = (Term(KEPT_PART, RESULT * sum(staying), KEPT),) if sum(staying) else ()
    first, last = _block(job, 0), _block(job, end)
    if not spacing:
        return Unpacked(kept, kept, (Term(KEPT_PART, RESULT * sum(_sizes(first)), KEPT),))
    turn = kept if end % spacing else (*kept, _again(job.scheme, last))
    return Unpacked(kept, turn, (_again(job.scheme, first),))


def _again(scheme: str, block: Block) -> Term:
    """Of a layer that runs again: least when all is unpacked, most while one of its matrices is."""
    sizes = _sizes(block)
    best, most = (peak(sizes, one) for one in MOST[scheme])
    return Term(KEPT_PART, best, AGAIN, RESULT * sum(sizes), most)


def peak(sizes: Sequence[int], most: int) -> int:
    """Most bytes as matrices of so many weights are unpacked one after another, each at `most` bytes a weight
    while it is."""
    done, highest = 0, 0
    for size in sizes:
        highest = max(highest, done + most * size)
        done += RESULT * size
    return highest


def _block(job: Job, index: int) -> Block:
    return next(block for block in job.shape.blocks if index in block.layers)


def _sizes(block: Block) -> list[int]:
    """Weights of each of a layer's quantised matrices."""
    return [m.size for m in block.modules if quantisable(m) for _ in range(m.copies)]
