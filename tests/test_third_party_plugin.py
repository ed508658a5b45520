"""The example plugin is its own distribution of two files, and comes in by the same door as ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PLUGIN = ROOT / "examples" / "third-party-plugin"
SPEC = ROOT / "examples" / "zero2-lora" / "dsbridge.yaml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, built as a wheel and installed in a folder of its own."""
    hatchling = tmp_path_factory.mktemp("wheel")
    target = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(hatchling)]
    subprocess.run(build, cwd=PLUGIN, check=True, capture_output=True)
    (wheel,) = hatchling.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def run(installed: Path, *argv: str) -> Any:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "dsbridge", *argv, "--format", "json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_two_files() -> None:
    assert {p.name for p in PLUGIN.iterdir() if p.is_file()} - {"README.md"} == {
        "pyproject.toml",
        "dsbridge_lightning.py",
    }


def test_it_is_listed_with_its_own_package(installed: Path) -> None:
    rows = {row["name"]: row for row in run(installed, "targets")["targets"]}
    assert rows["lightning"]["package"] == "dsbridge-lightning 0.1.0"
    assert rows["lightning"]["plugin"] == "lightning"
    assert len(rows) == 6


def test_it_renders(installed: Path) -> None:
    result = run(installed, "render", str(SPEC), "--target", "lightning")
    args = json.loads(result["files"]["trainer_args.json"])
    assert args == {
        "devices": 4,
        "num_nodes": 1,
        "accumulate_grad_batches": 4,
        "gradient_clip_val": 1.0,
        "precision": "bf16-mixed",
        "max_epochs": 3,
        "log_every_n_steps": 10,
        "default_root_dir": "saves/qwen2.5-7b-lora",
    }
    config = json.loads(result["files"]["ds_config.json"])
    assert config["zero_optimization"]["stage"] == 2
    assert "gradient_clipping" not in config
    unplaced = {d["key"] for d in result["diagnostics"] if d["code"] == "REN002"}
    assert {"optimizer.lr", "finetuning.rank"} <= unplaced
