"""The target `accelerate`: one style a YAML, nothing lost, nothing that Accelerate would stop at."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import Diagnostic, InputError, Severity
from dsbridge.framework import Base
from dsbridge.rendering import render
from dsbridge.spec.load import Loaded, load_file, load_mapping
from dsbridge.testing import check_promises, loaded_specs
from dsbridge_accelerate.fields import DS_FIELDS, FIELD_TO_DS, TOP_LEVEL
from dsbridge_accelerate.fields import FSDP1 as FSDP1_ROWS
from dsbridge_accelerate.fields import FSDP2 as FSDP2_ROWS

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(ROOT.glob("examples/*/dsbridge.yaml"))
PLAIN: dict[str, Any] = {
    "cluster": {"gpus_per_node": 2},
    "batch": {"micro_per_gpu": 2, "accumulation": 4},
}


def spec(**parts: Any) -> Loaded:
    return load_mapping({**PLAIN, **parts})


def rendered(base: str | None = None, **parts: Any) -> Artifacts:
    made = render(spec(**parts), "accelerate", Base("mine.yaml", base) if base else None)
    assert not made.refused, [d.message for d in made.diagnostics]
    return made


def config(made: Artifacts, name: str = "accelerate_config.yaml") -> dict[str, Any]:
    """As Accelerate reads it: PyYAML, YAML 1.1."""
    loaded = yaml.safe_load(made.files[name])
    assert isinstance(loaded, dict)
    return loaded


def ds(made: Artifacts) -> dict[str, Any]:
    loaded = json.loads(made.files["ds_config.json"])
    assert isinstance(loaded, dict)
    return loaded


def codes(made: Artifacts) -> set[str]:
    return {d.code for d in made.diagnostics}


def told(made: Artifacts, code: str) -> list[Diagnostic]:
    return [d for d in made.diagnostics if d.code == code]


def script(made: Artifacts) -> str:
    """All lines that the user is told to write."""
    return "\n".join(d.hint for d in told(made, "ACC001"))


def refusals(**parts: Any) -> dict[str, Diagnostic]:
    made = render(spec(**parts), "accelerate")
    assert made.refused
    assert not made.files
    return {d.code: d for d in made.diagnostics if d.severity is Severity.ERROR}


# -- every spec ------------------------------------------------------------------------------------


@given(loaded_specs())
@settings(max_examples=60)
def test_any_spec_keeps_the_promises(loaded: Loaded) -> None:
    made = check_promises(loaded, "accelerate")
    if made.refused:
        return
    top = config(made)
    assert top.keys() <= TOP_LEVEL, "Accelerate stops at an unknown key"
    fields = top.get("deepspeed_config") or {}
    if "deepspeed_config_file" in fields:
        assert not fields.keys() & FIELD_TO_DS.keys(), "Accelerate refuses both styles together"
        assert "mixed_precision" not in top
    assert ("ds_config.json" in made.files) == ("deepspeed_config_file" in fields)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.parent.name)
def test_examples(path: Path) -> None:
    made = check_promises(load_file(path), "accelerate")
    assert not made.refused
    for name, text in made.files.items():
        if not name.endswith(".json"):
            assert "Written by dsbridge" in text.splitlines()[name.endswith(".sh")]
    assert "REN002" not in codes(made), "every example's settings have a home or a line for the script"


def test_no_leaf_is_dropped_in_silence() -> None:
    everything = {
        "model": {"name_or_path": "m", "trust_remote_code": True, "attention": "sdpa"},
        "zero": {"stage": 2},
        "optimizer": {"type": "adamw", "lr": 1e-4, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1},
        "scheduler": {"type": "cosine_with_min_lr", "warmup_ratio": 0.1, "min_lr": 1e-6},
        "training": {
            "epochs": 2,
            "max_steps": 10,
            "sequence_length": 128,
            "packing": True,
            "gradient_checkpointing": True,
            "seed": 3,
            "output_dir": "out",
            "save_steps": 5,
            "save_total_limit": 4,
            "logging_steps": 6,
            "eval_steps": 7,
            "dataloader_num_workers": 9,
        },
        "finetuning": {"method": "lora", "rank": 8, "alpha": 16, "dropout": 0.1, "target_modules": "all"},
    }
    lines = script(rendered(**everything))
    for word in (
        "from_pretrained('m', trust_remote_code=True, attn_implementation='sdpa')",
        "torch.optim.AdamW(model.parameters(), lr=0.0001, betas=(0.9, 0.95), eps=1e-08, weight_decay=0.1)",
        'scheduler_specific_kwargs={"min_lr": 1e-06}',
        "math.ceil(0.1 * steps) * accelerator.num_processes",
        "steps = 10",
        "peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1, target_modules='all-linear'",
        "DataLoader(dataset, batch_size=2)",
        "range(2)",
        "max_length=128",
        "gradient_checkpointing_enable",
        "set_seed(3)",
        "'out'",
        "every 5 ",
        "total_limit=4",
        "every 6 ",
        "every 7 ",
        "num_workers=9",
    ):
        assert word in lines


# -- DeepSpeed by fields ---------------------------------------------------------------------------


def test_fields_suffice() -> None:
    made = rendered(
        zero={
            "stage": 3,
            "offload_optimizer": {"device": "cpu"},
            "offload_param": {"device": "none"},
            "init_on_load": False,
        },
        precision={"dtype": "bf16"},
        gradient_clipping=0.5,
        checkpoint={"gather_16bit_weights": True},
    )
    assert set(made.files) == {"accelerate_config.yaml", "launch.sh"}
    top = config(made)
    assert top["distributed_type"] == "DEEPSPEED"
    assert top["mixed_precision"] == "bf16"
    assert top["num_processes"] == 2
    assert top["deepspeed_config"] == {
        "zero_stage": 3,
        "offload_optimizer_device": "cpu",
        "offload_param_device": "none",
        "zero3_init_flag": False,
        "gradient_clipping": 0.5,
        "gradient_accumulation_steps": 4,
        "zero3_save_16bit_model": True,
    }


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_stages_are_fields(stage: int) -> None:
    assert config(rendered(zero={"stage": stage}))["deepspeed_config"]["zero_stage"] == stage


def test_no_zero_and_no_fsdp_is_plain_data_parallelism() -> None:
    made = rendered(precision={"dtype": "bf16"})
    assert (config(made)["distributed_type"], config(made)["mixed_precision"]) == ("MULTI_GPU", "bf16")
    assert "deepspeed_config" not in config(made)
    assert "DS005" not in codes(made)


def test_clipping_alone_is_deepspeeds_at_stage_0_and_told() -> None:
    made = rendered(gradient_clipping=0.5)
    assert config(made)["deepspeed_config"]["zero_stage"] == 0
    assert "DS005" in codes(made)


@pytest.mark.parametrize(
    ("dtype", "word"), [("fp32", "no"), ("fp16", "fp16"), ("bf16", "bf16"), ("fp8", "fp8")]
)
def test_mixed_precision_stays_text(dtype: str, word: str) -> None:
    made = rendered(zero={"stage": 2}, precision={"dtype": dtype})
    assert config(made)["mixed_precision"] == word


def test_unset_precision_is_the_scripts() -> None:
    assert "mixed_precision" not in config(rendered(zero={"stage": 2}))


def test_clipping_smaller_than_yaml_1_1_reads_as_a_number() -> None:
    assert config(rendered(gradient_clipping=1e-5))["deepspeed_config"]["gradient_clipping"] == 1e-5


def test_auto_fields_are_left_out() -> None:
    made = rendered(
        zero={"stage": "auto", "offload_optimizer": {"device": "auto"}},
        precision={"dtype": "auto"},
        gradient_clipping="auto",
        checkpoint={"gather_16bit_weights": "auto"},
        batch={"micro_per_gpu": 2, "accumulation": "auto"},
    )
    assert "deepspeed_config" not in config(made)  # all of them are Accelerate's own defaults
    assert "mixed_precision" not in config(made)


def test_unset_clipping_is_told() -> None:
    assert "ACC006" in codes(rendered(zero={"stage": 2}))
    assert "ACC006" not in codes(rendered(zero={"stage": 2}, gradient_clipping=1.0))


# -- DeepSpeed by a file -----------------------------------------------------------------------------

NEEDS_FILE: list[dict[str, Any]] = [
    {"zero": {"stage": 2, "overlap_comm": True}},
    {"zero": {"stage": 2, "reduce_bucket_size": "auto"}},
    {"zero": {"stage": 2, "offload_optimizer": {"device": "cpu", "pin_memory": True}}},
    {"zero": {"stage": 3, "offload_optimizer": {"device": "nvme", "nvme_path": "/a b"}}},
    {"zero": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/a b"}}},
    {"gradient_clipping": 0},
    {"gradient_clipping": 0.0},
    {"parallelism": {"tp": 2}, "zero": {"stage": 1}},
    {"precision": {"dtype": "fp16", "fp16": {"loss_scale_window": 500}}},
    {"precision": {"communication_dtype": "fp32"}},
    {"aio": {"block_size": 4096}},
    {"activation_checkpointing": {"partition_activations": True}},
    {"checkpoint": {"universal": True}},
    {"optimizer": {"type": "adamw", "lr": 1e-4, "owner": "deepspeed"}},
    {"deepspeed": {"wall_clock_breakdown": True}},
    {"deepspeed": {"bf16": {"enabled": True}}},
]


@pytest.mark.parametrize("parts", NEEDS_FILE, ids=lambda p: next(iter(p)))
def test_file_where_fields_do_not_suffice(parts: dict[str, Any]) -> None:
    made = rendered(**parts)
    assert config(made)["deepspeed_config"] == {"deepspeed_config_file": "ds_config.json"}
    assert "mixed_precision" not in config(made)
    assert "ACC002" in codes(made)
    assert ds(made)["zero_optimization"]["stage"] in (0, 1, 2, 3)
    assert (ds(made)["train_micro_batch_size_per_gpu"], ds(made)["train_batch_size"]) == (2, "auto")
    assert ds(made)["gradient_accumulation_steps"] == 4


def test_file_says_what_the_spec_says() -> None:
    made = rendered(
        zero={"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/n"}, "sub_group_size": 10**9},
        precision={"dtype": "bf16"},
        gradient_clipping=0,
        parallelism={"tp": 2},
    )
    assert ds(made) == {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 0,
        "bf16": {"enabled": True},
        "fp16": {"enabled": False},
        "zero_optimization": {
            "stage": 3,
            "offload_param": {"device": "nvme", "nvme_path": "/n"},
            "sub_group_size": 10**9,
        },
        "tensor_parallel": {"autotp_size": 2},
    }


def test_unset_is_what_the_fields_would_do() -> None:
    """A missing accumulation becomes 1, a missing clipping depends on DeepSpeed's version."""
    made = rendered(zero={"stage": 2, "overlap_comm": True}, batch={"micro_per_gpu": 2})
    assert ds(made)["gradient_accumulation_steps"] == "auto"
    assert ds(made)["gradient_clipping"] == "auto"
    assert {"bf16", "fp16"}.isdisjoint(ds(made))
    assert "ACC006" in codes(made)


