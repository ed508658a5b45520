"""Target xtuner: the nested fields, the DeepSpeed file, the launch, the edited config, the refusals."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.api import load, render
from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import InputError
from dsbridge.framework import Base
from dsbridge_xtuner.fields import FIELDS, VARIABLES
from dsbridge_xtuner.options import NotSayable, _read, encode
from dsbridge_xtuner.shape import UNKNOWN, assumed, shipped
from dsbridge_xtuner.static import Cell, leaves, read_config

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
QLORA = "qwen1_5_7b_chat_qlora_alpaca_e3"
FULL = "qwen1_5_7b_chat_full_alpaca_e3"
SPEC: dict[str, Any] = {
    "version": 1,
    "cluster": {"gpus_per_node": 4},
    "zero": {"stage": 2},
    "batch": {"micro_per_gpu": 2, "accumulation": 4},
    "precision": {"dtype": "bf16"},
    "gradient_clipping": 0.5,
    "frameworks": {"xtuner": {"config": QLORA}},
}


def spec(**changes: Any) -> dict[str, Any]:
    return {**SPEC, **changes}


def named(config: str, **own: Any) -> dict[str, Any]:
    return {"xtuner": {"config": config, **own}}


def rendered(base: str | None = None, **changes: Any) -> Artifacts:
    mapping = spec(**changes)
    if base is not None:
        mapping["frameworks"] = {"xtuner": changes.get("frameworks", {}).get("xtuner", {})}
    return render(load(mapping), "xtuner", base=Base("my.py", base) if base is not None else None)


def options(artifacts: Artifacts) -> dict[str, Any]:
    """The --cfg-options, read as mmengine reads them."""
    assert not artifacts.refused, [d.to_text() for d in artifacts.diagnostics]
    argv = list(artifacts.launch.argv)
    if "--cfg-options" not in argv:
        return {}
    words = argv[argv.index("--cfg-options") + 1 :]
    return {key: _read(value) for key, value in (word.split("=", 1) for word in words)}


def codes(artifacts: Artifacts) -> set[str]:
    return {d.code for d in artifacts.diagnostics}


def message(artifacts: Artifacts, code: str) -> str:
    return next(f"{d.message} {d.hint}" for d in artifacts.diagnostics if d.code == code)


def deepspeed(artifacts: Artifacts) -> dict[str, Any]:
    assert not artifacts.refused, [d.to_text() for d in artifacts.diagnostics]
    return dict(json.loads(artifacts.files["ds_config.json"]))


# ---- the DeepSpeed file ----------------------------------------------------------------------


def test_the_numbers_xtuner_overwrites_stand_equal_in_both_places() -> None:
    artifacts = rendered()
    config, fields = deepspeed(artifacts), options(artifacts)
    assert config["train_micro_batch_size_per_gpu"] == fields["train_dataloader.batch_size"] == 2
    assert config["gradient_accumulation_steps"] == fields["optim_wrapper.accumulative_counts"] == 4
    assert config["gradient_clipping"] == fields["optim_wrapper.clip_grad.max_norm"] == 0.5
    assert "train_batch_size" not in config


def test_accumulation_is_derived_and_reaches_the_config() -> None:
    artifacts = rendered(batch={"micro_per_gpu": 2, "global": 64})
    assert options(artifacts)["optim_wrapper.accumulative_counts"] == 8


@pytest.mark.parametrize(("dtype", "bf16"), [("bf16", True), ("fp16", False)])
def test_both_precision_blocks_are_explicit(dtype: str, bf16: bool) -> None:
    config = deepspeed(rendered(precision={"dtype": dtype}))
    assert (config["bf16"]["enabled"], config["fp16"]["enabled"]) == (bf16, not bf16)


def test_without_a_dtype_xtuner_chooses() -> None:
    artifacts = rendered(precision={})
    assert deepspeed(artifacts)["bf16"] == deepspeed(artifacts)["fp16"] == {"enabled": "auto"}
    assert "XT017" in codes(artifacts)


def test_a_block_without_enabled_gets_it() -> None:
    artifacts = rendered(precision={}, deepspeed={"fp16": {"enabled": True}, "bf16": {"x": 1}})
    assert deepspeed(artifacts)["bf16"] == {"enabled": False, "x": 1}
    assert "XT030" in codes(artifacts)


def test_fp32_is_told_to_the_loader_too() -> None:
    artifacts = rendered(precision={"dtype": "fp32"})
    assert options(artifacts)["model.llm.torch_dtype"] == "torch.float32"
    assert "XT029" in codes(artifacts)
    quiet = rendered(precision={"dtype": "fp32"}, model={"attention": "sdpa"})
    assert "XT029" not in codes(quiet)


def test_no_auto_is_left() -> None:
    zero = {"stage": 3, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto"}
    artifacts = rendered(zero=zero, frameworks=named(FULL))
    assert '"auto"' not in artifacts.files["ds_config.json"]
    assert message(artifacts, "DS001")


def test_offload_runs_with_the_torch_optimizer() -> None:
    zero = {"stage": 2, "offload_optimizer": {"device": "cpu"}}
    artifacts = rendered(zero=zero)
    assert deepspeed(artifacts)["zero_force_ds_cpu_optimizer"] is False
    assert deepspeed(artifacts)["zero_allow_untested_optimizer"] is True
    assert "XT015" in codes(artifacts)
    assert rendered(zero={**zero, "force_ds_cpu_optimizer": True}).refused
    tested = rendered(zero=zero, optimizer={"type": "adamw"})
    assert "zero_allow_untested_optimizer" not in deepspeed(tested)
    assert "zero_force_ds_cpu_optimizer" not in deepspeed(rendered())


# ---- fields of the config ----------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "model.attention": "sdpa",
    "training.sequence_length": 1024,
    "training.packing": False,
    "training.gradient_checkpointing": False,
    "training.seed": 7,
    "training.save_total_limit": 3,
    "training.dataloader_num_workers": 2,
    "gradient_clipping": 0.25,
    "optimizer.lr": 3e-5,
    "optimizer.eps": 1e-7,
    "optimizer.weight_decay": 0.05,
    "optimizer.betas": [0.9, 0.95],
    "training.output_dir": "out dir/$HOME",
}


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.path)
def test_every_row_is_written(row: Any) -> None:
    value = VALUES[row.path]
    artifacts = render(load(spec(), [f"{row.path}={json.dumps(value)}"]), "xtuner")
    if row.document == "flags":
        argv = list(artifacts.launch.argv)
        assert argv[argv.index(row.key) + 1] == value
        return
    expected = tuple(value) if isinstance(value, list) else value
    assert options(artifacts)[row.key] == expected


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.path)
def test_auto_leaves_a_field_to_the_config(row: Any) -> None:
    try:
        loaded = load({k: v for k, v in spec().items() if k != "gradient_clipping"}, [f"{row.path}=auto"])
    except InputError:
        return  # this field takes no auto
    if row.document == "cfg":
        assert row.key not in options(render(loaded, "xtuner"))


def test_no_flash_attention_3_in_this_transformers() -> None:
    assert rendered(model={"attention": "flash_attention_3"}).refused


def test_the_path_reaches_every_copy_of_it() -> None:
    fields = options(rendered(model={"name_or_path": "my/model"}))
    copies = {path for path, value in fields.items() if value == "my/model"}
    suffix = ".pretrained_model_name_or_path"
    assert copies == {
        f"model.llm{suffix}",
        f"tokenizer{suffix}",
        f"train_dataloader.dataset.tokenizer{suffix}",
        f"custom_hooks.0.tokenizer{suffix}",
        f"custom_hooks.1.tokenizer{suffix}",
    }


def test_remote_code_is_read_anyway() -> None:
    artifacts = rendered(model={"trust_remote_code": False})
    assert options(artifacts)["model.llm.trust_remote_code"] is False
    assert "trust_remote_code=True" in message(artifacts, "REN002")


def test_steps_are_counted_in_micro_steps() -> None:
    fields = options(rendered(training={"max_steps": 10, "save_steps": 5, "logging_steps": 1}))
    assert fields["train_cfg.max_iters"] == 40
    assert fields["train_cfg.max_epochs"] is None
    assert fields["default_hooks.checkpoint.interval"] == 20
    assert fields["default_hooks.logger.interval"] == 4


def test_steps_without_accumulation_are_refused_or_the_configs_is_taken() -> None:
    unknown = rendered(batch={}, training={"max_steps": 10}, frameworks=named("./own.py"))
    assert unknown.refused
    assert "XT019" in codes(unknown)
    saved = rendered(batch={}, training={"save_steps": 10}, frameworks=named("./own.py"))
    assert not saved.refused, "the training is the same"
    assert "XT019" in codes(saved)
    assert "default_hooks.checkpoint.interval" not in options(saved)
    known = rendered(batch={}, training={"save_steps": 10})
    assert options(known)["default_hooks.checkpoint.interval"] == 160, "the config accumulates 16"


def test_epochs() -> None:
    assert options(rendered(training={"epochs": 2.0}))["train_cfg.max_epochs"] == 2
    assert "XT027" in codes(rendered(training={"epochs": 0.5}))
    assert options(rendered(training={"epochs": 2}, frameworks=named("c.py")))["train_cfg.max_iters"] is None


def test_lora_on_a_config_that_has_none() -> None:
    tuning = {
        "method": "lora",
        "rank": 8,
        "alpha": 16,
        "dropout": 0.1,
        "target_modules": ["q_proj", "v_proj"],
    }
    fields = options(rendered(finetuning=tuning, frameworks=named(FULL)))
    assert fields["model.lora.type"] == "peft.LoraConfig"
    assert fields["model.lora.task_type"] == "CAUSAL_LM"
    assert fields["model.lora.target_modules"] == ["q_proj", "v_proj"]
    assert (fields["model.lora.r"], fields["model.lora.lora_alpha"]) == (8, 16)
    assert not any("quantization" in path for path in fields)


def test_the_method_overrules_the_config() -> None:
    full = options(rendered(finetuning={"method": "full"}))
    assert full["model.lora"] is None
    assert full["model.llm.quantization_config"] is None
    lora = options(rendered(finetuning={"method": "lora", "target_modules": "all"}))
    assert lora["model.llm.quantization_config"] is None
    assert lora["model.lora.target_modules"] is None
    assert "model.lora" not in options(rendered(finetuning={"method": "full"}, frameworks=named(FULL)))


def test_qlora() -> None:
    tuning = {"method": "qlora", "quantization_type": "fp4", "double_quantization": False}
    fields = options(rendered(finetuning=tuning, frameworks=named(FULL)))
    block = "model.llm.quantization_config"
    assert fields[f"{block}.type"] == "transformers.BitsAndBytesConfig"
    assert (fields[f"{block}.load_in_4bit"], fields[f"{block}.load_in_8bit"]) == (True, False)
    assert fields[f"{block}.bnb_4bit_compute_dtype"] == "torch.bfloat16"
    assert fields[f"{block}.bnb_4bit_quant_type"] == "fp4"
    eight = options(rendered(finetuning={"method": "lora", "quantization_bits": 8}))
    assert (eight[f"{block}.load_in_4bit"], eight[f"{block}.load_in_8bit"]) == (False, True)


def test_optimizers() -> None:
    assert "optim_wrapper.optimizer.type" not in options(rendered(optimizer={"type": "adamw"})), "it has it"
    fields = options(rendered(optimizer={"type": "sgd", "lr": 0.1, "weight_decay": 0.01}))
    assert fields["optim_wrapper.optimizer._delete_"] is True
    assert fields["optim_wrapper.optimizer.type"] == "SGD"
    assert "optim_wrapper.optimizer.betas" not in fields
    assert "XT022" in codes(rendered(optimizer={"type": "sgd"}))
    assert "XT022" in codes(rendered(optimizer={"type": "muon", "lr": 1e-3}))
    paged = rendered(optimizer={"type": "paged_adamw_8bit"})
    assert options(paged)["optim_wrapper.optimizer.type"] == "PagedAdamW8bit"
    assert deepspeed(paged)["zero_allow_untested_optimizer"] is True


# ---- the learning-rate curve -------------------------------------------------------------------


def curve(artifacts: Artifacts) -> dict[str, Any]:
    prefix = "param_scheduler."
    return {k.removeprefix(prefix): v for k, v in options(artifacts).items() if k.startswith(prefix)}


def test_cosine_in_epochs() -> None:
    scheduler = {"type": "cosine", "warmup_ratio": 0.1}
    found = curve(rendered(scheduler=scheduler, training={"epochs": 2}))
    assert found == {"0.begin": 0, "0.end": 0.2, "1.begin": 0.2, "1.end": 2}


def test_linear_in_micro_steps() -> None:
    found = curve(rendered(scheduler={"type": "linear", "warmup_steps": 5}, training={"max_steps": 50}))
    assert found["1.type"] == "PolyLR"
    assert found["1.power"] == 1.0
    assert (found["0.end"], found["1.begin"], found["1.end"]) == (20, 20, 200)
    assert found["0.by_epoch"] is found["1.convert_to_iter_based"] is False


def test_the_configs_own_curve_follows_a_new_length() -> None:
    found = curve(rendered(training={"epochs": 1}))
    assert (found["0.end"], found["1.begin"], found["1.end"]) == (0.03, 0.03, 1)
    assert curve(rendered(training={"epochs": 3})) == {}, "the config's own length"
    assert "XT020" in codes(rendered(training={"epochs": 1}, frameworks=named("./own.py")))


def test_curves_without_warm_up_replace_the_list() -> None:
    scheduler = {"type": "cosine_with_min_lr", "min_lr": 1e-6, "warmup_ratio": 0}
    found = curve(rendered(scheduler=scheduler, training={"epochs": 1}))
    assert found["_delete_"] is True
    assert (found["type"], found["eta_min"], found["end"]) == ("CosineAnnealingLR", 1e-6, 1)
    warm = {"type": "constant_with_warmup", "warmup_ratio": 0.1}
    found = curve(rendered(scheduler=warm, training={"epochs": 1}))
    assert (found["type"], found["end"]) == ("LinearLR", 0.1)
    assert options(rendered(scheduler={"type": "constant"}))["param_scheduler"] is None


def test_a_config_with_one_entry_keeps_it() -> None:
    found = curve(rendered(training={"epochs": 1}, frameworks=named("deepseek_v2_chat_full_alpaca_e3")))
    assert found == {"0.begin": 0, "0.end": 1}
    warm = {"type": "cosine", "warmup_ratio": 0.1}
    own = named("deepseek_v2_chat_full_alpaca_e3")
    assert "XT021" in codes(rendered(scheduler=warm, training={"epochs": 1}, frameworks=own))


def test_a_warm_up_in_steps_before_epochs_is_approximate() -> None:
    artifacts = rendered(scheduler={"type": "cosine", "warmup_steps": 10}, training={"epochs": 1})
    assert "XT020" in codes(artifacts)
    assert (curve(artifacts)["0.end"], curve(artifacts)["1.begin"]) == (40, 0)


def test_a_curve_without_length_is_refused() -> None:
    artifacts = rendered(scheduler={"type": "cosine", "warmup_ratio": 0.1}, frameworks=named("./own.py"))
    assert "XT021" in codes(artifacts)


# ---- sequence parallelism ----------------------------------------------------------------------


def test_ulysses_is_xtuners_sequence_parallel() -> None:
    artifacts = rendered(parallelism={"ulysses": 2}, batch={"micro_per_gpu": 1, "accumulation": 6})
    fields = options(artifacts)
    assert fields["sequence_parallel_size"] == 2
    assert fields["train_dataloader.sampler.type"] == "xtuner.parallel.sequence.SequenceParallelSampler"
    assert fields["optim_wrapper.accumulative_counts"] == 6, "what the spec says is what arrives"
    assert "XT028" in codes(rendered(parallelism={"ulysses": 2}, model={"attention": "sdpa"}))


# ---- refusals ----------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("XT001", {"frameworks": {}}),
    ("XT001", {"frameworks": named(7)}),  # type: ignore[arg-type]
    ("XT002", {"frameworks": named("qwen2_5_7b_instruct_qlora_alpaca_e3")}),
    ("XT003", {"zero": {}, "fsdp": {"version": 2, "sharding": "full_shard"}}),
    ("XT005", {"zero": {"stage": 3}, "finetuning": {"method": "qlora"}}),
    ("XT005", {"zero": {"stage": 3}}),  # the config quantises
    ("XT006", {"parallelism": {"tp": 2}}),
    ("XT006", {"deepspeed": {"tensor_parallel": {"autotp_size": 2}}}),
    ("XT007", {"precision": {"dtype": "fp8"}}),
    ("XT008", {"optimizer": {"type": "adamw", "owner": "deepspeed"}}),
    ("XT008", {"scheduler": {"owner": "deepspeed"}}),
    ("XT008", {"deepspeed": {"scheduler": {"type": "WarmupLR"}}}),
    ("XT009", {"frameworks": named(QLORA, learning_rate=1)}),
    ("XT009", {"frameworks": named(QLORA, cfg_options=[1])}),
    ("XT010", {"frameworks": named(QLORA, cfg_options={"optim_wrapper.clip_grad.max_norm": 1})}),
    ("XT010", {"frameworks": named(QLORA, cfg_options={"optim_wrapper.clip_grad": None})}),
    ("XT010", {"frameworks": named(QLORA, work_dir="a"), "training": {"output_dir": "b"}}),
    ("XT011", {"model": {"name_or_path": "two words"}}),
    ("XT011", {"model": {"name_or_path": "a,b"}}),
    ("XT011", {"model": {"name_or_path": "7"}}),
    ("XT012", {"frameworks": named(QLORA, cfg_options={"batch_size": 4})}),
    ("XT018", {"frameworks": named("internlm_7b_qlora_oasst1_e3_hf")}),
    ("XT023", {"finetuning": {"method": "freeze"}}),
    ("XT024", {"frameworks": named("internlm2_7b_w_tokenized_dataset")}),
    ("XT026", {"frameworks": named("internvl_v2_internlm2_2b_finetune"), "finetuning": {"method": "lora"}}),
    ("XT034", {"deepspeed": {"steps_per_print": 5}}),
    ("XT035", {"deepspeed": {"train_batch_size": "auto"}}),
    ("XT031", {"zero": {"stage": 3}, "finetuning": {"method": "full"}}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSED)
def test_refused(code: str, changes: dict[str, Any]) -> None:
    artifacts = rendered(**changes)
    assert artifacts.refused
    assert code in codes(artifacts)
    assert artifacts.files == {}
    assert all(d.hint for d in artifacts.diagnostics if d.code == code)


def test_a_wrong_name_gets_a_likely_one() -> None:
    artifacts = rendered(frameworks=named("qwen1_5_7b_chat_qlora_alpaca"))
    assert QLORA in message(artifacts, "XT002")


def test_all_reasons_are_told_at_once() -> None:
    artifacts = rendered(
        parallelism={"tp": 2}, optimizer={"type": "lamb"}, frameworks={}, finetuning={"method": "freeze"}
    )
    assert {"XT001", "XT006", "XT022", "XT023"} <= codes(artifacts)


@pytest.mark.parametrize("example", sorted(p.parent.name for p in EXAMPLES.glob("*/dsbridge.yaml")))
def test_examples_render_or_say_why_not(example: str) -> None:
    artifacts = render(load(EXAMPLES / example / "dsbridge.yaml"), "xtuner")
    assert artifacts.refused == (not artifacts.files)
    assert all(d.hint for d in artifacts.diagnostics if d.severity.value == "error")


# ---- frameworks.xtuner and the launch ----------------------------------------------------------


def test_own_keys_are_passed_on() -> None:
    own = {"cfg_options": {"visualizer": {"type": "Visualizer"}, "a.b": [1, 2]}, "resume": "x.pth"}
    artifacts = rendered(frameworks=named(QLORA, **own))
    assert options(artifacts)["visualizer.type"] == "Visualizer"
    assert options(artifacts)["a.b"] == [1, 2]
    assert "--resume" in artifacts.launch.argv


def test_torchrun_launch() -> None:
    launch = rendered(
        cluster={"nodes": 2, "gpus_per_node": 8}, launch={"master_addr": "n0", "master_port": 1}
    ).launch
    assert launch.argv[:5] == ("xtuner", "train", QLORA, "--deepspeed", "ds_config.json")
    assert {k: launch.env[k] for k in ("NPROC_PER_NODE", "NNODES", "ADDR", "PORT")} == {
        "NPROC_PER_NODE": "8",
        "NNODES": "2",
        "ADDR": "n0",
        "PORT": "1",
    }
    assert "NODE_RANK:?" in launch.env["NODE_RANK"]
    assert "--launcher" not in launch.argv, "xtuner adds it"


def test_one_gpu_is_told_its_rank() -> None:
    assert rendered(cluster={"gpus_per_node": 1}).launch.env["RANK"] == "0"
    assert "NPROC_PER_NODE:?" in rendered(cluster={}).launch.env["NPROC_PER_NODE"]


def test_slurm_launch() -> None:
    launch = rendered(launch={"kind": "slurm"}, cluster={"nodes": 2, "gpus_per_node": 4}).launch
    assert launch.argv[0] == "srun"
    assert launch.argv[launch.argv.index("--ntasks-per-node") + 1] == "4"
    assert launch.argv[launch.argv.index("--launcher") + 1] == "slurm"
    assert launch.argv.index("--launcher") < launch.argv.index("--cfg-options")


def test_another_launcher_has_no_place() -> None:
    assert "launch.kind" in message(rendered(launch={"kind": "accelerate"}), "REN002")


def test_the_script_quotes_for_bash() -> None:
    artifacts = rendered(training={"output_dir": "it's $HOME"}, optimizer={"betas": [0.9, 0.95]})
    script = artifacts.files["launch.sh"]
    assert "sha256:" in script.splitlines()[1]
    words = shlex.split(script[script.index("exec ") :].replace("\\\n", " "), comments=True)[1:]
    assert tuple(words) == artifacts.launch.argv
    assert "it's $HOME" in words


def test_silent_clipping_is_told() -> None:
    mapping = {k: v for k, v in SPEC.items() if k != "gradient_clipping"}
    artifacts = render(load(mapping), "xtuner")
    assert "XT016" in codes(artifacts)
    assert "gradient_clipping" not in deepspeed(artifacts)
    assert options(rendered(gradient_clipping=0))["optim_wrapper.clip_grad.max_norm"] == 0


# ---- values as mmengine's DictAction reads them ------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


@given(SCALARS | st.lists(SCALARS, max_size=4) | st.lists(SCALARS, max_size=4).map(tuple))
def test_an_encoded_value_reads_back_or_is_refused(value: Any) -> None:
    try:
        text = encode(value)
    except NotSayable:
        return
    assert _read(text) == value


def test_encoding() -> None:
    assert encode((0.9, 0.95)) == "(0.9,0.95)"
    assert encode(["q_proj", "v_proj"]) == "[q_proj,v_proj]"
    assert encode(None) == "None"
    for bad in ("a b", "a,b", "1e5", "True", "'q'", "[,", {"a": 1}):
        with pytest.raises(NotSayable):
            encode(bad)


# ---- what is known of configs ------------------------------------------------------------------


def test_shipped_configs_are_known() -> None:
    shape = shipped(QLORA)
    assert shape is not None
    assert shape.has("model.lora")
    assert shape.entries() == 2
    assert shape.number("train_cfg.max_epochs") == 3
    assert shipped("nonsense") is None
    assert not assumed("x.py").has("model.lora")


# ---- an edited copy of the user's config -------------------------------------------------------

CONFIG = """\
# my experiment
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, AutoTokenizer
from xtuner.model import SupervisedFinetune
from xtuner.parallel.sequence import SequenceParallelSampler
from mmengine.dataset import DefaultSampler

