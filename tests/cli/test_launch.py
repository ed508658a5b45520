"""`dsbridge launch`: printed, written, run; of a spec and of a framework's own files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsbridge.plugins import registry
from dsbridge.spec.launching import KINDS
from tests.conftest import ROOT
from tests.launch.launches import PAIRS

SPEC = """\
version: 1
cluster: {gpus_per_node: 2}
zero: {stage: 2}
batch: {micro_per_gpu: 4, accumulation: 2}
"""
FACTORY = "model_name_or_path: m\nstage: sft\ndo_train: true\nfinetuning_type: full\ndataset: d\n"
YAML = "distributed_type: DEEPSPEED\nnum_machines: 1\nnum_processes: 8\ndeepspeed_config: {zero_stage: 2}\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "dsbridge.yaml"
    path.write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return path


def schema() -> Any:
    return json.loads((ROOT / "docs/reference/schemas/launch.schema.json").read_text())


def test_prints_what_render_would_write(dsbridge: Callable[..., Any], spec: Path) -> None:
    outcome = dsbridge("launch", "--target", "deepspeed")
    assert outcome.code == 0
    assert "==> launch.sh <==" in outcome.out
    assert [p.name for p in spec.parent.iterdir()] == ["dsbridge.yaml"]


@pytest.mark.parametrize("kind", ["torchrun", "slurm", "kubernetes"])
def test_json_is_as_its_schema_says(dsbridge: Callable[..., Any], spec: Path, kind: str) -> None:
    outcome = dsbridge("launch", "-t", "deepspeed", "-k", kind, "--format", "json")
    found = json.loads(outcome.out)
    jsonschema.validate(found, schema())
    assert (outcome.code, found["kind"]) == (0, kind)
    assert found["launch"]["script"] in found["files"].values()


def test_a_refused_kind_says_why_and_what_else(dsbridge: Callable[..., Any], spec: Path) -> None:
    outcome = dsbridge("launch", "-t", "deepspeed", "-k", "ray")
    assert outcome.code == 1
    assert "LN020" in outcome.err
    assert "torchrun, deepspeed, slurm, kubernetes" in outcome.err
    outcome = dsbridge("launch", "-t", "deepspeed", "-k", "ray", "--format", "json")
    jsonschema.validate(json.loads(outcome.out), schema())


def test_every_target_answers_for_every_kind() -> None:
    for name, framework in registry().frameworks.items():
        assert framework.starts is not None, name
        starts = framework.starts()
        assert set(starts) == set(KINDS), name
        able = {kind for kind, reason in starts.items() if not reason}
        tested = {kind for target, kind in PAIRS if target == name}
        assert tested <= able <= tested | {"torchrun"}, name


def test_out_writes_and_says_how_to_start(dsbridge: Callable[..., Any], spec: Path) -> None:
    outcome = dsbridge("launch", "-t", "deepspeed", "-k", "slurm", "-o", "job x")
    assert outcome.code == 0
    assert "start it with: cd 'job x' && sbatch launch.sbatch" in outcome.out
    assert {p.name for p in Path("job x").iterdir()} == {"ds_config.json", "launch.sbatch"}


def test_a_spec_needs_a_target(dsbridge: Callable[..., Any], spec: Path) -> None:
    outcome = dsbridge("launch")
    assert outcome.code == 2
    assert "LN023" in outcome.err


def run(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The command as its own process, which it may replace, with a torchrun that is the folder's own."""
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.Popen(
        [sys.executable, "-m", "dsbridge", "launch", *words],
        cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_exec_becomes_the_launch(spec: Path) -> None:
    program(spec.parent, "torchrun", 'echo "$@"; exit 7')
    process = run(spec.parent, "-t", "deepspeed", "--exec")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert out.startswith("--nnodes 1 --node_rank 0 --nproc_per_node 2")
    assert "running: bash launch.sh" in err
    # and again: the files already say it
    process = run(spec.parent, "-t", "deepspeed", "--exec")
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_exec_passes_signals_on(spec: Path) -> None:
    ready = spec.parent / "ready"
    program(spec.parent, "torchrun", f'trap "exit 9" TERM; touch "{ready}"; while :; do sleep 0.1; done')
    process = run(spec.parent, "-t", "deepspeed", "--exec")
    for _ in range(300):
        if ready.exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 9


def test_exec_without_its_program(dsbridge: Callable[..., Any], spec: Path) -> None:
    env = {"PATH": "/nowhere", "HOME": str(spec.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "dsbridge", "launch", "-t", "deepspeed", "-k", "slurm", "--exec"],
        cwd=spec.parent, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "LN030" in done.stderr
    assert "sbatch" in done.stderr


class TestFiles:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_a_training_yaml(self, dsbridge: Callable[..., Any]) -> None:
        Path("y.yaml").write_text(FACTORY)
        sets = ["--set", "cluster.nodes=2", "--set", "cluster.gpus_per_node=4"]
        outcome = dsbridge("launch", "y.yaml", *sets, "--format", "json")
        found = json.loads(outcome.out)
        assert found["target"] == "llamafactory"
        assert found["launch"]["argv"] == ["llamafactory-cli", "train", "y.yaml"]
        assert (found["launch"]["env"]["NNODES"], found["launch"]["env"]["NPROC_PER_NODE"]) == ("2", "4")

    def test_accelerates_yaml_and_a_script(self, dsbridge: Callable[..., Any]) -> None:
        Path("a.yaml").write_text(YAML)
        Path("t.py").write_text("from accelerate import Accelerator\nAccelerator()\n")
        outcome = dsbridge("launch", "a.yaml", "t.py", "--set", "cluster.nodes=2", "--format", "json")
        words = json.loads(outcome.out)["launch"]["argv"]
        assert words[:4] == ["accelerate", "launch", "--config_file", "a.yaml"]
        assert words[-3:] == ["--num_machines", "2", "t.py"]

    def test_a_yaml_under_which_no_rendezvous_is_made(self, dsbridge: Callable[..., Any]) -> None:
        Path("t.py").write_text("from accelerate import Accelerator\nAccelerator()\n")
        sets = ["--set", "cluster.nodes=2", "--set", "launch.rendezvous=c10d"]
        for same, told in (("true", True), ("false", False)):
            Path("a.yaml").write_text(f"{YAML}same_network: {same}\n")
            outcome = dsbridge("launch", "a.yaml", "t.py", *sets)
            assert ("same_network: true" in outcome.err) is told
            assert ("--rdzv_backend c10d" in outcome.out) is not told

    def test_accelerates_yaml_around_a_trainer(self, dsbridge: Callable[..., Any]) -> None:
        Path("a.yaml").write_text(YAML)
        Path("t.py").write_text(
            "from transformers import Trainer, TrainingArguments\n"
            "Trainer(args=TrainingArguments(output_dir='o')).train()\n"
        )
        outcome = dsbridge("launch", "a.yaml", "t.py", "--set", "launch.arguments=[one]", "--format", "json")
        found = json.loads(outcome.out)
        assert found["launch"]["argv"] == ["accelerate", "launch", "--config_file", "a.yaml", "t.py", "one"]

    def test_slurm_and_kubernetes_carry_them(self, dsbridge: Callable[..., Any]) -> None:
        Path("y.yaml").write_text(FACTORY)
        gpus = ["--set", "cluster.gpus_per_node=4"]
        assert "llamafactory-cli" in dsbridge("launch", "y.yaml", *gpus, "-k", "slurm").out
        found = json.loads(dsbridge("launch", "y.yaml", *gpus, "-k", "kubernetes", "--format", "json").out)
        assert "finetuning_type" in found["files"]["configmap.yaml"]
        assert "y.yaml" not in found["files"]

    def test_what_a_launch_does_not_say(self, dsbridge: Callable[..., Any]) -> None:
        Path("y.yaml").write_text(FACTORY)
        outcome = dsbridge("launch", "y.yaml", "--set", "zero.stage=3")
        assert outcome.code == 1
        assert "LN022" in outcome.err
        outcome = dsbridge("launch", "y.yaml", "-o", "elsewhere")
        assert outcome.code == 2
        assert "LN031" in outcome.err


@pytest.mark.parametrize(
    ("name", "text", "target"),
    [
        ("ds.json", '{"train_batch_size": 8}', "deepspeed"),
        ("a.yaml", "distributed_type: MULTI_GPU\nnum_processes: 2\n", "accelerate"),
    ],
)
def test_a_config_alone_is_no_program(
    dsbridge: Callable[..., Any], spec: Path, name: str, text: str, target: str
) -> None:
    Path(name).write_text(text)
    outcome = dsbridge("launch", name, "--target", target)
    assert outcome.code == 2
    assert "LN024" in outcome.err
    assert "train.py" in outcome.err
