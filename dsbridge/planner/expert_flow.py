"""A mixture of experts on a tape: the router, the tokens sent to experts, and what every token meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsbridge.planner.modules import Module
from dsbridge.planner.styles import SIGMOID, SOFTMAX
from dsbridge.planner.tape import Tensor

if TYPE_CHECKING:
    from dsbridge.planner.flow import Layer

GROUPED_EXPERTS = (5, 0)  # transformers: one product over all experts; before, a loop over modules


def experts(layer: Layer, x: Tensor) -> Tensor:
    """Routed experts as transformers runs them: all in one product from 5.0 on, one after the other
    before."""
    tape, found = layer.tape, layer.shape.experts
    assert found is not None
    routed = found.per_token
    held = [module for module in layer.modules.values() if module.part == "experts" and module.weights]
    trained = any(layer.of(module).weight for module in held)
    weights = route(layer, x, found.routed, routed)
    sent = tape.op((x,), routed * x.elements, x.itemsize)
    size = x.itemsize
    fused = layer.setting.release >= GROUPED_EXPERTS
    inner = routed * found.intermediate
    saves = (sent,) if trained else ()
    if fused:
        both = tape.op((sent,), 2 * inner, size, saves, trains=trained)
        gate, up = tape.view(both, inner), tape.view(both, inner)
    else:
        gate, up = (tape.op((sent,), inner, size, saves, trains=trained) for _ in range(2))
    gated = _clamped(layer, gate, up) if layer.shape.model_type == "gpt_oss" else layer.gated(gate, up)
    out = tape.op((gated,), routed * x.elements, size, (gated,) if trained else (), trains=trained)
    wide = 4 if layer.style.router == SIGMOID and not fused else size
    weighted = tape.op((out, weights), out.elements, wide, (out, weights), scratch=out.bytes)
    if not fused and weighted.grad:  # `index_add_` keeps what it adds
        tape.keep(weighted, weighted)
    joined = tape.op((weighted,), x.elements, size)
    return _shared(layer, x, joined)


def route(layer: Layer, x: Tensor, count: int, routed: int) -> Tensor:
    """The weights of a token's experts: their indexes, scores and norms are kept."""
    tape, way = layer.tape, layer.style.router
    modules = [m for m in layer.modules.values() if m.part == "router" and m.weights]
    trained = any(layer.of(module).weight for module in modules)
    wide = tape.cast(x, 4) if way != SOFTMAX else x
    scores = tape.op((wide,), count, wide.itemsize, (wide,) if trained else (), trains=trained)
    soft = tape.op((scores,), count, 4)
    if not soft.grad:
        return soft
    tape.keep(soft, soft)
    # 64-bit indexes of the chosen, of their tokens and of the way back, and the sum that weights are
    # divided by
    back = 3 if layer.setting.release >= GROUPED_EXPERTS else 2
    groups = ((count, 1), (5, 8)) if way == SIGMOID else ()
    for elements, itemsize in ((routed, 8), (back * routed, 8), (routed + 1, 4), *groups):
        tape.keep(tape.start(elements, itemsize, False), soft)
    if way != SOFTMAX:
        tape.constant += 4 * count * layer.shape.hidden
    return tape.op((soft,), routed, 4)


def _clamped(layer: Layer, gate: Tensor, up: Tensor) -> Tensor:
    """gpt-oss: both halves are clamped, the gate's sigmoid is a product of its own."""
    tape = layer.tape
    gate = tape.op((gate,), gate.elements, gate.itemsize, (gate,))
    up = tape.op((up,), up.elements, up.itemsize, (up,))
    sigmoid = tape.op((gate,), gate.elements, gate.itemsize)
    if sigmoid.grad:
        tape.keep(sigmoid, sigmoid)
    glu = tape.op((gate, sigmoid), gate.elements, gate.itemsize, (gate, sigmoid))
    more = tape.op((up,), up.elements, up.itemsize)
    return tape.op((more, glu), glu.elements, glu.itemsize, (more, glu))


def _shared(layer: Layer, x: Tensor, joined: Tensor) -> Tensor:
    """Experts that every token meets, with a gate of their own in Qwen 2."""
    found: list[Module] = [m for m in layer.modules.values() if m.part == "shared_experts"]
    if not found:
        return joined
    tape = layer.tape
    out = layer.dense([m for m in found if not m.name.endswith("expert_gate")], x)
    gate = next((m for m in found if m.name.endswith("expert_gate")), None)
    if gate is not None:
        share = tape.op((layer.linear(gate, x),), 1, out.itemsize)
        if share.grad:
            tape.keep(share, share)
        out = tape.op((share, out), out.elements, out.itemsize, (share, out))
    return tape.add(joined, out)
