"""Refusals that are told as they are: who, where, and how sure."""

from __future__ import annotations

from tests.checks.told import told

_LF = (
    "model_name_or_path: m\nstage: %s\nfinetuning_type: lora\ndataset: identity\n"
    "template: llama3\noutput_dir: o\n"
)
_NORM = '{"train_batch_size": 8, "optimizer": {"type": "Adam", "params": {"lr": 1e-4, "max_grad_norm": 1.0}}}'
_SCRIPT = "import deepspeed\nengine, *_ = deepspeed.initialize(model=m, config='ds.json'%s)\n"
_RUN = "torchrun --nproc_per_node 8 train.py"


def test_who_stops_is_told_with_the_release() -> None:
    (found,) = told("EX005", {"a.yaml": (_LF % "sft" + "do_train: true\n").replace("llama3", "gpt")})
    assert found.message.startswith("LLaMA-Factory 0.9.5 stops with ValueError: Template gpt")


def test_what_asks_for_a_missing_value_is_the_place() -> None:
    """hiyouga/LLaMA-Factory examples/lora_single_gpu/llama3_lora_predict.yaml."""
    (found,) = told("EX005", {"a.yaml": _LF % "sft" + "do_predict: true\npredict_with_generate: true\n"})
    assert "eval_dataset" in found.message
    assert (found.file, found.line) == ("a.yaml", 7)


def test_a_flag_may_say_what_the_yaml_leaves_out() -> None:
    """huggingface/accelerate examples/slurm/fsdp_config.yaml: the job passes --num_processes."""
    yaml = {"a.yaml": "distributed_type: FSDP\nfsdp_config:\n  fsdp_sharding_strategy: FULL_SHARD\n"}
    (found,) = told("EX005", yaml)
    assert found.severity.value == "info"
    script = {"train.py": "from accelerate import Accelerator\nAccelerator()\n"}
    (found,) = told("EX005", yaml | script, "accelerate launch --config_file a.yaml train.py")
    assert found.severity.value == "error"


def test_a_script_may_bring_its_own_optimizer() -> None:
    """deepspeedai/DeepSpeedExamples Megatron-LM: deepspeed.initialize(optimizer=...)."""
    (found,) = told("EX005", {"ds.json": _NORM})
    assert found.severity.value == "warning"
    assert "if the script leaves the optimizer to it" in found.message
    (found,) = told("EX005", {"ds.json": _NORM, "train.py": _SCRIPT % ", model_parameters=p"}, _RUN)
    assert found.severity.value == "error"
    assert not told("EX005", {"ds.json": _NORM, "train.py": _SCRIPT % ", optimizer=AdamW(p)"}, _RUN)


def test_what_follows_from_an_old_name_is_not_told() -> None:
    """hiyouga/LLaMA-Factory examples/qlora_single_gpu/llama3_lora_sft_aqlm.yaml."""
    lines = "do_train: true\nval_size: 0.1\nload_best_model_at_end: true\n"
    files = {"a.yaml": _LF % "sft" + lines + "evaluation_strategy: steps\n"}
    assert told("CK114", files)
    assert not told("EX005", files)
    assert told("EX005", {"a.yaml": _LF % "sft" + lines})
