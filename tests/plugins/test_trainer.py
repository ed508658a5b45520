"""The target `trainer`: every value in one place, and refusals where the Trainer would fail."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from dsbridge import api
from dsbridge.sdk import Artifacts, Base, InputError
from dsbridge.testing import check_promises, loaded_specs
from dsbridge_trainer.dialect import TAKES
from dsbridge_trainer.fields import ARGUMENTS

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/dsbridge.yaml"))
BASIC: dict[str, Any] = {
    "version": 1,
    "cluster": {"gpus_per_node": 4},
    "zero": {"stage": 2},
    "batch": {"micro_per_gpu": 2, "accumulation": 3},
    "precision": {"dtype": "bf16"},
}


def rendered(base: Base | None = None, **sections: Any) -> Artifacts:
    """The basic spec with other sections, None taking one out."""
    spec = {key: value for key, value in {**BASIC, **sections}.items() if value is not None}
    return api.render(api.load(spec), "trainer", base=base)


def arguments(**sections: Any) -> dict[str, Any]:
    artifacts = rendered(**sections)
    assert not artifacts.refused, artifacts.diagnostics
    return dict(json.loads(artifacts.files["training_args.json"]))


def config(**sections: Any) -> dict[str, Any]:
    return dict(json.loads(rendered(**sections).files["ds_config.json"]))


def codes(**sections: Any) -> dict[str, str]:
    """Codes told, with their severity."""
    return {d.code: d.severity.value for d in rendered(**sections).diagnostics}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.parent.name)
def test_examples_render(path: Path) -> None:
    artifacts = api.render(path, "trainer")
    assert not artifacts.refused
    args = json.loads(artifacts.files["training_args.json"])
    assert ("deepspeed" in args) != ("fsdp" in args)
    assert ("ds_config.json" in artifacts.files) == ("deepspeed" in args)
    compile(artifacts.files["train_snippet.py"], "train_snippet.py", "exec")


@settings(max_examples=40)
@given(loaded_specs())
def test_promises(loaded: Any) -> None:
    check_promises(loaded, "trainer")


def test_values_stand_in_one_place() -> None:
    sections = {
        "gradient_clipping": 0.5,
        "optimizer": {"owner": "deepspeed", "type": "adamw", "lr": 1e-4, "betas": [0.9, 0.95], "eps": 1e-7},
        "scheduler": {"owner": "deepspeed", "type": "linear", "warmup_steps": 10},
    }
    args, ds = arguments(**sections), config(**sections)
    assert ds["gradient_clipping"] == "auto"
    assert args["max_grad_norm"] == 0.5
    assert ds["optimizer"]["params"] == dict.fromkeys(("lr", "betas", "eps", "weight_decay"), "auto")
    assert (args["learning_rate"], args["adam_beta1"], args["adam_beta2"]) == (1e-4, 0.9, 0.95)
    assert args["adam_epsilon"] == 1e-7
    assert "optim" not in args
    assert ds["scheduler"]["params"]["warmup_num_steps"] == "auto"
    assert ds["scheduler"]["params"]["total_num_steps"] == "auto"
    assert args["warmup_steps"] == 10
    assert "lr_scheduler_type" not in args  # the block wins over it, silently
    assert ds["bf16"]["enabled"] == ds["fp16"]["enabled"] == "auto"
    assert args["bf16"] is True
    assert args["deepspeed"] == "ds_config.json"


def test_whatever_the_trainer_fills_is_auto() -> None:
    ds = config(zero={"stage": "auto", "reduce_bucket_size": "auto", "offload_optimizer": {"device": "auto"}})
    for key in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
        assert key in TAKES
        assert ds[key] == "auto"
    zero = ds["zero_optimization"]
    assert (zero["stage"], zero["reduce_bucket_size"]) == ("auto", "auto")
    assert zero["offload_optimizer"]["device"] == "auto"


def test_no_auto_that_nobody_fills() -> None:
    sections = {"zero": {"stage": 3, "allgather_bucket_size": "auto", "overlap_comm": "auto"}}
    assert config(**sections)["zero_optimization"] == {"stage": 3}
    assert codes(**sections) == {"DS001": "info"}


PLAIN = {
    "training.output_dir": "a b",
    "training.logging_steps": 7,
    "training.save_steps": 8,
    "training.save_total_limit": 2,
    "checkpoint.save_on_each_node": True,
    "gradient_clipping": 0.25,
    "training.epochs": 1.5,
    "training.max_steps": 11,
    "training.seed": 3,
    "training.dataloader_num_workers": 4,
    "batch.eval_micro_per_gpu": 5,
    "training.eval_steps": 6,
}


@pytest.mark.parametrize("row", ARGUMENTS, ids=lambda r: r.path)
def test_every_row_of_the_table(row: Any) -> None:
    spec = {**BASIC, "training": {}, "checkpoint": {}}
    *section, last = row.path.split(".")
    if section:
        spec[section[0]] = {**spec.get(section[0], {}), last: PLAIN[row.path]}
    else:
        spec[last] = PLAIN[row.path]
    artifacts = api.render(spec, "trainer")
    assert json.loads(artifacts.files["training_args.json"])[row.key] == PLAIN[row.path]
    assert not [d for d in artifacts.diagnostics if d.code == "REN002"]


def test_auto_is_left_to_the_trainer() -> None:
    args = arguments(
        gradient_clipping="auto",
        precision={"dtype": "auto"},
        optimizer={"type": "auto", "lr": "auto", "betas": "auto"},
        scheduler={"type": "auto", "warmup_ratio": "auto"},
        batch={"micro_per_gpu": "auto", "accumulation": 2},
    )
    assert args == {"gradient_accumulation_steps": 2, "deepspeed": "ds_config.json"}


def test_evaluation_is_switched_on_with_its_steps() -> None:
    assert arguments(training={"eval_steps": 5})["eval_strategy"] == "steps"
    assert codes(training={"eval_steps": 5}) == {"TR020": "info"}


class TestBatch:
    def test_accumulation_is_derived(self) -> None:
        args = arguments(batch={"global": 48, "micro_per_gpu": 2})
        assert (args["per_device_train_batch_size"], args["gradient_accumulation_steps"]) == (2, 6)

    def test_micro_is_derived_with_tp(self) -> None:
        args = arguments(batch={"global": 48, "accumulation": 3}, parallelism={"tp": 2}, zero={"stage": 1})
        assert args["per_device_train_batch_size"] == 8

    @pytest.mark.parametrize(
        "sections",
        [{"batch": {"global": 48}}, {"batch": {"global": 48, "micro_per_gpu": 2}, "cluster": None}],
    )
    def test_a_global_batch_is_never_lost(self, sections: dict[str, Any]) -> None:
        assert codes(**sections)["TR007"] == "error"


class TestOptimizer:
    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            ("adamw", "adamw_torch"),
            ("sgd", "sgd"),
            ("adagrad", "adagrad"),
            ("lion", "lion_32bit"),
            ("adafactor", "adafactor"),
            ("adamw_8bit", "adamw_bnb_8bit"),
            ("paged_adamw_8bit", "paged_adamw_8bit"),
        ],
    )
    def test_names(self, kind: str, name: str) -> None:
        assert arguments(optimizer={"type": kind})["optim"] == name

    @pytest.mark.parametrize("kind", ["adam", "lamb", "muon"])
    def test_none_that_the_trainer_lacks(self, kind: str) -> None:
        told = [d for d in rendered(optimizer={"type": kind}).diagnostics if d.code == "TR001"]
        assert "owner: deepspeed" in told[0].hint
        assert codes(optimizer={"type": kind, "owner": "deepspeed"}) == {}

    def test_numbers_that_are_not_read_are_told(self) -> None:
        sections = {"optimizer": {"type": "sgd", "betas": [0.9, 0.95], "eps": 1e-8, "lr": 0.1}}
        assert codes(**sections) == {"TR003": "warning"}
        assert not {"adam_beta1", "adam_epsilon"} & arguments(**sections).keys()

    def test_offload_would_put_cpu_adam_in_its_place(self) -> None:
        zero = {"stage": 2, "offload_optimizer": {"device": "cpu"}}
        assert codes(zero=zero, optimizer={"type": "sgd"})["TR002"] == "error"
        assert "TR002" not in codes(zero=zero, optimizer={"type": "adamw"})
        kept = {**zero, "force_ds_cpu_optimizer": False}
        assert "TR002" not in codes(zero=kept, optimizer={"type": "sgd"})


class TestScheduler:
    def test_ratio_with_known_steps_is_a_whole_number(self) -> None:
        args = arguments(scheduler={"warmup_ratio": 0.03}, training={"max_steps": 101})
        assert args["warmup_steps"] == 4  # ceil, as the Trainer itself does
        assert isinstance(args["warmup_steps"], int)

    def test_ratio_else_is_a_fraction(self) -> None:
        assert arguments(scheduler={"type": "cosine", "warmup_ratio": 0.03})["warmup_steps"] == 0.03
        assert codes(scheduler={"warmup_ratio": 0.03}) == {"TR004": "info"}

    def test_all_steps_cannot_be_said_as_a_fraction(self) -> None:
        assert codes(scheduler={"warmup_ratio": 1})["TR005"] == "error"
        assert arguments(scheduler={"warmup_ratio": 1}, training={"max_steps": 9})["warmup_steps"] == 9
        assert arguments(scheduler={"warmup_ratio": 0})["warmup_steps"] == 0

    def test_constant_never_warms_up(self) -> None:
        assert codes(scheduler={"type": "constant", "warmup_steps": 5})["TR005"] == "error"
        assert arguments(scheduler={"type": "constant"})["lr_scheduler_type"] == "constant"

    def test_minimum(self) -> None:
        args = arguments(scheduler={"type": "cosine_with_min_lr", "min_lr": 1e-6})
        assert args["lr_scheduler_kwargs"] == {"min_lr": 1e-6}
        assert codes(scheduler={"type": "cosine_with_min_lr"})["TR006"] == "error"
        assert codes(scheduler={"type": "cosine", "min_lr": 1e-6}) == {"REN002": "warning"}


class TestRefusals:
    def test_autotp_with_zero3(self) -> None:
        assert codes(parallelism={"tp": 2}, zero={"stage": 3})["TR008"] == "error"
        native = {"deepspeed": {"tensor_parallel": {"autotp_size": 2}}}
        assert codes(zero={"stage": 3}, **native)["TR008"] == "error"
        assert config(parallelism={"tp": 2}, zero={"stage": 1})["tensor_parallel"] == {"autotp_size": 2}

    def test_autotp_with_lora(self) -> None:
        assert codes(parallelism={"tp": 2}, finetuning={"method": "lora"})["TR009"] == "error"

    def test_fp8(self) -> None:
        assert codes(precision={"dtype": "fp8", "fp8_backend": "te"}) == {"TR011": "error"}

    def test_own_key_that_contradicts(self) -> None:
        own = {"frameworks": {"trainer": {"max_grad_norm": 2.0, "report_to": "none"}}}
        assert codes(gradient_clipping=1.0, **own) == {"TR015": "error"}
        args = arguments(gradient_clipping=2.0, **own)
        assert args["report_to"] == "none"

    def test_deepspeed_key_is_taken(self) -> None:
        assert codes(frameworks={"trainer": {"deepspeed": "mine.json"}}) == {"TR015": "error"}


def test_lora_is_in_the_snippet_and_told() -> None:
    sections = {
        "model": {"name_or_path": 'a/b "c"', "attention": "sdpa", "trust_remote_code": True},
        "finetuning": {"method": "qlora", "rank": 8, "target_modules": "all", "double_quantization": True},
    }
    artifacts = rendered(**sections)
    assert [d.code for d in artifacts.diagnostics] == ["TR010"]
    assert "LoraConfig(" in artifacts.diagnostics[0].hint
    text = artifacts.files["train_snippet.py"]
    compile(text, "train_snippet.py", "exec")
    assert text.startswith("# Written by dsbridge")
    assert 'from_pretrained("a/b \\"c\\"", trust_remote_code=True, attn_implementation="sdpa"' in text
    assert "BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_use_double_quant=True, " in text
    assert 'LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear")' in text


def test_data_and_freezing_have_no_place() -> None:
    sections = {
        "training": {"sequence_length": 4096, "packing": True},
        "finetuning": {"method": "freeze", "trainable_layers": 2},
    }
    told = rendered(**sections).diagnostics
    assert {d.code for d in told} == {"REN002"}
    assert {d.key for d in told} == {
        "training.sequence_length",
        "training.packing",
        "finetuning.method",
        "finetuning.trainable_layers",
    }
    assert all(d.hint for d in told)


class TestFsdp:
    def fsdp(self, **keys: Any) -> dict[str, Any]:
        return arguments(zero=None, fsdp=keys)["fsdp_config"]  # type: ignore[no-any-return]

    def told(self, sections: dict[str, Any] | None = None, **keys: Any) -> dict[str, str]:
        return codes(zero=None, fsdp=keys, **(sections or {}))

    def test_version_2(self) -> None:
        found = self.fsdp(
            sharding="shard_grad_op",
            offload_params=True,
            auto_wrap="transformer",
            transformer_layer_cls=["A", "B"],
            state_dict_type="sharded_state_dict",
        )
        assert found == {
            "version": 2,
            "reshard_after_forward": False,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "transformer_layer_cls_to_wrap": ["A", "B"],
            "state_dict_type": "SHARDED_STATE_DICT",
            "cpu_offload": True,
        }

    def test_version_1(self) -> None:
        found = self.fsdp(
            version=1,
            sharding="hybrid_shard",
            backward_prefetch="backward_pre",
            forward_prefetch=True,
            use_orig_params=True,
            sync_module_states=True,
        )
        assert found == {
            "version": 1,
            "reshard_after_forward": "hybrid_shard",
            "backward_prefetch": "BACKWARD_PRE",
            "forward_prefetch": True,
            "use_orig_params": True,
            "sync_module_states": True,
        }

    def test_no_deepspeed_beside_it(self) -> None:
        artifacts = rendered(zero=None, fsdp={"version": 2})
        assert "ds_config.json" not in artifacts.files
        args = json.loads(artifacts.files["training_args.json"])
        assert args["fsdp"] is True
        assert "deepspeed" not in args

    @pytest.mark.parametrize(
        "keys",
        [
            {"sharding": "hybrid_shard"},
            {"sharding": "no_shard"},
            {"sharding": "full_shard", "reshard_after_forward": False},
            {"backward_prefetch": "backward_pre"},
            {"forward_prefetch": False},
            {"use_orig_params": False},
            {"sync_module_states": True},
            {"state_dict_type": "local_state_dict"},
            {"version": 1, "reshard_after_forward": True},
            {"version": 1, "cpu_ram_efficient_loading": True, "sync_module_states": False},
        ],
    )
    def test_what_a_version_lacks(self, keys: dict[str, Any]) -> None:
        assert self.told(**keys)["TR013"] == "error"

    def test_checkpointing_twice(self) -> None:
        sections = {"training": {"gradient_checkpointing": True}}
        assert self.told(sections, version=2, activation_checkpointing=True)["TR014"] == "error"

    @pytest.mark.parametrize(
        "sections",
        [
            {"parallelism": {"tp": 2}},
            {"parallelism": {"ulysses": 2}},
            {"optimizer": {"owner": "deepspeed"}},
            {"scheduler": {"owner": "deepspeed", "type": "linear"}},
        ],
    )
    def test_what_only_deepspeed_has(self, sections: dict[str, Any]) -> None:
        assert self.told(sections, version=2)["TR012"] == "error"


class TestUlysses:
    def test_by_environment(self) -> None:
        artifacts = rendered(
            parallelism={
                "ulysses": 2,
                "ulysses_attention": "sdpa",
                "ulysses_sequence_length_is_variable": False,
            },
            training={"sequence_length": 4096},
        )
        launch = artifacts.launch
        assert {d.code for d in artifacts.diagnostics} == {"TR023", "REN002"}
        assert launch.env == {
            "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
            "PARALLELISM_CONFIG_SP_BACKEND": "deepspeed",
            "PARALLELISM_CONFIG_SP_SIZE": "2",
            "PARALLELISM_CONFIG_DP_SHARD_SIZE": "2",
            "PARALLELISM_CONFIG_SP_SEQ_LENGTH_IS_VARIABLE": "false",
            "PARALLELISM_CONFIG_SP_SEQ_LENGTH": "4096",
            "PARALLELISM_CONFIG_SP_ATTN_IMPLEMENTATION": "sdpa",
        }
        assert "export PARALLELISM_CONFIG_SP_SIZE=2" in launch.script

    def test_what_it_needs(self) -> None:
        assert codes(cluster=None, parallelism={"ulysses": 2})["TR021"] == "error"
        fixed = {"ulysses": 2, "ulysses_sequence_length_is_variable": False}
        assert codes(parallelism=fixed)["TR021"] == "error"


class TestLaunch:
    def words(self, **launch: Any) -> list[str]:
        cluster = {"nodes": launch.pop("nodes", 1), "gpus_per_node": 4}
        return list(rendered(cluster=cluster, launch=launch).launch.argv)

    def test_torchrun(self) -> None:
        words = self.words(script="my train.py", master_port=1234)
        assert words[0] == "torchrun"
        assert words[-3:] == ["--master_port", "1234", "my train.py"]

    def test_accelerate(self) -> None:
        words = self.words(kind="accelerate", nodes=2, master_addr="n0")
        assert words[:5] == ["accelerate", "launch", "--multi_gpu", "--num_processes", "8"]
        assert words[words.index("--main_process_ip") + 1] == "n0"

    def test_accelerate_for_one_process_is_torchrun(self) -> None:
        artifacts = rendered(cluster={"gpus_per_node": 1}, launch={"kind": "accelerate"})
        assert artifacts.launch.argv[0] == "torchrun"
        assert [d.key for d in artifacts.diagnostics] == ["launch.kind"]

    def test_deepspeed(self) -> None:
        assert self.words(kind="deepspeed")[:3] == ["deepspeed", "--num_gpus", "4"]
        words = self.words(kind="deepspeed", nodes=2, master_addr="n0")
        assert words[1:4] == ["--hostfile", "hostfile", "--no_ssh"]
        assert words[6:8] == ["--num_nodes", "2"]

    def test_slurm_numbers_the_nodes(self) -> None:
        artifacts = rendered(cluster={"nodes": 2, "gpus_per_node": 4}, launch={"kind": "slurm"})
        assert "SLURM_NODEID" in artifacts.launch.argv[artifacts.launch.argv.index("--node_rank") + 1]
        assert artifacts.launch.script == artifacts.files["launch.sbatch"]
        assert "#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=1\n" in artifacts.launch.script
        assert [d.code for d in artifacts.diagnostics] == ["LN003"]

    @pytest.mark.parametrize("kind", ["torchrun", "accelerate", "deepspeed", "slurm"])
    def test_scripts_are_bash_with_quoted_values(self, kind: str) -> None:
        launch = {"kind": kind, "script": "it's $HOME/a b.py"}
        script = rendered(launch=launch).launch.script
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
        if kind != "slurm":  # there bash reads it twice; tests/launch runs it
            assert "'it'\"'\"'s $HOME/a b.py'" in script


class TestBase:
    def test_edits_in_place(self) -> None:
        mine = Base("mine.json", '{"report_to": "none", "learning_rate": 0.1, "fp16": true, "seed": 1}')
        artifacts = rendered(base=mine, optimizer={"lr": 1e-4})
        keys = json.loads(artifacts.files["mine.json"])
        assert list(keys)[:3] == ["report_to", "learning_rate", "seed"]
        assert keys["learning_rate"] == 1e-4
        assert "fp16" not in keys  # the spec says bf16
        assert keys["deepspeed"] == "ds_config.json"
        told = [(d.message, d.file) for d in artifacts.diagnostics if d.code == "TR017"]
        assert ("`learning_rate: 0.1` is now 0.0001", "mine.json") in told
        assert len(told) == 2
        assert 'open("mine.json"' in artifacts.files["train_snippet.py"]
        assert "training_args.json" not in artifacts.files

    @pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"a": NaN}', '{"a": 1e999}', ""])
    def test_what_is_no_base(self, text: str) -> None:
        with pytest.raises(InputError) as error:
            rendered(base=Base("mine.json", text))
        assert error.value.diagnostics[0].file == "mine.json"
        assert error.value.diagnostics[0].line is not None


@pytest.mark.parametrize(
    ("native", "code"),
    [
        ({"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, "TR024"),
        ({"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 5}}}, "TR024"),
        ({"zero_optimization": {"overlap_comm": "auto"}}, "TR024"),
        ({"wall_clock_breakdown": "auto"}, "TR024"),
        ({"sequence_parallel_size": 2}, "TR024"),
        ({"steps_per_print": 10}, "TR025"),
        ({"zero_allow_untested_optimizer": False}, "TR025"),
    ],
)
def test_native_keys_that_the_trainer_compares_or_overwrites(native: dict[str, Any], code: str) -> None:
    assert code in codes(deepspeed=native)


def test_native_keys_that_the_trainer_fills_or_finds_equal() -> None:
    scheduler = {"type": "WarmupLR", "params": {"warmup_max_lr": 1e-4, "warmup_num_steps": "auto"}}
    fine = {"scheduler": scheduler, "zero_optimization": {"reduce_bucket_size": "auto"}}
    assert not codes(deepspeed=fine, optimizer={"lr": 1e-4})
    own = {"zero": {"stage": 1, "allow_untested_optimizer": False}}
    assert codes(**own) == {"TR025": "warning"}
    assert not codes(**own, optimizer={"owner": "deepspeed"})
    assert codes(deepspeed={"steps_per_print": "auto"}) == {"TR025": "warning"}


def test_a_loss_scale_is_refused_only_with_fp16() -> None:
    fp16 = {"min_loss_scale": 0}
    assert codes(precision={"dtype": "fp16", "fp16": fp16}) == {"DS013": "error"}
    assert not codes(precision={"dtype": "auto", "fp16": fp16})


def test_ulysses_and_the_model_have_one_attention() -> None:
    artifacts = rendered(parallelism={"ulysses": 2})
    assert "PARALLELISM_CONFIG_SP_ATTN_IMPLEMENTATION=sdpa" in artifacts.files["launch.sh"]
    assert 'attn_implementation="sdpa"' in artifacts.files["train_snippet.py"]
    two = {"parallelism": {"ulysses": 2, "ulysses_attention": "sdpa"}}
    assert codes(**two, model={"attention": "flash_attention_2"})["TR021"] == "error"
    assert codes(parallelism={"ulysses": 2}, model={"attention": "eager"})["TR021"] == "error"
