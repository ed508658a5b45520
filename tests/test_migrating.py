"""The migrate pass: the meaning is kept, and every key of the input is in the mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsbridge.diagnostics import InputError
from dsbridge.explaining import explain
from dsbridge.framework import Base
from dsbridge.migrating import Migration, migrate
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.trees import flat
from tests.test_parsing import DS, LF

TRAINER = {
    "output_dir": "o",
    "deepspeed": "ds.json",
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-4,
    "bf16": True,
    "report_to": "none",
    "num_train_epochs": 2,
}
FSDP = """\
distributed_type: FSDP
fsdp_config: {fsdp_version: 1, fsdp_sharding_strategy: FULL_SHARD, fsdp_offload_params: true}
mixed_precision: bf16
num_machines: 1
num_processes: 8
"""
LF_OWN = (
    "frameworks.llamafactory.dataset=d",
    "frameworks.llamafactory.template=qwen",
    "model.name_or_path=m",
)
FULL = LF.replace("lora\n", "full\n").replace("lora_target: q_proj,v_proj\n", "")
XTUNER = ("frameworks.xtuner.config=qwen1_5_7b_chat_full_alpaca_e3",)
FACTS = {"world_size": 8, "hidden_size": 64, "num_training_steps": 100}


def moved(texts: dict[str, str], *given: str, to: str, **more: Any) -> Migration:
    return migrate(Files(Path(), texts), given, target=to, facts=FACTS, **more)


def from_lf(to: str, yaml: str = LF, **more: Any) -> Migration:
    return moved({"train.yaml": yaml, "ds.json": json.dumps(DS)}, "train.yaml", to=to, **more)


def mapping(found: Migration) -> dict[str, tuple[str, str]]:
    return {m.source.rpartition(": ")[2]: (m.status, m.target) for m in found.mapping}


def test_from_llamafactory_to_the_trainer() -> None:
    found = from_lf("trainer", FULL)
    assert not found.refused
    arguments = json.loads(found.artifacts.files["training_args.json"])
    assert (arguments["learning_rate"], arguments["max_grad_norm"], arguments["bf16"]) == (1e-5, 0.5, True)
    told = mapping(found)
    assert told["learning_rate"] == ("exact", "training_args.json: learning_rate")
    assert told["zero_optimization.stage"] == ("exact", "ds_config.json: zero_optimization.stage")
    assert told["do_train"] == ("exact", "")
    assert told["dataset"] == ("dropped", "")
    assert told["wall_clock_breakdown"] == ("exact", "ds_config.json: wall_clock_breakdown")


def test_every_key_of_the_input_is_in_the_mapping() -> None:
    for to in ("trainer", "xtuner", "accelerate", "deepspeed"):
        found = from_lf(to, sets=(*XTUNER, "cluster.gpus_per_node=8"))
        sources = ", ".join(m.source for m in found.mapping)
        given = [line.partition(":")[0] for line in LF.splitlines()]
        assert not [key for key in given if key not in sources], to


def test_what_the_source_does_unasked_is_said_to_the_target() -> None:
    """LLaMA-Factory trains three epochs in AdamW without weight decay; XTuner would do as its config says."""
    found = from_lf("xtuner", FULL, sets=XTUNER)
    assert not found.refused, [d.message for d in found.diagnostics]
    words = " ".join(found.artifacts.launch.argv)
    for said in ("train_cfg.max_epochs=3", "optim_wrapper.optimizer.weight_decay=0.0", "randomness.seed=42"):
        assert said in words
    assert any("default: optimizer.weight_decay 0.0" in m.source for m in found.mapping)


def test_from_the_trainer_to_llamafactory_and_back_means_the_same() -> None:
    texts = {"args.json": json.dumps(TRAINER), "ds.json": json.dumps(DS)}
    found = moved(texts, "args.json", to="llamafactory", sets=LF_OWN)
    assert not found.refused
    back = migrate(Files(Path(), dict(found.artifacts.files)), ("train.yaml",), target="trainer", facts=FACTS)
    before = explain(Files(Path(), texts), ("args.json",), target="trainer", facts=FACTS)
    files = {**back.artifacts.files, "train.py": "from transformers import Trainer, TrainingArguments\n"
             f"args = TrainingArguments(**{json.loads(back.artifacts.files['training_args.json'])!r})\n"
             "Trainer(model, args).train()\n"}  # fmt: skip
    after = explain(Files(Path(), files), command=launch_words(back.artifacts), target="trainer", facts=FACTS)
    one, other = flat(before.config), flat(after.config)
    assert {k: v for k, v in one.items() if k in other} == {k: v for k, v in other.items() if k in one}


def test_what_has_no_place_is_said_with_its_reason() -> None:
    found = from_lf("trainer", LF + "cutoff_len: 2048\n")
    (move,) = [m for m in found.mapping if m.source.endswith("cutoff_len")]
    assert (move.status, move.target) == ("unsupported", "")
    assert "data that your script has prepared" in move.reason


def test_a_refused_target_writes_nothing_and_says_so() -> None:
    found = from_lf("xtuner")
    assert found.refused
    assert found.artifacts.files == {}
    assert {m.status for m in found.mapping} <= {"dropped", "unsupported", "lossy"}


def test_fsdp_becomes_zero_where_the_target_has_no_fsdp() -> None:
    if not hasattr(_accelerate_reader(), "parse") or _accelerate_reader().parse is None:
        pytest.skip("Accelerate is not parsed yet")
    found = moved({"a.yaml": FSDP}, "a.yaml", to="deepspeed", sets=("batch.micro_per_gpu=1",))
    config = json.loads(found.artifacts.files["ds_config.json"])
    assert config["zero_optimization"]["stage"] == 3
    assert config["zero_optimization"]["offload_param"] == {"device": "cpu"}
    assert "MG001" in [d.code for d in found.diagnostics]


def _accelerate_reader() -> Any:
    from dsbridge.plugins import registry

    reader = registry().frameworks["accelerate"].reader
    assert reader is not None
    return reader()


def test_zero_becomes_fsdp_when_asked() -> None:
    found = from_lf("trainer", sharding="fsdp")
    arguments = json.loads(found.artifacts.files["training_args.json"])
    assert arguments["fsdp_config"]["reshard_after_forward"] is True
    assert "deepspeed" not in arguments


def test_the_users_own_file_of_the_target_is_edited() -> None:
    texts = {"args.json": json.dumps(TRAINER), "ds.json": json.dumps(DS)}
    own = "# mine\ndataset: d  # my data\ntemplate: qwen\nmodel_name_or_path: m\nlearning_rate: 5.0e-5\n"
    found = moved(texts, "args.json", to="llamafactory", base=Base("my.yaml", own))
    assert not found.refused
    text = found.artifacts.files["my.yaml"]
    assert "# mine" in text
    assert "dataset: d  # my data" in text
    assert "learning_rate: 0.0001" in text


def test_a_sharded_run_whose_config_is_not_there_does_not_become_a_plain_one() -> None:
    with pytest.raises(InputError, match=r"`deepspeed: ds.json` cannot be read"):
        moved({"train.yaml": LF}, "train.yaml", to="trainer")
    yaml = "distributed_type: DEEPSPEED\ndeepspeed_config: {deepspeed_config_file: gone.json}\n"
    with pytest.raises(InputError, match=r"gone.json` cannot be read"):
        moved({"a.yaml": yaml}, "a.yaml", to="trainer", source="accelerate")
    words = ("xtuner", "train", "cfg.py", "--deepspeed", "gone.json")
    with pytest.raises(InputError, match=r"Cannot find gone.json\) cannot be read"):
        migrate(Files(Path(), {"cfg.py": "batch_size = 1\n"}), command=words, target="trainer")
    kept = moved({"train.yaml": LF}, "train.yaml", to="llamafactory")
    assert "PA007" in [d.code for d in kept.diagnostics]


def test_what_the_script_must_say_is_not_carried_over_exactly() -> None:
    """`Accelerate does this anyway` was said of a rank and a rate that only the user's script can have."""
    more = "lora_rank: 16\ncutoff_len: 512\nnum_train_epochs: 2.0\nlr_scheduler_type: cosine\n"
    found = from_lf("accelerate", LF + more, sets=("cluster.gpus_per_node=8",))
    assert not found.refused
    moves = mapping(found)
    script = ("lora_rank", "learning_rate", "num_train_epochs", "cutoff_len", "lr_scheduler_type")
    assert {name: moves[name][0] for name in script} == dict.fromkeys(script, "lossy")
    told = next(move for move in found.mapping if move.source.endswith("learning_rate"))
    assert "your script" in told.reason
    assert moves["bf16"][0] == "exact"


SCRIPT = """\
import torch
from accelerate import Accelerator
from transformers import AutoModelForCausalLM

accelerator = Accelerator()
model = AutoModelForCausalLM.from_pretrained("m")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
model, optimizer = accelerator.prepare(model, optimizer)
"""


@pytest.mark.parametrize(("more", "method"), [("", "full"), ("# requires_grad\n", "lora")])
def test_a_script_that_trains_all_weights_does_not_become_lora(more: str, method: str) -> None:
    texts = {"train.py": SCRIPT + more, "a.yaml": "distributed_type: MULTI_GPU\nnum_processes: 2\n"}
    own = "frameworks.llamafactory={dataset: d, template: t, output_dir: o}"
    found = moved(texts, "a.yaml", "train.py", to="llamafactory", sets=(own,))
    assert f"finetuning_type: {method}\n" in found.artifacts.files["train.yaml"]
    assert ("LF002" in [d.code for d in found.diagnostics]) is (method == "lora")