def test_auto_only_where_accelerate_fills_it() -> None:
    zero = {
        "stage": "auto",
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "overlap_comm": "auto",
        "stage3_max_live_parameters": "auto",
    }
    made = rendered(zero=zero, precision={"dtype": "auto"})
    block = ds(made)["zero_optimization"]
    assert block == {
        "stage": "auto",
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
    }
    assert ds(made)["bf16"] == {"enabled": "auto"}
    assert {d.key for d in told(made, "DS001")} == {"zero.overlap_comm", "zero.stage3_max_live_parameters"}


def test_native_auto_that_nobody_fills_is_refused() -> None:
    found = refusals(deepspeed={"zero_optimization": {"overlap_comm": "auto"}})
    assert "zero_optimization.overlap_comm" in found["ACC004"].message


def test_native_batch_is_refused() -> None:
    assert "DS002" in refusals(deepspeed={"train_micro_batch_size_per_gpu": 8})


def test_fp8_in_a_file_needs_the_flag() -> None:
    made = rendered(zero={"stage": 2, "overlap_comm": True}, precision={"dtype": "fp8", "fp8_backend": "te"})
    assert "--mixed_precision fp8" in made.files["launch.sh"]
    assert config(made)["fp8_config"] == {"backend": "TE"}
    assert ds(made)["bf16"] == {"enabled": True}
    assert "--mixed_precision" not in rendered(precision={"dtype": "fp8"}).files["launch.sh"]


