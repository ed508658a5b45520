"""Which weights AutoTP of DeepSpeed cuts, and how: what the fullest rank of a group holds of each.

As `AutoTP` (module_inject/auto_tp.py) and `get_shard_size` (module_inject/tp_shard.py) of DeepSpeed do it to
decoders that name their projections as Llama does; the recorded engines hold exactly this
(`tests/recorded/planner/measured/`, `local_sizes`).
"""

from __future__ import annotations

from dsbridge.planner.layout import CUTS_HEAD, Release
from dsbridge.planner.modules import Module
from dsbridge.planner.shape import ModelShape

COLUMN = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
ROW = ("o_proj", "down_proj")


def reason_against(shape: ModelShape) -> str:
    """Why no tensor parallelism is planned for a model; "" where it is."""
    if shape.experts or shape.latent:
        what = "a mixture of experts" if shape.experts else "multi-head latent attention"
        return f"AutoTP on {what} was not measured"
    linear = {
        module.name.rpartition(".")[2]
        for block in shape.blocks
        for module in block.modules
        if module.matrix is not None
    }
    others = sorted(linear - {*COLUMN, *ROW})
    return f"AutoTP on {', '.join(others)} of {shape.model_type} was not measured" if others else ""


def sliced(
    shape: ModelShape, module: Module, weight: str, size: tuple[int, ...], tp: int, release: Release
) -> tuple[int, ...]:
    """The shape of a weight on the first rank of a tensor-parallel group, which holds most."""
    if tp == 1:
        return size
    kind = module.name.rpartition(".")[2]
    if kind in COLUMN:
        return (_part(shape, module, size[0], tp), *size[1:])
    if kind in ROW and weight == "weight":
        return (size[0], _part(shape, module, size[1], tp))
    whole = release < CUTS_HEAD or not (module.part == "head" or (module.part == "embedding" and shape.tied))
    return size if whole else (-(-size[0] // tp), *size[1:])


def _part(shape: ModelShape, module: Module, count: int, tp: int) -> int:
    """Attention is dealt out by key-value heads, whole ones; the MLP evenly."""
    if module.part == "attention" and count % shape.kv_heads == 0:
        return count * -(-shape.kv_heads // tp) // shape.kv_heads
    return -(-count // tp)
