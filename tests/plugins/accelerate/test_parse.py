"""Accelerate's files and commands in the spec's words, and back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.explaining import engine_defaults, explain
from dsbridge.migrating import migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaves, to_mapping
from dsbridge.spec.load import load_file
from dsbridge.stories import engine_values
from dsbridge.testing import loaded_specs
from dsbridge.trees import flat
from dsbridge.values import AUTO
from tests.conftest import ROOT
from tests.meta.test_faithful import EXAMPLES, OWN
from tests.meta.test_round_trip import parsed

NOWHERE = Path("/nonexistent")
FACTS = {"num_training_steps": 100, "hidden_size": 64}
LAUNCH = ("accelerate", "launch", "--config_file", "a.yaml", "t.py")
FIELDS = """\
compute_environment: LOCAL_MACHINE
deepspeed_config:
  gradient_accumulation_steps: 4
  gradient_clipping: 0.5
  offload_optimizer_device: cpu
  offload_param_device: none
  zero3_init_flag: false
  zero_stage: 2
distributed_type: DEEPSPEED
downcast_bf16: 'no'
machine_rank: 0
mixed_precision: bf16
num_machines: 1
num_processes: 8
"""
BY_FILE = """\
distributed_type: DEEPSPEED
num_processes: 4
deepspeed_config:
  deepspeed_config_file: cfg/ds.json
  zero3_init_flag: true
"""
SCRIPT = """\
import torch
from accelerate import Accelerator, DeepSpeedPlugin
from accelerate.utils import DummyOptim, DummyScheduler, set_seed
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, get_scheduler

set_seed(7)
accelerator = Accelerator({accelerator})
model = AutoModelForCausalLM.from_pretrained("m", attn_implementation="sdpa")
optimizer = {optimizer}
loader = DataLoader(data, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
ADAMW = "torch.optim.AdamW(model.parameters(), lr=2e-4, betas=(0.9, 0.95))"


def script(accelerator: str = "", optimizer: str = ADAMW) -> str:
    return SCRIPT.format(accelerator=accelerator, optimizer=optimizer)


def read(texts: dict[str, str], *given: str, command: tuple[str, ...] = (), **more: Any) -> Parsed:
    return parse(Files(NOWHERE, texts), given, command, **more)


def read_yaml(text: str) -> dict[str, Any]:
    found = read({"a.yaml": text}, "a.yaml", source="accelerate")
    assert found.unclaimed == ()
    spec: dict[str, Any] = to_mapping(found.loaded.spec)
    del spec["version"]
    return spec


def read_launch(*flags: str, text: str = FIELDS, source: str = SCRIPT, env: tuple[str, ...] = ()) -> Parsed:
    command = (*env, "accelerate", "launch", "--config_file", "a.yaml", *flags, "t.py")
    return read({"a.yaml": text, "t.py": source}, command=command)


def again(found: Parsed) -> dict[str, str]:
    made = render(found.loaded, "accelerate")
    assert not made.refused, [d.to_text() for d in made.diagnostics]
    return dict(made.files)


# -- the YAML ------------------------------------------------------------------------------------------


def test_deepspeed_by_fields() -> None:
    assert read_yaml(FIELDS) == {
        "cluster": {"nodes": 1, "gpus_per_node": 8},
        "precision": {"dtype": "bf16"},
        "zero": {
            "stage": 2,
            "offload_optimizer": {"device": "cpu"},
            "offload_param": {"device": "none"},
            "init_on_load": False,
        },
        "gradient_clipping": 0.5,
        "batch": {"accumulation": 4},
        "frameworks": {"accelerate": {"compute_environment": "LOCAL_MACHINE", "downcast_bf16": "no"}},
    }


def test_values_know_where_they_were_written() -> None:
    document = read({"a.yaml": FIELDS}, "a.yaml").loaded.document
    at = document.at(("zero", "stage"))
    assert (at.file, at.line) == ("a.yaml", 8)


def test_a_stage_that_is_not_given_is_accelerates_two() -> None:
    spec = read_yaml("distributed_type: DEEPSPEED\nnum_processes: 2\n")
    assert spec == {"cluster": {"gpus_per_node": 2}, "zero": {"stage": 2}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offload_optimizer_device", "nvme"),  # `accelerate launch` loses the path
        ("gradient_clipping", 0),  # as a field, it does not switch clipping off
        ("zero3_init_flag", True),  # set to false below ZeRO-3
        ("offload_param_device", "cpu"),  # without ZeRO-3 there is nothing to offload
        ("deepspeed_moe_layer_cls_names", "Moe"),
    ],
)
def test_what_a_field_does_not_mean_stays_a_field(field: str, value: Any) -> None:
    text = yaml.safe_dump(
        {
            "distributed_type": "DEEPSPEED",
            "num_processes": 2,
            "deepspeed_config": {"zero_stage": 2, field: value},
        }
    )
    found = read({"a.yaml": text}, "a.yaml")
    assert found.loaded.spec.frameworks == {"accelerate": {"deepspeed_config": {field: value}}}
    back = yaml.safe_load(again(found)["accelerate_config.yaml"])
    assert back["deepspeed_config"] == {"zero_stage": 2, field: value}


