"""The JSON Schema of a ds_config.json, from the harvested tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dsbridge.deepspeed.blocks import Blocks
from dsbridge.deepspeed.known import harvested, known_keys
from dsbridge.deepspeed.schema import deepspeed_schema
from dsbridge.deepspeed.versions import fate
from tests.conftest import ROOT

CORPUS = os.environ.get("DSBRIDGE_CORPUS")
ZERO3 = {"stage": "auto", "stage3_max_live_parameters": 1e9, "offload_param": {"device": "cpu"}}


def errors(config: Any, version: str = "0.18.4") -> list[str]:
    found = Draft202012Validator(deepspeed_schema(version)).iter_errors(config)
    return [".".join(map(str, error.absolute_path)) for error in found]


@pytest.mark.slow
@pytest.mark.parametrize("version", harvested())
def test_it_is_a_schema_for_every_release(version: str) -> None:
    Draft202012Validator.check_schema(deepspeed_schema(version))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"train_batch_size": "auto", "gradient_clipping": "auto", "zero_optimization": ZERO3},
        {"_comment": "mine", "//": ["a", "list"], "zero_optimization": True},
        {"zero_optimization": {"stage3_max_live_parameters": 1e9, "max_live_parameters": 3}},
        {"checkpoint": {"tag_validation": "Warn"}, "communication_data_type": None},
        {"optimizer": {"type": "AdamW", "params": {"lr": "auto", "of_my_own": 1}}},
        {"fp16": {"enabled": "auto", "loss_scale": 0.0}, "bf16": None},
        {"torch_autocast": {"enabled": True, "dtype": "bfloat16"}},
    ],
)
def test_what_a_release_reads_is_valid(config: dict[str, Any]) -> None:
    assert errors(config) == []


@pytest.mark.parametrize(
    ("config", "at"),
    [
        ({"zero_optimisation": {}}, ""),
        ({"zero_optimization": {"stag": 1}}, "zero_optimization"),
        ({"zero_optimization": {"stage": 4}}, "zero_optimization.stage"),
        ({"zero_optimization": {"stage": "3"}}, "zero_optimization.stage"),
        ({"zero_optimization": "auto"}, "zero_optimization"),
        (
            {"zero_optimization": {"offload_param": {"device": "disk"}}},
            "zero_optimization.offload_param.device",
        ),
        ({"zero_optimization": {"reduce_bucket_size": -1}}, "zero_optimization.reduce_bucket_size"),
        ({"train_batch_size": "8"}, "train_batch_size"),
        ({"steps_per_print": {}, "dump_state": "no"}, "dump_state"),
        ({"torch_autocast": {"dtype": "bf"}}, "torch_autocast.dtype"),
    ],
)
def test_what_a_release_refuses_or_loses_is_not(config: dict[str, Any], at: str) -> None:
    assert at in errors(config)


def test_a_removed_key_says_that_it_was_removed() -> None:
    config = {"nebula": {"enabled": True}}
    assert errors(config, "0.18.4") == []
    assert errors(config, "0.19.8") == ["nebula"]
    assert "Removed: Nebula" in deepspeed_schema("0.19.8")["properties"]["nebula"]["description"]


def test_a_description_names_the_releases() -> None:
    properties = deepspeed_schema("0.18.4")["properties"]
    assert properties["torch_autocast"]["description"].startswith("Read by DeepSpeed 0.17.2 to 0.19.8.")
    zero = properties["zero_optimization"]["properties"]
    assert zero["cpu_offload"]["deprecated"] is True
    assert "Use `offload_optimizer`" in zero["cpu_offload"]["description"]
    assert zero["stage"]["default"] == 0


def test_a_block_whose_entries_the_user_names_is_looked_into() -> None:
    def groups(params: Any) -> dict[str, Any]:
        return {"different_groups": {"mine": {"params": params, "modules": ["a"]}}}

    assert not errors({"compression_training": {"row_pruning": groups({"dense_ratio": 0.5})}})
    assert errors({"compression_training": {"row_pruning": groups(3)}})


def configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """The real ds_configs at hand: of the corpus where there is one, of the examples otherwise."""
    folder = Path(CORPUS) / "deepspeed" if CORPUS else ROOT / "examples"
    for path in sorted(folder.rglob("*.json")):
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(tree, dict) and {"zero_optimization", "train_batch_size"} & set(tree):
            yield path.name, tree


def test_the_examples_are_valid_where_deepspeed_knows_their_keys() -> None:
    found = list(configs())
    assert found
    for name, tree in found:
        assert [at for at in errors(tree) if not _expected(tree, at)] == [], name


def _expected(tree: dict[str, Any], at: str) -> bool:
    """An error that DeepSpeed makes as well, or a key that it loses."""
    block: Any = tree
    for part in at.split(".") if at else ():
        block = block[part]
    known = known_keys("0.18.4")
    names = list(block) if isinstance(block, dict) else []
    unread = [name for name in names if fate(f"{at}.{name}".lstrip("."), "0.18.4")]
    return bool(unread) or at in known[""].removed or _refuses(tree, at)


def _refuses(tree: dict[str, Any], at: str) -> bool:
    block, blocks = at.split(".")[0], Blocks("0.18.4")
    return block in blocks.known["blocks"] and blocks.problem(block, tree.get(block)) is not None
