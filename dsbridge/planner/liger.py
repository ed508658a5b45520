"""Liger's kernels: what they replace in a model, and what its loss makes.

What their autograd functions save is the same in releases 0.3.1 to 0.8.5: a norm its input and a root for
each row, the gated MLP its gate and its other half, positions nothing but the table. Seen to the byte on CPU,
where Triton interprets the kernels (`conformance/planner/liger.py`). That gradients are written over what was
saved is by source.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Replaced(NamedTuple):
    """What is replaced in a model unless a user says otherwise. of_heads: norms of queries and keys too;
    in_place: a norm writes its gradient over the one that it gets."""

    positions: bool = False
    norms: bool = False
    of_heads: bool = False
    in_place: bool = False
    gated: bool = False
    loss: bool = False


NOTHING = Replaced()


class Chunks(NamedTuple):
    """How a release of the loss goes over the tokens. copies: of a chunk's logits that are alive, in bytes of
    an entry; beside: bytes of an entry of the head while its gradient is summed, with one 16-bit chunk
    alive."""

    since: str
    copies: int
    beside: int


# fused_linear_cross_entropy.py of the first release that was seen so: 0.3.1 casts a chunk to fp32 and back;
# 0.5.2 does not, and scales a copy of it; 0.5.5 does not scale; from 0.6.2 the head's gradient goes through
# fp32 (`torch.mm(...).float()`), from 0.8.3 not on GPUs since Ampere (`torch.addmm(..., out=grad_weight)`),
# and a chunk has one buffer
CHUNKS = (
    Chunks("0.3.1", 8, 0),
    Chunks("0.5.2", 6, 0),
    Chunks("0.5.5", 4, 0),
    Chunks("0.6.2", 4, 6),
    Chunks("0.8.3", 2, 0),
)


@cache
def replaced(model_type: str) -> Replaced:
    """What the newest release replaces in a model of a type; nothing where it does not know it."""
    table = json.loads(Path(__file__).with_name("liger.json").read_text(encoding="utf-8"))
    row = table["models"].get(model_type)
    return Replaced(*(bool(row[name]) for name in Replaced._fields)) if row else NOTHING


def chunk(tokens: int, vocab: int, hidden: int) -> int:
    """Tokens that the loss takes at a time: logits of about as many elements as the hidden states."""
    at_once = -(-tokens // -(-vocab // hidden))
    return min(tokens, 1 << max(0, at_once - 1).bit_length())


def loss(tokens: int, vocab: int, hidden: int, trained: bool, how: Chunks) -> int:
    """Bytes at the most in 16 bits: the hidden states, their gradient, a chunk, and the head's gradient."""
    part = chunk(tokens, vocab, hidden)
    copies = how.copies if part < tokens else how.copies - 2 * (how.copies > 2)
    logits = max(copies, 2) * part * vocab
    head = vocab * hidden * trained
    return 4 * tokens * hidden + 2 * head + max(logits, 2 * part * vocab + how.beside * head)
