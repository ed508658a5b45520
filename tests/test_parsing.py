"""The parse pass: every key of the input is claimed, kept or told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.parsing import Parsed, parse, to_json
from dsbridge.reading import Files
from dsbridge.spec.leaves import to_mapping
from dsbridge.spec.load import load_mapping

LF = """\
model_name_or_path: m
stage: sft
do_train: true
finetuning_type: lora
lora_target: q_proj,v_proj
dataset: d
template: qwen
deepspeed: ds.json
per_device_train_batch_size: 2
learning_rate: 1.0e-5
max_grad_norm: 0.5
bf16: true
"""
DS = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "overlap_comm": True},
    "wall_clock_breakdown": False,
}


def read(texts: dict[str, str], *given: str, source: str = "", **more: Any) -> Parsed:
    return parse(Files(Path(), texts), given, source=source, **more)


def lf(ds: dict[str, Any] | None = None, yaml: str = LF) -> Parsed:
    return read({"train.yaml": yaml, "ds.json": json.dumps(DS if ds is None else ds)}, "train.yaml")


def codes(found: Parsed) -> list[str]:
    return [d.code for d in found.diagnostics]


def test_a_training_yaml_with_its_deepspeed_config() -> None:
    found = lf()
    assert found.framework == "llamafactory"
    assert to_mapping(found.loaded.spec) == {
        "model": {"name_or_path": "m"},
        "finetuning": {"method": "lora", "target_modules": ["q_proj", "v_proj"]},
        "batch": {"micro_per_gpu": 2},
        "optimizer": {"lr": 1e-5},
        "gradient_clipping": 0.5,
        "precision": {"dtype": "bf16"},
        "zero": {"stage": 3, "reduce_bucket_size": "auto", "overlap_comm": True},
        "version": 1,
        "deepspeed": {"wall_clock_breakdown": False},
        "frameworks": {"llamafactory": {"dataset": "d", "template": "qwen"}},
    }
    assert (found.unclaimed, codes(found)) == ((), [])


def test_a_value_knows_where_it_was_written() -> None:
    document = lf().loaded.document
    assert (document.at(("optimizer", "lr")).file, document.at(("optimizer", "lr")).line) == (
        "train.yaml",
        10,
    )
    assert document.at(("zero", "stage")).file == "ds.json"


def test_clipping_that_never_reaches_deepspeed() -> None:
    """Without `gradient_clipping` in the config the argument is not read; DeepSpeed 0.18.4 does not clip."""
    found = lf({key: value for key, value in DS.items() if key != "gradient_clipping"})
    assert found.loaded.spec.gradient_clipping == 0.0
    (lost,) = to_json(found)["unclaimed"]
    assert lost == {"key": "max_grad_norm", "file": "train.yaml", "line": 11}
    assert "never reaches DeepSpeed" in found.diagnostics[-1].message


def test_the_other_precision_is_kept_word_for_word() -> None:
    found = lf({**DS, "fp16": {"enabled": "auto", "loss_scale": 0}})
    assert found.loaded.spec.deepspeed["fp16"] == {"loss_scale": 0}  # type: ignore[index]
    assert codes(found) == []


def test_a_value_of_another_kind_is_kept_and_told() -> None:
    found = lf(yaml=LF.replace("1.0e-5", "'fast'"))
    assert found.loaded.spec.frameworks["llamafactory"]["learning_rate"] == "fast"  # type: ignore[index]
    assert codes(found) == ["PA002"]


def test_numbers_that_exclude_each_other() -> None:
    config = {"train_batch_size": 10, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 1}
    words = ("torchrun", "--nproc_per_node", "2", "t.py")
    script = "import deepspeed\nengine = deepspeed.initialize(model=m, config='ds.json')\n"
    found = parse(Files(Path(), {"t.py": script, "ds.json": json.dumps(config)}), command=words)
    assert codes(found) == ["PA004"]
    assert found.loaded.spec.deepspeed == {"train_batch_size": 10} or "train_batch_size" in str(
        found.loaded.spec.deepspeed
    )


def test_old_names_of_deepspeed() -> None:
    zero = {"stage": 2, "cpu_offload": True, "stage3_gather_fp16_weights_on_model_save": True}
    spec = read({"ds.json": json.dumps({"zero_optimization": zero})}, "ds.json").loaded.spec
    assert spec.zero.offload_optimizer.device == "cpu"
    assert spec.checkpoint.gather_16bit_weights is True
    switch = read({"ds.json": '{"zero_optimization": true, "allgather_size": 100}'}, "ds.json").loaded.spec
    assert (switch.zero.stage, switch.zero.allgather_bucket_size) == (1, 100)


def test_a_script_tells_what_only_running_it_would() -> None:
    script = (
        "from transformers import Trainer, TrainingArguments\n"
        "args = TrainingArguments(output_dir='o', learning_rate=rate(), weight_decay=0.1, bf16=True)\n"
        "Trainer(model, args).train()\n"
    )
    found = read({"train.py": script}, "train.py")
    assert found.framework == "trainer"
    assert (found.loaded.spec.optimizer.weight_decay, found.loaded.spec.precision.dtype) == (0.1, "bf16")
    assert [entry.key for entry in found.unclaimed] == ["learning_rate"]
    assert codes(found) == ["PA005"]


def test_the_framework_can_be_said() -> None:
    text = json.dumps({"output_dir": "o", "learning_rate": 1e-4})
    assert read({"a.json": text}, "a.json", source="trainer").framework == "trainer"
    assert read({"a.json": text}, "a.json", source="deepspeed").framework == "deepspeed"
    with pytest.raises(InputError, match="no plugin renders for `trainr`"):
        read({"a.json": text}, "a.json", source="trainr")


KEYS = (
    *("learning_rate", "bf16", "fp16", "max_grad_norm", "warmup_steps", "warmup_ratio", "optim", "seed"),
    *("lora_rank", "stage", "finetuning_type", "cutoff_len", "eval_steps", "eval_strategy", "x y", "ein.s"),
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**9), st.floats(allow_nan=False), st.text(max_size=5),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.dictionaries(st.sampled_from([*DS, "a"]), VALUES))
def test_no_key_is_lost(settings_: dict[str, Any], config: dict[str, Any]) -> None:
    """Claimed, kept, told, or the switch that names the config; and what is kept loads again."""
    own = {"model_name_or_path": "m", "dataset": "d", "template": "t", **settings_, "deepspeed": "ds.json"}
    found = read({"t.json": json.dumps(own), "ds.json": json.dumps(config)}, "t.json", source="llamafactory")
    trees = found.input.reading.trees
    if not isinstance(trees.get("ds"), dict):
        return
    claimed = {key[:2] for claim in found.claims.values() for key in claim.keys}
    told = {(key[0], key[1]) for key in found.kept} | {
        (tree, entry.key.split(".")[0]) for entry in found.unclaimed for tree in ("lf", "ds")
    }
    filled = {("ds", key) for key, value in trees["ds"].items() if "auto" in json.dumps(value)}
    written = {("lf", "deepspeed"), ("lf", "stage"), ("lf", "do_train")}
    same = {("ds", "train_micro_batch_size_per_gpu"), ("ds", "gradient_clipping"), ("ds", "bf16")}
    for tree in ("lf", "ds"):
        for name, value in trees[tree].items():
            dotted = "." in str(name) or value in ({}, [])
            assert (tree, str(name)) in claimed | told | filled | written | same or dotted, name
    assert load_mapping(found.loaded.document.value).spec == found.loaded.spec


def test_deepspeeds_own_mesh_is_ulysses_where_it_makes_up_the_ranks() -> None:
    text = '{"train_micro_batch_size_per_gpu": 1, "sequence_parallel_size": 2, "data_parallel_size": 4}'
    script = "import deepspeed\nengine = deepspeed.initialize(model=m, config='ds.json')\n"
    files = Files(memory={"ds.json": text, "t.py": script})
    for ranks, ulysses in ((8, 2), (16, None)):
        found = parse(
            files, command=["torchrun", "--nproc_per_node", str(ranks), "t.py"]
        ).loaded.document.value
        assert found.get("parallelism", {}).get("ulysses") == ulysses
        assert ("sequence_parallel_size" in found.get("deepspeed", {})) is (ulysses is None)
