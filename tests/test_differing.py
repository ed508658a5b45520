"""What diff takes for a difference, and what each is said to mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from dsbridge.differing import Diff, diff, same
from dsbridge.explaining import Explanation, explain
from dsbridge.reading import Files
from dsbridge.sides import Read
from dsbridge.values import Unknown

Z = "zero_optimization"
ADAM = {"type": "AdamW", "params": {"lr": 1e-4}}
BASE: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": 2,
    "optimizer": ADAM,
    "bf16": {"enabled": True},
    Z: {"stage": 2},
}


def reader(config: Mapping[str, Any], **facts: Any) -> Read:
    """A bare DeepSpeed config on four ranks, where the test does not say otherwise."""
    files = Files(memory={"ds.json": json.dumps(config)})
    versions = {"deepspeed": facts.pop("version", "0.19.8")}

    def read(more: Mapping[str, Any]) -> Explanation:
        known = {name: value for name, value in {"world_size": 4, **facts}.items() if value is not None}
        known |= more
        return explain(files, ["ds.json"], target="deepspeed", facts=known, versions=versions)

    return read


def compared(a: Mapping[str, Any], b: Mapping[str, Any], everything: bool = False, **facts: Any) -> Diff:
    return diff(reader(a, **facts), reader(b, **facts), everything=everything)


def kinds(found: Diff) -> dict[str, str]:
    return {entry.path: entry.meaning.kind for entry in found.differences}


EQUAL = [
    pytest.param({}, id="itself"),
    pytest.param({"gradient_clipping": 1.0}, id="a-written-default"),
    pytest.param({"gradient_accumulation_steps": 1}, id="a-derived-number"),
    pytest.param({"train_batch_size": 8}, id="the-product"),
    pytest.param({Z: {"stage": 2, "overlap_comm": "auto"}}, id="an-auto-that-is-dropped"),
    pytest.param({Z: {"stage": 2, "reduce_bucket_size": 5e8}}, id="a-float"),
    pytest.param({Z: {"stage": 2, "offload_optimizer": {"device": "none"}}}, id="offload-to-nowhere"),
    pytest.param({"fp16": {"enabled": False}}, id="off-is-absent"),
    pytest.param({"optimizer": {"type": "Adam", "params": {"lr": 1e-4}}}, id="Adam-is-AdamW-in-deepspeed"),
    pytest.param(
        {
            "optimizer": {
                "type": "AdamW",
                "params": {"lr": 1e-4, "betas": [0.9, 0.999], "bias_correction": True},
            }
        },
        id="the-optimizers-own-defaults",
    ),
]


@pytest.mark.parametrize("change", EQUAL)
def test_equal(change: dict[str, Any]) -> None:
    found = compared(BASE, {**BASE, **change})
    assert found.differences == ()
    assert found.equal


RESULT = [
    pytest.param({"gradient_clipping": 0.5}, {"gradient_clipping"}, id="clipping"),
    pytest.param({"gradient_accumulation_steps": 2}, {"batch.global"}, id="a-larger-batch"),
    pytest.param(
        {"optimizer": {"type": "AdamW", "params": {"lr": 2e-4}}}, {"optimizer.params.lr"}, id="learning-rate"
    ),
    pytest.param(
        {"optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "weight_decay": 0.1}}},
        {"optimizer.params.weight_decay"},
        id="weight-decay",
    ),
    pytest.param(
        {"optimizer": {"type": "Adam", "params": {"lr": 1e-4, "adam_w_mode": False}}},
        {"optimizer.type"},
        id="adam-with-coupled-decay",
    ),
    pytest.param(
        {"optimizer": {"type": "SGD", "params": {"lr": 1e-4}}, "zero_allow_untested_optimizer": True},
        {"optimizer.type", "optimizer.class"},
        id="another-optimizer",
    ),
    pytest.param(
        {"bf16": {"enabled": False}, "fp16": {"enabled": True}}, {"bf16.enabled", "fp16.enabled"}, id="format"
    ),
]


@pytest.mark.parametrize(("change", "paths"), RESULT)
def test_something_else_is_trained(change: dict[str, Any], paths: set[str]) -> None:
    found = compared(BASE, {**BASE, **change})
    assert {path for path, kind in kinds(found).items() if kind == "result"} == paths
    assert not found.equal


RESOURCES = [
    pytest.param({Z: {"stage": 3}}, {f"{Z}.stage", f"{Z}.overlap_comm"}, id="stage"),
    pytest.param(
        {Z: {"stage": 2, "reduce_bucket_size": 1000}}, {f"{Z}.reduce_bucket_size"}, id="bucket-size"
    ),
    pytest.param(
        {Z: {"stage": 2, "cpu_offload": True}},
        {f"{Z}.offload_optimizer.device", "optimizer.class"},
        id="a-deprecated-key-for-offload",
    ),
    pytest.param(
        {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 2},
        {"train_micro_batch_size_per_gpu", "gradient_accumulation_steps"},
        id="the-same-batch-in-smaller-portions",
    ),
]


@pytest.mark.parametrize(("change", "paths"), RESOURCES)
def test_the_same_in_other_time_or_memory(change: dict[str, Any], paths: set[str]) -> None:
    found = compared(BASE, {**BASE, **change})
    assert kinds(found) == dict.fromkeys(paths, "resources")
    assert not found.equal


NOTHING = [
    pytest.param({"steps_per_print": 10}, "steps_per_print", "printed", id="printing"),
    pytest.param({"my_note": "x"}, "my_note", "DeepSpeed reads no key", id="unread"),
    pytest.param({"fp16": {"enabled": False, "loss_scale": 4}}, "fp16.loss_scale", "off on both", id="off"),
    pytest.param(
        {Z: {"stage": 2, "stage3_max_live_parameters": 7}},
        f"{Z}.stage3_max_live_parameters",
        "only ZeRO stage 3",
        id="of-another-stage",
    ),
    pytest.param(
        {"aio": {"queue_depth": 4}}, "aio.queue_depth", "neither side has anything on NVMe", id="aio"
    ),
]


@pytest.mark.parametrize(("change", "path", "says"), NOTHING)
def test_training_does_not_notice(change: dict[str, Any], path: str, says: str) -> None:
    found = compared(BASE, {**BASE, **change})
    assert kinds(found) == {path: "nothing"}
    assert says in str(found.differences[0].meaning)
    assert found.equal


def test_a_loss_scale_counts_where_fp16_is_on() -> None:
    on = {**BASE, "bf16": {"enabled": False}, "fp16": {"enabled": True}}
    found = compared(on, {**on, "fp16": {"enabled": True, "loss_scale": 4}})
    assert kinds(found) == {"fp16.loss_scale": "result"}


def test_one_side_is_refused() -> None:
    found = compared(BASE, {**BASE, "train_batch_size": 7})
    (only,) = found.differences
    assert (only.path, only.a) == ("outcome", "ok")
    assert "AssertionError" in only.b
    assert str(only.meaning) == "result: B stops before training"


def test_both_are_refused_in_the_same_way_or_not() -> None:
    bad = {**BASE, Z: {"stage": 9}}
    assert compared(bad, bad).equal
    other = compared(bad, {**BASE, "train_batch_size": 7})
    assert "both stop before training" in str(other.differences[0].meaning)


def test_unknown_in_the_same_way_is_no_difference() -> None:
    found = compared(BASE, {**BASE, "gradient_accumulation_steps": 1}, world_size=None)
    assert found.differences == ()
    listed = compared(BASE, BASE, everything=True, world_size=None)
    assert "batch.global" in kinds(listed)
    assert "on both sides in the same way" in str(listed.differences[0].meaning)
    assert listed.equal


def test_unknown_and_certainly_different() -> None:
    found = compared(BASE, {**BASE, "train_micro_batch_size_per_gpu": 3}, world_size=None)
    assert kinds(found) == {"batch.global": "result", "train_micro_batch_size_per_gpu": "resources"}
    assert "cannot" not in str(found.differences[0].meaning)


def test_batches_that_are_written_are_compared_without_the_world_size() -> None:
    plain = {key: value for key, value in BASE.items() if key != "train_micro_batch_size_per_gpu"}
    found = compared({**plain, "train_batch_size": 8}, {**plain, "train_batch_size": 16}, world_size=None)
    assert kinds(found)["train_batch_size"] == "result"
    assert "batch.global" not in kinds(found)


def test_what_cannot_be_compared_is_said_with_the_fact_it_needs() -> None:
    plain = {key: value for key, value in BASE.items() if key != "train_micro_batch_size_per_gpu"}
    found = compared(BASE, {**plain, "train_batch_size": 8}, world_size=None)
    story = {entry.path: str(entry.meaning) for entry in found.differences}
    assert story["batch.global"].startswith("result: cannot be compared, needs world_size")
    assert "--world-size N" in found.diagnostics[0].hint
    assert compared(BASE, {**plain, "train_batch_size": 8}).equal


def test_versions_have_other_defaults() -> None:
    found = diff(reader(BASE, version="0.18.4"), reader(BASE, version="0.19.8"))
    assert kinds(found)["gradient_clipping"] == "result"
    assert kinds(found)["versions.deepspeed"] == "nothing"
    assert f"{Z}.parameter_alignment" not in kinds(found), "a key of one version, at its default"


def test_tensor_parallel_ranks_share_their_samples() -> None:
    split = {**BASE, Z: {"stage": 1}, "tensor_parallel": {"autotp_size": 2}}
    found = compared({**BASE, Z: {"stage": 1}}, split)
    assert kinds(found)["batch.global"] == "result"
    assert kinds(found)["tensor_parallel.autotp_size"] == "resources"
    doubled = compared({**BASE, Z: {"stage": 1}}, {**split, "gradient_accumulation_steps": 2})
    assert "batch.global" not in kinds(doubled)
    assert kinds(doubled)["train_batch_size"] == "nothing"


def test_those_that_change_the_result_come_first() -> None:
    found = compared(BASE, {**BASE, "steps_per_print": 1, Z: {"stage": 1}, "gradient_clipping": 2.0})
    assert [entry.meaning.kind for entry in found.differences] == ["result", "resources", "nothing"]


def test_same() -> None:
    assert same([0.9, 0.95], (0.9, 0.95))
    assert same(5e8, 500_000_000)
    assert not same(1, True)
    assert not same([1], [1, 2])
    assert same({"a": [1]}, {"a": (1.0,)})
    assert not same(Unknown(frozenset({"x"})), Unknown(frozenset({"x"})))


LLAMAFACTORY = {
    "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_rank": 8,
    "dataset": "alpaca_en_demo",
    "template": "qwen",
    "cutoff_len": 2048,
    "output_dir": "out",
    "per_device_train_batch_size": 1,
    "num_train_epochs": 3.0,
    "bf16": True,
    "deepspeed": "ds.json",
}


def trained(change: Mapping[str, Any], **first: Any) -> Diff:
    """A LLaMA-Factory YAML, and the same with a change; None leaves a key out."""

    def reader_of(values: Mapping[str, Any]) -> Read:
        said = {key: value for key, value in values.items() if value is not None}
        ds = {"train_micro_batch_size_per_gpu": "auto", Z: {"stage": 2}}
        texts = {"train.yaml": yaml.safe_dump(said), "ds.json": json.dumps(ds)}

        def read(more: Mapping[str, Any]) -> Explanation:
            return explain(Files(memory=texts), ["train.yaml"], facts={"world_size": 2, **more})

        return read

    base = {**LLAMAFACTORY, **first}
    return diff(reader_of(base), reader_of({**base, **change}))


@pytest.mark.parametrize(
    ("change", "path", "kind"),
    [
        ({"model_name_or_path": "Qwen/Qwen2.5-0.5B"}, "model.name_or_path", "result"),
        ({"num_train_epochs": 1.0}, "training.epochs", "result"),
        ({"seed": 7}, "training.seed", "result"),
        ({"cutoff_len": 1024}, "training.sequence_length", "result"),
        ({"lora_rank": 64}, "finetuning.rank", "result"),
        ({"dataset": "identity"}, "frameworks.llamafactory.dataset", "result"),
        ({"template": None}, "frameworks.llamafactory.template", "result"),
        ({"stage": "pt"}, "frameworks.llamafactory.stage", "result"),
        ({"dataloader_num_workers": 4}, "training.dataloader_num_workers", "resources"),
        ({"output_dir": "elsewhere"}, "training.output_dir", "nothing"),
    ],
)
def test_what_is_trained_is_compared_too(change: dict[str, Any], path: str, kind: str) -> None:
    found = trained(change, dataloader_num_workers=2)
    assert kinds(found) == {path: kind}
    assert found.equal is (kind == "nothing")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 42},
        {"stage": None},
        {"num_train_epochs": None},
        {"mask_history": False},
        {"report_to": "none"},
    ],
)
def test_a_default_that_is_written_out_is_no_difference(change: dict[str, Any]) -> None:
    assert trained(change).differences == ()


def test_epochs_do_not_count_where_steps_do() -> None:
    assert trained({"num_train_epochs": 1.0}, max_steps=50).differences == ()
    assert kinds(trained({"max_steps": 60}, max_steps=50)) == {"training.max_steps": "result"}


@pytest.mark.parametrize(("version", "same_curve"), [("0.19.8", True), ("0.16.9", False)])
def test_where_warmup_lr_climbs_to_if_nobody_says_it(version: str, same_curve: bool) -> None:
    """0.17.2 took the optimizer's rate in the place of 0.001 (deepspeed/runtime/lr_schedules.py:738)."""

    def config(**params: float) -> dict[str, Any]:
        return {**BASE, "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10, **params}}}

    found = compared(config(), config(warmup_max_lr=1e-4), version=version)
    assert ("scheduler.params.warmup_max_lr" not in kinds(found)) is same_curve
