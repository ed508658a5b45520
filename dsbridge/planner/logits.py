"""The logits and the loss: bytes for each token and entry of the vocabulary."""

from __future__ import annotations

from functools import cache

from dsbridge.planner import liger
from dsbridge.planner.job import FUSED_LOSS, PLAIN_LOSS, Job
from dsbridge.planner.layout import CUTS_HEAD
from dsbridge.planner.per_token import head_trained
from dsbridge.planner.states import BYTES
from dsbridge.planner.terms import Formula, Term
from dsbridge.rules import numbers

# of each token and entry: fp32 logits (4) saved after log-softmax, gradients of both (8), and the 16-bit
# logits (2) where the caller still has them
DROPPED, HELD = 12.0, 14.0
PADS_LABELS = (4, 49)  # transformers: before, the loss copied the fp32 logits without the last position
COPIED = Formula(
    "14 bytes a token and entry of the vocabulary in the forward pass: 16-bit logits, fp32 logits, "
    "a copy of them "
    "without the last position, and log-softmax",
    "loss/loss_utils.py of transformers 4.46.3 to 4.48.3; not measured",
)
HF = Formula(
    "12 bytes a token and entry of the vocabulary: log-softmax in fp32 and two gradients of it; 14 while the "
    "caller still holds the 16-bit logits, which transformers' Trainer does not",
    "loss/loss_utils.py and trainer.py (compute_loss) of transformers 5.23.0; measured: "
    "tests/recorded/planner/activations (alive.most)",
)
# the same of logits as they are, 16 bits
LOW_DROPPED, LOW_HELD = 6.0, 8.0
PLAIN = Formula(
    "6 bytes a token and entry of the vocabulary: log-softmax and two gradients of it, in the 16 bits of the "
    "logits; 8 while the caller still holds them",
    "counted: tests/recorded/planner/losses-hf.json",
)
FUSED = Formula(
    "the hidden states and their gradient, the head's gradient where it is trained, and logits of a chunk of "
    "tokens: once in Liger 0.8.3 and newer, before up to four times, or beside the head's gradient in fp32",
    "ops/fused_linear_cross_entropy.py of liger-kernel 0.3.1 to 0.8.5; counted: "
    "tests/recorded/planner/losses-liger.json",
)
PARALLEL = Formula(
    "12 bytes (14) a token and entry of this rank's part of the vocabulary",
    "AutoTP with a tied embedding: vocabulary-parallel loss "
    "(docs/explanation/what-deepspeed-holds-and-moves.md)",
)
GATHERED = Formula(
    "12 bytes (14) a token and entry: AutoTP gathers all logits on every rank, beside 2 of its own part",
    "AutoTP with a head of its own: counted (docs/explanation/what-deepspeed-holds-and-moves.md)",
)


def logits(job: Job, tokens: float, tp: int) -> Term:
    """Bytes at the most, when the loss goes back; what of them is kept since the forward pass is in it."""
    shape = job.shape
    if job.loss == FUSED_LOSS and liger.replaced(shape.model_type).loss:
        return _fused(job, round(tokens))
    entries, formula, own = tokens * shape.vocab, HF, 0.0
    if job.loss == PLAIN_LOSS and job.dtype != "float32" and tp == 1:
        return _held(job, LOW_DROPPED * entries, LOW_HELD * entries, PLAIN)
    if tp > 1 and job.deepspeed >= CUTS_HEAD:
        formula, part = (PARALLEL, entries / tp) if shape.tied else (GATHERED, entries)
        own = 0.0 if shape.tied else 2 * entries / tp
        entries = part
    least = DROPPED * entries + own
    if numbers(shape.transformers) < PADS_LABELS:
        return Term("logits and loss", HELD * entries + own, COPIED, least, HELD * entries + own)
    return _held(job, least, HELD * entries + own, formula)


def _held(job: Job, least: float, most: float, formula: Formula) -> Term:
    """Where the caller lets go of the logits, holds them, or nobody knows."""
    low, high = most if job.logits_held else least, least if job.logits_held is False else most
    return Term("logits and loss", low, formula, low, high)


@cache
def _fused(job: Job, tokens: int) -> Term:
    """Of the newest release, between the least and the most of all: a job does not say which runs."""
    shape, trained = job.shape, head_trained(job)
    found = [
        BYTES[job.dtype] / 2 * liger.loss(tokens, shape.vocab, shape.hidden, trained, how)
        for how in liger.CHUNKS
    ]
    return Term("logits and loss", found[-1], FUSED, min(found), max(found))
