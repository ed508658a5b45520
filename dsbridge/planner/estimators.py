"""DeepSpeed's own estimates of model states, number for number: `dsbridge plan --like deepspeed`.

The functions are the same text in every release from 0.16.2 to 0.19.8
(`estimate_zero2_model_states_mem_needs`, runtime/zero/stage_1_and_2.py;
`estimate_zero3_model_states_mem_needs`, runtime/zero/stage3.py). They know no activations, no buffers, no
adapters and no parallelism but data parallelism, and there is none of stage 1. What a layout really needs is
in `memory`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dsbridge.planner.shape import ModelShape

FACTOR = 1.5  # additional_buffer_factor
GIB = 2**30


class Estimate(NamedTuple):
    """A row. cpu, gpu: bytes; `cpu` as DeepSpeed says it: of a node, but in stage 2's offload of all nodes.

    offload_param and zero_init are None where the stage has no such choice.
    """

    stage: int
    nodes: int
    per_node: int
    offload_optimizer: bool
    offload_param: bool | None
    zero_init: bool | None
    cpu: int
    gpu: int

    @property
    def options(self) -> str:
        """The options as its guides show them. On Python 3.11 and newer DeepSpeed prints
        `OffloadDeviceEnum.cpu` for `cpu `: an enumeration there formats as its name."""
        told = [f"offload_optimizer={_device(self.offload_optimizer)}"]
        if self.stage == 3:
            told.insert(0, f"offload_param={_device(self.offload_param)}")
            told.append(f"zero_init={1 if self.zero_init else 0}")
        return ", ".join(told)


def zero2(
    total: int, per_node: int = 1, nodes: int = 1, offload: bool = True, factor: float = FACTOR
) -> tuple[int, int]:
    """Bytes of host memory and of a GPU's, stage 2. `total`: parameters of the model."""
    gpus = nodes * per_node
    if offload:
        return int(total * max(4 * gpus, 16) * factor), 2 * total
    return int(total * 4 * per_node * factor), 2 * total + int(18 * total / gpus)


def zero3(
    total: int,
    largest: int,
    per_node: int = 1,
    nodes: int = 1,
    offload_param: bool = True,
    offload_optimizer: bool = True,
    zero_init: bool = True,
    factor: float = FACTOR,
) -> tuple[int, int, int]:
    """Bytes of host memory, of a GPU's, and of its largest layer, stage 3. `largest`: its parameters.

    Parameters are offloaded only with the optimizer. The order of the factors is DeepSpeed's, so that what is
    cut off below a byte is the same.
    """
    gpus, share, layer = nodes * per_node, 1 / nodes, 4 * largest
    if not offload_optimizer:
        host = largest * 4 * per_node * factor if zero_init else total * 4 * per_node * factor
        return int(host), layer + int(18 * total / gpus), layer
    each = 18 if offload_param else 16
    kept = 0 if offload_param else int(2 * total / gpus)
    host = total * each * share * factor if zero_init else total * max(4 * per_node, each * share) * factor
    return int(host), layer + kept, layer


def table(shape: ModelShape, sizes: Iterable[tuple[int, int]], factor: float = FACTOR) -> list[Estimate]:
    """Both stages over clusters of (nodes, GPUs of a node), rows in DeepSpeed's order."""
    total, largest = shape.total, shape.largest_module[1]
    return [row for nodes, per_node in sizes for row in rows(total, largest, per_node, nodes, factor)]


def rows(
    total: int, largest: int, per_node: int = 1, nodes: int = 1, factor: float = FACTOR
) -> Iterator[Estimate]:
    """All options of one cluster: stage 2, then stage 3."""
    for offload in (True, False):
        found = zero2(total, per_node, nodes, offload, factor)
        yield Estimate(2, nodes, per_node, offload, None, None, *found)
    for optimizer, param in ((True, True), (True, False), (False, False)):
        for init in (True, False):
            cpu, gpu, _ = zero3(total, largest, per_node, nodes, param, optimizer, init, factor)
            yield Estimate(3, nodes, per_node, optimizer, param, init, cpu, gpu)


def printed(stage: int, total: int, largest: int, per_node: int = 1, nodes: int = 1) -> str:
    """What `estimate_zero2_..._all_cold` and `..._zero3_..._all_cold` print. Their "GB" is 2^30 bytes."""
    layer = f", {int(largest / 1e6)}M largest layer params." if stage == 3 else "."
    lines = [
        "Estimated memory needed for params, optim states and gradients for a:",
        f"HW: Setup with {nodes} {_many(nodes, 'node')}, {per_node} {_many(per_node, 'GPU')} per node.",
        f"SW: Model with {int(total / 1e6)}M total params{layer}",
        "  per CPU  |  per GPU |   Options",
    ]
    lines += [
        f" {row.cpu / GIB:7.2f}GB | {row.gpu / GIB:6.2f}GB | {row.options}"
        for row in rows(total, largest, per_node, nodes)
        if row.stage == stage
    ]
    return "\n".join(lines) + "\n"


def _many(count: int, word: str) -> str:
    return f"{word}s" if count > 1 else word


def _device(offloads: bool | None) -> str:
    return "cpu " if offloads else "none"
