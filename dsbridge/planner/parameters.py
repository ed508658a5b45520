"""The parameters that a rank starts from, in the model's order: what ZeRO then splits, pads and moves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod
from typing import NamedTuple

from dsbridge.planner import slicing
from dsbridge.planner.candidate import NONE, NOWHERE, Candidate
from dsbridge.planner.job import Job
from dsbridge.planner.layout import NEWEST, Layout, Release
from dsbridge.planner.modules import Module
from dsbridge.planner.quantised import FOUR_BIT, SCHEMES, quantisable
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.states import BYTES
from dsbridge.planner.tuning import Freeze, Lora, adapters, trains

# what an attention block ends with
ENDS = ("o_proj", "dense", "out_proj", "c_proj", "wo")


class Parameter(NamedTuple):
    """size: elements on the fullest rank; packed: bytes of a quantised one with its scales, else 0; scales:
    those alone."""

    name: str
    size: int
    trainable: bool
    packed: int = 0
    scales: int = 0

    def elements(self, itemsize: int) -> int:
        """What ZeRO-3 counts: of a packed one, elements of the dtype that it is stored in."""
        return (self.packed - self.scales) // itemsize if self.packed else self.size


def in_order(shape: ModelShape) -> Iterator[tuple[str, Module]]:
    """Every module by its full name as `named_parameters` goes through them: what stands before the layers,
    the layers by index, what stands behind them."""
    before = [module for module in shape.outside if module.part in ("embedding", "positions")]
    yield from ((module.name, module) for module in before)
    of_layer = {index: block for block in shape.blocks for index in block.layers}
    for index in sorted(of_layer):
        for module in of_layer[index].modules:
            for copy in range(module.copies):
                yield f"{shape.prefix}.{index}.{module.name.replace('{}', str(copy))}", module
    yield from ((module.name, module) for module in shape.outside if module not in before)


@cache
def parameters(
    shape: ModelShape, method: Lora | Freeze | None, scheme: str, tp: int, release: Release
) -> tuple[Parameter, ...]:
    """All parameters, those of LoRA's adapters behind the weights that they adapt."""
    found: list[Parameter] = []
    for name, module in in_order(shape):
        packed = bool(scheme) and quantisable(module)
        for weight, size in module.weights:
            if weight == module.tied:
                continue
            full = f"{name}.{weight}"
            count = prod(slicing.sliced(shape, module, weight, size, tp, release))
            trainable = trains(shape, method, full, weight)
            if packed and weight == "weight":
                assert module.matrix is not None  # quantisable
                held = SCHEMES[scheme](*module.matrix)
                found.append(Parameter(full, count, False, held.weights + held.scales, held.scales))
            else:
                found.append(Parameter(full, count, trainable))
        if isinstance(method, Lora):
            found += [Parameter(full, size, True) for full, size in adapters(shape, method, name, module)]
    return tuple(found)


class _Sizes(NamedTuple):
    trainable: tuple[int, ...]
    frozen: tuple[int, ...]
    packed: tuple[int, ...]


@cache
def _sizes(
    shape: ModelShape, method: Lora | Freeze | None, scheme: str, tp: int, release: Release, itemsize: int
) -> _Sizes:
    every = parameters(shape, method, scheme, tp, release)
    return _Sizes(
        tuple(one.size for one in every if one.trainable),
        tuple(one.size for one in every if not one.trainable and not one.packed),
        tuple(one.elements(itemsize) for one in every if one.packed) if scheme in FOUR_BIT else (),
    )


@cache
def _first(shape: ModelShape, method: Lora | Freeze | None, scheme: str, staying: bool) -> tuple[int, ...]:
    """Of LoRA, parameters of the modules that get gradients though their input does not: the embedding where
    layers are checkpointed, for then its result asks for one; else what stands behind the first norm."""
    if not isinstance(method, Lora):
        return ()
    every = parameters(shape, method, scheme, 1, NEWEST)
    if not staying:
        return (every[0].size,)
    found: list[int] = []
    layer = ""
    for name, size in ((one.name, one.size) for one in every if one.name.endswith(".lora_A")):
        owner = name.removesuffix(".lora_A").rpartition(".")
        layer = layer or owner[0]
        if owner[0] != layer or owner[2] in ENDS:
            break
        found.append(size)
    return tuple(found)


def packed_bytes(job: Job, tp: int = 1) -> int:
    """Bytes of the quantised weights of a rank, scales included."""
    if not job.scheme:
        return 0
    return sum(one.packed for one in parameters(job.shape, job.method, job.scheme, tp, job.deepspeed))


def packed_weights(job: Job, tp: int = 1) -> int:
    """The same without scales."""
    if not job.scheme:
        return 0
    every = parameters(job.shape, job.method, job.scheme, tp, job.deepspeed)
    return sum(one.packed - one.scales for one in every)


def layout(job: Job, candidate: Candidate) -> Layout:
    """What decides the model states of a rank: `states.held` and `traffic.model_states` take it."""
    # weights are stored in the model's dtype, as LLaMA-Factory does it and our scripts for the Trainer
    trainable, frozen, packed = _sizes(
        job.shape, job.method, job.scheme, candidate.tp, job.deepspeed, BYTES[job.dtype]
    )
    knobs = candidate.knobs
    return Layout(
        stage=candidate.stage,
        ranks=candidate.sharding(job.cluster.world),
        trainable=trainable,
        frozen=frozen,
        dtype=job.dtype,
        accumulation=candidate.accumulation,
        accumulate=job.accumulate,
        master=job.master,
        states=job.states,
        bucket=knobs.reduce_bucket,
        overlap=candidate.overlaps(),
        contiguous=knobs.contiguous,
        persistence=knobs.persistence,
        sub_group=knobs.sub_group,
        round_robin=knobs.round_robin,
        offload_optimizer=candidate.offload_optimizer != NOWHERE,
        communicated="float32" if candidate.ulysses > 1 else "",
        first=_first(job.shape, job.method, job.scheme, candidate.checkpointing == NONE) or trainable[:1],
        deepspeed=job.deepspeed,
        packed=packed,
        storage=job.dtype if packed else "",
    )