def test_msamp_with_zero_3_is_refused() -> None:
    assert "ACC013" in refusals(zero={"stage": 3}, precision={"dtype": "fp8", "fp8_backend": "msamp"})


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"deepspeed": {"steps_per_print": 10}}, "ACC005"),
        ({"zero": {"stage": 2, "allow_untested_optimizer": False}}, "ACC005"),
        (
            {"zero": {"stage": 2, "offload_optimizer": {"device": "cpu"}}, "optimizer": {"type": "sgd"}},
            "ACC015",
        ),
        ({"zero": {"stage": 2, "init_on_load": True}}, "REN002"),
    ],
)
def test_what_accelerate_overwrites_is_told(parts: dict[str, Any], code: str) -> None:
    assert code in codes(rendered(**parts))


# -- optimizer and scheduler ---------------------------------------------------------------------------


def test_one_finding_for_the_optimizer_and_one_for_the_scheduler() -> None:
    made = rendered(
        optimizer={"type": "adamw", "lr": 1e-4, "betas": [0.9, 0.95]},
        scheduler={"type": "cosine", "warmup_steps": 10},
    )
    hints = {d.key.partition(".")[0]: d.hint for d in told(made, "ACC001") if d.key}
    assert hints["optimizer"] == (
        "optimizer = torch.optim.AdamW(model.parameters(), lr=0.0001, betas=(0.9, 0.95))"
    )
    assert "num_warmup_steps=10 * accelerator.num_processes" in hints["scheduler"]
    assert all(d.severity is Severity.WARNING for d in told(made, "ACC001"))


