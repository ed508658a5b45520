"""How much memory a layout needs, part by part: of the fullest GPU, of a node's host, and of its disks."""

from __future__ import annotations

from dsbridge.planner.allowance import fragmentation
from dsbridge.planner.candidate import Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.logits import logits
from dsbridge.planner.moments import BACK, LOSS, TURN, Part, fixed
from dsbridge.planner.per_token import Tokens
from dsbridge.planner.terms import Formula, Memory, Moment, Term

_RECORDED = "measured: tests/recorded/planner/activations; dsbridge/planner/flow.py"
ACTIVATIONS = Formula("what autograd saves of each layer, times the tokens of a micro batch", _RECORDED)
CHECKPOINTS = Formula(
    "the hidden state in front of each layer, 2 bytes an element, and one more where it is reentrant",
    _RECORDED,
)
WORK = Formula(
    "one layer run again, with the gradients of activations that are alive while it goes back; "
    "those measured "
    "were 9 % less to 19 % more; of Llama, Mistral, Qwen 2 and 3 up to 3 % more",
    _RECORDED,
)
AT_WORK = "a layer at work"
LAYER_GRADIENTS = Formula("gradients of activations alive while a layer goes back", _RECORDED)


def memory(job: Job, candidate: Candidate) -> Memory:
    """Every moment and its parts. What is exact and what is not: docs/explanation/memory.md."""
    parts = fixed(job, candidate.stage, min(candidate.accumulation, 2), candidate[3:])
    count, tokens = candidate.micro * job.sequence / candidate.ulysses, parts.tokens
    stored, turning, ending = _activations(tokens, count)
    outside = Term("activations behind the layers", count * tokens.outside, ACTIVATIONS)
    loss = logits(job, count, candidate.tp)
    gpu = (
        parts.loading,
        _with(LOSS, parts.loss, (*stored, outside, loss)),
        _with(TURN, parts.turn, (*stored, turning)),
        _with(BACK, parts.back, (ending,)),
        parts.step,
        parts.idle,
    )
    return Memory(gpu, parts.host, parts.nvme)


def _activations(tokens: Tokens, count: float) -> tuple[tuple[Term, ...], Term, Term]:
    """What is stored for the backward pass, and what its last and its first layer need beside that."""
    work, grown, (low, high) = count * tokens.work, count * tokens.gradients, tokens.bounds
    stored: tuple[Term, ...] = ()
    if tokens.checkpoints:
        stored = (Term("checkpoints", count * tokens.checkpoints, CHECKPOINTS),)
    best, least, most = tokens.kept
    if most or not stored:
        fix = tokens.constant
        kept = (count * best + fix, count * least + fix, count * most + fix)
        stored += (Term("activations", kept[0], ACTIVATIONS, kept[1], kept[2]),)
    whole = work + tokens.constant_again
    first = Term(AT_WORK, whole, WORK, low * whole, high * whole)
    last = first if tokens.last else Term(AT_WORK, grown, LAYER_GRADIENTS, low * grown, high * grown)
    return stored, last, first


def _with(name: str, part: Part, more: tuple[Term, ...]) -> Moment:
    _, best, least, most = part
    for _, size, _, low, high in more:  # unpacked: this runs for every layout of a search
        best += size
        least += size if low < 0 else low
        most += size if high < 0 else high
    return Moment(name, (*part.terms, *more, fragmentation(best, least, most)))
