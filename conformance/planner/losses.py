"""What a loss makes of logits, at most: bytes of a token and an entry of the vocabulary, seen on CPU.

python -m conformance.planner.losses --env hf            # again, compared with the recording
python -m conformance.planner.losses --env hf --write    # stored
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner"
TOKENS, VOCAB, WIDTH = 256, 4096, 16


def losses(torch: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """Ways to a loss from bf16 logits: transformers' own, and what models with code of their own do."""
    entropy = torch.nn.functional.cross_entropy

    def transformers(logits: Any, labels: Any) -> Any:
        own = importlib.import_module("transformers.loss.loss_utils").ForCausalLMLoss
        return own(logits=logits, labels=labels, vocab_size=VOCAB)

    def plain(logits: Any, labels: Any) -> Any:
        return entropy(logits.view(-1, VOCAB), labels.view(-1))

    def shifted(logits: Any, labels: Any) -> Any:
        """modeling_qwen.py of Qwen 1."""
        return entropy(logits[..., :-1, :].contiguous().view(-1, VOCAB), labels[..., 1:].reshape(-1))

    def autocast(logits: Any, labels: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return shifted(logits, labels)

    return {"transformers": transformers, "plain": plain, "shifted": shifted, "shifted, autocast": autocast}


def seen(env: str) -> dict[str, Any]:
    """Bytes of an entry: logits dropped before the backward pass, and held."""
    torch = importlib.import_module("torch")
    live = importlib.import_module("conformance.planner.stepping_child").Live
    found = {}
    for name, loss in losses(torch).items():
        for held in (False, True):
            hidden = torch.randn(1, TOKENS, WIDTH, dtype=torch.bfloat16, requires_grad=True)
            head = torch.randn(VOCAB, WIDTH, dtype=torch.bfloat16)
            labels = torch.randint(0, VOCAB, (1, TOKENS))
            with live() as counted:
                logits = hidden @ head.T
                told = loss(logits, labels)
                if not held:
                    del logits
                told.backward()
            found[f"{name}{', logits held' if held else ''}"] = round(counted.peak / (TOKENS * VOCAB), 2)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    return {"env": env, "versions": versions, "bytes": found}


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="What a loss makes of logits.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    path, now = RECORDED / f"losses-{options.env}.json", seen(options.env)
    if options.write:
        path.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    same = path.is_file() and json.loads(path.read_text(encoding="utf-8")) == now
    print(f"{len(now['bytes'])} losses: {'as recorded' if same else 'not as recorded'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
