"""Every training config of the XTuner wheel: what dsbridge parses, against what mmengine reads.

In the environment of XTuner, then in the one of development:

    .nox/conformance-xtuner/bin/python -m conformance.parsing.xtuner_configs --read OUT.json
    python -m conformance.parsing.xtuner_configs --compare OUT.json CONFIGS [--law]

CONFIGS is the folder xtuner/configs of the installed wheel. With --law each config is also rendered back
and resolved, beside deepspeed_zero2 and deepspeed_zero3.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FIELDS = {
    "batch.micro_per_gpu": ("train_dataloader.batch_size", "training_args.per_device_train_batch_size"),
    "batch.accumulation": ("optim_wrapper.accumulative_counts", "training_args.gradient_accumulation_steps"),
    "gradient_clipping": ("optim_wrapper.clip_grad.max_norm", "training_args.max_grad_norm"),
    "optimizer.lr": ("optim_wrapper.optimizer.lr", "training_args.learning_rate"),
    "optimizer.betas": ("optim_wrapper.optimizer.betas",),
    "optimizer.weight_decay": ("optim_wrapper.optimizer.weight_decay", "training_args.weight_decay"),
    "precision.dtype": ("optim_wrapper.dtype", "training_args.fp16"),
    "training.epochs": ("train_cfg.max_epochs", "training_args.num_train_epochs"),
    "finetuning.rank": ("model.lora.r", "model.llm_lora.r", "lora.r"),
    "finetuning.quantization_bits": ("bits",),
    "parallelism.ulysses": ("sequence_parallel_size",),
}
_DTYPES: dict[Any, str] = {"float16": "fp16", "bfloat16": "bf16", True: "fp16"}


def configs(folder: Path) -> list[Path]:
    """The training configs, as xtuner/configs/__init__.py finds them."""
    return [file for file in sorted(folder.rglob("*.py")) if not file.name.startswith("_")]


def read(out: Path) -> None:
    """What mmengine reads of each config; run where XTuner is installed."""
    import xtuner.configs
    from mmengine.config import Config

    folder = Path(xtuner.configs.__file__).parent
    found = {}
    for file in configs(folder):
        cfg = Config.fromfile(str(file))
        values = {path: _at(cfg, path) for names in _FIELDS.values() for path in names}
        for block in ("model.llm.quantization_config", "model.quantization_config"):
            for bits in (4, 8):
                if _at(cfg, f"{block}.load_in_{bits}bit"):
                    values["bits"] = bits
        if _at(cfg, "model.quantization_llm"):  # InternVL: 4 bits, xtuner/model/internvl.py
            values["bits"] = 4
        found[str(file.relative_to(folder))] = {"trains": _at(cfg, "model") is not None} | {
            path: value for path, value in values.items() if value is not None
        }
    out.write_text(json.dumps(found, indent=0, default=str))
    print(f"{len(found)} configs read, {sum(entry['trains'] for entry in found.values())} of them train")


def _at(cfg: Any, path: str) -> Any:
    for part in path.split("."):
        cfg = cfg.get(part) if hasattr(cfg, "get") else None
    return cfg


def compare(found: dict[str, Any], folder: Path, law: bool) -> bool:
    """Print counts, and every difference. True where there is none."""
    from conformance.parsing.round_trip import differences
    from dsbridge.parsing import parse
    from dsbridge.reading import Files

    count: collections.Counter[str] = collections.Counter()
    for name, values in found.items():
        if not values["trains"]:
            continue
        file = folder / name
        files = Files(file.parent)
        parsed = parse(files, [file.name], source="xtuner")
        count["parsed"] += 1
        count["with unclaimed keys"] += bool(parsed.unclaimed)
        wrong = list(_differ(values, parsed.loaded.document.value))
        for path, ours, theirs in wrong:
            print(f"{name}: {path} is {ours!r}, mmengine reads {theirs!r}")
        count["equal" if not wrong else "different"] += 1
        for path, names in _FIELDS.items():
            count[f"  {path}"] += any(name in values for name in names)
        for stage in ("deepspeed_zero2", "deepspeed_zero3") if law else ():
            words = ["NPROC_PER_NODE=8", "xtuner", "train", file.name, "--deepspeed", stage]
            outcome, lines = differences(file.parent, words)
            count[f"{stage}: {outcome}"] += 1
            print(*(f"{name}: {stage}: {line}" for line in lines), sep="\n", end="\n" if lines else "")
    for what, number in count.items():
        print(f"{number:5} {what}")
    return not any("differ" in what for what in count)


def _differ(values: dict[str, Any], spec: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for path, names in _FIELDS.items():
        theirs = next((values[name] for name in names if name in values), None)
        if path == "precision.dtype":
            theirs = _DTYPES.get(theirs, theirs)
        ours: Any = spec
        for part in path.split("."):
            ours = ours.get(part) if isinstance(ours, dict) else None
        if ours != theirs:
            yield path, ours, theirs


def main() -> int:
    """Read or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", type=Path)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--law", action="store_true")
    asked = parser.parse_args()
    if asked.read:
        read(asked.read)
        return 0
    return 0 if compare(json.loads(asked.compare.read_text()), asked.folder, asked.law) else 1


if __name__ == "__main__":
    sys.exit(main())
