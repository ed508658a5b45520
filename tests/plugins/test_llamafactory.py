"""The target `llamafactory`: its YAML, its launches, what it refuses, and the user's own file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from ruamel.yaml import YAML

from dsbridge import api
from dsbridge.sdk import Artifacts, Base, Fidelity, InputError, Severity
from dsbridge.testing import check_promises, loaded_specs
from dsbridge_llamafactory.fields import OWN, SECTIONS

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/dsbridge.yaml"))
DATA = {"llamafactory": {"dataset": "alpaca_en_demo", "template": "qwen"}}
BASIC: dict[str, Any] = {
    "version": 1,
    "model": {"name_or_path": "Qwen/Qwen2.5-7B"},
    "finetuning": {"method": "full"},
    "cluster": {"gpus_per_node": 4},
    "zero": {"stage": 2},
    "batch": {"micro_per_gpu": 2, "accumulation": 3},
    "precision": {"dtype": "bf16"},
    "frameworks": DATA,
}


def rendered(base: Base | None = None, **sections: Any) -> Artifacts:
    """The basic spec with other sections, None taking one out."""
    spec = {key: value for key, value in {**BASIC, **sections}.items() if value is not None}
    return api.render(api.load(spec), "llamafactory", base=base)


def training(name: str = "train.yaml", **sections: Any) -> dict[str, Any]:
    """The training YAML, which YAML 1.1 and 1.2 readers must read alike."""
    artifacts = rendered(**sections)
    assert not artifacts.refused, artifacts.diagnostics
    text = artifacts.files[name]
    keys = yaml.safe_load(text)
    assert keys == YAML(typ="safe").load(text)
    return dict(keys)


def codes(**sections: Any) -> dict[str, str]:
    return {d.code: d.severity.value for d in rendered(**sections).diagnostics}


def own(**keys: Any) -> dict[str, Any]:
    return {"llamafactory": {**DATA["llamafactory"], **keys}}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.parent.name)
def test_examples_render(path: Path) -> None:
    artifacts = api.render(path, "llamafactory")
    assert not artifacts.refused
    assert all(text.splitlines()[0].startswith(("#", "{")) for text in artifacts.files.values())
    keys = yaml.safe_load(artifacts.files["train.yaml"])
    assert ("deepspeed" in keys) == ("ds_config.json" in artifacts.files)
    assert ("accelerate_config.yaml" in artifacts.files) != ("ds_config.json" in artifacts.files)


@settings(max_examples=40)
@given(loaded_specs())
def test_promises(loaded: Any) -> None:
    check_promises(loaded, "llamafactory")


VALUES = {
    "model.name_or_path": ("m x", "m x"),
    "model.trust_remote_code": (True, True),
    "model.attention": ("flash_attention_2", "fa2"),
    "training.gradient_checkpointing": (False, True),
    "finetuning.method": ("freeze", "freeze"),
    "finetuning.rank": (4, 4),
    "finetuning.alpha": (8, 8),
    "finetuning.dropout": (0.5, 0.5),
    "finetuning.target_modules": (["q_proj", "v_proj"], "q_proj,v_proj"),
    "finetuning.use_rslora": (True, True),
    "finetuning.use_dora": (True, True),
    "finetuning.quantization_bits": (8, 8),
    "finetuning.quantization_type": ("fp4", "fp4"),
    "finetuning.double_quantization": (False, False),
    "finetuning.trainable_layers": (3, 3),
    "finetuning.trainable_modules": (["mlp", "self_attn"], "mlp,self_attn"),
    "training.sequence_length": (512, 512),
    "training.packing": (True, True),
    "precision.fp8_backend": ("ao", "torchao"),
}


@pytest.mark.parametrize("row", [r for r in OWN if r.fidelity is Fidelity.EXACT], ids=lambda r: r.path)
def test_every_row_of_the_table(row: Any) -> None:
    value, written = VALUES[row.path]
    section, name = row.path.split(".")
    spec = {**BASIC, "finetuning": {}, section: {**BASIC.get(section, {}), name: value}}
    if section == "finetuning":
        freeze = name.startswith("trainable_")
        spec["finetuning"] = {"method": "freeze" if freeze else "lora", name: value}
    if name == "fp8_backend":
        spec["precision"] = {"dtype": "fp8", name: value}
    assert training(**spec)[row.key] == written


def test_order_and_groups_are_llamafactorys() -> None:
    text = rendered(optimizer={"lr": 1e-5}, training={"sequence_length": 64, "output_dir": "out"}).files[
        "train.yaml"
    ]
    groups = [line for line in text.splitlines() if line.startswith("###")]
    assert groups == ["### model", "### method", "### dataset", "### output", "### train"]
    assert "learning_rate: 1.0e-05" in text
    keys = list(yaml.safe_load(text))
    order = [key for group in SECTIONS.values() for key in group]
    assert keys == sorted(keys, key=order.index)


def test_deepspeed_reads_its_numbers_from_the_yaml() -> None:
    artifacts = rendered(gradient_clipping=0.5, scheduler={"type": "cosine", "warmup_ratio": 0.03})
    keys = yaml.safe_load(artifacts.files["train.yaml"])
    ds = json.loads(artifacts.files["ds_config.json"])
    assert (keys["max_grad_norm"], ds["gradient_clipping"]) == (0.5, "auto")
    assert (keys["per_device_train_batch_size"], ds["train_micro_batch_size_per_gpu"]) == (2, "auto")
    # a key of its own here: Transformers 5.6 still has it, and LLaMA-Factory 0.9.3 needs it
    assert keys["warmup_ratio"] == 0.03
    assert "warmup_steps" not in keys
    assert keys["deepspeed"] == "ds_config.json"
    assert "gradient_checkpointing" not in keys


def test_what_it_needs_to_run_is_written() -> None:
    keys = training(finetuning=None)
    assert (keys["stage"], keys["do_train"], keys["finetuning_type"]) == ("sft", True, "lora")
    assert codes(finetuning=None) == {"LF002": "warning"}
    assert training(frameworks=own(stage="dpo"))["stage"] == "dpo"


@pytest.mark.parametrize("sections", [{"model": None}, {"frameworks": None}, {"frameworks": {}}])
def test_what_it_does_not_start_without(sections: dict[str, Any]) -> None:
    assert codes(**sections)["LF001"] == "error"


def test_odd_values_are_quoted_for_every_reader() -> None:
    odd = {"template": "on", "report_to": "1e5", "run_name": "it's #1: $HOME", "tokenized_path": "größe "}
    keys = training(frameworks=own(**odd))
    assert {name: keys[name] for name in odd} == odd


class TestRefusals:
    @pytest.mark.parametrize(
        ("sections", "code"),
        [
            ({"finetuning": {"method": "qlora", "quantization_bits": 8}, "zero": {"stage": 3}}, "LF003"),
            ({"frameworks": own(quantization_bit=4)}, "LF003"),
            (
                {
                    "finetuning": {"method": "qlora"},
                    "zero": {"stage": 3},
                    "frameworks": own(quantization_method="hqq"),
                },
                "LF003",
            ),
            ({"finetuning": {"method": "qlora"}, "precision": {"dtype": "fp8"}}, "LF003"),
            ({"parallelism": {"ulysses": 2}}, "LF004"),
            ({"training": {"eval_steps": 5}}, "LF005"),
            ({"frameworks": own(use_galore=True)}, "LF007"),
            ({"frameworks": own(use_badam=True)}, "LF007"),
            ({"optimizer": {"type": "muon"}}, "LF008"),
            ({"frameworks": own(pissa_init=True)}, "LF009"),
            ({"zero": {"stage": 3}, "frameworks": own(pure_bf16=True)}, "LF009"),
            ({"finetuning": {"method": "lora", "alpha": 0}}, "LF009"),
            ({"parallelism": {"tp": 2}, "zero": {"stage": 3}}, "TR008"),
            ({"parallelism": {"tp": 2}, "finetuning": {"method": "lora"}}, "TR009"),
            ({"parallelism": {"tp": 2}, "finetuning": None}, "TR009"),
            ({"frameworks": own(per_device_train_batch_size=9)}, "TR015"),
            ({"model": {"name_or_path": "m", "attention": "flash_attention_3"}}, "REN003"),
        ],
    )
    def test_is_refused(self, sections: dict[str, Any], code: str) -> None:
        assert codes(**sections)[code] == "error"

    def test_what_is_not_refused(self) -> None:
        assert "LF003" not in codes(finetuning={"method": "qlora"}, zero={"stage": 3})
        assert "LF005" not in codes(training={"eval_steps": 5}, frameworks=own(val_size=0.1))
        keys = training(optimizer={"type": "muon"}, zero={"stage": 0})
        assert keys["use_muon"] is True
        assert "optim" not in keys


def test_fp8_runs_inside_bf16() -> None:
    keys = training(precision={"dtype": "fp8", "fp8_backend": "te"})
    assert (keys["bf16"], keys["fp8"], keys["fp8_backend"]) == (True, True, "te")
    assert codes(precision={"dtype": "fp8"}) == {"LF006": "info"}


def test_qlora_is_four_bits_unless_said() -> None:
    keys = training(finetuning={"method": "qlora", "rank": 8})
    assert (keys["finetuning_type"], keys["quantization_bit"]) == ("lora", 4)


class TestLaunch:
    def test_one_node(self) -> None:
        launch = rendered().launch
        assert launch.argv == ("llamafactory-cli", "train", "train.yaml")
        assert launch.env == {
            "FORCE_TORCHRUN": "1",
            "NNODES": "1",
            "NODE_RANK": "${NODE_RANK:-0}",
            "NPROC_PER_NODE": "4",
            "MASTER_ADDR": "${MASTER_ADDR:-127.0.0.1}",
            "MASTER_PORT": "${MASTER_PORT:-29500}",
        }

    def test_two_nodes(self) -> None:
        sections = {
            "cluster": {"nodes": 2, "gpus_per_node": 8},
            "launch": {"master_addr": "n0", "master_port": 29600},
        }
        launch = rendered(**sections).launch
        assert (launch.env["NNODES"], launch.env["MASTER_PORT"]) == ("2", "29600")
        assert "NODE_RANK:?" in launch.env["NODE_RANK"]
        assert "export MASTER_ADDR=n0\n" in launch.script

    def test_its_launcher_splits_at_spaces(self) -> None:
        sections = {"cluster": {"nodes": 2}, "launch": {"master_addr": "n 0"}}
        assert [d.code for d in rendered(**sections).diagnostics if d.severity is Severity.ERROR] == ["LF023"]

    def test_all_gpus_unless_said(self) -> None:
        assert "NPROC_PER_NODE" not in rendered(cluster=None).launch.env

    def test_slurm(self) -> None:
        launch = rendered(cluster={"nodes": 2, "gpus_per_node": 4}, launch={"kind": "slurm"}).launch
        assert "SLURM_NODEID" in launch.env["NODE_RANK"]

    def test_other_launchers_have_no_place(self) -> None:
        assert codes(launch={"kind": "deepspeed"}) == {"REN002": "warning"}
        assert codes(launch={"script": "train.py"}) == {"REN002": "warning"}


class TestFsdp:
    def files(self, fsdp: dict[str, Any], **sections: Any) -> tuple[dict[str, Any], Artifacts]:
        artifacts = rendered(zero=None, fsdp=fsdp, **sections)
        assert not artifacts.refused, artifacts.diagnostics
        return yaml.safe_load(artifacts.files["accelerate_config.yaml"]), artifacts

    def test_version_2(self) -> None:
        fsdp = {
            "version": 2,
            "sharding": "full_shard",
            "auto_wrap": "transformer",
            "transformer_layer_cls": ["A", "B"],
            "offload_params": True,
        }
        found, artifacts = self.files(fsdp)
        assert found["distributed_type"] == "FSDP"
        assert (found["num_processes"], found["num_machines"]) == (4, 1)
        assert found["fsdp_config"] == {
            "fsdp_version": 2,
            "fsdp_reshard_after_forward": True,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_transformer_layer_cls_to_wrap": "A,B",
            "fsdp_offload_params": True,
        }
        assert "mixed_precision" not in found  # train.yaml says bf16
        assert set(artifacts.files) == {"train.yaml", "accelerate_config.yaml", "launch.sh"}
        assert "deepspeed" not in yaml.safe_load(artifacts.files["train.yaml"])

    def test_version_1_names_the_strategy(self) -> None:
        found, artifacts = self.files({"version": 1, "sharding": "shard_grad_op"})
        assert found["fsdp_config"]["fsdp_sharding_strategy"] == "SHARD_GRAD_OP"
        assert found["fsdp_config"]["fsdp_auto_wrap_policy"] == "TRANSFORMER_BASED_WRAP"
        assert [d.code for d in artifacts.diagnostics] == ["LF013"]

    def test_launch_is_the_installed_module(self) -> None:
        _, artifacts = self.files({"version": 2}, cluster={"nodes": 2, "gpus_per_node": 4})
        words = artifacts.launch.argv
        assert words[:4] == ("accelerate", "launch", "--config_file", "accelerate_config.yaml")
        assert words[-3:] == ("-m", "llamafactory.launcher", "train.yaml")
        assert "NODE_RANK:?" in words[words.index("--machine_rank") + 1]

    def test_the_launcher_is_accelerate(self) -> None:
        assert "REN002" in codes(zero=None, fsdp={"version": 2}, launch={"kind": "deepspeed"})
        assert "REN002" not in codes(zero=None, fsdp={"version": 2}, launch={"kind": "accelerate"})

    def test_unknown_number_of_gpus(self) -> None:
        found, artifacts = self.files({"version": 2}, cluster=None)
        assert "num_processes" not in found
        assert "NUM_PROCESSES:?" in artifacts.launch.argv[artifacts.launch.argv.index("--num_processes") + 1]

    def test_one_checkpointing(self) -> None:
        fsdp = {"version": 2, "activation_checkpointing": True}
        _, artifacts = self.files(fsdp)
        assert yaml.safe_load(artifacts.files["train.yaml"])["disable_gradient_checkpointing"] is True
        twice = rendered(zero=None, fsdp=fsdp, training={"gradient_checkpointing": True})
        assert twice.refused

    def test_eight_bits_are_refused(self) -> None:
        tuning = {"method": "qlora", "quantization_bits": 8}
        assert codes(zero=None, fsdp={"version": 1}, finetuning=tuning)["LF003"] == "error"

    @pytest.mark.parametrize("version", [1, 2])
    def test_script_is_bash(self, version: int) -> None:
        _, artifacts = self.files({"version": version})
        script = artifacts.launch.script
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


MINE = """\
# my own run
model_name_or_path: old/model  # to be replaced

