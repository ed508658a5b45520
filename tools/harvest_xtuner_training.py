"""Write plugins/dsbridge_xtuner/training.json and rules/lines.json from an installed XTuner.

    PYTHONPATH=plugins python tools/harvest_xtuner_training.py SITE-PACKAGES/xtuner/configs

The lines are where the quotes of the rules stand. Of each shipped config is kept what reaches DeepSpeed (the
batch, the clipping, the optimizer) or what parsing says of it; the shipped DeepSpeed files are kept as they
are. Only syntax trees are read: nothing of XTuner is executed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dsbridge.rulebook import Files, Unknown, lookup, store
from dsbridge_xtuner.configs import read_config

PLUGIN = Path(__file__).parent.parent / "plugins/dsbridge_xtuner"
OUT, LINES = PLUGIN / "training.json", PLUGIN / "rules" / "lines.json"
KEPT = (
    # what rules ask for
    "framework", "use_varlen_attn", "sequence_parallel_size", "optim_wrapper.type",
    "optim_wrapper.optimizer.type", "optim_wrapper.optimizer.lr", "optim_wrapper.optimizer.betas",
    "optim_wrapper.optimizer.weight_decay", "optim_wrapper.clip_grad", "optim_wrapper.accumulative_counts",
    "train_dataloader.batch_size", "train_cfg", "env_cfg", "model.type", "model.llm.type",
    "model.llm.pretrained_model_name_or_path", "model.llm.attn_implementation",
    "model.llm.quantization_config", "training_args",
    # and what parsing reads beside it
    "optim_wrapper.dtype", "train_dataloader.num_workers", "train_dataloader.sampler.type",
    "train_dataloader.dataset.type", "train_dataloader.dataset.max_length",
    "train_dataloader.dataset.pack_to_max_length", "train_dataset.max_length", "param_scheduler",
    "model.llm.trust_remote_code", "model.lora", "model.llm_lora", "model.quantization_llm",
    "model.use_activation_checkpointing", "model.quantization_config", "lora",
    "model.pretrained_model_name_or_path", "model.trust_remote_code", "default_hooks.checkpoint",
    "default_hooks.logger.interval", "randomness.seed",
)  # fmt: skip
_DATASETS = "train_dataloader.dataset.datasets"
_OF_A_DATASET = ("max_length", "pack_to_max_length")


def kept(tree: Any) -> dict[str, Any]:
    """The parts that rules ask for; what is not known is left out."""
    found: dict[str, Any] = {}
    for path in KEPT:
        value, parents = tree, path.split(".")
        for part in parents:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None or not plain(value):
            continue
        node = found
        for part in parents[:-1]:
            node = node.setdefault(part, {})
        node[parents[-1]] = value
    several = lookup(tree, _DATASETS)
    if isinstance(several, list):
        parts = [{n: part[n] for n in _OF_A_DATASET if n in part} for part in several]
        store(found, _DATASETS, parts)
    return found


def plain(value: Any) -> bool:
    """No Unknown in it."""
    if isinstance(value, dict):
        return all(plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(plain(item) for item in value)
    return not isinstance(value, Unknown)


def lines(packages: Path) -> dict[str, str]:
    """The line of each rule's quote.

    Raises:
        SystemExit: a quote stands nowhere.
    """
    from dsbridge_xtuner.rules import RULES

    found = {}
    for rule in RULES:
        for proof in rule.evidence:
            text = (packages / proof.package / proof.file).read_text(encoding="utf-8").splitlines()
            numbers = [number for number, line in enumerate(text, 1) if proof.quote.strip() in line]
            if not numbers:
                sys.exit(f"{rule.code}: {proof.file} has no line {proof.quote}")
            found[rule.code] = str(numbers[0])
    return found


def main(folder: Path) -> None:
    """Equal configs share a row: most differ in the model's name alone."""
    rows: list[Any] = []
    names: dict[str, list[Any]] = {}
    for file in sorted(folder.rglob("*.py")):
        if file.stem == "__init__":
            continue
        found = kept(read_config(Files(file.parent), file.name, {}).tree)
        model = found.get("model", {}).get("llm", {}).pop("pretrained_model_name_or_path", None)
        if found not in rows:
            rows.append(found)
        names[file.stem] = [rows.index(found), model]
    files = {
        file.stem: json.loads(file.read_text()) for file in sorted((folder / "deepspeed").glob("*.json"))
    }
    known = json.loads((PLUGIN.parent.parent / "dsbridge/deepspeed/fields.json").read_text())[
        "torch_optimizers"
    ]
    takes = {f"torch.{name}": row[0]["takes"] for name, row in known.items()}
    table = {"deepspeed": files, "optimizers": takes, "rows": rows, "configs": names}
    OUT.write_text(json.dumps(table, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    LINES.write_text(json.dumps(lines(folder.parents[1]), indent=0) + "\n", encoding="utf-8")
    print(f"{len(names)} configs, {len(rows)} rows, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