def test_deepspeed_builds_both_with_numbers() -> None:
    made = rendered(
        optimizer={"type": "adamw", "lr": 1e-4, "weight_decay": 0.0, "owner": "deepspeed"},
        scheduler={"type": "linear", "warmup_steps": 10, "owner": "deepspeed"},
        training={"max_steps": 100},
    )
    assert ds(made)["optimizer"]["params"] == {"lr": 1e-4, "weight_decay": 0.0}
    assert ds(made)["scheduler"]["params"]["total_num_steps"] == 100
    assert "auto" not in json.dumps(ds(made)["scheduler"])
    assert "accelerate.utils.DummyOptim(model.parameters())" in script(made)
    assert "accelerate.utils.DummyScheduler(optimizer)" in script(made)


def test_rates_that_the_spec_leaves_open_come_from_dummy_optim() -> None:
    made = rendered(optimizer={"type": "adamw", "owner": "deepspeed"})
    assert ds(made)["optimizer"]["params"] == {"lr": "auto", "weight_decay": "auto"}
    assert "DummyOptim(model.parameters(), lr=..., weight_decay=...)" in script(made)


def test_script_scheduler_beside_deepspeed_optimizer() -> None:
    made = rendered(optimizer={"lr": 1e-4, "owner": "deepspeed"}, scheduler={"type": "constant"})
    assert "DummyScheduler(optimizer, lr_scheduler_callable=lambda optimizer:" in script(made)
    assert "num_processes" not in script(made)


def test_native_block_beside_the_scripts_settings_is_refused() -> None:
    block = {"type": "AdamW", "params": {"lr": 1e-3}}
    assert "ACC020" in refusals(deepspeed={"optimizer": block}, optimizer={"lr": 1e-4})


# -- processes -----------------------------------------------------------------------------------------


def test_world_size_is_needed() -> None:
    made = render(load_mapping({"zero": {"stage": 2}}), "accelerate")
    assert [d.code for d in made.diagnostics if d.severity is Severity.ERROR] == ["ACC003"]


def test_one_node() -> None:
    made = rendered(launch={"script": "my train.py"})
    assert config(made)["machine_rank"] == 0
    assert list(made.launch.argv) == [
        "accelerate", "launch", "--config_file", "accelerate_config.yaml", "my train.py",
    ]  # fmt: skip
    assert "'my train.py'" in made.files["launch.sh"]


def test_nodes_by_flags() -> None:
    made = rendered(cluster={"nodes": 2, "gpus_per_node": 8}, zero={"stage": 3})
    top = config(made)
    assert (top["num_machines"], top["num_processes"]) == (2, 16)
    assert top["deepspeed_config"]["deepspeed_multinode_launcher"] == "standard"
    assert {"machine_rank", "main_process_ip", "main_process_port"}.isdisjoint(top)
    text = made.files["launch.sh"]
    assert '--machine_rank "${NODE_RANK:?' in text
    assert '--main_process_ip "${MASTER_ADDR:?' in text
    assert '--main_process_port "${MASTER_PORT:-29500}"' in text


def test_nodes_by_yaml_and_beside_a_file() -> None:
    made = rendered(
        cluster={"nodes": 2, "gpus_per_node": 8},
        zero={"stage": 3, "overlap_comm": True},
        launch={"master_addr": "10.0.0.1", "master_port": 1234, "node_rank": 1},
    )
    top = config(made)
    assert (top["main_process_ip"], top["main_process_port"], top["machine_rank"]) == ("10.0.0.1", 1234, 1)
    assert top["deepspeed_config"] == {
        "deepspeed_multinode_launcher": "standard",
        "deepspeed_config_file": "ds_config.json",
    }
    assert "--main_process" not in made.files["launch.sh"]


