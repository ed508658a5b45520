"""Start-up: a command imports what it needs and nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = {
    "torch", "transformers", "deepspeed", "accelerate", "llamafactory", "xtuner", "mmengine",
    "ruamel", "libcst", "jinja2", "rich", "pydantic", "hypothesis", "numpy",
}  # fmt: skip
RUN = """
import json, sys
from dsbridge.cli import main
sys.argv = ["dsbridge", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as stop:
    modules = sorted(name.split(".")[0] for name in sys.modules)
    print(json.dumps({"code": stop.code, "modules": modules}), file=sys.stderr)
"""


def loaded_by(*argv: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(argv)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["code"] in (0, 1), done.stderr
    return set(report["modules"])


@pytest.mark.parametrize("target", ["accelerate", "deepspeed", "llamafactory", "trainer", "xtuner"])
def test_render_imports_nothing_heavy(target: str) -> None:
    assert not loaded_by("render", "examples/zero2-lora/dsbridge.yaml", "--target", target) & HEAVY


def test_plan_imports_nothing_heavy() -> None:
    words = ("--model", "Qwen2.5-7B", "--gpu", "h100-80gb", "--gpus", "8")
    assert not loaded_by("plan", *words) & HEAVY


@pytest.mark.parametrize("command", ["targets", "schema", "--help", "--version"])
def test_other_commands_import_nothing_heavy(command: str) -> None:
    assert not loaded_by(command) & HEAVY


def test_the_check_can_fail() -> None:
    assert "json" in loaded_by("--version")
