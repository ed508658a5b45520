"""Write plugins/dsbridge_xtuner/shipped.json from an unpacked XTuner.

    PYTHONPATH=plugins python tools/harvest_xtuner.py PATH/xtuner/configs

Reads the configs' syntax trees; nothing of XTuner is executed.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import libcst as cst

from dsbridge_xtuner.shape import MODEL_PATH, SAME_MODEL, Unknown
from dsbridge_xtuner.static import Cell, leaves, read_config

OUT = Path(__file__).parent.parent / "plugins/dsbridge_xtuner/shipped.json"
VALUES = (
    "framework",
    "use_varlen_attn",
    "sequence_parallel_size",
    "model.type",
    "param_scheduler.",
    "train_cfg.",
    "optim_wrapper.optimizer.type",
    "optim_wrapper.accumulative_counts",
    "train_dataloader.sampler.type",
    "train_dataloader.dataset.type",
    "model.lora.type",
    "model.llm_lora.type",
    "model.llm.quantization_config.type",
    "default_hooks.checkpoint.by_epoch",
)
NAMES = (
    "default_hooks.checkpoint.",
    "default_hooks.logger.",
    "randomness.",
    "optim_wrapper.clip_grad.max_norm",
    "train_dataloader.dataset.max_length",
    "train_dataloader.dataset.pack_to_max_length",
    "model.use_activation_checkpointing",
)
DATASETS = re.compile(r"train_dataloader\.dataset\.datasets\.\d+\.(max_length|pack_to_max_length)")
PATHS = ("model.llm.", "tokenizer.", "train_dataloader.", "custom_hooks.", "model.tokenizer.")


def relevant(file: Path) -> dict[str, Any]:
    """The leaves that rendering asks about."""
    found = dict(leaves(Cell(read_config(cst.parse_module(file.read_text(encoding="utf-8"))))))
    model = found.get(f"model.llm.{MODEL_PATH}")
    kept: dict[str, Any] = {}
    for leaf, value in found.items():
        known = not isinstance(value, Unknown)
        if known and leaf.startswith(VALUES):
            kept[leaf] = round(value, 12) if isinstance(value, float) else value
        elif leaf.startswith(NAMES) or DATASETS.fullmatch(leaf):
            kept[leaf] = None
        elif not known:
            continue
        elif leaf.startswith(PATHS) and leaf.endswith(f".{MODEL_PATH}"):
            kept[leaf] = SAME_MODEL if value == model else None
        elif leaf.startswith(PATHS) and leaf.endswith(".trust_remote_code"):
            kept[leaf] = value
    return kept


def main(folder: Path) -> None:
    """Every config that `xtuner train` finds by name (xtuner/configs/__init__.py)."""
    configs = {f.stem: relevant(f) for f in sorted(folder.rglob("*.py")) if not f.name.startswith("_")}
    configs = {name: found for name, found in configs.items() if "model.type" in found}
    usual = json.loads(Counter(json.dumps(found) for found in configs.values()).most_common(1)[0][0])
    changes: list[str] = []
    names: dict[str, int] = {}
    for name, found in configs.items():
        other = {k: v for k, v in found.items() if k not in usual or usual[k] != v}
        change = json.dumps({"other": other, "absent": sorted(usual.keys() - found.keys())})
        if change not in changes:
            changes.append(change)
        names[name] = changes.index(change)
    table = {"usual": usual, "changes": [json.loads(c) for c in changes], "configs": names}
    lines = [f'"usual": {json.dumps(usual)}']
    lines.append('"changes": [\n' + ",\n".join(changes) + "\n]")
    lines.append('"configs": {\n' + ",\n".join(f"{json.dumps(n)}: {i}" for n, i in names.items()) + "\n}")
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    assert json.loads(OUT.read_text(encoding="utf-8")) == table
    print(f"{len(names)} configs, {len(changes)} shapes, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
