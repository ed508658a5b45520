"""Console blocks of how-to pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.consoles import output, rewritten

PAGE = "text\n```console\n$ dsbridge a\nold\n$ dsbridge b | head -1\n```\n```text\n$ left\n```\n"


def test_commands_stay_and_what_they_print_is_new() -> None:
    asked: list[str] = []

    def run(command: str) -> str:
        asked.append(command)
        return f"new {len(asked)}\n"

    text = rewritten(PAGE, run)
    assert asked == ["dsbridge a", "dsbridge b | head -1"]
    assert "$ dsbridge a\nnew 1\n$ dsbridge b | head -1\nnew 2\n```" in text
    assert text.endswith("```text\n$ left\n```\n")
    asked.clear()
    assert rewritten(text, run) == text


def test_a_real_command_is_run_and_cut(tmp_path: Path) -> None:
    assert output("dsbridge --version | head -1", tmp_path).startswith("dsbridge, version")
    assert output("dsbridge --help | grep -m1 -A0 'Usage'", tmp_path).lstrip().startswith("Usage: dsbridge")


def test_other_programs_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no command of dsbridge"):
        output("rm -rf x", tmp_path)
    with pytest.raises(ValueError, match="neither head"):
        output("dsbridge --version | sort", tmp_path)