path = "some/model"  # from the hub
max_length = 2048
sequence_parallel_size = 1
batch_size = 1   # per device
accumulative_counts = 16
accumulative_counts *= sequence_parallel_size
lr = (2e-4)
betas = (0.9, 0.999)
max_epochs = 3
warmup_ratio = 0.03
save_steps = 500

tokenizer = dict(type=AutoTokenizer.from_pretrained, pretrained_model_name_or_path=path)
model = dict(
    type=SupervisedFinetune,
    llm=dict(type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path=path),
)
train_dataset = dict(tokenizer=tokenizer, max_length=max_length, shuffle=True)
sampler = SequenceParallelSampler if sequence_parallel_size > 1 else DefaultSampler
train_dataloader = dict(
    batch_size=batch_size,
    dataset=train_dataset,
    sampler=dict(type=sampler, shuffle=True),
)
optim_wrapper = dict(
    optimizer=dict(type=AdamW, lr=lr, betas=betas, weight_decay=0),
    clip_grad=None,
    accumulative_counts=accumulative_counts,
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-5, by_epoch=True, begin=0, end=warmup_ratio * max_epochs,
         convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=warmup_ratio * max_epochs,
         end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=save_steps))
randomness = dict(seed=None)
"""


def values(text: str) -> dict[str, Any]:
    """The edited config's leaves."""
    import libcst

    return dict(leaves(Cell(read_config(libcst.parse_module(text)))))


