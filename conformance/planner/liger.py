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
OF_MODELS, TRITON = "0.8.0", "3.4.0"
MODELS = ("llama", "qwen3", "phi3", "olmo2")
TOKENS, VOCAB, HIDDEN = 256, 2048, 128


def cases() -> Iterator[dict[str, Any]]:
    """Every case, as conformance/planner/activations.py has them."""
    for model in MODELS:
        yield {"model": model, "method": "full", "liger": True}
    yield {"model": "llama", "method": "frozen", "liger": True}
    yield {"model": "llama", "method": "full", "liger": True, "checkpointing": True}


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
    """The mode, with what the interpreter leaves behind in cycles let go before each operator."""
    seen = type(mode).__torch_dispatch__

    def dispatch(self: Any, *args: Any, **kwargs: Any) -> Any:
        gc.collect()
        return seen(self, *args, **kwargs)

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
    parser.add_argument("--child", choices=("models", "loss"))
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    if options.child:
        import torch

        torch.set_num_threads(1)
        for row in of_models() if options.child == "models" else (of_loss(),):
            print(json.dumps(row), flush=True)
        return 0
    models = child(options.packages, OF_MODELS, "models")
    losses = {release: json.loads(child(options.packages, release, "loss")) for release in RELEASES}
    told = {"tokens": TOKENS, "vocab": VOCAB, "hidden": HIDDEN, "triton": TRITON, "hidden_states": losses}
    wanted = {
        RECORDED / "activations" / "liger.jsonl": models,
        RECORDED / "losses-liger.json": json.dumps(told, indent=1) + "\n",
    }
    if options.write:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
    same = all(path.is_file() and path.read_text(encoding="utf-8") == text for path, text in wanted.items())
    print(f"{len(models.splitlines())} models, {len(losses)} losses: {'as' if same else 'not as'} recorded")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