def test_several_machines() -> None:
    text = (
        "distributed_type: DEEPSPEED\nnum_processes: 16\nnum_machines: 2\nmachine_rank: 1\n"
        "main_process_ip: 10.0.0.1\nmain_process_port: 3000\ndeepspeed_config: {zero_stage: 3}\n"
    )
    spec = read_yaml(text)
    assert spec["cluster"] == {"nodes": 2, "gpus_per_node": 8}
    assert spec["launch"] == {"node_rank": 1, "master_addr": "10.0.0.1", "master_port": 3000}
    # pdsh is what Accelerate takes where nothing is said; rendering alone would write `standard`
    assert spec["frameworks"]["accelerate"] == {"deepspeed_config": {"deepspeed_multinode_launcher": "pdsh"}}


def test_ranks_that_the_machines_do_not_share_evenly_stay_as_they_are() -> None:
    text = "distributed_type: MULTI_GPU\nnum_processes: 3\nnum_machines: 2\nmachine_rank: 0\n"
    found = read({"a.yaml": text}, "a.yaml")
    assert found.loaded.spec.cluster.nodes == 2
    assert yaml.safe_load(again(found)["accelerate_config.yaml"])["num_processes"] == 3


def test_fsdp_1() -> None:
    text = """\
distributed_type: FSDP
num_processes: 8
mixed_precision: fp16
fsdp_config:
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_transformer_layer_cls_to_wrap: BertLayer,GPTBlock
  fsdp_min_num_params: 100
  fsdp_backward_prefetch: BACKWARD_PRE
  fsdp_sharding_strategy: SHARD_GRAD_OP
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_offload_params: true
  fsdp_use_orig_params: false
"""
    assert read_yaml(text) == {
        "cluster": {"gpus_per_node": 8},
        "precision": {"dtype": "fp16"},
        "fsdp": {
            "version": 1,
            "sharding": "shard_grad_op",
            "offload_params": True,
            "auto_wrap": "transformer",
            "transformer_layer_cls": ["BertLayer", "GPTBlock"],
            "backward_prefetch": "backward_pre",
            "state_dict_type": "sharded_state_dict",
            "use_orig_params": False,
        },
        # dead with this policy
        "frameworks": {"accelerate": {"fsdp_config": {"fsdp_min_num_params": 100}}},
    }


def test_fsdp_2_keeps_the_keys_of_version_1() -> None:
    text = """\
distributed_type: FSDP
num_processes: 2
fsdp_config:
  fsdp_version: 2
  fsdp_reshard_after_forward: true
  fsdp_sync_module_states: true
  offload_params: false
"""
    spec = read_yaml(text)
    assert spec["fsdp"] == {"version": 2, "reshard_after_forward": True, "offload_params": False}
    assert spec["frameworks"] == {"accelerate": {"fsdp_config": {"fsdp_sync_module_states": True}}}