def changed(artifacts: Artifacts) -> list[str]:
    """The user's lines that are not in the copy."""
    new = artifacts.files["my.py"].splitlines()
    return [line for line in CONFIG.splitlines() if line not in new]


def test_a_base_is_edited_at_its_variables() -> None:
    artifacts = rendered(
        CONFIG,
        model={"name_or_path": "other/model"},
        optimizer={"lr": 1e-5, "betas": [0.9, 0.95], "weight_decay": 0.1},
        training={"sequence_length": 512, "seed": 1, "save_steps": 10},
    )
    text = artifacts.files["my.py"]
    assert text.startswith("# Written by dsbridge")
    assert 'path = "other/model"  # from the hub\n' in text
    assert "batch_size = 2   # per device\n" in text
    assert "lr = (1e-05)\n" in text
    found = values(text)
    assert found["optim_wrapper.accumulative_counts"] == 4
    assert found["optim_wrapper.optimizer.weight_decay"] == 0.1
    assert found["train_dataloader.dataset.tokenizer.pretrained_model_name_or_path"] == "other/model"
    assert found["train_dataloader.dataset.max_length"] == 512
    assert found["randomness.seed"] == 1
    assert found["default_hooks.checkpoint.interval"] == 40
    assert artifacts.launch.argv[2] == "my.py"
    assert options(artifacts) == {
        "optim_wrapper.clip_grad._delete_": True,
        "optim_wrapper.clip_grad.max_norm": 0.5,
    }, "None cannot be edited into a mapping"
    assert {"XT013", "XT014"} <= codes(artifacts)
    place = next(d for d in artifacts.diagnostics if d.code == "XT013" and "2048" in d.message)
    assert (place.file, place.line) == ("my.py", 9)