@pytest.mark.parametrize("kind", ["deepspeed", "ray"])
def test_another_launcher_is_told(kind: str) -> None:
    assert [d.key for d in told(rendered(launch={"kind": kind}), "REN002")] == ["launch.kind"]


def test_global_batch_alone_is_a_sum_for_the_script() -> None:
    made = rendered(batch={"global": 64})
    assert "x 2 data-parallel ranks = 64" in script(made)


def test_small_evaluation_batch_must_not_become_the_micro_batch() -> None:
    made = rendered(batch={"micro_per_gpu": 8, "eval_micro_per_gpu": 1})
    assert "eval_loader = DataLoader(eval_dataset, batch_size=1), prepared in a later" in script(made)


# -- ulysses -------------------------------------------------------------------------------------------


def test_ulysses() -> None:
    made = rendered(
        cluster={"gpus_per_node": 8},
        zero={"stage": 2},
        parallelism={
            "ulysses": 2,
            "ulysses_sequence_length_is_variable": False,
            "ulysses_attention": "flash_attention_2",
        },
        training={"sequence_length": 4096},
    )
    prefix = "parallelism_config_"
    assert config(made)["parallelism_config"] == {
        f"{prefix}sp_size": 2,
        f"{prefix}sp_backend": "deepspeed",
        f"{prefix}dp_shard_size": 4,
        f"{prefix}sp_attn_implementation": "flash_attention_2",
        f"{prefix}sp_seq_length_is_variable": False,
        f"{prefix}sp_seq_length": 4096,
    }
    assert "1.12" in told(made, "ACC010")[0].message


def test_ulysses_of_fixed_length_needs_the_length() -> None:
    parts = {"ulysses": 2, "ulysses_sequence_length_is_variable": False}
    assert "ACC011" in refusals(parallelism=parts, zero={"stage": 1})


def test_ulysses_settings_without_ulysses() -> None:
    made = rendered(parallelism={"ulysses": 1, "ulysses_attention": "sdpa"})
    assert [d.key for d in told(made, "REN002")] == ["parallelism.ulysses_attention"]
    assert "parallelism_config" not in config(made)


# -- FSDP ----------------------------------------------------------------------------------------------

FSDP1 = {
    "version": 1,
    "sharding": "shard_grad_op",
    "offload_params": True,
    "auto_wrap": "transformer",
    "transformer_layer_cls": ["A", "B"],
    "backward_prefetch": "backward_pre",
    "forward_prefetch": True,
    "use_orig_params": False,
    "sync_module_states": True,
    "cpu_ram_efficient_loading": True,
    "state_dict_type": "sharded_state_dict",
    "activation_checkpointing": True,
}


def test_fsdp_1() -> None:
    made = rendered(fsdp=FSDP1, precision={"dtype": "fp16"})
    top = config(made)
    assert top["distributed_type"] == "FSDP"
    assert top["mixed_precision"] == "fp16"
    assert top["fsdp_config"] == {
        "fsdp_version": 1,
        "fsdp_sharding_strategy": "SHARD_GRAD_OP",
        "fsdp_offload_params": True,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_transformer_layer_cls_to_wrap": "A,B",
        "fsdp_backward_prefetch": "BACKWARD_PRE",
        "fsdp_forward_prefetch": True,
        "fsdp_use_orig_params": False,
        "fsdp_sync_module_states": True,
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        "fsdp_activation_checkpointing": True,
    }
    assert "deepspeed_config" not in top


def test_fsdp_2() -> None:
    made = rendered(
        fsdp={
            "version": 2,
            "sharding": "full_shard",
            "auto_wrap": "size",
            "min_num_params": 5,
            "use_orig_params": True,
        }
    )
    assert config(made)["fsdp_config"] == {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "SIZE_BASED_WRAP",
        "fsdp_min_num_params": 5,
        "fsdp_reshard_after_forward": True,
    }
    assert "REN002" not in codes(made)