@pytest.mark.parametrize(
    ("kind", "ranks", "kept"),
    [
        ("MULTI_GPU", 8, None),
        ("'NO'", 1, None),
        ("MULTI_GPU", 1, "MULTI_GPU"),
        ("MULTI_XPU", 2, "MULTI_XPU"),
        ("'NO'", 8, "NO"),  # one process is started
        ("NO", 1, False),  # YAML 1.1 reads it so, and Accelerate's launcher takes it for no kind it knows
        ("XLA", 8, "XLA"),
    ],
)
def test_plain_data_parallelism(kind: str, ranks: int, kept: Any) -> None:
    text = f"distributed_type: {kind}\nnum_processes: {ranks}\nmixed_precision: bf16\n"
    found = read({"a.yaml": text}, "a.yaml", source="accelerate")
    assert found.loaded.spec.precision.dtype == "bf16"
    own = to_mapping(found.loaded.spec).get("frameworks", {}).get("accelerate", {})
    assert own.get("distributed_type") == kept
    assert_same_yaml(text)


@pytest.mark.parametrize(
    "text", ["fp16: true\n", "fp16: false\ndynamo_backend: 'NO'\n", "command_file: null\n"]
)
def test_older_files(text: str) -> None:
    found = read({"a.yaml": f"distributed_type: MULTI_GPU\nnum_processes: 2\n{text}"}, "a.yaml")
    assert (found.loaded.spec.precision.dtype == "fp16") == ("true" in text)
    back = yaml.safe_load(again(found)["accelerate_config.yaml"])
    assert back.get("mixed_precision") == ("fp16" if "true" in text else None)


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        (
            "distributed_type: MEGATRON_LM\nmegatron_lm_config: {megatron_lm_tp_degree: 2}\n",
            "ACC021",
            "Megatron",
        ),
        ("compute_environment: AMAZON_SAGEMAKER\ndistributed_type: 'NO'\n", "ACC022", "SAGEMAKER"),
        ("distributed_type: [\n", "IN002", "expected"),
        ("- distributed_type: FSDP\n", "ACC023", "a.yaml"),
    ],
)
def test_declined_with_one_message(text: str, code: str, word: str) -> None:
    with pytest.raises(InputError) as caught:
        read({"a.yaml": text}, "a.yaml", source="accelerate")
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert word in found.message


# -- a DeepSpeed file ----------------------------------------------------------------------------------

CONFIGS: dict[str, dict[str, Any]] = {
    "numbers": {
        "train_micro_batch_size_per_gpu": 4,
        "train_batch_size": 32,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": 0.5,
        "zero_optimization": {"stage": 3, "overlap_comm": True},
        "bf16": {"enabled": True},
    },
    "auto": {
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": {
            "stage": "auto",
            "offload_optimizer": {"device": "auto"},
            "reduce_bucket_size": "auto",
        },
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
    },
    "few": {"train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": 2}},
    "whole batch": {"zero_optimization": {"stage": 2}, "train_batch_size": 16},
    "no stage": {"train_micro_batch_size_per_gpu": 2, "zero_optimization": {}},
    "native": {
        "train_micro_batch_size_per_gpu": 2,
        "zero_optimization": {"stage": 1},
        "wall_clock_breakdown": True,
        "tensor_parallel": {"autotp_size": 2},
    },
    "fp16": {
        "train_micro_batch_size_per_gpu": 2,
        "zero_optimization": {"stage": 2},
        "fp16": {"enabled": True, "loss_scale": 0},
        "bf16": {"enabled": False},
    },
    "optimizer": {
        "train_micro_batch_size_per_gpu": "auto",
        "zero_optimization": {"stage": 2},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "weight_decay": 0.1}},
    },
    "optimizer without decay": {
        "train_micro_batch_size_per_gpu": "auto",
        "zero_optimization": {"stage": 2},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}},
    },
    "filled optimizer": {
        "train_micro_batch_size_per_gpu": 2,
        "zero_optimization": {"stage": 2},
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": "auto", "weight_decay": "auto", "betas": [0.9, 0.95]},
        },
    },
}


