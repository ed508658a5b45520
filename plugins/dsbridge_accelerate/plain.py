"""Plain data parallelism: a YAML without DeepSpeed and without FSDP."""

from __future__ import annotations

from collections.abc import Mapping

from dsbridge.sdk import (
    AUTO,
    UNSET,
    RenderRequest,
    asks_for_deepspeed,
    batch_numbers,
    dims,
    place,
    unsupported,
)
from dsbridge_accelerate.fields import FP8_BACKEND, MIXED_PRECISION, NOT_UNDER_FSDP
from dsbridge_accelerate.section import Section

_DS_ONLY = "it is DeepSpeed's, which does not run in plain data parallelism"
_DEEPSPEED = (*NOT_UNDER_FSDP, "deepspeed", "parallelism.tp", "parallelism.ulysses")


def is_plain(request: RenderRequest, base: Mapping[str, object]) -> bool:
    """Nothing asks for DeepSpeed, not even clipping: outside the script, that is DeepSpeed's here.

    The user's own key may say it, as it does in what is parsed.
    """
    said = request.own().get("distributed_type")
    if said is not None:
        return said not in ("DEEPSPEED", "FSDP")
    own = request.own().get("deepspeed_config")
    return not (base or own or asks_for_deepspeed(request.spec)) and request.spec.gradient_clipping is UNSET


def plain_section(request: RenderRequest) -> Section:
    """`distributed_type` by the number of ranks, unless the user's own key says another."""
    spec = request.spec
    kind = "NO" if dims(spec).world_size == 1 else "MULTI_GPU"
    section = Section(usual={"distributed_type": kind})
    section.take(place((FP8_BACKEND,), request.values))
    section.claimed |= request.values.keys() & {"precision.dtype", "zero.init_on_load"}
    if spec.precision.dtype not in (UNSET, AUTO):
        section.said["mixed_precision"] = MIXED_PRECISION[str(spec.precision.dtype)]
    steps = batch_numbers(spec).accumulation
    if steps is not None:
        # read by every Accelerator (accelerator.py:547); the YAML field is for DeepSpeed alone
        section.env["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = str(steps)
    for path, value in request.values.items():
        if path.startswith(_DEEPSPEED) and path not in section.claimed:
            section.claimed.add(path)
            if value != 1 or path not in ("parallelism.tp", "parallelism.ulysses"):
                section.found.append(unsupported(path, value, _DS_ONLY))
    return section
