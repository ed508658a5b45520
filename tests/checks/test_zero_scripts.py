"""Scripts of the Trainer's under ZeRO."""

from __future__ import annotations

import pytest

from tests.checks.finding import found

_DS = """{"zero_optimization": {"stage": %d, "stage3_gather_16bit_weights_on_model_save": true},
 "bf16": {"enabled": "auto"}, "train_micro_batch_size_per_gpu": "auto"}"""
_HEAD = "from transformers import AutoModelForCausalLM, Trainer, TrainingArguments\n\n"
_MODEL = 'model = AutoModelForCausalLM.from_pretrained("m")\n'
_ARGS = 'args = TrainingArguments("out", deepspeed="ds.json", bf16=True)\n'
_PLAIN = 'args = TrainingArguments("out", bf16=True)\n'
_TRAINER = "trainer = Trainer(model, args, train_dataset=data, eval_dataset=data)\n"
_RUN = "torchrun --nproc_per_node 2 train.py"


def _files(text: str, stage: int) -> dict[str, str]:
    return {"train.py": _HEAD + text, "ds.json": _DS % stage}


@pytest.mark.parametrize("version", ["4.51.3", "5.23.0"])
def test_the_model_comes_first(version: str) -> None:
    files = _files(_MODEL + _ARGS + _TRAINER + "trainer.train()\n", 3)
    (one,) = found("CK370", files, _RUN, versions={"transformers": version})
    assert (one.file, one.line) == ("train.py", 3)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        (_ARGS + _MODEL + _TRAINER + "trainer.train()\n", 3),
        (_MODEL + _ARGS + _TRAINER + "trainer.train()\n", 2),
        (_MODEL + _PLAIN + _TRAINER + "trainer.train()\n", 3),
    ],
    ids=["arguments first", "stage 2 splits no weights", "no DeepSpeed"],
)
def test_the_order_is_right_or_does_not_matter(text: str, stage: int) -> None:
    assert not found("CK370", _files(text, stage), _RUN)


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("call", ["evaluate()", "predict(data)"])
def test_evaluation_alone_needs_stage_3(stage: int, call: str) -> None:
    (one,) = found("CK371", _files(_ARGS + _MODEL + _TRAINER + f"trainer.{call}\n", stage), _RUN)
    assert one.severity.value == "error"
    assert (one.file, one.key) == ("ds.json", "zero_optimization.stage")


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        (_ARGS + _MODEL + _TRAINER + "trainer.evaluate()\n", 3),
        (_ARGS + _MODEL + _TRAINER + "trainer.train()\ntrainer.evaluate()\n", 2),
        (_ARGS + _MODEL + _TRAINER + "if args.do_eval:\n    trainer.evaluate()\n", 2),
        (_PLAIN + _MODEL + _TRAINER + "trainer.evaluate()\n", 2),
        (_ARGS + _MODEL + _TRAINER + "metric.evaluate()\n", 2),
    ],
    ids=["stage 3", "after training", "perhaps", "no DeepSpeed", "not the Trainer's"],
)
def test_evaluation_is_possible(text: str, stage: int) -> None:
    assert not found("CK371", _files(text, stage), _RUN)