def effective(texts: dict[str, str], command: tuple[str, ...]) -> dict[str, Any]:
    """What DeepSpeed's engine comes to, its defaults filled in."""
    found = explain(Files(NOWHERE, texts), command=command, facts=FACTS)
    assert found.outcome == "ok", found.error
    if found.config is None:
        return {"deepspeed": False, **flat(found.input.reading.trees["launch"])}
    return {**flat(found.config), **engine_defaults(found), **engine_values(found.result)}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("wish", ["", 'gradient_accumulation_steps=4, mixed_precision="bf16"'])
def test_a_file_trains_the_same_when_rendered_back(name: str, wish: str) -> None:
    config = CONFIGS[name]
    if "bf16" in wish and "fp16" in name:
        wish = "gradient_accumulation_steps=4"  # two precisions are refused
    optimizer = "DummyOptim(model.parameters(), lr=3e-4)" if "optimizer" in name else ADAMW
    program = script(wish, optimizer)
    texts = {"a.yaml": BY_FILE, "cfg/ds.json": json.dumps(config), "t.py": program}
    found = read(texts, command=LAUNCH)
    assert found.unclaimed == ()
    files = again(found)
    assert "ds_config.json" in files  # a file stays a file
    before = effective(texts, LAUNCH)
    after = effective(
        {**files, "t.py": program},
        ("accelerate", "launch", "--config_file", "accelerate_config.yaml", "t.py"),
    )
    more = {key: after.get(key) for key in after if after.get(key) != before.get(key)}
    # written out: the default that holds without the key, and a product that DeepSpeed makes anyway
    harmless = {"gradient_clipping": 1.0, "train_batch_size": after.get("train_batch_size"),
                "zero_optimization.stage": 0, "train_micro_batch_size_per_gpu": 4}  # fmt: skip
    assert {k: v for k, v in more.items() if harmless.get(k) != v or k in before} == {}
    lost = {key for key in before if key not in after and before[key] != {}}
    assert lost == set()


def test_the_numbers_of_a_file() -> None:
    texts = {"a.yaml": BY_FILE, "cfg/ds.json": json.dumps(CONFIGS["numbers"])}
    assert to_mapping(read(texts, "a.yaml").loaded.spec) == {
        "version": 1,
        "cluster": {"gpus_per_node": 4},
        "batch": {"micro_per_gpu": 4, "accumulation": 2, "global": 32},
        "zero": {"stage": 3, "overlap_comm": True, "init_on_load": True},
        "gradient_clipping": 0.5,
        "precision": {"dtype": "bf16"},
    }


def test_what_flags_and_script_put_in_the_place_of_auto() -> None:
    flags = ("--zero_stage", "3", "--gradient_clipping", "0.5", "--mixed_precision", "bf16")
    texts = {
        "a.yaml": BY_FILE,
        "cfg/ds.json": json.dumps(CONFIGS["auto"]),
        "t.py": script("gradient_accumulation_steps=4"),
    }
    spec = read(texts, command=(*LAUNCH[:4], *flags, "t.py")).loaded.spec
    assert (spec.zero.stage, spec.gradient_clipping, spec.batch.accumulation) == (3, 0.5, 4)
    assert spec.precision.dtype == "bf16"


def test_a_flag_that_the_file_overrules_is_told() -> None:
    texts = {"a.yaml": BY_FILE, "cfg/ds.json": json.dumps(CONFIGS["numbers"]), "t.py": script()}
    found = read(texts, command=(*LAUNCH[:4], "--zero_stage", "2", "t.py"))
    assert found.loaded.spec.zero.stage == 3
    assert [entry.key for entry in found.unclaimed] == ["deepspeed_config.zero_stage"]
    assert "does not reach DeepSpeed" in found.diagnostics[-1].message


