"""docs/reference/hardware.md: the catalogue of GPUs and links, each number with its source."""

from __future__ import annotations

from dsbridge.planner.cluster import Board, Link
from dsbridge.planner.hardware import gpus, links, own
from dsbridge.plugins import new_registry

_GPUS = "name, also, memory, bf16, peak, reached, in a node, to the host, between nodes, sources"
_NAMES = """
GPUs and links that `plan` knows by name. Vendor, socket, kind of memory and signs may be left out or written:
`h100`, `H100-80GB` and `NVIDIA H100 80GB HBM3` are one. A plugin adds others
([writing-a-plugin.md](../writing-a-plugin.md)).
"""
_NUMBERS = """
Memory in GiB as torch reports it, the smaller where reports differ by driver. Peak and reached in TFLOP/s of
dense bf16 (fp16 where there is no bf16): what the data sheet says, and the best that was measured on a matrix
product. Figures of data sheets that no source names further are as widely published; they were not measured
here. Links are those that such GPUs usually have; options of `plan` override them. Adapters are of a node
with eight GPUs.
"""


def hardware_page(stamp: str) -> str:
    """Every GPU and every link that comes with dsbridge."""
    bare = new_registry()  # without plugins: the page is of dsbridge itself
    lines = [stamp, "# Hardware", _NAMES, "## GPUs", _NUMBERS]
    lines += [
        f"| {' | '.join(_GPUS.split(', '))} |",
        "|--|--|--:|--|--:|--:|--|--|--|--|",
        *(_of_gpu(board) for board in gpus(bare)),
        "",
        f"Names of several: {_ambiguous()}.",
        "",
        "## Links",
        "",
        "GB/s (1e9 bytes) in one direction: of one GPU inside a node, of one adapter between nodes.",
        "",
        "| name | GB/s | source |",
        "|--|--:|--|",
        *(_of_link(link) for link in links(bare)),
    ]
    return "\n".join(lines) + "\n"


def _of_gpu(board: Board) -> str:
    gpu = board.gpu
    cells = (
        f"`{gpu.name}`",
        ", ".join(board.names),
        f"{gpu.memory / 2**30:.2f}",
        "yes" if gpu.bf16 else "no",
        f"{gpu.peak / 1e12:g}",
        f"{gpu.reached / 1e12:g}",
        board.intra,
        board.pcie,
        f"{board.adapters} x {board.inter}",
        gpu.source,
    )
    return f"| {' | '.join(cells)} |"


def _ambiguous() -> str:
    return "; ".join(f"`{name}` ({' or '.join(choices)})" for name, choices in own().ambiguous.items())


def _of_link(link: Link) -> str:
    return f"| `{link.name}` | {link.rate / 1e9:g} | {link.source} |"
