"""What is found of an engine where there is none; with one, conformance asks (`nox -s "hooks(hf)"`)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dsbridge.hooks.live import effective, engine_for, engine_on_stack
from dsbridge.hooks.ranks import gathered
from tests.conftest import ROOT

FRAMEWORKS = ("torch", "transformers", "accelerate", "deepspeed", "mmengine", "xtuner")


def test_no_engine_is_found_where_none_is() -> None:
    assert engine_for(object()) is None
    assert engine_for(None) is None
    assert engine_on_stack() is None


def test_alone_a_rank_hears_itself() -> None:
    assert gathered(["mine"]) == [["mine"]]


def test_nothing_is_told_of_packages_that_the_program_does_not_use() -> None:
    assert "deepspeed" not in effective(None)["versions"]


def test_importing_the_hooks_imports_no_framework() -> None:
    code = "import sys, dsbridge.hooks; dsbridge.hooks.verify_engine, dsbridge.hooks.training_arguments; "
    code += f"print([name for name in {FRAMEWORKS} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_none() -> None:
    import dsbridge.hooks

    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        _ = dsbridge.hooks.verfy