def test_a_file_that_is_not_there_stays_a_name() -> None:
    found = read({"a.yaml": BY_FILE + "mixed_precision: bf16\n"}, "a.yaml")
    assert found.unclaimed == ()
    back = yaml.safe_load(again(found)["accelerate_config.yaml"])
    assert back["deepspeed_config"] == {"deepspeed_config_file": "cfg/ds.json", "zero3_init_flag": True}
    assert back["mixed_precision"] == "bf16"


def test_the_user_may_ask_for_a_file() -> None:
    """Accelerate's fields as Accelerate with a DeepSpeed file."""
    own = {"deepspeed_config": {"deepspeed_config_file": "ds_config.json"}}
    sets = [f"frameworks.accelerate={json.dumps(own)}"]
    made = migrate(Files(NOWHERE, {"a.yaml": FIELDS}), ["a.yaml"], target="accelerate", sets=sets)
    assert json.loads(made.artifacts.files["ds_config.json"])["zero_optimization"]["stage"] == 2


# -- commands and scripts --------------------------------------------------------------------------------


def test_flags_win_over_the_file() -> None:
    found = read_launch(
        "--num_processes", "4", "--gradient_clipping", "0.9", "--tee", "3", "--gpu_ids", "0,1"
    )
    spec = found.loaded.spec
    assert (spec.cluster.gpus_per_node, spec.gradient_clipping, spec.zero.stage) == (4, 0.9, 2)
    own: Any = spec.frameworks
    assert own["accelerate"]["gpu_ids"] == "0,1"
    assert [entry.key for entry in found.unclaimed] == ["tee"]


def test_flags_alone() -> None:
    command = (
        *("accelerate", "launch", "--use_fsdp", "--fsdp_version", "2", "--fsdp_offload_params", "true"),
        *("--num_processes", "4", "--mixed_precision", "bf16", "t.py", "--lr", "1"),
    )
    found = read({"t.py": script()}, command=command)
    spec = found.loaded.spec
    assert (spec.fsdp.version, spec.fsdp.offload_params, spec.precision.dtype) == (2, True, "bf16")
    assert spec.launch.script == "t.py"
    assert [d.code for d in found.diagnostics] == ["ACC024"]
    assert "`--lr 1`" in found.diagnostics[0].message


def test_flags_for_plain_training() -> None:
    found = read({"t.py": script()}, command=("accelerate", "launch", "--num_processes", "2", "t.py"))
    made = yaml.safe_load(again(found)["accelerate_config.yaml"])
    assert (made["distributed_type"], made["num_processes"]) == ("MULTI_GPU", 2)


def test_accumulation_from_the_environment() -> None:
    env = ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS=8",)
    text = "distributed_type: FSDP\nnum_processes: 2\n"
    found = read_launch(text=text, source=script("gradient_accumulation_steps=2"), env=env)
    assert found.loaded.spec.batch.accumulation == 8
    assert [entry.key for entry in found.unclaimed] == ["gradient_accumulation_steps"]


def test_a_script_and_its_yaml() -> None:
    found = read({"a.yaml": FIELDS, "t.py": script('mixed_precision="fp16"')}, "a.yaml", "t.py")
    spec = to_mapping(found.loaded.spec)
    assert spec["precision"] == {"dtype": "fp16"}  # Accelerator(...) beats the YAML
    assert [entry.key for entry in found.unclaimed] == ["mixed_precision"]
    assert spec["model"] == {"name_or_path": "m", "attention": "sdpa"}
    assert spec["optimizer"] == {"type": "adamw", "lr": 2e-4, "betas": [0.9, 0.95]}
    assert spec["batch"] == {"micro_per_gpu": 4, "accumulation": 4}
    assert spec["training"] == {"seed": 7}
    assert found.silent["optimizer.weight_decay"] == 0.01
    assert found.silent["scheduler.type"] == "constant"