@pytest.mark.parametrize("version", [1, 2])
def test_every_fsdp_row_is_written_or_told(version: int) -> None:
    rows = {1: FSDP1_ROWS, 2: FSDP2_ROWS}[version]
    everything = {**FSDP1, "version": version, "auto_wrap": "size", "min_num_params": 7}
    made = rendered(fsdp={**everything, "reshard_after_forward": False})
    said = set(config(made)["fsdp_config"])
    unsaid = {d.key for d in told(made, "REN002")}
    for row in rows:
        written = row.key.rpartition(".")[2] in said
        assert written != (row.path in unsaid), row.path


def test_accumulation_under_fsdp_is_in_the_environment() -> None:
    made = rendered(fsdp={"version": 2}, gradient_clipping=1.0)
    assert made.launch.env == {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    assert "clip_grad_norm_(model.parameters(), 1.0)" in script(made)
    assert "clip_grad_norm_" not in script(rendered(fsdp={"version": 2}, gradient_clipping=0))


def test_hybrid_sharding() -> None:
    cluster = {"nodes": 2, "gpus_per_node": 8}
    made = rendered(cluster=cluster, fsdp={"version": 1, "sharding": "hybrid_shard"})
    assert config(made)["fsdp_config"]["fsdp_sharding_strategy"] == "HYBRID_SHARD"
    made = rendered(cluster=cluster, fsdp={"version": 2, "sharding": "hybrid_shard_zero2"})
    assert config(made)["fsdp_config"]["fsdp_reshard_after_forward"] is False
    assert config(made)["parallelism_config"] == {
        "parallelism_config_dp_replicate_size": 2,
        "parallelism_config_dp_shard_size": 8,
    }


@pytest.mark.parametrize(
    ("fsdp", "key", "value"),
    [
        ({"transformer_layer_cls": ["A"]}, "auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
        ({"min_num_params": 5}, "auto_wrap_policy", "SIZE_BASED_WRAP"),
        ({"sync_module_states": False}, "cpu_ram_efficient_loading", False),
    ],
)
def test_fsdp_choices_are_told(fsdp: dict[str, Any], key: str, value: Any) -> None:
    made = rendered(fsdp=fsdp)
    assert config(made)["fsdp_config"][f"fsdp_{key}"] == value
    assert "ACC014" in codes(made)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"fsdp": {"version": 2, "sharding": "no_shard"}}, "ACC012"),
        ({"fsdp": {"version": 2, "sharding": "full_shard", "reshard_after_forward": False}}, "ACC012"),
        ({"fsdp": {"version": 2, "state_dict_type": "local_state_dict"}}, "ACC012"),
        ({"fsdp": {"cpu_ram_efficient_loading": True, "sync_module_states": False}}, "ACC012"),
        ({"fsdp": {"version": 1}, "parallelism": {"tp": 2}}, "ACC012"),
        ({"fsdp": {"version": 1}, "parallelism": {"ulysses": 2}}, "ACC012"),
        ({"fsdp": {"version": 1}, "optimizer": {"lr": 1e-4, "owner": "deepspeed"}}, "ACC012"),
        ({"fsdp": {"version": 1}, "precision": {"dtype": "fp8", "fp8_backend": "msamp"}}, "ACC013"),
        ({"fsdp": {"version": 2}, "precision": {"dtype": "fp8", "fp8_backend": "ao"}}, "ACC013"),
    ],
)
def test_fsdp_refusals(parts: dict[str, Any], code: str) -> None:
    assert code in refusals(**parts)


def test_deepspeeds_own_settings_under_fsdp_are_told() -> None:
    made = rendered(
        fsdp={"version": 2},
        aio={"block_size": 1},
        precision={"dtype": "fp16", "fp16": {"loss_scale": 2}, "communication_dtype": "fp32"},
        checkpoint={"universal": True},
        activation_checkpointing={"profile": True},
    )
    assert {d.key for d in told(made, "REN002")} == {
        "aio.block_size",
        "precision.fp16.loss_scale",
        "precision.communication_dtype",
        "checkpoint.universal",
        "activation_checkpointing.profile",
    }


# -- frameworks.accelerate -----------------------------------------------------------------------------


def test_own_keys_are_merged() -> None:
    own = {"gpu_ids": "0,1", "debug": True, "dynamo_config": {"dynamo_backend": "INDUCTOR"}}
    top = config(rendered(zero={"stage": 2}, frameworks={"accelerate": own}))
    assert own.items() <= top.items()
    own = {"deepspeed_config": {"zero_stage": 1, "deepspeed_moe_layer_cls_names": "Moe"}}
    fields = config(rendered(frameworks={"accelerate": own}))["deepspeed_config"]
    assert (fields["zero_stage"], fields["deepspeed_moe_layer_cls_names"]) == (1, "Moe")


