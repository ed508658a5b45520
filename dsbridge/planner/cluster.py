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
    adapter between nodes."""

    name: str
    rate: float
    source: str = ""


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
