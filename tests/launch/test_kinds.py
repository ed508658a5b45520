"""Every kind for every target: read back by dsbridge's own readers, by shellcheck, and run by bash."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsbridge.artifacts import Artifacts
from dsbridge.assumed import with_script
from dsbridge.framework import Launch, RenderRequest
from dsbridge.inputs import read_input
from dsbridge.launch.outer import Node
from dsbridge.launch.slurm import batch_job
from dsbridge.plugins import registry
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.spec.load import load_mapping
from tests.launch.launches import GPUS, NODES, PAIRS, launched

SHELLCHECK = Path(sys.executable).parent / "shellcheck"
ODD = {"A": 'it\'s "$5" `x` \\ $(y)', "B": "two\nlines", "C": "-- -n"}
MEETS = {"rendezvous": "c10d", "rendezvous_id": "a b'$", "max_restarts": 2, "min_nodes": 1, "max_nodes": 4}


def scripts(made: Artifacts) -> dict[str, str]:
    return {n: text for n, text in made.files.items() if n.endswith((".sh", ".sbatch"))}


@pytest.mark.parametrize(("target", "kind"), PAIRS)
def test_explain_reads_the_printed_words_back(target: str, kind: str) -> None:
    made = launched(target, kind, master_addr="n0")
    assert not made.refused, made.diagnostics
    loaded = load_mapping({"version": 1})
    texts, _ = with_script(made, loaded.spec)
    found = read_input(registry(), Files(Path(), texts), (), launch_words(made), target)
    facts = {**found.setup.facts, **found.reading.facts}
    if (target, kind) == ("xtuner", "slurm"):
        assert facts["slurm_tasks"] == NODES * GPUS
    else:
        assert facts["world_size"] == NODES * GPUS
    assert found.framework.name == target


@pytest.mark.parametrize("meets", [{}, MEETS], ids=["static", "rendezvous"])
@pytest.mark.parametrize(("target", "kind"), PAIRS)
def test_every_script_passes_shellcheck(
    target: str, kind: str, meets: dict[str, Any], tmp_path: Path
) -> None:
    meets = {**meets, "rendezvous_id": "ab"} if meets and target == "llamafactory" else meets
    made = launched(target, kind, env=ODD, interface="eth0", nccl={"DEBUG": "INFO"}, **meets)
    assert not made.refused, made.diagnostics
    for name, text in scripts(made).items():
        path = tmp_path / name
        path.write_text(text)
        done = subprocess.run([SHELLCHECK, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("target", "kind"), PAIRS)
def test_every_setting_is_in_the_words_or_told(target: str, kind: str) -> None:
    given_ = {**MEETS, "rendezvous_id": "ab", "interface": "eth0", "hosts": ["a", "b"], "arguments": ["w"]}
    made = launched(target, kind, **given_)
    text = json.dumps([made.files, dict(made.launch.env), made.launch.argv])
    told = {d.key for d in made.diagnostics}
    said = {"rendezvous_id": "ab", "interface": "eth0", "max_restarts": "2", "arguments": '"w"'}
    for name in said:
        assert said[name] in text or f"launch.{name}" in told, name


texts = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1, max_size=12
)
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('VALUE')]))"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=st.lists(texts, min_size=1, max_size=3), value=texts)
def test_both_shells_of_a_batch_job_read_every_word_back(
    words: list[str], value: str, tmp_path: Path
) -> None:
    """The batch script's bash, and the bash of each task. srun itself is asked in conformance/launching."""
    spec = load_mapping({"version": 1, "launch": {"master_addr": "n0"}}).spec
    node = Node((sys.executable, "-c", SHOW, *words), {"VALUE": value}, (), {})
    made = batch_job(RenderRequest("trainer", spec, {}), node)
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nwhile [ "$1" != bash ]; do shift; done\nexec "$@"\n')
    srun.chmod(0o755)
    (tmp_path / "job").write_text(made.launch.script)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(tmp_path)}
    bash = shutil.which("bash") or "bash"
    done = subprocess.run([bash, tmp_path / "job"], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [words, value]


def test_the_launch_is_empty_where_it_is_refused() -> None:
    made = launched("trainer", "kubernetes", kubernetes={"api": "pytorchjob"})
    assert (made.files, made.launch) == ({}, Launch())


@pytest.mark.parametrize(("tp", "told"), [(4, False), (2, False), (8, True)])
def test_tp_groups_stay_within_a_node_or_a_warning_says_so(tp: int, told: bool) -> None:
    from dsbridge.rendering import render

    mapping = {
        "version": 1,
        "cluster": {"nodes": 2, "gpus_per_node": 4},
        "zero": {"stage": 1},
        "parallelism": {"tp": tp},
        "batch": {"micro_per_gpu": 1, "accumulation": 1},
    }
    codes = [d.code for d in render(load_mapping(mapping), "deepspeed").diagnostics]
    assert ("LN002" in codes) is told