def test_a_plugin_in_the_script() -> None:
    text = script("deepspeed_plugin=DeepSpeedPlugin(zero_stage=3, gradient_clipping=0.3)")
    spec = read({"t.py": text}, "t.py").loaded.spec
    assert (spec.zero.stage, spec.gradient_clipping) == (3, 0.3)
    found = read({"a.yaml": FIELDS, "t.py": text}, "a.yaml", "t.py")
    assert found.loaded.spec.zero.stage == 3
    lost = {entry.key for entry in found.unclaimed}
    assert lost == {"deepspeed_config.zero_stage", "deepspeed_config.gradient_clipping"}


def test_a_dict_in_the_script() -> None:
    config = json.dumps(CONFIGS["few"])
    spec = read(
        {"t.py": script(f"deepspeed_plugin=DeepSpeedPlugin(hf_ds_config={config})")}, "t.py"
    ).loaded.spec
    assert (spec.zero.stage, spec.batch.micro_per_gpu) == (2, 4)


@pytest.mark.parametrize(("kind", "warmup"), [("DEEPSPEED", 40), ("MULTI_GPU", 10)])
def test_a_schedule_is_stepped_once_a_process_without_deepspeed(kind: str, warmup: int) -> None:
    text = script().replace(
        "loader =", 'scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=40)\nloader ='
    )
    text = text.replace("(model, optimizer, loader)", "(model, optimizer, loader, scheduler)")
    spec = read_launch(text=f"distributed_type: {kind}\nnum_processes: 4\n", source=text).loaded.spec
    assert (spec.scheduler.type, spec.scheduler.warmup_steps) == ("cosine", warmup)


def test_clipping_in_the_script_is_deepspeeds_no_business() -> None:
    text = script() + "accelerator.clip_grad_norm_(model.parameters(), 0.7)\n"
    plain = read_launch(text="distributed_type: MULTI_GPU\nnum_processes: 4\n", source=text)
    assert plain.loaded.spec.gradient_clipping == 0.7
    assert "MULTI_GPU" in again(plain)["accelerate_config.yaml"]
    assert read_launch(source=text).loaded.spec.gradient_clipping == 0.5


def test_to_the_trainer() -> None:
    made = migrate(Files(NOWHERE, {"a.yaml": FIELDS, "t.py": script()}), ["a.yaml", "t.py"], target="trainer")
    said = json.loads(made.artifacts.files["training_args.json"])
    assert said["gradient_accumulation_steps"] == 4
    assert (said["per_device_train_batch_size"], said["lr_scheduler_type"]) == (4, "constant")
    assert (said["learning_rate"], said["weight_decay"], said["max_grad_norm"]) == (2e-4, 0.01, 0.5)


# -- back and forth ----------------------------------------------------------------------------------------

# What rendering writes where the file says nothing. Each is the value that holds without the key:
# ClusterConfig and process_config of accelerate 1.15.0; `same_network` is a switch of the command line,
# whose False stands whatever the YAML says (commands/launch.py: only an argument that is None is filled).
WRITTEN_OUT = {
    "compute_environment": "LOCAL_MACHINE",
    "debug": False,
    "enable_cpu_affinity": False,
    "main_training_function": "main",
    "machine_rank": 0,
    "num_machines": 1,
    "rdzv_backend": "static",
    "same_network": True,
    "use_cpu": False,
    "fsdp_config.fsdp_version": 1,
}


def assert_same_yaml(text: str) -> None:
    """Parsed and rendered back, the YAML has the same keys and values."""
    found = read({"a.yaml": text}, "a.yaml", source="accelerate")
    before = flat(yaml.safe_load(text))
    after = flat(yaml.safe_load(again(found)["accelerate_config.yaml"]))
    assert {k: v for k, v in before.items() if k not in after or after[k] != v} == {}
    assert {k: v for k, v in after.items() if k not in before and WRITTEN_OUT.get(k, "?") != v} == {}


