"""LLaMA-Factory's entry of long ago."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

DS = {"ds.json": '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 2}}'}
SCRIPT = """from transformers import HfArgumentParser, Trainer, TrainingArguments
(args,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
Trainer(model, args).train()
"""
FLAGS = "--deepspeed ds.json --stage sft --do_train --output_dir o"


@pytest.mark.parametrize(
    "start",
    [
        "deepspeed --num_gpus 4 src/train_bash.py",
        "accelerate launch src/train_bash.py",
        "CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node 2 ../LLaMA-Factory/src/train_bash.py",
    ],
)
def test_it_is_gone(start: str) -> None:
    script = f"{start} {FLAGS}\n"
    (told,) = found("CK516", {"train.sh": script, **DS})
    assert (told.file, told.line) == ("train.sh", 1)
    assert script[(told.column or 0) - 1 :].startswith(start.split()[-1])


def test_where_it_is_there_or_another_is_meant() -> None:
    line = f"deepspeed --num_gpus 4 src/train_bash.py {FLAGS}"
    assert not found("CK516", {"src/train_bash.py": SCRIPT, **DS}, line)
    assert not found("CK516", DS, line, versions={"llamafactory": "0.7.0"})
    assert not found("CK516", DS, f"deepspeed --num_gpus 4 train_bash.py {FLAGS}")
    assert not found("CK516", DS, f"deepspeed --num_gpus 4 src/train.py {FLAGS}")
