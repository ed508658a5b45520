"""Launches that really trained (conformance/launching): what is written today is what was run then."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conformance.recording import portable
from dsbridge.launching import prepare
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "recorded" / "launching"
TRAINED = sorted(path for path in FOLDER.glob("*/*.json") if path.name != "ray.json")
READ = sorted(FOLDER.glob("*/ray.json"))


def name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", TRAINED, ids=name)
def test_the_launch_is_still_the_one_that_trained(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(path)
    monkeypatch.chdir(ROOT)
    spec = f"examples/{found['example']}/dsbridge.yaml"
    made = prepare([spec], found["target"], found["kind"], found["sets"])
    assert portable(dict(made.artifacts.files), Path(os.devnull)) == found["files"]
    assert list(made.artifacts.launch.argv) == found["launch"]["argv"]
    assert dict(made.artifacts.launch.env) == found["launch"]["env"]


@pytest.mark.parametrize("path", TRAINED, ids=name)
def test_it_trained_on_both_nodes(path: Path) -> None:
    found = load(path)
    assert found["steps"] == 2
    engine = found["engine"]
    each = engine["train_micro_batch_size_per_gpu"] * engine["gradient_accumulation_steps"]
    assert engine["train_batch_size"] == 2 * each  # ranks
    assert found.get("state", "COMPLETED") == "COMPLETED"


def test_every_kind_that_this_machine_can_run_was_run() -> None:
    kinds = {(found["target"], found["kind"]) for found in map(load, TRAINED)}
    assert {
        ("trainer", "torchrun"),
        ("trainer", "accelerate"),
        ("accelerate", "accelerate"),
        ("deepspeed", "deepspeed"),
        ("llamafactory", "llamafactory"),
        ("xtuner", "xtuner"),
    } <= kinds


@pytest.mark.parametrize("path", READ, ids=name)
def test_ray_and_llamafactory_read_what_was_written(path: Path) -> None:
    found = load(path)["read"]
    if path.parent.name == "ray":
        odd = {"A": 'it\'s "$5" `x`', "B": "two\nlines", "C": "--", "USE_RAY": "1"}
        assert found["runtime_env"]["env_vars"] == odd
        assert found["entrypoint"] == ["llamafactory-cli", "train", "train.yaml"]
    else:
        assert (found["use_ray"], found["ray_num_workers"]) == (True, 8)