def test_only_what_the_spec_says_is_changed() -> None:
    artifacts = rendered(CONFIG, batch={"micro_per_gpu": 1, "accumulation": 16}, gradient_clipping="auto")
    assert changed(artifacts) == []
    assert artifacts.files["my.py"].split("\n", 1)[1] == CONFIG


def test_accumulation_is_what_arrives_under_sequence_parallel() -> None:
    sp = CONFIG.replace("sequence_parallel_size = 1", "sequence_parallel_size = 2")
    artifacts = rendered(sp, batch={"micro_per_gpu": 1, "accumulation": 8})
    assert "accumulative_counts = 4\n" in artifacts.files["my.py"]
    odd = rendered(sp, batch={"micro_per_gpu": 1, "accumulation": 3})
    assert "accumulative_counts = 16\n" in odd.files["my.py"]
    assert options(odd)["optim_wrapper.accumulative_counts"] == 3
    new = rendered(CONFIG, parallelism={"ulysses": 2}, batch={"micro_per_gpu": 1, "accumulation": 8})
    found = values(new.files["my.py"])
    assert found["sequence_parallel_size"] == 2
    assert found["optim_wrapper.accumulative_counts"] == 8
    assert found["train_dataloader.sampler.type"] == "SequenceParallelSampler"
    assert "accumulative_counts = 4\n" in new.files["my.py"]