def test_own_node_key_needs_no_flag() -> None:
    own = {"main_process_ip": "10.1.1.1"}
    made = rendered(cluster={"nodes": 2, "gpus_per_node": 2}, frameworks={"accelerate": own})
    assert "--main_process_ip" not in made.files["launch.sh"]
    assert "--machine_rank" in made.files["launch.sh"]


@pytest.mark.parametrize(
    ("own", "zero", "code", "word"),
    [
        ({"num_processes": 3}, {"stage": 2}, "ACC007", "num_processes"),
        ({"deepspeed_config": {"zero_stage": 1}}, {"stage": 2}, "ACC007", "zero_stage"),
        ({"mixed_precison": "bf16"}, {"stage": 2}, "ACC008", "mixed_precison"),
        ({"mixed_precision": "bf16"}, {"stage": 2, "overlap_comm": True}, "ACC009", "mixed_precision"),
        (
            {"deepspeed_config": {"gradient_clipping": 1}},
            {"stage": 2, "overlap_comm": True},
            "ACC009",
            "gradient_clipping",
        ),
        (
            {"deepspeed_config": {"deepspeed_config_file": "x.json"}},
            {"stage": 2},
            "ACC009",
            "deepspeed_config_file",
        ),
    ],
)
def test_own_keys_that_contradict(own: dict[str, Any], zero: dict[str, Any], code: str, word: str) -> None:
    found = refusals(zero=zero, frameworks={"accelerate": own})
    assert word in found[code].message


# -- --base --------------------------------------------------------------------------------------------

BASE = """\
# my cluster
compute_environment: LOCAL_MACHINE  # a laptop
deepspeed_config:
  gradient_accumulation_steps: 1  # one
  gradient_clipping: 0.7
  zero3_init_flag: true
  zero_stage: 3
distributed_type: DEEPSPEED
mixed_precision: bf16
num_machines: 1
num_processes: 8
"""


def test_base_by_fields() -> None:
    made = rendered(BASE, zero={"stage": 2}, precision={"dtype": "fp32"})
    assert set(made.files) == {"mine.yaml", "launch.sh"}
    text = made.files["mine.yaml"]
    assert "# my cluster" in text
    assert "gradient_accumulation_steps: 4  # one" in text
    top = config(made, "mine.yaml")
    assert list(top) == list(yaml.safe_load(BASE)), "order kept, nothing added"
    assert top["deepspeed_config"] == {
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 0.7,
        "zero3_init_flag": True,
        "zero_stage": 2,
    }
    assert (top["mixed_precision"], top["num_processes"]) == ("no", 2)
    changed = {(d.message, d.file, d.line) for d in told(made, "ACC016")}
    assert ("`deepspeed_config.zero_stage`: 3 -> 2", "mine.yaml", 7) in changed
    assert ("`mixed_precision`: bf16 -> no", "mine.yaml", 9) in changed
    assert "ACC006" not in codes(made), "the base clips at 0.7"
    assert "--config_file mine.yaml" in made.files["launch.sh"]


def test_base_fields_move_into_the_file() -> None:
    made = rendered(BASE, zero={"overlap_comm": True})
    assert config(made, "mine.yaml")["deepspeed_config"] == {
        "zero3_init_flag": True,
        "deepspeed_config_file": "ds_config.json",
    }
    assert "mixed_precision" not in config(made, "mine.yaml")
    assert ds(made)["zero_optimization"] == {"stage": 3, "overlap_comm": True}
    assert ds(made)["gradient_clipping"] == 0.7
    assert ds(made)["gradient_accumulation_steps"] == 4
    assert ds(made)["bf16"] == {"enabled": True}
    removed = " ".join(d.message for d in told(made, "ACC017"))
    for key in ("zero_stage", "gradient_clipping", "gradient_accumulation_steps", "mixed_precision"):
        assert key in removed
    assert "# added by dsbridge" in made.files["mine.yaml"]


def test_base_that_names_a_file_keeps_that_style() -> None:
    base = "distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: old.json\n"
    made = rendered(base, zero={"stage": 2})
    assert config(made, "mine.yaml")["deepspeed_config"] == {"deepspeed_config_file": "ds_config.json"}
    assert ds(made)["zero_optimization"] == {"stage": 2}
    assert {"ACC016", "ACC018"} <= codes(made)


