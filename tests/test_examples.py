"""Every example: rendered by the command its README gives, equal to the files beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsbridge.checking.running import Report, check_units
from dsbridge.checking.units import units_of
from dsbridge.diagnostics import Severity
from dsbridge.plugins import registry
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.load import load_file
from tests.conftest import ROOT
from tests.golden import check_golden

EXAMPLES = sorted(p.parent for p in (ROOT / "examples").glob("*/dsbridge.yaml"))
SEVEN = {
    "autotp-zero1-llamafactory", "zero2-lora", "zero3-offload-cpu", "zero3-nvme",
    "qlora-zero2-xtuner", "fsdp2", "multi-node-zero3",
}  # fmt: skip
COMMAND = re.compile(r"^dsbridge render (\S+/dsbridge\.yaml) --target (\S+)(?: --out (\S+))?$", re.MULTILINE)


def commands(example: Path) -> list[tuple[str, str]]:
    """(spec, target) of each `dsbridge render` line in the example's README."""
    return [(m[1], m[2]) for m in COMMAND.finditer((example / "README.md").read_text())]


CASES = [(e, spec, target) for e in EXAMPLES for spec, target in commands(e)]


def test_all_seven_are_there_and_each_has_a_command() -> None:
    assert {e.name for e in EXAMPLES} == SEVEN
    assert {e.name for e, _, _ in CASES} == SEVEN


@pytest.mark.parametrize(("example", "spec", "target"), CASES, ids=lambda v: getattr(v, "name", v))
def test_example(
    example: Path, spec: str, target: str, dsbridge: Callable[..., Any], in_root: Path, tmp_path: Path
) -> None:
    assert spec == f"examples/{example.name}/dsbridge.yaml"
    outcome = dsbridge("render", spec, "--target", target, "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    expected = example / "expected" / target
    for path in sorted(tmp_path.iterdir()):
        check_golden(expected / path.name, path.read_text())
    check_golden(expected / "diagnostics.txt", outcome.err)
    names = {p.name for p in expected.iterdir()} - {"diagnostics.txt"}
    assert names == {p.name for p in tmp_path.iterdir()}, "a file is expected that is no longer written"


@pytest.mark.parametrize(("example", "spec", "target"), CASES, ids=lambda v: getattr(v, "name", v))
def test_the_script_is_clean_bash(example: Path, spec: str, target: str) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")  # it comes with dsbridge[test]
    script = example / "expected" / target / "launch.sh"
    done = subprocess.run([shellcheck, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def _checked(folder: Path, name: str = ".") -> Report:
    return check_units(units_of(Files(folder), [name])[0])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_what_is_rendered_checks_clean(example: Path, tmp_path: Path) -> None:
    """For every target that takes it: no error and no warning."""
    loaded = load_file(example / "dsbridge.yaml")
    written = 0
    for target in registry().frameworks:
        artifacts = render(loaded, target)
        if artifacts.refused:
            continue
        folder = tmp_path / target
        folder.mkdir()
        for name, text in artifacts.files.items():
            (folder / name).write_text(text)
        (folder / "launch.sh").write_text(artifacts.launch.script)
        report = _checked(folder)
        assert report.units, f"nobody recognises what is rendered for {target}"
        assert not [d.to_text() for d in report.findings if d.severity is not Severity.INFO]
        written += 1
    assert written


def test_only_what_shows_a_mistake_has_one() -> None:
    """`check`, `explain` and `migrate` show what dsbridge says of configs that people have."""
    report = _checked(ROOT, "examples")
    found = {
        (d.file.split("/")[1], d.code) for d in report.findings if d.file and d.severity is not Severity.INFO
    }
    shown = {"check": ("CK201", "CK202", "CK205"), "explain": ("CK202",), "migrate": ("CK202", "CK320")}
    assert found == {(name, code) for name, codes in shown.items() for code in codes}
