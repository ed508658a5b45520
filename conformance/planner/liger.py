"""What models keep with Liger's kernels, and what its loss makes: seen on CPU, where Triton interprets them.

python -m conformance.planner.liger --packages FOLDER            # again, compared with the recordings
python -m conformance.planner.liger --packages FOLDER --write    # stored

FOLDER has Triton (`FOLDER/triton`) and one unpacked liger-kernel a release (`FOLDER/0.8.0`, ...), as the
session `liger` of nox makes it. Models run with release 0.8.0, in fp16: the interpreter knows no bf16. Of the
loss only the kernels' own function runs, in every release.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "recorded" / "planner"
RELEASES = (
    "0.3.1",
    "0.4.2",
    "0.5.2",
    "0.5.5",
    "0.5.10",
    "0.6.2",
    "0.6.4",
    "0.7.0",
    "0.8.0",
    "0.8.3",
    "0.8.5",
)
KINDS = ("loss", "models")
PATHS = {"loss": RECORDED / "losses-liger.json", "models": RECORDED / "activations" / "liger.jsonl"}
OF_MODELS, TRITON = "0.8.0", "3.4.0"
MODELS = ("llama", "qwen3", "phi3", "olmo2")
TOKENS, VOCAB, HIDDEN = 64, 1024, 64


def cases() -> Iterator[dict[str, Any]]:
    """Every case, as conformance/planner/activations.py has them."""
    for model in MODELS:
        yield {"model": model, "method": "full", "liger": True}
    yield {"model": "llama", "method": "frozen", "liger": True}


def interpreted() -> None:
    """Triton's interpreter has no libdevice: its functions stand in for CUDA's."""
    import triton.language as language

    for name, function in (("rms_norm", "rsqrt"), ("cross_entropy", "tanh")):
        kernels = importlib.import_module(f"liger_kernel.ops.{name}")
        setattr(kernels, function, getattr(Own(language), function))


class Own:
    """Functions of Triton's language, looked up while a kernel runs: the interpreter puts its own there."""

    def __init__(self, language: Any) -> None:
        self.rsqrt = lambda x: language.math.rsqrt(x)
        self.tanh = lambda x: 2 * language.sigmoid(2 * x) - 1


def apply(model: Any) -> None:
    """As transformers' Trainer does."""
    interpreted()
    patches = importlib.import_module("liger_kernel.transformers.monkey_patch")
    patches._apply_liger_kernel_to_instance(model=model)


def of_models() -> Iterator[dict[str, Any]]:
    """A line for each case."""
    from conformance.planner import activations

    for case in cases():
        gc.collect()
        row = activations.line(case, "liger")
        row.pop("alive", None)  # the interpreter leaves tensors behind in cycles
        yield {**row, "versions": {**row["versions"], "liger-kernel": OF_MODELS, "triton": TRITON}}


def of_loss() -> dict[str, float]:
    """Bytes at the most of the fused loss, in those of the hidden states: head frozen, and trained."""
    import torch

    from conformance.planner.activations import alive

    interpreted()
    own = importlib.import_module("liger_kernel.ops.fused_linear_cross_entropy")
    gc.collect()
    gc.freeze()
    found = {}
    for trained in (False, True):
        hidden = torch.randn(TOKENS, HIDDEN, dtype=torch.float16, requires_grad=True)
        head = (torch.randn(VOCAB, HIDDEN) / 16).to(torch.float16).requires_grad_(trained)
        labels = torch.randint(0, VOCAB, (TOKENS,))
        mode = alive()
        with collecting(mode):
            states = hidden * 1
            told = own.LigerFusedLinearCrossEntropyFunction.apply(states, head, labels)
            loss = told[0] if isinstance(told, tuple) else told
        exact = torch.nn.functional.cross_entropy(hidden.float() @ head.float().T, labels)
        assert abs(float(loss) - float(exact)) < 1e-3
        total = most = 0
        for _, size in mode.events:
            total += size
            most = max(most, total)
        found["trained" if trained else "frozen"] = round(most / (2 * TOKENS * HIDDEN), 2)
    return found


def collecting(mode: Any) -> Any:
    """The mode, with what the interpreter leaves behind in cycles let go before what makes large tensors."""
    seen = type(mode).__torch_dispatch__
    large = ("aten.mm.", "aten.addmm.", "aten.mul.", "aten._to_copy.")

    def dispatch(self: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        if str(function).startswith(large):
            gc.collect()
        return seen(self, function, *args, **kwargs)

    type(mode).__torch_dispatch__ = dispatch
    return mode


def child(packages: Path, release: str, what: str) -> str:
    """A fresh process, with this release on its path."""
    path = os.pathsep.join([str(packages / release), str(packages / "triton"), str(ROOT)])
    quiet = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "conformance.planner.liger", "--child", what]
    environment = {**os.environ, **quiet, "PYTHONPATH": path, "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{release}: {done.stderr[-2000:]}")
    return done.stdout


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="Liger's kernels on CPU.")
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--child", choices=KINDS)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    if options.child:
        import torch

        torch.set_num_threads(1)
        for row in of_models() if options.child == "models" else (of_loss(),):
            print(json.dumps(row), flush=True)
        return 0
    differ = 0
    for kind in KINDS if options.only is None else (options.only,):
        path = PATHS[kind]
        now = child(options.packages, OF_MODELS, kind) if kind == "models" else losses(options.packages)
        if options.write:
            path.write_text(now, encoding="utf-8")
        same = path.is_file() and path.read_text(encoding="utf-8") == now
        differ += not same
        print(f"{kind}: {'as' if same else 'not as'} recorded", flush=True)
    return min(1, differ)


def losses(packages: Path) -> str:
    """What the recording of every release's loss holds."""
    seen = {release: json.loads(child(packages, release, "loss")) for release in RELEASES}
    told = {"tokens": TOKENS, "vocab": VOCAB, "hidden": HIDDEN, "triton": TRITON, "hidden_states": seen}
    return json.dumps(told, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