def test_base_of_another_kind() -> None:
    base = "distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 1\nmixed_precision: 'no'  # quoted\n"
    made = rendered(base, zero={"stage": 2})
    top = config(made, "mine.yaml")
    assert "fsdp_config" not in top
    assert top["distributed_type"] == "DEEPSPEED"
    assert "mixed_precision: 'no'  # quoted" in made.files["mine.yaml"]
    made = rendered(BASE, fsdp={"version": 2})
    assert "deepspeed_config" not in config(made, "mine.yaml")


def test_base_keeps_the_comments_around_what_goes() -> None:
    base = (
        "fsdp_config:  # goes\n  # goes too\n  fsdp_version: 1\n\n# which precision\nmixed_precision: bf16\n"
        "deepspeed_config:\n  zero_stage: 2\n  # the clipping\n  gradient_clipping: 1.0\n# how many\n"
        "num_processes: 2\n"
    )
    text = rendered(base, zero={"overlap_comm": True}).files["mine.yaml"]
    kept = [line.strip() for line in text.splitlines() if "#" in line]
    assert kept[1:4] == ["# which precision", "# the clipping", "# added by dsbridge"]
    assert text.index("deepspeed_config_file") < text.index("# how many") < text.index("num_processes")


def test_base_rank_gives_way_to_the_flag() -> None:
    made = rendered("machine_rank: 0\n", cluster={"nodes": 2, "gpus_per_node": 2})
    assert "machine_rank" not in config(made, "mine.yaml")
    assert "--machine_rank" in made.files["launch.sh"]


def test_base_rendered_twice_is_the_same() -> None:
    once = rendered(BASE, zero={"overlap_comm": True}).files["mine.yaml"]
    loaded = spec(zero={"stage": 3, "overlap_comm": True}, gradient_clipping=0.7, precision={"dtype": "bf16"})
    twice = render(loaded, "accelerate", Base("mine.yaml", once)).files["mine.yaml"]
    assert twice.splitlines()[1:] == once.splitlines()[1:]
    assert twice.count("Written by dsbridge") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\n", 2),
        ("- a\n", 1),
        ("just text\n", 1),
        ("debug: false\ndeepspeed_config: 3\n", 2),
        ("compute_environment: AMAZON_SAGEMAKER\n", 1),
        ("num_processes: 1\nnum_processes: 2\n", 2),
    ],
)
def test_bad_base(text: str, line: int) -> None:
    with pytest.raises(InputError) as error:
        render(spec(zero={"stage": 2}), "accelerate", Base("mine.yaml", text))
    found = error.value.diagnostics[0]
    assert (found.file, found.line) == ("mine.yaml", line)


# -- quoting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["it's", 'q"q', "$HOME/x", "größe", "a b", "no", "1e-4", "#x", "a: b"])
def test_odd_words_survive(odd: str) -> None:
    made = rendered(fsdp={"transformer_layer_cls": [odd]}, launch={"script": odd, "master_addr": odd})
    assert config(made)["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"] == odd
    assert config(made)["main_process_ip"] == odd
    command = made.files["launch.sh"].partition("exec ")[2].replace("\\\n", " ")
    assert shlex.split(command)[-1] == odd
    edited = rendered("debug: false\n", fsdp={"transformer_layer_cls": [odd]})
    assert config(edited, "mine.yaml")["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"] == odd


def test_tables_agree() -> None:
    assert {field.key for field in DS_FIELDS.values()} <= FIELD_TO_DS.keys()
    assert set(DS_FIELDS) <= set(FIELD_TO_DS.values())


def test_optimizer_settings_that_its_class_lacks_are_named() -> None:
    lines = script(rendered(optimizer={"type": "sgd", "lr": 0.1, "betas": [0.9, 0.95]}))
    assert "torch.optim.SGD(model.parameters(), lr=0.1)\n" in lines
    assert "torch.optim.SGD takes no betas: (0.9, 0.95)" in lines


@pytest.mark.parametrize(
    ("tuning", "word"),
    [
        ({"alpha": 16}, "lora_alpha=16"),
        (
            {"method": "qlora", "double_quantization": True},
            "load_in_4bit=True, bnb_4bit_use_double_quant=True",
        ),
        ({"quantization_bits": 8}, "load_in_8bit=True"),
        ({"method": "freeze", "trainable_layers": 2}, "those of 2 layers"),
    ],
)
def test_finetuning_lines(tuning: dict[str, Any], word: str) -> None:
    assert word in script(rendered(finetuning=tuning))
