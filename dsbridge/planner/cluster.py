"""The machines that a layout is planned for."""

from __future__ import annotations

from typing import NamedTuple


class Gpu(NamedTuple):
    """A GPU. memory: bytes that torch reports; peak: dense bf16 FLOP a second by its data sheet; reached: the
    best that was measured on a matrix product, the same unit."""

    name: str
    memory: int
    peak: float
    reached: float
    bf16: bool = True
    source: str = ""


class Link(NamedTuple):
    """A link. rate: bytes a second in one direction by its data sheet: of one GPU inside a node, of one
    adapter between nodes. mesh: GPUs that each GPU is wired to one by one, so that a group of fewer has
    less of the rate; 0 where a switch gives all of it to any."""

    name: str
    rate: float
    source: str = ""
    mesh: int = 0

    def among(self, members: int) -> float:
        """Bytes a second of a GPU in a group of so many in its node."""
        return self.rate * min(1.0, (members - 1) / self.mesh) if self.mesh else self.rate


class Board(NamedTuple):
    """A GPU as the catalogue knows it. names: how else people write it; intra, pcie, inter: names of the
    links that it usually has to its neighbours, to its host, and of an adapter to other nodes; adapters: of
    a node with eight."""

    gpu: Gpu
    names: tuple[str, ...]
    intra: str
    pcie: str
    inter: str
    adapters: int


class Cluster(NamedTuple):
    """Nodes of the same kind. adapters: network adapters of a node, shared by its GPUs; host_memory: bytes of
    a node, None where nobody said."""

    nodes: int
    per_node: int
    gpu: Gpu
    intra: Link
    inter: Link
    pcie: Link
    adapters: int = 8
    host_memory: int | None = None

    @property
    def world(self) -> int:
        """GPUs in all."""
        return self.nodes * self.per_node