ANY: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, 2, "auto", "none", "cpu", "x", "", -1, 0.5, [], {}]
)
TOP = st.fixed_dictionaries(
    {"distributed_type": st.sampled_from(["DEEPSPEED", "FSDP", "MULTI_GPU", "NO"])},
    optional={
        "num_processes": st.sampled_from([1, 2, 3, 8, -1]),
        "num_machines": st.sampled_from([1, 2]),
        "machine_rank": st.sampled_from([0, 1]),
        "main_process_ip": st.sampled_from([None, "10.0.0.1", ""]),
        "main_process_port": st.sampled_from([None, 29500, "3000"]),
        "mixed_precision": st.sampled_from(["no", "bf16", "fp16", False, None]),
        "downcast_bf16": st.sampled_from(["no", False]),
        "same_network": st.booleans(),
        "deepspeed_config": st.fixed_dictionaries(
            {"zero_stage": st.sampled_from([0, 1, 2, 3])},
            optional={
                "gradient_clipping": st.sampled_from([0, 0.5, 1.0, None]),
                "gradient_accumulation_steps": st.sampled_from([1, 4]),
                "offload_optimizer_device": st.sampled_from(["none", "cpu", "nvme"]),
                "offload_param_device": st.sampled_from(["none", "cpu"]),
                "zero3_init_flag": st.booleans(),
                "zero3_save_16bit_model": st.booleans(),
                "deepspeed_multinode_launcher": st.sampled_from(["standard", "pdsh"]),
            },
        ),
        "fsdp_config": st.fixed_dictionaries(
            {"fsdp_version": st.sampled_from([1, 2])},
            optional={
                "fsdp_offload_params": st.booleans(),
                "fsdp_sharding_strategy": st.sampled_from(["FULL_SHARD", "NO_SHARD", 1]),
                "fsdp_reshard_after_forward": st.sampled_from([True, False, "FULL_SHARD"]),
                "fsdp_auto_wrap_policy": st.sampled_from(["TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP"]),
                "fsdp_transformer_layer_cls_to_wrap": st.sampled_from(["A", "A,B", "A, B"]),
                "fsdp_min_num_params": st.sampled_from([0, 100]),
                "fsdp_sync_module_states": st.just(True),
                "fsdp_state_dict_type": st.sampled_from(["FULL_STATE_DICT", "x"]),
            },
        ),
    },
)


@settings(max_examples=150, deadline=None)
@given(TOP)
def test_any_yaml_comes_back(top: dict[str, Any]) -> None:
    text = yaml.safe_dump(top)
    before = explain(Files(NOWHERE, {"a.yaml": text}), ["a.yaml"], target="accelerate", facts=FACTS)
    assume(before.outcome == "ok")
    found = read({"a.yaml": text}, "a.yaml", source="accelerate")
    made = render(found.loaded, "accelerate")
    assume(not made.refused)
    back = yaml.safe_load(made.files["accelerate_config.yaml"])
    old, new = flat(top), flat(back)
    empty = {k for k, v in new.items() if v is None and k not in old}
    assert {k: v for k, v in old.items() if new.get(k, "?") != v} == {}
    more = {k: v for k, v in new.items() if k not in old and k not in empty}
    # two machines: what Accelerate does anyway; one process: what it takes for NO
    usual = {**WRITTEN_OUT, "deepspeed_config.deepspeed_multinode_launcher": "pdsh", "num_processes": 1,
             "fsdp_config.fsdp_cpu_ram_efficient_loading": False,
             "deepspeed_config.zero_stage": 2}  # fmt: skip
    assert {k: v for k, v in more.items() if usual.get(k, "?") != v} == {}


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["zero_stage", "gradient_clipping", "zero3_init_flag",
                                     "gradient_accumulation_steps", "deepspeed_config_file", "x"]), ANY),
    st.dictionaries(st.sampled_from(["num_processes", "num_machines", "machine_rank", "mixed_precision",
                                     "fp16", "fsdp_config", "parallelism_config", "fp8_config",
                                     "deepspeed_config", "distributed_type", "main_process_port"]), ANY),
    st.sampled_from(["DEEPSPEED", "FSDP", "MULTI_GPU", "NO"]),
)  # fmt: skip
def test_no_key_is_lost_and_nothing_breaks(section: dict[str, Any], top: dict[str, Any], kind: str) -> None:
    value = {"distributed_type": kind, "deepspeed_config": section, "fsdp_config": section, **top}
    try:
        found = read({"a.yaml": yaml.safe_dump(value)}, "a.yaml", source="accelerate")
    except InputError:
        return
    spec = found.loaded.document.value
    render(found.loaded, "accelerate")
    claimed = {key for claim in found.claims.values() for key in claim.keys}
    told = {entry.key for entry in found.unclaimed}
    for path, item in flat(value).items():
        key = ("yaml", *path.split("."))
        dead = key in found.consumed or item in ({}, [])
        assert key in claimed or key in found.kept or path in told or dead, (path, spec)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    for whole in (
        text,
        f"distributed_type: DEEPSPEED\n{text}",
        f"distributed_type: FSDP\nfsdp_config: {text}",
    ):
        try:
            read({"a.yaml": whole}, "a.yaml", source="accelerate")
        except InputError as error:
            assert error.diagnostics


