"""`check --resume` on a launch command, against what the Trainer and Accelerate really did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsbridge.diagnostics import Severity
from tests.resuming.replay import RECORDED, lines, unpacked

ENVIRONMENTS = [env for env in ("hf", "hf-old") if (RECORDED / f"frameworks-{env}.jsonl").is_file()]
PACKAGES = ("deepspeed", "accelerate", "transformers")
NOT_SAID = {"trainer-z2-lora.full"}  # a script without an adapter may have one in another module
CHECKPOINT = {"trainer": "checkpoint-3", "accelerate": "state"}
SCRIPT = """import torch
from torch.utils.data import DataLoader
from accelerate import Accelerator
from accelerate.utils import DeepSpeedPlugin
accelerator = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config="ds.json"), mixed_precision="bf16")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
loader = DataLoader(rows, batch_size=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
TRAINS = """from transformers import HfArgumentParser, Trainer, TrainingArguments
arguments = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()[0]
trainer = Trainer(model=model, args=arguments, train_dataset=rows)
trainer.train()
"""
ADAPTED = f"""from peft import LoraConfig, get_peft_model
model = get_peft_model(model, LoraConfig(r=4))
{TRAINS}"""


def command(plan: dict[str, Any]) -> list[str]:
    """The launch of a plan, as its recording was launched."""
    words = ["torchrun", f"--nproc_per_node={plan['world']}", "train.py"]
    if plan["framework"] == "accelerate":
        return words
    words += ["--output_dir", "out", "--per_device_train_batch_size", "2", "--learning_rate"]
    words += [str(plan.get("rate", 1e-2)), "--deepspeed", "ds.json"]
    return [*words, *(["--bf16", "true"] if plan["dtype"] == "bf16" else [])]


def resumed(line: dict[str, Any]) -> bool:
    """Weights, states and steps are those that were saved."""
    if "seen" not in line:
        return False
    seen = line["seen"]
    held = all(value in ("same", "none") for value in seen["held"].values())
    return held and seen["engine_steps"] == "same" and seen.get("global_step", 3) == 3


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_verdict_is_what_the_frameworks_did(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsbridge: Callable[..., Any]
) -> None:
    unpacked(f"frameworks-{env}", tmp_path)
    wrong = []
    for line in lines(f"frameworks-{env}"):
        plan = line["plan"]
        if plan["stage"] is None or "not_saved" in line or "convert_error" in line:
            continue
        folder = tmp_path / line["id"]
        monkeypatch.chdir(folder)
        Path("ds.json").write_text(json.dumps(line["ds"]))
        accelerate = plan["framework"] == "accelerate"
        Path("train.py").write_text(SCRIPT if accelerate else ADAPTED if plan.get("lora") else TRAINS)
        versions = ",".join(f"{name}={line['versions'][name]}" for name in PACKAGES)
        asked = (
            "check",
            "--resume",
            CHECKPOINT[plan["framework"]],
            "--format",
            "json",
            "--versions",
            versions,
        )
        outcome = dsbridge(*asked, "--", *command(plan))
        assert outcome.out, (line["id"], outcome.err)
        found = [d for d in outcome.json["diagnostics"] if d["code"].startswith(("CK7", "EX"))]
        fails = any(d["severity"] == Severity.ERROR.value for d in found)
        if any(d["code"] == "CK740" for d in found):
            assert line["id"] in NOT_SAID, line["id"]
        elif fails == resumed(line):
            wrong.append(
                f"{line['id']}: {line.get('error') or line['seen']}\n   {[d['message'] for d in found]}"
            )
    assert not wrong, "\n".join(wrong)
