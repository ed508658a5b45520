"""Checks of plugins: by the same door, held to the same contract, and named when they break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dsbridge.checking.catalogue import all_checks, check_codes, own_checks
from dsbridge.checking.running import run_example
from dsbridge.plugins import Origin, Registry, registry
from dsbridge.sdk import Check, Code, Diagnostic, Example, Framework, Severity, Subject, hookimpl
from tests.conftest import ROOT
from tests.test_plugins import framework

MINE = Origin("mine", "mine 1.0")
YOURS = Origin("yours", "yours 2.0")
PLUGIN = ROOT / "examples" / "third-party-checks"


def made(code: str = "HR001", name: str = "found") -> Check:
    kind = Code(code, name, Severity.WARNING, "Found.")

    def run(subject: Subject) -> Iterable[Diagnostic]:
        if subject.written("steps_per_print") == 1:
            yield kind("prints at every step", key="steps_per_print", at=subject.at("ds.steps_per_print"))

    ds = '{"zero_optimization": {"stage": 1}, "steps_per_print": %d}'
    return Check(
        kind, run, "It is long.", "Print less.", Example({"ds.json": ds % 1}), Example({"ds.json": ds % 9})
    )


class Plugin:
    """Brings what it is given."""

    def __init__(self, *several: Any, frameworks: tuple[Framework, ...] = ()) -> None:
        self.several, self.frameworks = several, frameworks

    @hookimpl
    def dsbridge_frameworks(self) -> Iterable[Framework]:
        return self.frameworks

    @hookimpl
    def dsbridge_checks(self) -> Iterable[Any]:
        return self.several


@pytest.fixture
def known() -> Registry:
    """All installed plugins, and room for more."""
    return registry.__wrapped__()


def test_a_plugin_brings_a_check(known: Registry) -> None:
    check = made()
    known.add(Plugin(check), MINE)
    assert all_checks(known) == (*own_checks(), check)
    assert check_codes(known)["HR001"] == check.code
    (found,) = [d for d in run_example(check.fires, known).findings if d.code == "HR001"]
    assert (found.file, found.line, found.key) == ("ds.json", 1, "steps_per_print")
    assert not [d for d in run_example(check.holds, known).findings if d.code == "HR001"]
    assert not known.failures


BROKEN = [
    (Plugin(made("hr1")), "code 'hr1': two to five capitals and three digits"),
    (Plugin(made(name="Bad Name")), "must be kebab-case"),
    (Plugin("a text"), "dsbridge_checks gives str, not dsbridge.sdk.Check"),
    (Plugin(None), "dsbridge_checks gives NoneType"),
    (Plugin(made("EX005")), "code EX005 is already taken by dsbridge itself"),
    (Plugin(made("LF001")), "code LF001 is already taken by plugin `llamafactory` (package dsbridge"),
    (Plugin(made(), made()), "code HR001 is already taken by plugin `mine`"),
]


@pytest.mark.parametrize(("plugin", "says"), BROKEN)
def test_one_that_breaks_the_contract_is_named(known: Registry, plugin: Plugin, says: str) -> None:
    known.add(plugin, MINE)
    assert all_checks(known) == own_checks()
    (failure,) = known.failures
    assert str(failure).startswith("plugin `mine` (package mine 1.0): ")
    assert says in str(failure)


def test_two_plugins_with_one_code_are_both_named(known: Registry) -> None:
    known.add(Plugin(made()), MINE)
    known.add(Plugin(made(name="other")), YOURS)
    assert [check.code.name for check in all_checks(known)][-1] == "found"
    assert [str(error) for error in known.failures] == [
        "plugin `yours` (package yours 2.0): code HR001 is already taken by plugin `mine` (package mine 1.0)"
    ]


def test_a_plugin_that_raises_does_not_stop_the_others(known: Registry) -> None:
    class Raising(Plugin):
        @hookimpl
        def dsbridge_checks(self) -> Iterable[Any]:
            raise ZeroDivisionError("by zero")

    known.add(Raising(frameworks=(framework(),)), MINE)
    known.add(Plugin(made()), YOURS)
    assert all_checks(known)[-1].code.code == "HR001"
    assert [str(error) for error in known.failures] == [
        "plugin `mine` (package mine 1.0): ZeroDivisionError: by zero"
    ]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built as a wheel and installed in a folder of its own."""
    wheels, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=PLUGIN, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def run(installed: Path, folder: Path, *argv: str) -> Any:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "dsbridge", *argv, "--format", "json"]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


DS = """{
  "zero_optimization": {"stage": 2},
  "wall_clock_breakdown": true
}
"""


def test_the_example_checks_explains_and_repairs(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text(DS)
    assert run(installed, tmp_path, "rule", "HR001")["name"] == "chatty-log"
    told = run(installed, tmp_path, "check", "ds.json")["diagnostics"]
    (found,) = [d for d in told if d["code"] == "HR001"]
    assert (found["line"], found["fix"]) == (3, "write `wall_clock_breakdown: false`")
    assert not run(installed, tmp_path, "check", "ds.json", "--ignore", "HR")["diagnostics"]
    done = run(installed, tmp_path, "check", "ds.json", "--fix")
    assert ([d["code"] for d in done["fixed"]], done["diagnostics"]) == (["HR001"], [])
    assert (tmp_path / "ds.json").read_text() == DS.replace("true", "false")
