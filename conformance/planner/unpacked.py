"""What GPTQ's layers make of their packed weights, and what autograd keeps of it, counted on a CPU.

python -m conformance.planner.unpacked --packages FOLDER            # again, compared with the recording
python -m conformance.planner.unpacked --packages FOLDER --write    # stored

FOLDER holds auto-gptq, and gekko, which it imports. Its kernels serve less than 128 tokens on a GPU; more, as
in training, and all on a CPU, go the way that is counted here: unpacked in torch and multiplied.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner" / "unpacked-auto-gptq.json"
KERNELS = ("qlinear_cuda_old", "qlinear_cuda")  # without and with desc_act
BITS = (4, 8)
GROUP, WIDTH, TOKENS = 128, 1024, 1
STACK = ((1024, 3072), (1024, 1024), (1024, 2048), (2048, 1024))  # inputs, outputs, as they follow


def linear(kernel: str, bits: int, inputs: int, outputs: int) -> Any:
    """A layer of auto-gptq with arbitrary packed weights."""
    torch = importlib.import_module("torch")
    made = importlib.import_module(f"auto_gptq.nn_modules.qlinear.{kernel}").QuantLinear(
        bits, GROUP, inputs, outputs, False
    )
    made.qweight.random_(0, 2**31 - 1)
    made.qzeros.random_(0, 2**31 - 1)
    made.scales.copy_(torch.rand(made.scales.shape) / 1000)
    return made


def one(kernel: str, bits: int) -> dict[str, float]:
    """Bytes a weight of one square matrix, as its input needs a gradient: kept for that, and at most."""
    torch = importlib.import_module("torch")
    live = importlib.import_module("conformance.planner.stepping_child").Live
    layer = linear(kernel, bits, WIDTH, WIDTH)
    hidden = torch.rand(TOKENS, WIDTH, dtype=torch.float16, requires_grad=True)
    with live() as counted:
        told = layer(hidden)
        kept = sum(counted.sizes.values())
    del told
    weights = WIDTH * WIDTH
    return {"kept": round(kept / weights, 2), "most": round(counted.peak / weights, 2)}


def stack(kernel: str, bits: int, layers: int, checkpoint: bool, reentrant: bool) -> int:
    """Most bytes of a forward and backward pass through layers of four matrices that follow each other."""
    torch = importlib.import_module("torch")
    live = importlib.import_module("conformance.planner.stepping_child").Live
    again = importlib.import_module("torch.utils.checkpoint").checkpoint
    blocks = [[linear(kernel, bits, *sizes) for sizes in STACK] for _ in range(layers)]

    def through(block: list[Any], hidden: Any) -> Any:
        first, second, third, fourth = block
        wide = first(hidden)
        return fourth(third(second(wide[:, : STACK[1][0]])))

    hidden = torch.rand(TOKENS, WIDTH, dtype=torch.float16, requires_grad=True)
    with live() as counted:
        told = hidden
        for block in blocks:
            told = (
                again(through, block, told, use_reentrant=reentrant) if checkpoint else through(block, told)
            )
        told.sum().backward()
    return int(counted.peak)


def seen() -> dict[str, Any]:
    """All kernels and widths."""
    versions = {name: importlib.metadata.version(name) for name in ("auto-gptq", "torch")}
    matrix = {f"{kernel}, {bits} bits": one(kernel, bits) for kernel in KERNELS for bits in BITS}
    ways = {"none": (False, False), "reentrant": (True, True), "not reentrant": (True, False)}
    rows = [
        {"kernel": kernel, "bits": bits, "layers": layers, "checkpointing": way,
         "bytes": stack(kernel, bits, layers, *ways[way])}
        for kernel in KERNELS for bits in BITS for layers in (1, 3) for way in ways
    ]  # fmt: skip
    return {"versions": versions, "stack": [list(sizes) for sizes in STACK], "matrix": matrix, "rows": rows}


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="What GPTQ's layers make of their packed weights.")
    parser.add_argument("--packages", type=Path, required=True, help="a folder with auto-gptq and gekko")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    os.environ.update({"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"})
    sys.path[:0] = [str(path) for path in sorted(options.packages.resolve().iterdir())]
    now = seen()
    if options.write:
        RECORDED.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    same = RECORDED.is_file() and json.loads(RECORDED.read_text(encoding="utf-8")) == now
    print(f"{len(now['matrix'])} matrices, {len(now['rows'])} passes: {'as' if same else 'not as'} recorded")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
