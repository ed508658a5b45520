"""`tools.fixes`: what repairs do to the runs of real files."""

from __future__ import annotations

import json
from pathlib import Path

from tools.fixes import rows

YAML = """model_name_or_path: Qwen/Qwen2.5-7B
stage: sft
dataset: alpaca_en_demo
template: qwen
output_dir: out
do_train: true
finetuning_type: full
per_device_train_batch_size: 1
max_grad_norm: 0.5
deepspeed: ds.json
"""
DS = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}


def test_a_repair_changes_what_its_finding_speaks_of(tmp_path: Path) -> None:
    folder = tmp_path / "llamafactory"
    folder.mkdir()
    (folder / "train.yaml").write_text(YAML)
    (folder / "ds.json").write_text(json.dumps(DS, indent=2))
    (found,) = rows(tmp_path)
    assert (found.name, found.outcome, found.note) == ("train.yaml", "as said", "gradient_clipping")


def test_files_without_mistakes_are_none_of_its_affair(tmp_path: Path) -> None:
    folder = tmp_path / "llamafactory"
    folder.mkdir()
    (folder / "train.yaml").write_text(YAML)
    (folder / "ds.json").write_text(json.dumps({**DS, "gradient_clipping": "auto"}))
    assert not list(rows(tmp_path))
