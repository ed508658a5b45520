"""What a DeepSpeed version knows, from tables harvested from the real packages."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.deepspeed.config import ds_config, ds_key_of
from dsbridge.deepspeed.dialect import Dialect
from dsbridge.deepspeed.known import known_keys
from dsbridge.deepspeed.versions import fate
from dsbridge.spec.leaves import leaf_paths
from dsbridge.spec.load import load_mapping

VERSIONS = ("0.16.2", "0.16.9", "0.18.4", "0.19.8")
# replaced by other keys, which the spec has; parsing reads them as those
LEGACY = {
    "cpu_offload",
    "cpu_offload_param",
    "cpu_offload_use_pin_memory",
    "stage3_gather_fp16_weights_on_model_save",
}


def findings(version: str, **spec: Any) -> list[tuple[str, str, str | None]]:
    dialect = Dialect(title="T", versions=(version,), owner="deepspeed")
    found = ds_config(load_mapping({"zero": {"stage": 1}} | spec).spec, dialect).diagnostics
    return [(d.code, d.severity.value, d.key) for d in found]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_spec_has_every_field_of_zero_optimization(version: str) -> None:
    blocks = known_keys(version)
    written = {ds_key_of(path) for path in leaf_paths()}
    groups = ("zero_optimization", "zero_optimization.offload_param", "zero_optimization.offload_optimizer")
    for block in groups:
        for key in blocks[block].keys.values():
            names = {f"{block}.{name}" for name in (key.name, key.other_name)}
            if key.name not in LEGACY and key.block is None and key.name != "zenflow":
                assert names & written or any(w and w.startswith(tuple(names)) for w in written), names


def test_every_key_of_the_spec_is_known_to_some_version() -> None:
    for path in leaf_paths():
        key = ds_key_of(path)
        assert not key or not all(fate(key, version) for version in VERSIONS), path


@pytest.mark.parametrize(
    ("version", "spec", "expected"),
    [
        ("0.19.8", {"zero": {"mics_shard_size": 2}}, ("DS008", "error", "zero.mics_shard_size")),
        ("0.16.2", {"parallelism": {"tp": 2}}, ("DS012", "warning", "parallelism.tp")),
        ("0.16.2", {"aio": {"intra_op_parallelism": 2}}, ("DS012", "warning", "aio.intra_op_parallelism")),
        ("0.16.2", {"optimizer": {"type": "muon", "lr": 1}}, ("DS003", "error", "optimizer.type")),
        (
            "0.18.4",
            {"deepspeed": {"fp16": {"opt_level": "O1"}}},
            ("DS008", "error", "deepspeed.fp16.opt_level"),
        ),
    ],
)
def test_a_key_of_another_version_is_named(
    version: str, spec: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert expected in findings(version, **spec)


@pytest.mark.parametrize("version", ["0.18.4", "0.19.8"])
def test_a_key_the_version_knows_is_not(version: str) -> None:
    spec = {"parallelism": {"tp": 2}, "aio": {"intra_op_parallelism": 2}}
    assert not {"DS008", "DS012"} & {code for code, _, _ in findings(version, **spec)}
    native = {"zero_optimization": {"offload_param": {"device": "cpu"}}, "fp16": {"loss_scale": 0}}
    assert not {"DS008", "DS012"} & {code for code, _, _ in findings(version, deepspeed=native)}
