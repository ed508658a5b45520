"""What is judged of a key, and that it is judged of every JSON value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.deepspeed.keys import ASKED_LATER, KeyFinding, judge
from dsbridge.deepspeed.known import NO_DEFAULT, Key, harvested, known_keys
from dsbridge.values import UNSET

NEWEST = harvested()[-1]


def found(config: Mapping[str, Any], version: str = NEWEST) -> dict[str, KeyFinding]:
    return {".".join(finding.path): finding for finding in judge(config, version)}


@pytest.mark.parametrize(
    ("config", "kind", "instead"),
    [
        ({"zero_optimisation": {"stage": 2}}, "misspelt", "zero_optimization"),
        ({"gradient_cliping": 1.0}, "misspelt", "gradient_clipping"),
        ({"gradient-clipping": 1.0}, "misspelt", "gradient_clipping"),
        ({"ao": {}}, "misspelt", "aio"),
        ({"trainBatchSize": 8}, "misspelt", "train_batch_size"),
        ({"checkpoint": {"load_universal_checkpoint": True}}, "misspelt", "checkpoint.load_universal"),
        ({"overlap_comm": True}, "misplaced", "zero_optimization.overlap_comm"),
        ({"optimizer": {"type": "AdamW", "lr": 1e-4}}, "misplaced", "optimizer.params.lr"),
        ({"tp_size": 2}, "misplaced", "tensor_parallel.autotp_size"),
        ({"max_grad_norm": 1.0}, "misplaced", "gradient_clipping"),
        ({"aio": {"thread_count": 2}}, "removed", ""),
        ({"my_own": 1}, "unknown", ""),
        ({"autotp": {"enabled": True}}, "unknown", ""),
    ],
)
def test_a_key_that_nobody_reads(config: dict[str, Any], kind: str, instead: str) -> None:
    (finding,) = judge(config, NEWEST)
    assert (finding.kind, finding.instead, finding.refused) == (kind, instead, False)


@pytest.mark.parametrize("version", harvested())
def test_a_slip_in_a_block_that_is_asked_later(version: str) -> None:
    slips = {"activation_checkpoint_intervall": 2, "grad_partioned": False, "my_own": 3}
    judged = found({"pipeline": slips}, version)
    assert [(finding.kind, finding.instead, finding.refused) for finding in judged.values()] == [
        ("misspelt", "pipeline.activation_checkpoint_interval", False),
        ("misspelt", "pipeline.grad_partitioned", False),
    ]
    assert ASKED_LATER - known_keys(version).keys() <= {"progressive_layer_drop", "curriculum_learning"}


def test_what_is_handed_on_as_arguments_is_not_judged() -> None:
    assert not judge(
        {"amp": {"enable": True}, "optimizer": {"type": "Mine", "params": {"bata": 1}}}, "0.16.9"
    )


@pytest.mark.parametrize(
    ("config", "path", "kind", "instead"),
    [
        ({"zero_optimization": {"aio": {}}}, "zero_optimization.aio", "misplaced", "aio"),
        (
            {"zero_optimization": {"round_roboin_gradients": True}},
            "zero_optimization.round_roboin_gradients",
            "misspelt",
            "zero_optimization.round_robin_gradients",
        ),
        (
            {"tensor_parallel": {"tp_size": 2}},
            "tensor_parallel.tp_size",
            "misplaced",
            "tensor_parallel.autotp_size",
        ),
        ({"tensor_parallel": {"enabled": True}}, "tensor_parallel.enabled", "unknown", ""),
        ({"fp16": {"opt_level": "O1"}}, "fp16.opt_level", "unknown", ""),
        ({"zero_optimization": {"_comment": "x"}}, "zero_optimization._comment", "comment", ""),
        ({"zero_optimization": {"stage": "two"}}, "zero_optimization.stage", "wrong-type", ""),
        ({"train_batch_size": "auto"}, "train_batch_size", "wrong-type", ""),
        ({"train_batch_size": "8"}, "train_batch_size", "quoted", "8"),
    ],
)
def test_a_key_that_stops_the_newest(config: dict[str, Any], path: str, kind: str, instead: str) -> None:
    finding = found(config)[path]
    assert (finding.kind, finding.instead, finding.refused) == (kind, instead, True)


def test_an_unknown_auto_is_lost_where_another_value_would_be_refused() -> None:
    assert found({"bf16": {"loss_scale": 0}})["bf16.loss_scale"].refused
    assert not found({"bf16": {"loss_scale": "auto"}})["bf16.loss_scale"].refused


@pytest.mark.parametrize(
    ("block", "name", "value", "kind", "becomes"),
    [
        ("zero_optimization", "stage", "auto", "auto-dropped", 0),
        ("zero_optimization", "reduce_bucket_size", "auto", "auto-dropped", 500_000_000),
        ("zero_optimization", "offload_optimizer", "auto", "auto-dropped", None),
        ("zero_optimization", "stage", "2", "quoted", 2),
        ("zero_optimization", "overlap_comm", "False", "quoted", False),
        ("bf16", "enabled", "auto", "auto-dropped", False),
        ("bf16", "enabled", "true", "quoted", True),
    ],
)
def test_what_a_class_makes_of_a_value(block: str, name: str, value: str, kind: str, becomes: Any) -> None:
    finding = found({block: {name: value}})[f"{block}.{name}"]
    assert (finding.kind, finding.refused, finding.becomes) == (kind, False, becomes)


def test_before_0_17_1_an_auto_in_bf16_was_taken_for_true() -> None:
    finding = found({"bf16": {"enabled": "auto"}}, "0.16.9")["bf16.enabled"]
    assert (finding.kind, finding.refused, finding.becomes) == ("wrong-type", False, UNSET)


def test_a_removed_key_says_what_deepspeed_says() -> None:
    finding = found({"amp": {"enabled": False}})["amp"]
    assert (finding.kind, finding.refused) == ("removed", True)
    assert "Apex" in finding.says
    assert "amp" not in found({"amp": {"enabled": False}}, "0.18.4")


def test_a_deprecated_key_names_its_successor() -> None:
    finding = found({"zero_optimization": {"cpu_offload": True}})["zero_optimization.cpu_offload"]
    assert (finding.kind, finding.instead) == ("deprecated", "zero_optimization.offload_optimizer")
    old, new = "stage3_gather_fp16_weights_on_model_save", "stage3_gather_16bit_weights_on_model_save"
    finding = found({"zero_optimization": {old: True}})[f"zero_optimization.{old}"]
    assert (finding.kind, finding.instead) == ("deprecated", f"zero_optimization.{new}")


def test_a_boolean_zero_optimization_is_the_old_form_of_a_stage() -> None:
    finding = found({"zero_optimization": True})["zero_optimization"]
    assert (finding.kind, finding.instead, finding.becomes) == (
        "deprecated",
        "zero_optimization.stage",
        {"stage": 1},
    )


def test_a_contrary_is_no_slip_of_the_hand() -> None:
    finding = found({"zero_optimization": {"find_unused_parameters": True}})
    assert finding["zero_optimization.find_unused_parameters"].kind == "unknown"


def test_comments_are_no_findings_where_nobody_minds_them() -> None:
    assert not judge({"_comment": "x", "//": "y", "$schema": "z", "aio": {"_why": 1}}, NEWEST)


NAMES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(sorted({name for block in known_keys(NEWEST).values() for name in block.keys})),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["auto", "2", "true", "x", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(config=st.dictionaries(NAMES, VALUES, max_size=6), version=st.sampled_from(harvested()))
def test_every_json_is_judged_and_every_path_is_in_it(config: dict[str, Any], version: str) -> None:
    for finding in judge(config, version):
        node: Any = config
        for name in finding.path:
            node = node[name]
        assert finding.kind


def value_of(key: Key, version: str) -> Any:
    """The default, as a config would say it; UNSET where there is none."""
    if key.deprecated or key.default is NO_DEFAULT or key.default is None or key.type == "dtype":
        return UNSET
    return UNSET if key.block and not isinstance(key.default, dict) else key.default


@pytest.mark.parametrize("version", harvested())
def test_known_keys_with_their_defaults_are_no_findings(version: str) -> None:
    blocks = known_keys(version)
    for path, block in blocks.items():
        if "*" in path:
            continue
        own = {name: value_of(key, version) for name, key in block.keys.items()}
        own = {name: value for name, value in own.items() if value is not UNSET and value != "auto"}
        own = {
            n: v
            for n, v in own.items()
            if block.keys[n].other_name not in own or n < str(block.keys[n].other_name)
        }
        config: dict[str, Any] = own
        for name in reversed(path.split(".") if path else []):
            config = {name: config}
        assert not judge(json.loads(json.dumps(config)), version), (path, version)
