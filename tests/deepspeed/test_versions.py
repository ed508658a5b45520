"""What a DeepSpeed version knows, from tables harvested from the real packages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsbridge.deepspeed.config import ds_config, ds_key_of
from dsbridge.deepspeed.dialect import Dialect
from dsbridge.spec.leaves import leaf_paths
from dsbridge.spec.load import load_mapping
from tests.conftest import ROOT
from tools.merge_versions import RECORDED, STRICT, TABLE, merged, strict

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


def test_the_tables_are_what_the_harvest_gives() -> None:
    assert json.loads(TABLE.read_text()) == merged()
    assert json.loads(STRICT.read_text()) == strict()
    assert set(merged()["versions"]) == set(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_spec_has_every_field_of_zero_optimization(version: str) -> None:
    blocks = json.loads((RECORDED / f"{version}.json").read_text())["blocks"]
    written = {ds_key_of(path) for path in leaf_paths()}
    groups = ("zero_optimization", "zero_optimization.offload_param", "zero_optimization.offload_optimizer")
    for block in groups:
        for field in blocks[block]["fields"]:
            name = field.get("alias") or field["name"]
            key = f"{block}.{name}"
            if name not in LEGACY and key not in blocks and key != "zero_optimization.zenflow":
                assert key in written or any(w and w.startswith(f"{key}.") for w in written), key


def test_every_key_of_the_spec_is_known_to_some_version() -> None:
    tables = merged()["versions"].values()
    for path in leaf_paths():
        key = ds_key_of(path)
        assert not key or not all(key in t["refused"] + t["ignored"] for t in tables), path


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


def test_the_recordings_say_where_they_come_from() -> None:
    for path in RECORDED.glob("*.json"):
        harvest = json.loads(path.read_text())
        assert harvest["generator"] == "tools/harvest.py"
        assert harvest["version"] == path.stem
    assert str(ROOT) not in "".join(p.read_text() for p in RECORDED.glob("*.json"))
