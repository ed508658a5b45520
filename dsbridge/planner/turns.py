"""The order in which the modules of a decoder run, forward and backward, as ZeRO-3's hooks see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from dsbridge.planner.coordinator import Turn
from dsbridge.planner.parameters import Parameter
from dsbridge.planner.shape import ModelShape

STAYING, REENTRANT, NON_REENTRANT = "", "reentrant", "non-reentrant"


class Node(NamedTuple):
    """A module that is called. flows: whether its input needs a gradient; needs: whether its output does;
    layer: one that is checkpointed where layers are."""

    name: str
    places: tuple[int, ...] = ()
    children: tuple[Node, ...] = ()
    flows: bool = True
    needs: bool = True
    layer: bool = False

    def last(self) -> Node:
        """The module with which its forward pass ends."""
        return self.children[-1].last() if self.children else self


def decoder(shape: ModelShape, parameters: Sequence[Parameter], *, flowing: bool, spacing: int = 1) -> Node:
    """The modules of a model as they are called; flowing: the embedded tokens need a gradient in any case, as
    with `enable_input_require_grads`; spacing: each of how many layers would be checkpointed."""
    places: dict[str, list[int]] = {}
    for place, one in enumerate(parameters):
        places.setdefault(_owner(one.name), []).append(place)
    learns = {place for place, one in enumerate(parameters) if one.trainable}
    inside = f"{shape.prefix}."
    first = {module.name for module in shape.outside if module.part in ("embedding", "positions")}
    flow = flowing
    calls: list[Node] = []
    for name in (name for name in places if name in first):
        node = Node(name, tuple(places[name]), (), False, flow or bool(learns & {*places[name]}))
        flow = flow or node.needs
        calls.append(node)
    calls.append(Node("rotary_emb", needs=False))
    layers = [name for name in places if name.startswith(inside)]
    for index, names in groupby(layers, lambda name: name.removeprefix(inside).partition(".")[0]):
        node = _layer(f"{inside}{index}", {name: tuple(places[name]) for name in names}, learns, flow=flow)
        node = node._replace(layer=not spacing or int(index) % spacing == 0)
        flow = flow or bool(learns & {place for name in node_places(node) for place in name})
        calls.append(node)
    behind = [(name, tuple(places[name])) for name in places if name not in first and name not in layers]
    behind += [(module.name, calls[0].places) for module in shape.outside if module.tied]
    for name, mine in behind:
        calls.append(Node(name, mine, (), flow, flow or bool(learns & {*mine})))
        flow = calls[-1].needs
    head = calls[-1:] if behind else []
    inner = Node("decoder", (), tuple(calls[: len(calls) - len(head)]), flows=False)
    model = Node("model", (), (inner, *head), flows=False)
    if not any(".lora_" in one.name for one in parameters):
        return model
    # PEFT's own model stands around its tuner, and that around the model
    return Node("peft", (), (Node("tuner", (), (model,), flows=False),), flows=False)


def node_places(node: Node) -> Iterator[tuple[int, ...]]:
    """Those of a module and of all in it."""
    yield node.places
    for child in node.children:
        yield from node_places(child)


def _owner(name: str) -> str:
    """The module of a parameter; each matrix of LoRA is a module by itself."""
    return name if ".lora_" in name else name.rpartition(".")[0]


def _layer(layer: str, own: dict[str, tuple[int, ...]], learns: set[int], *, flow: bool) -> Node:
    """A norm, the attention, the other norms, the MLP."""
    inner = {name: name.removeprefix(f"{layer}.") for name in own}
    norms = [name for name in own if "." not in inner[name]]
    blocks = [
        list(names)
        for _, names in groupby((n for n in own if "." in inner[n]), lambda n: inner[n].partition(".")[0])
    ]
    calls: list[Node] = []
    turn: list[list[str]] = [norms[:1], *blocks[:1], *([norm] for norm in norms[1:]), *blocks[1:]]
    for names in filter(None, turn):
        groups = [list(group) for _, group in groupby(names, lambda name: name.partition(".lora_")[0])]
        leaves = [_linear(group, own, learns, flow=flow) for group in groups]
        any_needs = any(leaf.needs for leaf in leaves)
        if names[0] in norms:
            calls += leaves
        else:
            # what ends a block is fed by all before it
            if leaves[-1].children:
                fed = flow or any(leaf.needs for leaf in leaves[:-1])
                leaves[-1] = _linear(groups[-1], own, learns, flow=fed)
            else:
                leaves[-1] = leaves[-1]._replace(flows=any_needs, needs=any_needs)
            at = next((i for i, leaf in enumerate(leaves) if leaf.name.endswith("up_proj")), None)
            if at is not None:
                leaves.insert(at, Node(f"{layer}.act_fn", (), (), leaves[at - 1].needs, leaves[at - 1].needs))
            block = f"{layer}.{inner[names[0]].partition('.')[0]}"
            calls.append(Node(block, (), tuple(leaves), flow, any_needs))
        flow = flow or any_needs
    return Node(layer, (), tuple(calls), calls[0].flows, flow, layer=True)


def _linear(names: list[str], own: dict[str, tuple[int, ...]], learns: set[int], *, flow: bool) -> Node:
    """A module, or one that PEFT has put adapters beside: base, dropout, and the two matrices in a row."""
    first, *adapters = names
    plain = Node(first, own[first], (), flow, flow or bool(learns & {*own[first]}))
    if not adapters:
        return plain
    calls = [plain._replace(name=f"{first}.base_layer"), Node(f"{first}.lora_dropout", (), (), flow, flow)]
    for name in adapters:
        calls.append(Node(name, own[name], (), calls[-1].needs))
    # PEFT looks at lora_A.weight.dtype before it runs lora_A, so the first pass registers that matrix with
    # the module around it (`ZeROOrderedDict`, runtime/zero/parameter_offload.py)
    return Node(first, own[adapters[0]], tuple(calls), flow)


def turns(model: Node, checkpointing: str) -> Iterator[Turn]:
    """Every hook of a micro-step, in order."""
    yield from _forward(model, again=False)
    yield from _backward(model, checkpointing)


def _forward(node: Node, *, again: bool) -> Iterator[Turn]:
    yield Turn(node.name, node.places, True, True, again)
    for child in node.children:
        yield from _forward(child, again=again)
    yield Turn(node.name, node.places, False, True, again)


def _backward(node: Node, checkpointing: str, again: Node | None = None) -> Iterator[Turn]:
    """again: the layer that runs once more as soon as the first of its tensors is asked for. Its own hooks
    stand outside of what is checkpointed."""
    if not node.needs:
        return
    yield Turn(node.name, node.places, True, False)
    if node.layer and checkpointing == REENTRANT:
        for child in node.children:
            yield from _forward(child, again=True)
    if node.layer and checkpointing == NON_REENTRANT:
        again = node
    if again and not node.children:
        yield from _until(again, node.name)
    for child in reversed(node.children):
        yield from _backward(child, checkpointing, again)
        again = None
    if node.flows:
        yield Turn(node.name, node.places, False, False)


def _until(layer: Node, last: str) -> Iterator[Turn]:
    """A layer that runs again, up to the module whose input was the last thing to be kept: there it stops."""
    for child in layer.children:
        for turn in _forward(child, again=True):
            yield turn
            if turn.module == last:
                return
