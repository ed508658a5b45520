"""LLaMA-Factory under `accelerate launch`: FSDP from its YAML, the rest from the training YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsbridge.explaining import explain
from dsbridge.migrating import migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaves

TRAIN = """\
model_name_or_path: m
stage: sft
do_train: true
finetuning_type: full
dataset: d
template: qwen
output_dir: o
per_device_train_batch_size: 2
learning_rate: 1.0e-5
bf16: true
"""
# hiyouga/LLaMA-Factory examples/accelerate/fsdp_config.yaml
FSDP = """\
compute_environment: LOCAL_MACHINE
debug: false
distributed_type: FSDP
downcast_bf16: 'no'
fsdp_config:
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_backward_prefetch: BACKWARD_PRE
  fsdp_cpu_ram_efficient_loading: true
  fsdp_offload_params: false
  fsdp_sharding_strategy: FULL_SHARD
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_sync_module_states: true
  fsdp_use_orig_params: true
  fsdp_dummy: 1
machine_rank: 0
mixed_precision: bf16
num_machines: 1
num_processes: 2
rdzv_backend: static
"""
TEXTS = {"fsdp.yaml": FSDP, "train.yaml": TRAIN}
COMMAND = ("accelerate", "launch", "--config_file", "fsdp.yaml", "src/train.py", "train.yaml")


def parsed(texts: dict[str, str], *given: str, command: tuple[str, ...] = ()) -> Parsed:
    return parse(Files(Path(), texts), given, command)


def said(found: Parsed, prefix: str = "") -> dict[str, Any]:
    return {path: value for path, value in leaves(found.loaded.spec).items() if path.startswith(prefix)}


@pytest.mark.parametrize(
    "command",
    [
        COMMAND,
        (*COMMAND[:4], "-m", "llamafactory.launcher", "train.yaml"),
        ("python", "-m", "accelerate.commands.launch", *COMMAND[2:]),
    ],
)
def test_the_command_is_read_with_both_files(command: tuple[str, ...]) -> None:
    found = parsed(TEXTS, command=command)
    assert found.framework == "llamafactory"
    assert said(found, "fsdp.") == {
        "fsdp.version": 1,
        "fsdp.sharding": "full_shard",
        "fsdp.offload_params": False,
        "fsdp.auto_wrap": "transformer",
        "fsdp.backward_prefetch": "backward_pre",
        "fsdp.cpu_ram_efficient_loading": True,
        "fsdp.state_dict_type": "full_state_dict",
        "fsdp.sync_module_states": True,
        "fsdp.use_orig_params": True,
    }
    assert said(found, "cluster.") == {"cluster.nodes": 1, "cluster.gpus_per_node": 2}
    assert said(found)["optimizer.lr"] == 1e-5
    assert not found.diagnostics


def test_the_two_files_are_one_input_in_any_order() -> None:
    one, other = (
        parsed(TEXTS, *names) for names in (("fsdp.yaml", "train.yaml"), ("train.yaml", "fsdp.yaml"))
    )
    assert said(one) == said(other) == said(parsed(TEXTS, command=COMMAND))


def test_what_the_spec_lacks_stays_with_the_launcher() -> None:
    found = parsed(TEXTS, command=COMMAND)
    own = found.loaded.document.value["frameworks"]["llamafactory"]
    assert own["accelerate"] == {"debug": False, "downcast_bf16": "no", "fsdp_config": {"fsdp_dummy": 1}}
    artifacts = render(found.loaded, "llamafactory")
    back = yaml.safe_load(artifacts.files["accelerate_config.yaml"])
    assert back["fsdp_config"]["fsdp_dummy"] == 1
    assert back["downcast_bf16"] == "no"
    assert "accelerate" not in yaml.safe_load(artifacts.files["train.yaml"])


def test_both_files_come_back() -> None:
    found = parsed(TEXTS, command=COMMAND)
    artifacts = render(found.loaded, "llamafactory")
    before, after = yaml.safe_load(FSDP), yaml.safe_load(artifacts.files["accelerate_config.yaml"])
    # the training YAML says the number format; the launcher is told the node by a flag
    written = {"same_network": True, "use_cpu": False}
    assert {k: v for k, v in before.items() if k not in ("mixed_precision", "machine_rank")} | written == {
        **after,
        "fsdp_config": {k: v for k, v in after["fsdp_config"].items() if k != "fsdp_version"},
    }
    assert yaml.safe_load(artifacts.files["train.yaml"]) == yaml.safe_load(TRAIN)
    again = parsed(dict(artifacts.files), command=tuple(launch_words(artifacts)))
    assert said(again, "fsdp.") == said(found, "fsdp.")
    told = explain(Files(Path(), dict(artifacts.files)), ["accelerate_config.yaml", "train.yaml"])
    assert (told.outcome, told.config) == ("ok", None)  # FSDP: DeepSpeed gets nothing


def test_no_wrap_stays_no_wrap() -> None:
    text = FSDP.replace("  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n", "")
    found = parsed({**TEXTS, "fsdp.yaml": text}, command=COMMAND)
    back = yaml.safe_load(render(found.loaded, "llamafactory").files["accelerate_config.yaml"])
    assert back["fsdp_config"]["fsdp_auto_wrap_policy"] == "NO_WRAP"


def test_the_number_format_is_the_training_yamls_where_it_says_one() -> None:
    silent = {**TEXTS, "train.yaml": TRAIN.replace("bf16: true\n", "")}
    assert said(parsed(silent, command=COMMAND))["precision.dtype"] == "bf16"
    other = {**TEXTS, "fsdp.yaml": FSDP.replace("mixed_precision: bf16", "mixed_precision: fp16")}
    found = parsed(other, command=COMMAND)
    assert said(found)["precision.dtype"] == "bf16"
    assert [d.code for d in found.diagnostics] == ["PA003"]
    assert "gives way to the training YAML" in found.diagnostics[0].message


def test_a_flag_of_the_launcher_counts() -> None:
    command = (*COMMAND[:4], "--num_processes", "4", *COMMAND[4:])
    assert said(parsed(TEXTS, command=command))["cluster.gpus_per_node"] == 4


def test_it_migrates_to_zero() -> None:
    found = migrate(Files(Path(), TEXTS), ["fsdp.yaml", "train.yaml"], target="llamafactory", sharding="zero")
    assert json.loads(found.artifacts.files["ds_config.json"])["zero_optimization"]["stage"] == 3
    assert "accelerate_config.yaml" not in found.artifacts.files
    assert "accelerate" not in yaml.safe_load(found.artifacts.files["train.yaml"])
    sources = {move.source for move in found.mapping}
    assert "fsdp.yaml: accelerate.fsdp_config.fsdp_sharding_strategy" in sources
    to = migrate(Files(Path(), TEXTS), ["fsdp.yaml", "train.yaml"], target="trainer")
    assert json.loads(to.artifacts.files["training_args.json"])["fsdp_config"]["version"] == 1


def test_another_launcher_is_not_taken_for_fsdp() -> None:
    plain = "distributed_type: MULTI_GPU\nnum_machines: 1\nnum_processes: 4\n"
    found = parsed({**TEXTS, "plain.yaml": plain}, command=(*COMMAND[:3], "plain.yaml", *COMMAND[4:]))
    assert not said(found, "fsdp.")
    assert said(found)["cluster.gpus_per_node"] == 4
    alone = parsed(TEXTS, "train.yaml")
    assert not said(alone, "fsdp.")
    zero = (
        "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3}\nnum_machines: 1\nnum_processes: 4\n"
    )
    sharded = parsed({**TEXTS, "zero.yaml": zero}, "zero.yaml", "train.yaml")
    assert said(sharded, "zero.") == {"zero.stage": 3, "zero.init_on_load": False}
    assert not sharded.diagnostics
