"""What is to be trained: all that is the same in every layout that is compared."""

from __future__ import annotations

from typing import NamedTuple

from dsbridge.planner.cluster import Cluster
from dsbridge.planner.layout import NEWEST, Release
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.tuning import Freeze, Lora

FLASH, EAGER = "flash", "eager"
HF_LOSS, FUSED_LOSS, PLAIN_LOSS = "hf", "fused", "plain"


class Job(NamedTuple):
    """A training job. sequence: tokens of a sequence, padded to that; global_batch: sequences of an optimizer
    step over all ranks.

    method: None trains everything. scheme: how the frozen base is quantised, a key of quantised.SCHEMES, ""
    for not. PEFT makes adapters fp32, and DeepSpeed casts them to dtype. attention: `flash` stands for every
    kernel that keeps no matrix of scores (SDPA's too). loss: `hf` casts the logits to fp32 and keeps them,
    `fused` never holds all of them (Liger, with the other kernels that it has for the model), `plain` takes
    them as they are (models with code of their own). reentrant: the kind of activation checkpointing.
    logits_held: whether the caller still holds the 16-bit logits while the loss goes back; None where it is
    not known.
    """

    shape: ModelShape
    cluster: Cluster
    sequence: int = 2048
    global_batch: int = 32
    method: Lora | Freeze | None = None
    scheme: str = ""
    dtype: str = "bfloat16"
    accumulate: str = ""
    master: str = "float32"
    states: str = "float32"
    attention: str = FLASH
    loss: str = HF_LOSS
    reentrant: bool = True
    logits_held: bool | None = None
    deepspeed: Release = NEWEST
