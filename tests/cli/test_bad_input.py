"""Bad input: exit 2, every mistake with its place, no traceback, nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.golden import check_golden

BAD = sorted((ROOT / "tests" / "cases" / "bad").glob("*.yaml"))


def test_there_are_fifty_bad_specs() -> None:
    assert len(BAD) >= 50


@pytest.mark.parametrize("spec", BAD, ids=lambda p: p.stem)
def test_bad_spec(spec: Path, dsbridge: Callable[..., Any], in_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = dsbridge("render", spec.relative_to(ROOT), "--target", "deepspeed", "--out", out)
    assert outcome.code == 2
    assert outcome.out == ""
    assert not out.exists()
    assert f"tests/cases/bad/{spec.name}" in outcome.err
    check_golden(spec.with_suffix(".expected"), outcome.err)


def bad_file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "dsbridge.yaml"
    path.write_bytes(content)
    return path


def test_ten_megabytes_of_brackets(dsbridge: Callable[..., Any], tmp_path: Path) -> None:
    outcome = dsbridge("render", bad_file(tmp_path, b"[" * 10_000_000), "--target", "deepspeed")
    assert outcome.code == 2
    assert "10,000,000 bytes; at most 4,194,304 are read" in outcome.err


def test_deep_brackets_of_a_size_that_is_read(dsbridge: Callable[..., Any], tmp_path: Path) -> None:
    outcome = dsbridge("render", bad_file(tmp_path, b"zero: " + b"[" * 50_000), "--target", "deepspeed")
    assert outcome.code == 2
    assert "nested deeper than 64 levels" in outcome.err


def test_very_long_number(dsbridge: Callable[..., Any], tmp_path: Path) -> None:
    outcome = dsbridge("render", bad_file(tmp_path, b"version: " + b"1" * 10_000), "--target", "deepspeed")
    assert outcome.code == 2
    assert "`version` is" in outcome.err
    assert len(outcome.err) < 400


def test_a_folder(dsbridge: Callable[..., Any], tmp_path: Path) -> None:
    outcome = dsbridge("render", tmp_path, "--target", "deepspeed")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is a folder, not a file" in outcome.err


def test_an_absent_file(
    dsbridge: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = dsbridge("render", "--target", "deepspeed")
    assert (outcome.code, outcome.out) == (2, "")
    assert "cannot read dsbridge.yaml: No such file or directory" in outcome.err


def test_a_file_that_may_not_be_read(
    dsbridge: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bad_file(tmp_path, b"version: 1\n")
    spec.chmod(0)
    if os.access(spec, os.R_OK):  # root reads everything; the system's answer is then given by hand

        def refuse(self: Path) -> bytes:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "read_bytes", refuse)
    outcome = dsbridge("render", spec, "--target", "deepspeed")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"cannot read {spec}: Permission denied" in outcome.err


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("zero.stage", "has no ="),
        ("=3", "has no key"),
        ("zero..stage=3", "has no key"),
        ("version.x=3", "cannot be set inside int 1"),
        ("zero.stage=[", "not valid YAML"),
        ("zero.stag=3", "Did you mean `stage`?"),
    ],
)
def test_bad_set(sets: str, said: str, dsbridge: Callable[..., Any], tmp_path: Path) -> None:
    spec = bad_file(tmp_path, b"version: 1\nzero: {stage: 2}\n")
    outcome = dsbridge("render", spec, "--target", "deepspeed", "--set", sets)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert f"--set {sets}" in outcome.err


def test_unknown_target(dsbridge: Callable[..., Any], in_root: Path) -> None:
    outcome = dsbridge("render", "examples/zero2-lora/dsbridge.yaml", "--target", "xtunr")
    assert outcome.code == 2
    assert "Did you mean `xtuner`?" in outcome.err


def test_missing_target_and_unknown_option(dsbridge: Callable[..., Any], in_root: Path) -> None:
    assert "--target" in dsbridge("render", "examples/zero2-lora/dsbridge.yaml").err
    outcome = dsbridge("render", "--tagret", "x")
    assert outcome.code == 2
    assert "No such option" in outcome.err