### method
stage: dpo
finetuning_type: lora   # keep me
lora_target: all
fp16: true
learning_rate: 1e-4
warmup_steps: 5  # goes with the key

### files, which stay though the key above goes
deepspeed: old.json
dataset: my_data
"""


class TestBase:
    def edited(self, text: str, name: str = "my.yaml", **sections: Any) -> Artifacts:
        return rendered(base=Base(name, text), **sections)

    def test_edits_in_place_and_keeps_the_rest(self) -> None:
        sections = {
            "frameworks": None,
            "finetuning": {"method": "lora"},
            "optimizer": {"lr": 1e-4},
            "scheduler": {"warmup_ratio": 0.1},
        }
        artifacts = self.edited(MINE, **sections)
        assert not artifacts.refused, artifacts.diagnostics
        text = artifacts.files["my.yaml"]
        assert text.startswith("# Written by dsbridge")
        assert "# my own run" in text
        assert "finetuning_type: lora   # keep me" in text
        assert "model_name_or_path: Qwen/Qwen2.5-7B # to be replaced" in text
        assert "learning_rate: 1e-4\n" in text  # equal, so the user's own spelling stays
        assert "deepspeed: ds_config.json" in text
        assert "# added by dsbridge\n" in text
        assert "\n\n### files, which stay though the key above goes\ndeepspeed:" in text
        keys = YAML(typ="safe").load(text)
        assert keys["stage"] == "dpo"
        assert keys["warmup_ratio"] == 0.1
        assert not {"fp16", "warmup_steps"} & keys.keys()
        order = [k for k in keys if k in yaml.safe_load(MINE)]
        assert order == [k for k in yaml.safe_load(MINE) if k in keys]
        told = {(d.message, d.file, d.line) for d in artifacts.diagnostics if d.code == "TR017"}
        line = {row.partition(":")[0]: n for n, row in enumerate(MINE.splitlines(), start=1)}
        assert ("`deepspeed: old.json` is now ds_config.json", "my.yaml", line["deepspeed"]) in told
        assert ("`fp16: true` is removed: the spec says otherwise", "my.yaml", line["fp16"]) in told
        assert artifacts.launch.argv[-1] == "my.yaml"

    def test_new_numbers_are_numbers_to_pyyaml(self) -> None:
        artifacts = self.edited("dataset: d\nweight_decay: 1\n", optimizer={"lr": 1e-5, "weight_decay": 1e-3})
        keys = yaml.safe_load(artifacts.files["my.yaml"])
        assert (keys["learning_rate"], keys["weight_decay"]) == (1e-5, 1e-3)

    def test_twice_is_once(self) -> None:
        once = self.edited(MINE).files["my.yaml"]
        assert self.edited(once).files["my.yaml"] == once

    def test_a_first_key_that_goes_leaves_its_comments(self) -> None:
        text = self.edited("# top\nfp16: true\n\n# about the data\ndataset: d\n").files["my.yaml"]
        assert text.splitlines()[1:5] == ["# top", "", "# about the data", "dataset: alpaca_en_demo"]

    def test_fsdp_takes_deepspeed_out(self) -> None:
        artifacts = self.edited(MINE, zero=None, fsdp={"version": 2, "auto_wrap": "transformer"})
        assert "deepspeed" not in yaml.safe_load(artifacts.files["my.yaml"])

    def test_refusals_see_the_users_keys(self) -> None:
        told = {d.code for d in self.edited(MINE + "quantization_bit: 4\n").diagnostics}
        assert "LF003" in told  # the spec says full

    def test_a_name_with_spaces(self) -> None:
        assert "LF014" in {d.code for d in self.edited(MINE, name="my run.yaml").diagnostics}

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a: [1\n", 2),
            ("- a\n", 1),
            ("", 1),
            ("a: 1\na: 2\n", 2),
            ("a: b: c\n", 1),
            ("a: !!python/object:os.x {}\n---\nb: 1\n", 2),
            ("1: 2\n", 1),
        ],
    )
    def test_what_is_no_base(self, text: str, line: int) -> None:
        with pytest.raises(InputError) as error:
            self.edited(text)
        told = error.value.diagnostics[0]
        assert (told.code, told.file, told.line) == ("IN006", "my.yaml", line)

    def test_without_the_editor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
        with pytest.raises(InputError, match="dsbridge\\[edit\\]"):
            self.edited(MINE)


def test_native_keys_meet_the_trainers_checks() -> None:
    optimizer = {"type": "AdamW", "params": {"lr": 1e-3}}
    assert codes(deepspeed={"optimizer": optimizer})["TR024"] == "error"
    assert codes(deepspeed={"steps_per_print": 10})["TR025"] == "warning"
