"""Launch scripts: bash reads back every value unchanged, and stops where a node must be told something."""

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

from dsbridge.launch.nodes import master_addr, master_port, node_rank
from dsbridge.launch.script import Variable, make_launch
from dsbridge.launch.words import torchrun_words
from dsbridge.spec.load import load_mapping

BASH = shutil.which("bash") or "bash"
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('VALUE')]))"
texts = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1, max_size=20
)


def run(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "launch.sh").write_text(script)
    clean = {k: v for k, v in os.environ.items() if k not in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")}
    return subprocess.run(
        [BASH, str(folder / "launch.sh")], capture_output=True, text=True, env={**clean, **env}, check=False
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(texts, min_size=1, max_size=3), value=texts)
def test_bash_reads_every_word_back(words: list[str], value: str, tmp_path: Path) -> None:
    launch = make_launch("header", {"VALUE": value}, (sys.executable, "-c", SHOW, *words))
    done = run(launch.script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [words, value]


def test_the_script_runs_beside_its_files(tmp_path: Path) -> None:
    launch = make_launch("header", {}, (sys.executable, "-c", "import os; print(os.getcwd())"), ["a note"])
    assert launch.script.splitlines()[:3] == ["#!/usr/bin/env bash", "# header", "# a note"]
    assert Path(run(launch.script, tmp_path).stdout.strip()).samefile(tmp_path)


def spec(**keys: Any) -> Any:
    return load_mapping({"version": 1, **keys}).spec


def test_one_node_needs_nothing_from_outside(tmp_path: Path) -> None:
    launch = make_launch("h", {}, ("echo", *torchrun_words(spec(cluster={"gpus_per_node": 4}))))
    assert run(launch.script, tmp_path).stdout.strip() == (
        "torchrun --nnodes 1 --node_rank 0 --nproc_per_node 4 --master_addr 127.0.0.1 --master_port 29500"
    )


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "NODE_RANK: set it to 0 on the first node, 1 on the second, and so on"),
        ({"NODE_RANK": "1"}, "MASTER_ADDR: set it to the address of node 0"),
    ],
)
def test_several_nodes_must_be_told_who_they_are(env: dict[str, str], said: str, tmp_path: Path) -> None:
    launch = make_launch("h", {}, ("echo", *torchrun_words(spec(cluster={"nodes": 2, "gpus_per_node": 4}))))
    done = run(launch.script, tmp_path, **env)
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stdout == ""


def test_what_the_spec_says_is_fixed() -> None:
    given_ = spec(
        cluster={"nodes": 2, "gpus_per_node": 4},
        launch={"master_addr": "node0", "master_port": 1234, "node_rank": 1},
    )
    assert (node_rank(given_), master_addr(given_), master_port(given_)) == ("1", "node0", "1234")


def test_without_a_number_of_gpus_torchrun_takes_all() -> None:
    assert "gpu" in torchrun_words(spec(zero={"stage": 1}))


def test_one_word_a_line_after_the_program() -> None:
    launch = make_launch("h", {}, ("prog", "run", "--flag", "x", "--many", "a=1", "b=2", Variable("Z", "3")))
    assert launch.script.split("exec ")[1] == (
        'prog run \\\n  --flag x \\\n  --many a=1 \\\n  b=2 \\\n  "${Z:-3}"\n'
    )
    assert launch.argv[-1] == "${Z:-3}"
