"""Docs that cannot drift: schemas hold for real output, README shows what the command prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsbridge.checking.settings import KEYS, read_settings, unknown_codes
from dsbridge.cli.rulepage import WITH_CODES, diagnostic_codes, facts_used
from dsbridge.plugins import registry
from tests.conftest import ROOT
from tools import consoles
from tools.docgen import PAGES
from tools.rulepages import FACTS

SCHEMAS = ROOT / "docs" / "reference" / "schemas"
TARGETS = ("accelerate", "deepspeed", "llamafactory", "trainer", "xtuner")


def schema(name: str) -> Any:
    found = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("example", ["qlora-zero2-xtuner", "fsdp2", "multi-node-zero3"])
def test_render_output_follows_its_schema(
    target: str, example: str, dsbridge: Callable[..., Any], in_root: Any
) -> None:
    outcome = dsbridge("render", f"examples/{example}/dsbridge.yaml", "--target", target, "--format", "json")
    assert outcome.code in (0, 1)
    jsonschema.validate(outcome.json, schema("render"))


def test_targets_output_follows_its_schema(dsbridge: Callable[..., Any]) -> None:
    jsonschema.validate(dsbridge("targets", "--format", "json").json, schema("targets"))


def test_readme_shows_what_its_first_command_prints(dsbridge: Callable[..., Any], in_root: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"\.venv/bin/dsbridge (render \S+ --target \S+)", readme)
    assert command
    outcome = dsbridge(*command[1].split())
    assert outcome.code == 0
    assert f"```text\n{outcome.out.strip()}\n```" in readme
    assert f"```text\n{outcome.err.strip()}\n```" in readme


def test_readme_shows_what_explain_prints(dsbridge: Callable[..., Any], in_root: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^\.venv/bin/dsbridge (explain .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        outcome = dsbridge(*command.split())
        assert outcome.code == 0
        assert f"```text\n{outcome.out.strip()}\n```" in readme


def test_readme_shows_what_parse_and_migrate_print(
    dsbridge: Callable[..., Any], in_root: Any, tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^\.venv/bin/dsbridge ((?:parse|migrate) .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        outcome = dsbridge(*command.replace("--out new", f"--out {tmp_path / 'new'}").split())
        assert outcome.code == 0
        for printed in (outcome.out, outcome.err):
            assert f"```text\n{printed.strip()}\n```".replace(str(tmp_path / "new"), "new") in readme


def test_readme_shows_what_plan_prints(dsbridge: Callable[..., Any], in_root: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"^\.venv/bin/dsbridge (plan .*)$", readme, re.MULTILINE)
    assert command
    outcome = dsbridge(*command[1].split())
    assert (outcome.code, outcome.err) == (0, "")
    assert f"```text\n{outcome.out.strip()}\n```" in readme


def test_readme_shows_what_diff_prints(dsbridge: Callable[..., Any], in_root: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^\.venv/bin/dsbridge (diff .*)$", readme, re.MULTILINE)
    outcome = dsbridge(*command.split())
    assert (outcome.code, outcome.err) == (1, "")
    assert f"```text\n{outcome.out.strip()}\n```" in readme


def test_readme_shows_what_check_prints(dsbridge: Callable[..., Any], in_root: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    plain, diff = re.findall(r"^\.venv/bin/dsbridge (check .*)$", readme, re.MULTILINE)
    outcome = dsbridge(*plain.split())
    assert (outcome.code, outcome.err) == (1, "")
    assert f"```text\n{outcome.out.strip()}\n```" in readme
    outcome = dsbridge(*diff.split())
    assert outcome.code == 1
    assert f"```diff\n{outcome.out.strip()}\n```" in readme


@pytest.mark.parametrize("page", PAGES)
def test_reference_pages_are_what_the_declarations_give(page: str) -> None:
    assert (ROOT / "docs" / "reference" / page).read_text() == PAGES[page](), "run python -m tools.docgen"


@pytest.mark.slow
@pytest.mark.parametrize("page", consoles.PAGES)
def test_how_to_pages_show_what_their_commands_print(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == consoles.page(page), "run python -m tools.docgen"


def test_the_page_on_checking_shows_settings_that_are_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "checking.md").read_text()
    (settings,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "pyproject.toml"
    file.write_text(settings)
    found = read_settings(file)
    assert found is not None
    assert not unknown_codes(found.codes(), diagnostic_codes(), str(file))
    for key in KEYS:
        assert f"{key} =" in settings, f"docs/checking.md does not show `{key}`"


def test_every_fact_has_a_meaning() -> None:
    # the last five come with the input or from flags, whether a rule asks for them or not
    flags = {"local_world_size", "gpus", "hidden_size", "num_training_steps", "fp16_supported"}
    assert set(facts_used()) <= set(FACTS)
    assert set(FACTS) <= set(facts_used()) | flags


def test_every_code_of_every_plugin_is_unique_and_titled() -> None:
    for code, (known, origin) in registry().codes.items():
        assert known.code == code
        assert known.title.endswith("."), f"{code} of {origin}"


def test_every_code_of_the_core_is_said_once() -> None:
    written = [p for p in (ROOT / "dsbridge").rglob("*.py") if "\nCODES = " in p.read_text(encoding="utf-8")]
    modules = {".".join(path.relative_to(ROOT / "dsbridge").with_suffix("").parts) for path in written}
    assert modules == set(WITH_CODES)
    codes = [code.code for module in WITH_CODES for code in import_module(f"dsbridge.{module}").CODES]
    assert len(codes) == len(set(codes)), [code for code in codes if codes.count(code) > 1]


def test_every_command_has_help_with_its_exit_codes(dsbridge: Callable[..., Any]) -> None:
    from dsbridge.cli import COMMANDS

    top = dsbridge("--help")
    assert top.code == 0
    for name in COMMANDS:
        assert name in top.out
        assert dsbridge(name, "--help").code == 0
    assert "Exit code" in dsbridge("render", "--help").out