# -- parse(render(spec)) -------------------------------------------------------------------------------------

# What the YAML, the launch and the plain script that is assumed cannot tell, with the reason.
LOST = {
    "cluster.gpu": "for planning only",
    "cluster.interconnect": "for planning only",
    "finetuning": "the script makes the adapters and the quantised model",
    "training": "the script's own loop",
    "model.trust_remote_code": "the script loads the model",
    "model.attention": "the assumed script has none",
    "optimizer.betas": "the assumed script has none",
    "optimizer.eps": "the assumed script has none",
    "optimizer.weight_decay": "the assumed script has none",
    "scheduler": "the assumed script has none",
    "batch.global": "it is the product of the other two and the ranks",
    "batch.eval_micro_per_gpu": "the assumed script has one loader",
    "launch.kind": "accelerate launch starts it",
    "launch.node_rank": "launch.sh asks the environment",
    "fsdp.sharding": "FSDP 2 says it as reshard_after_forward",
    "fsdp.reshard_after_forward": "FSDP 2 says the sharding so",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_come_back(name: str) -> None:
    loaded = load_file(ROOT / "examples" / name / "dsbridge.yaml")
    made = render(loaded, "accelerate")
    assert not made.refused
    before, after = leaves(loaded.spec), leaves(parsed(loaded, made).loaded.spec)
    lost = {path for path in {**before, **after} if before.get(path) != after.get(path)}
    derived = {"batch.accumulation", "batch.micro_per_gpu"} - before.keys()
    if before.get("fsdp.version"):
        derived.add("gradient_clipping")  # there the script clips
    assert {path for path in lost - derived if not path.startswith(tuple(LOST))} == set()


def test_deepspeeds_part_of_any_spec_comes_back() -> None:
    seen: Counter[str] = Counter()
    ours = ("zero.", "aio.", "checkpoint.", "parallelism.t", "activation_checkpointing.", "gradient_clipping")

    @settings(max_examples=60, deadline=None)
    @given(loaded=loaded_specs(OWN))
    def check(loaded: Any) -> None:
        name = loaded.spec.launch.script
        assume(not name or str(name).endswith(".py"))
        made = render(loaded, "accelerate")
        seen["refused" if made.refused else "rendered"] += 1
        assume(not made.refused)
        told = {d.key for d in made.diagnostics}
        before, after = leaves(loaded.spec), leaves(parsed(loaded, made).loaded.spec)
        assume(not before.get("fsdp.version") and not any(path.startswith("fsdp.") for path in before))
        for path, value in before.items():
            nothing = value is AUTO or (path == "parallelism.tp" and value == 1)
            if path.startswith(ours) and path not in told and not nothing:
                assert after.get(path) == value, path

    check()
    assert seen["rendered"] >= 10, seen
