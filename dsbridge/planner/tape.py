"""What autograd keeps of a forward pass, and what a backward pass has alive: torch's operators by their
sizes.

A tape follows one layer as torch runs it, in elements per token, and knows of each operator which tensors it
saves for its backward pass. A storage counts once however many save it: views of a fused projection hold
all of it. Checked against `saved_tensors_hooks` on real models (`tests/recorded/planner/activations/`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Tensor(NamedTuple):
    """An activation. elements: of a token; held: bytes of a token of the storage that it is a view of."""

    number: int
    elements: float
    itemsize: int
    grad: bool
    storage: int
    held: float

    @property
    def bytes(self) -> float:
        """Of a token."""
        return self.elements * self.itemsize


class Node(NamedTuple):
    """An operator. aliased: its backward pass hands on the gradient that it got, or a view of it. scratch:
    bytes that it needs beside the gradients it makes. over: it writes them over what it saved."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    saved: tuple[int, ...]
    aliased: bool
    scratch: float
    over: bool = False


class Tape:
    """A forward pass so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.kept: dict[int, float] = {}
        self.constant = 0.0  # bytes kept whatever the number of tokens
        self._count = 0

    def start(self, elements: float, itemsize: int, grad: bool) -> Tensor:
        """What comes in."""
        self._count += 1
        return Tensor(self._count, elements, itemsize, grad, self._count, elements * itemsize)

    def op(
        self,
        inputs: Iterable[Tensor],
        elements: float,
        itemsize: int,
        saves: Iterable[Tensor] = (),
        *,
        trains: bool = False,
        scratch: float = 0.0,
        aliased: bool = False,
        over: bool = False,
    ) -> Tensor:
        """An operator with a result of its own; trains: it has weights that get gradients."""
        given = tuple(inputs)
        grad = trains or any(one.grad for one in given)
        output = self.start(elements, itemsize, grad)
        saved = tuple(saves) if grad else ()
        self.kept.update((one.storage, one.held) for one in saved)
        storages = tuple(one.storage for one in saved)
        self.nodes.append(Node(given, output, storages, aliased, scratch, over))
        return output

    def view(self, given: Tensor, elements: float) -> Tensor:
        """A part of a tensor, on the same storage."""
        self._count += 1
        part = elements != given.elements
        output = Tensor(self._count, elements, given.itemsize, given.grad, given.storage, given.held)
        self.nodes.append(Node((given,), output, (), not part, 0.0))
        return output

    def add(self, left: Tensor, right: Tensor) -> Tensor:
        """A sum: saves nothing, and hands its gradient on to both."""
        output = self.start(left.elements, max(left.itemsize, right.itemsize), left.grad or right.grad)
        same = left.itemsize == right.itemsize
        self.nodes.append(Node((left, right), output, (), same, 0.0))
        return output

    def cast(self, given: Tensor, itemsize: int) -> Tensor:
        """Another dtype; the tensor itself where it has it."""
        if given.itemsize == itemsize:
            return given
        return self.op((given,), given.elements, itemsize)

    def keep(self, given: Tensor, at: Tensor) -> None:
        """One more tensor that the operator which made `at` saves."""
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            if node.output.number == at.number:
                self.kept[given.storage] = given.held
                self.nodes[index] = node._replace(saved=(*node.saved, given.storage))
                return

    def bytes(self) -> float:
        """Bytes of a token that are kept."""
        return sum(self.kept.values())

    def backward(self, last: Tensor) -> float:
        """Bytes of a token alive at most while the gradient of `last` goes back, kept ones with them."""
        return _Backward(self).run(last) if last.grad else 0.0


class _Backward:
    """A walk back over a tape, with what is alive."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.users: dict[int, int] = {}
        for node in tape.nodes:
            for storage in node.saved:
                self.users[storage] = self.users.get(storage, 0) + 1
        self.size: dict[int, float] = {}  # of each gradient's storage
        self.references: dict[int, int] = {}
        self.of: dict[int, int] = {}  # tensor to its gradient's storage
        self.alive = self.most = tape.bytes()

    def run(self, last: Tensor) -> float:
        self._set(last, self._new(last.bytes))
        for node in reversed(self.tape.nodes):
            token = self.of.pop(node.output.number, None)
            if node.over:
                self._free(node)
            if token is not None:
                wanted = [one for one in node.inputs if one.grad]
                self._grow(node.scratch)
                made = [(one, token if node.aliased else self._new(one.bytes)) for one in wanted]
                self._grow(-node.scratch)
                for one, gradient in made:
                    self._give(one, gradient)
                self._drop(token)
            if not node.over:
                self._free(node)
        return self.most

    def _free(self, node: Node) -> None:
        """What an operator saved, where nobody else did."""
        for storage in node.saved:
            self.users[storage] -= 1
            if not self.users[storage]:
                self._grow(-self.tape.kept[storage])

    def _grow(self, size: float) -> None:
        self.alive += size
        self.most = max(self.most, self.alive)

    def _new(self, size: float) -> int:
        token = len(self.size)
        self.size[token], self.references[token] = size, 0
        self._grow(size)
        return token

    def _set(self, tensor: Tensor, token: int) -> None:
        self.of[tensor.number] = token
        self.references[token] += 1

    def _give(self, tensor: Tensor, token: int) -> None:
        """A gradient to a tensor; two are summed, in place where nobody else has the first."""
        before = self.of.pop(tensor.number, None)
        if before is None:
            self._set(tensor, token)
            return
        if self.references[before] == 1:
            self._set(tensor, before)
            self.references[before] -= 1
        else:
            self._set(tensor, self._new(tensor.bytes))
            self._drop(before)
        if not self.references[token]:
            self._forget(token)

    def _drop(self, token: int) -> None:
        """One holder less; the walk itself holds the gradient of the operator that it is at."""
        self.references[token] -= 1
        if self.references[token] <= 0:
            self._forget(token)

    def _forget(self, token: int) -> None:
        self._grow(-self.size[token])
        self.size[token] = 0.0