def test_the_curve_follows_the_edited_variables() -> None:
    scheduler = {"type": "cosine", "warmup_ratio": 0.1}
    artifacts = rendered(CONFIG, training={"epochs": 2}, scheduler=scheduler)
    assert "max_epochs = 2\n" in artifacts.files["my.py"]
    assert "warmup_ratio = 0.1\n" in artifacts.files["my.py"]
    assert not any(path.startswith("param_scheduler") for path in options(artifacts))
    steps = rendered(CONFIG, training={"max_steps": 10}, scheduler=scheduler)
    assert "warmup_ratio = 0.03\n" in steps.files["my.py"], "a share of epochs is no number of steps"
    assert options(steps)["train_cfg.max_epochs"] is None
    assert options(steps)["param_scheduler.0.end"] == 4


def test_what_is_not_static_is_left_to_options() -> None:
    text = CONFIG.replace("batch_size = 1 ", "batch_size = int(open('n').read()) ")
    artifacts = rendered(text)
    assert "int(open('n').read())" in artifacts.files["my.py"]
    assert options(artifacts)["train_dataloader.batch_size"] == 2
    mutated = rendered(CONFIG + "train_dataloader.update(batch_size=9)\n")
    assert options(mutated)["train_dataloader.batch_size"] == 2


def test_an_inheriting_base_is_set_by_options() -> None:
    text = "from mmengine.config import read_base\nwith read_base():\n    from .other import *\nlr = 1\n"
    artifacts = rendered(text, optimizer={"lr": 1e-5})
    assert options(artifacts)["optim_wrapper.optimizer.lr"] == 1e-5
    assert "lr = 1\n" in artifacts.files["my.py"]
    assert "XT032" in codes(artifacts)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a = (\n", "XT040", 1),
        ("x = 1\n", "XT041", 1),
        ("model = 1\nfrom xtuner.v1 import x\n", "XT004", 2),
    ],
)
def test_a_base_that_is_no_config(text: str, code: str, line: int) -> None:
    with pytest.raises(InputError) as error:
        rendered(text)
    (found,) = error.value.diagnostics
    assert (found.code, found.file) == (code, "my.py")
    assert found.line is not None
    assert found.line >= line


