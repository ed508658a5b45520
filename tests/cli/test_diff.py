"""diff as a user calls it: files, commands, text, JSON, exit codes, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import ROOT

Run = Callable[..., Any]
Z = "zero_optimization"
A = {"train_batch_size": 8, "bf16": {"enabled": True}, Z: {"stage": 2, "cpu_offload": True}}
B = {
    "train_batch_size": 8,
    "bf16": {"enabled": True},
    Z: {"stage": 2, "offload_optimizer": {"device": "cpu"}},
}
SCRIPT = """
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

args = TrainingArguments(output_dir="out", deepspeed="ds.json", bf16=True, learning_rate={lr})
model = AutoModelForCausalLM.from_pretrained("model")
Trainer(model, args, train_dataset=data).train()
"""
AUTO = {"train_micro_batch_size_per_gpu": "auto", Z: {"stage": 2}, "bf16": {"enabled": "auto"}}
TORCHRUN = ("torchrun", "--nproc_per_node", "4")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two configs that are the same, one that is not, and two Trainer scripts."""
    files = {"a.json": A, "b.json": B, "c.json": {**B, "gradient_clipping": 0.5}, "ds.json": AUTO}
    for name, config in files.items():
        (tmp_path / name).write_text(json.dumps(config))
    (tmp_path / "slow.py").write_text(SCRIPT.format(lr=1e-5))
    (tmp_path / "fast.py").write_text(SCRIPT.format(lr=1e-4))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def schema() -> Any:
    found = json.loads((ROOT / "docs" / "reference" / "schemas" / "diff.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def test_equal_is_exit_code_0(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("diff", "a.json", "b.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == "equal"


def test_a_difference_is_exit_code_1(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("diff", "a.json", "c.json")
    assert outcome.code == 1
    assert "result: something else is trained" in outcome.out
    assert "gradients are clipped at another norm" in outcome.out
    assert outcome.out.splitlines()[-1] == "different: 1 in the result"


def test_json_follows_its_schema(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("diff", "a.json", "c.json", "--format", "json")
    assert outcome.code == 1
    jsonschema.validate(outcome.json, schema())
    meaning = "result: gradients are clipped at another norm"
    wanted = {"path": "gradient_clipping", "a": 1.0, "b": 0.5, "meaning": meaning}
    assert outcome.json == {"equal": False, "differences": [wanted]}
    jsonschema.validate(dsbridge("diff", "a.json", "b.json", "--format", "json").json, schema())


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(
            ("torchrun --nproc_per_node 4 slow.py", "torchrun --nproc_per_node 4 fast.py"), id="quoted"
        ),
        pytest.param(("slow.py", "--world-size", "4", "--", *TORCHRUN, "fast.py"), id="file-and-command"),
        pytest.param(("--", *TORCHRUN, "slow.py", "--", *TORCHRUN, "fast.py"), id="two-commands"),
    ],
)
def test_commands(argv: tuple[str, ...], folder: Path, dsbridge: Run) -> None:
    found = dsbridge("diff", "--format", "json", *argv)
    assert found.code == 1, found
    jsonschema.validate(found.json, schema())
    assert [(row["path"], row["a"], row["b"]) for row in found.json["differences"]] == [
        ("optimizer.params.lr", 1e-5, 1e-4)
    ]


def test_facts_hold_for_both_sides(folder: Path, dsbridge: Run) -> None:
    (folder / "auto.json").write_text(json.dumps({**A, "train_micro_batch_size_per_gpu": 2}))
    argv = ("diff", "a.json", "auto.json")
    unknown = dsbridge(*argv)
    assert unknown.code == 1
    assert "cannot be compared, needs world_size" in unknown.out
    assert "--world-size N" in unknown.err
    assert dsbridge(*argv, "--world-size", "4").code == 0


def test_all_lists_what_is_unknown_on_both_sides(folder: Path, dsbridge: Run) -> None:
    outcome = dsbridge("diff", "--all", "a.json", "b.json")
    assert outcome.code == 0
    assert "depends on world_size, on both sides in the same way" in outcome.out


def test_scripts_whose_optimizer_is_not_read(folder: Path, dsbridge: Run) -> None:
    (folder / "plain.json").write_text(json.dumps({"train_batch_size": 8}))
    made = "import torch, deepspeed\noptimizer = torch.optim.AdamW(model.parameters(), lr={})\n"
    call = 'deepspeed.initialize(model=model, optimizer=optimizer, config="plain.json")\n'
    for name, rate in (("one.py", 1e-4), ("two.py", 2e-4)):
        (folder / name).write_text(made.format(rate) + call)
    outcome = dsbridge("diff", "one.py", "two.py", "--world-size", "2", "--format", "json")
    assert outcome.code == 1
    told = {row["path"]: row["meaning"] for row in outcome.json["differences"]}
    assert told["optimizer.params"].startswith("result: cannot be compared: the optimizer of A and B")
    assert dsbridge("diff", "one.py", "one.py").code == 0


def test_both_are_refused_in_the_same_way(folder: Path, dsbridge: Run) -> None:
    (folder / "bad.json").write_text(json.dumps({**B, Z: {"stage": 9}}))
    outcome = dsbridge("diff", "bad.json", "bad.json")
    assert outcome.code == 0
    assert "EX005 refused" in outcome.err
    assert outcome.out.splitlines()[-1] == "equal: both stop before training"
    one = dsbridge("diff", "a.json", "bad.json")
    assert one.code == 1
    assert "B stops before training" in one.out


def test_a_spec_beside_a_file(in_root: Path, dsbridge: Run, tmp_path: Path) -> None:
    spec = "examples/qlora-zero2-xtuner/dsbridge.yaml"
    assert dsbridge("render", spec, "-t", "deepspeed", "--out", tmp_path).code == 0
    outcome = dsbridge("diff", spec, tmp_path / "ds_config.json", "-t", "deepspeed", "--world-size", "2")
    assert outcome.code in (0, 1)
    assert "gradient_clipping" not in outcome.out
    other = dsbridge("diff", spec, spec, "-t", "trainer")
    assert (other.code, other.out.splitlines()[-1]) == (0, "equal")


LLAMA = """model_name_or_path: Qwen/Qwen1.5-7B-Chat
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 64
lora_alpha: 16
lora_dropout: 0.1
quantization_bit: 4
cutoff_len: 2048
dataset: mine
template: qwen
output_dir: out
bf16: true
deepspeed: ds.json
gradient_accumulation_steps: 16
per_device_train_batch_size: 1
learning_rate: 2.0e-4
weight_decay: 0
lr_scheduler_type: cosine
warmup_ratio: {warmup}
"""


def test_two_frameworks_that_train_the_same(folder: Path, dsbridge: Run) -> None:
    filled = {"gradient_clipping": "auto", "gradient_accumulation_steps": "auto"}
    (folder / "ds.json").write_text(json.dumps({**AUTO, **filled, Z: {"stage": 2, "overlap_comm": True}}))
    xtuner = "NPROC_PER_NODE=2 xtuner train qwen1_5_7b_chat_qlora_alpaca_e3 --deepspeed deepspeed_zero2"
    llama = "FORCE_TORCHRUN=1 NPROC_PER_NODE=2 llamafactory-cli train train.yaml"
    (folder / "train.yaml").write_text(LLAMA.format(warmup=0.03))
    found = dsbridge("diff", llama, xtuner, "--format", "json")
    assert found.code == 0, found
    (folder / "train.yaml").write_text(LLAMA.format(warmup=0.1))
    other = dsbridge("diff", llama, xtuner, "--format", "json").json
    told = [row for row in other["differences"] if not row["meaning"].startswith("nothing")]
    assert [(row["path"], row["a"], row["b"]) for row in told] == [("scheduler.warmup_ratio", 0.1, 0.03)]
    (folder / "train.yaml").write_text(
        LLAMA.format(warmup=0.03).replace("warmup_ratio: 0.03", "warmup_steps: 3")
    )
    assert dsbridge("diff", llama, xtuner, "--num-training-steps", "100").code == 0
    assert "cannot be compared, needs num_training_steps" in dsbridge("diff", llama, xtuner).out


BAD = {
    "nothing": ((), "give files, or a launch command"),
    "one": (("a.json",), "diff compares two inputs; 1 given"),
    "three": (("a.json", "b.json", "c.json"), "diff compares two inputs; 3 given"),
    "two-and-a-command": (("a.json", "b.json", "--", "torchrun", "x.py"), "3 given"),
    "one-command": (("--", "torchrun", "x.py"), "1 given"),
    "absent": (("a.json", "gone.json"), "No such file"),
    "folder": (("a.json", "."), "is a folder"),
    "no-launcher": (("a.json", "ls -l"), "`ls -l` is not a launcher"),
    "open-quote": (("a.json", 'torchrun "x.py'), "cannot be split into words"),
    "empty-word": (("a.json", " "), "1 given"),
    "syntax": (("a.json", "broken.json"), "broken.json"),
    "binary": (("binary.json", "a.json"), "is not UTF-8"),
    "unknown": (("a.json", "notes.txt"), "notes.txt: not recognised"),
    "target": (("a.json", "b.json", "-t", "deepsped"), "`deepspeed`"),
    "spec-no-target": (("a.json", "spec.yaml"), "--target"),
    "fact": (("a.json", "b.json", "--fact", "x"), "not NAME=VALUE"),
    "option": (("a.json", "b.json", "--al"), "--al"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, folder: Path, dsbridge: Run) -> None:
    (folder / "broken.json").write_text('{"zero_optimization": [}')
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "notes.txt").write_text("hello")
    (folder / "spec.yaml").write_text("version: 1\nzero: {stage: 2}\n")
    argv, says = BAD[name]
    outcome = dsbridge("diff", *argv)
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert says in outcome.err
    assert "internal error" not in outcome.err
