"""Keys of a DeepSpeed config: what is said of them, and what to write instead."""

from __future__ import annotations

import pytest

from tests.checks.told import says, told

_DS = '{\n  "train_micro_batch_size_per_gpu": 1,\n  %s\n}\n'


def _ds(lines: str) -> dict[str, str]:
    return {"ds_config.json": _DS % lines}


def test_a_template_is_no_mistake() -> None:
    """microsoft/Megatron-DeepSpeed: a script writes the numbers with sed."""
    lines = (
        '"train_batch_size": GBSIZE,\n  "zero_optimization": {\n    "stage": ZERO_STAGE\n  },\n'
        '  "bf16": {\n    "enabled": CONFIG_BF16_ENABLED\n  },\n  "prescale_gradients": PRESCALE_GRAD'
    )
    (found,) = told("CK110", _ds(lines))
    assert found.severity.value == "info"
    assert "GBSIZE, ZERO_STAGE, CONFIG_BF16_ENABLED, PRESCALE_GRAD;" in found.message
    assert not told("CK108", _ds(lines))
    assert not told("EX005", _ds(lines))


def test_a_template_that_a_command_names_stops_the_run() -> None:
    files = _ds('"zero_optimization": {\n    "stage": ZERO_STAGE\n  }')
    command = "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds_config.json"
    assert told("CK108", files, command)
    assert not told("CK110", files, command)


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        (
            '"zero_optimization": 1',
            "`zero_optimization` is 1; it takes a block",
            'Write a block, such as "zero_optimization": {"stage": 1}.',
        ),
        (
            '"fp16": {"enabled": true, "min_loss_scale": 0.5}',
            "`fp16.min_loss_scale` is 0.5; it takes a whole number; DeepSpeed 0.19.8 stops at it",
            "Write a whole number.",
        ),
        (
            '"zero_optimization": {"stage": 5}',
            "`zero_optimization.stage` is 5; it takes one of 0, 1, 2, 3; DeepSpeed 0.19.8 stops at it",
            "Write one of 0, 1, 2, 3.",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_is_taken(line: str, said: str, hint: str) -> None:
    (found,) = told("CK108", _ds(line))
    assert said in found.message
    assert found.hint == hint


def test_bf16_needs_no_loss_scale() -> None:
    """deepspeedai/DeepSpeed tests/torch_compile: fp16's block under the other name."""
    (found,) = told("CK101", _ds('"bf16": {"enabled": true, "loss_scale": 0}'))
    assert "fp16" not in found.hint
    assert "takes no loss scale" in found.hint
    assert not told("CK103", _ds('"bf16": {"enabled": true, "loss_scale": 0}'))


def test_a_key_of_a_feature_that_is_not_there_is_not_moved() -> None:
    """LianjiaTech/BELLE train/run_config/deepspeed_config.json."""
    assert "which is not here" in says("CK103", _ds('"overwrite": true'))
    assert "Write `autotuning.overwrite`" in says(
        "CK103", _ds('"overwrite": true, "autotuning": {"enabled": true}')
    )
    assert '"offload_param": {"device": "cpu"}' in says(
        "CK102", _ds('"zero_optimization": {"stage": 3, "cpu_offload_params": true}')
    )


def test_a_removed_key_names_what_took_its_place() -> None:
    assert "data_efficiency.data_sampling.curriculum_learning" in says(
        "CK104", _ds('"curriculum_learning": {"enabled": true}')
    )
    assert "`aio.intra_op_parallelism`" in says("CK104", _ds('"aio": {"thread_count": 1}'))
    assert "a release that has it" in says("CK104", _ds('"sparse_attention": {"mode": "fixed"}'))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('"zero_optimization": true', 'Write "zero_optimization": {"stage": 1}.'),
        (
            '"zero_optimization": {"stage": 2, "cpu_offload": true}',
            'Write "offload_optimizer": {"device": "cpu"}.',
        ),
        ('"zero_optimization": {"stage": 2, "cpu_offload": false}', "Remove it."),
        (
            '"zero_optimization": {"stage": 3, "cpu_offload_use_pin_memory": true}',
            'Write "pin_memory": true inside offload_optimizer or offload_param.',
        ),
    ],
)
def test_a_deprecated_key_is_told_with_its_new_form(line: str, hint: str) -> None:
    (found,) = told("CK105", _ds(line))
    assert "DeepSpeed 0.19.8" in found.message
    assert found.hint == hint