def test_a_base_is_never_executed(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    rendered(CONFIG + f"open({str(trap)!r}, 'w').close()\n")
    assert not trap.exists()


def test_reading_gives_up_where_it_must() -> None:
    found = values(
        "n = 2\nm = n * 3 + 1\nflag = m > 5\nk = 1 if flag else 0\n"
        "if flag:\n    z = dict(a=[dict(b=-1)], **dict(c='x' 'y'))\n"
        "for i in range(3):\n    n = i\n"
        "d = {'a': 1}\nd['a'] = 2\n"
    )
    assert (found["m"], found["k"], found["z.a.0.b"], found["z.c"]) == (7, 1, -1, "xy")
    assert found["n"] is found["d"] is UNKNOWN


def test_variables_point_to_nested_fields() -> None:
    assert all("." in field for field in VARIABLES.values())


# ---- less usual ways -----------------------------------------------------------------------------


def test_length_and_packing_reach_each_of_several_datasets() -> None:
    training = {"sequence_length": 512}
    several = options(rendered(training=training, frameworks=named("baichuan_13b_chat_qlora_lawyer_e3")))
    parts = {path for path, value in several.items() if value == 512}
    assert parts == {f"train_dataloader.dataset.datasets.{i}.max_length" for i in (0, 1)}
    batch = {"micro_per_gpu": 1, "accumulation": 1}
    own = named("mistral_7b_w_tokenized_dataset")
    other = rendered(training=training, batch=batch, frameworks=own)
    assert "has no `max_length`" in message(other, "REN002")
    assert 512 not in options(other).values()


def test_optimizers_that_take_less() -> None:
    optimizer = {"type": "adafactor", "lr": 0.1, "eps": 1e-8, "betas": [0.9, 0.95], "weight_decay": 0.1}
    artifacts = rendered(optimizer=optimizer)
    block = {k.rpartition(".")[2]: v for k, v in options(artifacts).items() if ".optimizer." in k}
    assert block == {
        "_delete_": True,
        "type": "Adafactor",
        "lr": 0.1,
        "weight_decay": 0.1,
        "relative_step": False,
        "scale_parameter": False,
    }
    assert {d.key for d in artifacts.diagnostics if d.code == "REN002"} == {
        "optimizer.eps",
        "optimizer.betas",
    }


def test_sequence_parallel_can_be_switched_off() -> None:
    fields = options(
        rendered(
            parallelism={"ulysses": 1},
            batch={"micro_per_gpu": 1, "accumulation": 2},
            frameworks=named("llama2_70b_full_alpaca_enzh_128k_sp8"),
        )
    )
    assert fields["sequence_parallel_size"] == 1
    assert fields["train_dataloader.sampler.type"] == "mmengine.dataset.DefaultSampler"


def test_sequence_parallel_needs_a_language_model() -> None:
    name = "llava_v15_13b_finetune_lora"
    artifacts = rendered(parallelism={"ulysses": 2}, frameworks=named(name))
    assert "LLaVAModel" in message(artifacts, "XT028")


def test_curves_that_lack_something() -> None:
    no_end = rendered(
        scheduler={"type": "cosine_with_min_lr", "warmup_ratio": 0.1, "min_lr": "auto"},
        training={"epochs": 1},
    )
    assert "XT021" in codes(no_end)
    no_type = rendered(scheduler={"warmup_steps": 5}, frameworks=named("./own.py"))
    assert "XT021" in codes(no_type)
    no_warm_up = {"type": "constant_with_warmup", "warmup_ratio": 0}
    assert options(rendered(scheduler=no_warm_up, training={"epochs": 1}))["param_scheduler"] is None
    unknown = rendered(scheduler={"type": "cosine"}, training={"epochs": 1}, frameworks=named("./own.py"))
    assert "XT021" in codes(unknown), "the config's warm-up is not known"


def test_slurm_notes() -> None:
    launch = {"kind": "slurm", "node_rank": 0, "master_addr": "n0"}
    artifacts = rendered(launch=launch, cluster={})
    assert "export MASTER_ADDR=n0\n" in artifacts.launch.script
    assert "GPUS_PER_NODE:?" in " ".join(artifacts.launch.argv)
    assert "the scheduler gives each node its own" in message(artifacts, "REN002")


def test_a_base_beside_another_config_is_told() -> None:
    other = rendered(CONFIG, frameworks={"xtuner": {"config": "other"}})
    assert any("--base my.py is trained" in d.message for d in other.diagnostics)
    same = rendered(CONFIG, frameworks={"xtuner": {"config": "../my.py"}})
    assert not any("is trained, not" in d.message for d in same.diagnostics)


def test_an_unknown_own_key_near_a_known_one() -> None:
    assert "`work_dir`" in message(rendered(frameworks=named(QLORA, workdir="x")), "XT009")
    assert "training.seed" in message(rendered(frameworks=named(QLORA, seed=1)), "XT009")


def test_statements_that_are_read() -> None:
    found = values(
        '"""doc"""\nimport torch\nx: int = 3\nx -= 1\nclass A:\n    pass\nt = torch.float16\n'
        "if x > 5:\n    y = 1\nelif x == 2:\n    y = 2\nif A:\n    w = 1\n"
        "bad = x / 0\nu = unknown.name\npass\n"
    )
    assert (found["x"], found["y"], found["t"]) == (2, 2, "torch.float16")
    assert found["bad"] is found["u"] is UNKNOWN


@pytest.mark.parametrize(("warm", "refused"), [(9, False), (10, True), (100, True)])
def test_a_warm_up_as_long_as_the_run_stops_mmengine(warm: int, refused: bool) -> None:
    spec = {
        "version": 1,
        "cluster": {"gpus_per_node": 2},
        "zero": {"stage": 2},
        "batch": {"micro_per_gpu": 1, "accumulation": 4},
        "optimizer": {"lr": 1e-4},
        "scheduler": {"type": "cosine", "warmup_steps": warm},
        "training": {"max_steps": 10},
        "frameworks": {"xtuner": {"config": "qwen1_5_7b_chat_qlora_alpaca_e3"}},
        "finetuning": {"method": "qlora"},
    }
    artifacts = render(load(spec), "xtuner")
    assert artifacts.refused == refused, artifacts.diagnostics
    assert ("XT021" in {d.code for d in artifacts.diagnostics}) == refused
