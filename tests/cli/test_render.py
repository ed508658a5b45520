"""`dsbridge render`: what is printed, what is written, and how it ends."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsbridge.formats.yaml import read_yaml
from dsbridge.spec.schema import spec_schema

SPEC = """\
version: 1
cluster: {gpus_per_node: 2}
zero: {stage: 2}
batch: {micro_per_gpu: 4, accumulation: 2}
precision: {dtype: bf16}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "dsbridge.yaml"
    path.write_text(SPEC)
    return path


def test_prints_files_and_writes_nothing(dsbridge: Callable[..., Any], spec: Path) -> None:
    outcome = dsbridge("render", spec, "--target", "deepspeed")
    assert outcome.code == 0
    assert "==> ds_config.json <==" in outcome.out
    assert "==> launch.sh <==" in outcome.out
    assert [p.name for p in spec.parent.iterdir()] == ["dsbridge.yaml"]


def test_takes_the_spec_of_the_current_folder(
    dsbridge: Callable[..., Any], spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    assert dsbridge("render", "--target", "deepspeed").code == 0


def test_json_is_the_contract(dsbridge: Callable[..., Any], spec: Path) -> None:
    outcome = dsbridge("render", spec, "--target", "deepspeed", "--format", "json")
    assert outcome.err == ""
    result = outcome.json
    assert list(result) == ["target", "files", "launch", "diagnostics"]
    assert list(result["launch"]) == ["env", "argv", "script"]
    assert result["files"]["launch.sh"] == result["launch"]["script"]
    assert result["launch"]["argv"][0] == "torchrun"


def test_writes_and_does_not_overwrite(dsbridge: Callable[..., Any], spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert dsbridge("render", spec, "-t", "deepspeed", "-o", out).code == 0
    written = {p.name: p.read_text() for p in out.iterdir()}
    assert set(written) == {"ds_config.json", "launch.sh"}
    again = dsbridge("render", spec, "-t", "deepspeed", "-o", out, "--set", "zero.stage=3")
    assert again.code == 2
    assert "exists already" in again.err
    assert {p.name: p.read_text() for p in out.iterdir()} == written
    forced = dsbridge("render", spec, "-t", "deepspeed", "-o", out, "--set", "zero.stage=3", "--force")
    assert forced.code == 0
    assert '"stage": 3' in (out / "ds_config.json").read_text()


def test_one_existing_file_stops_all(dsbridge: Callable[..., Any], spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "launch.sh").write_text("mine")
    assert dsbridge("render", spec, "-t", "deepspeed", "-o", out).code == 2
    assert [p.name for p in out.iterdir()] == ["launch.sh"]
    assert (out / "launch.sh").read_text() == "mine"


def test_a_file_in_place_of_the_folder(dsbridge: Callable[..., Any], spec: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    outcome = dsbridge("render", spec, "-t", "deepspeed", "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "cannot write" in outcome.err
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_in_place_of_a_file_leaves_nothing_half_written(
    dsbridge: Callable[..., Any], spec: Path, tmp_path: Path
) -> None:
    (tmp_path / "run" / "launch.sh").mkdir(parents=True)
    outcome = dsbridge("render", spec, "-t", "deepspeed", "-o", tmp_path / "run", "--force")
    assert outcome.code == 2
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["launch.sh"]


def test_the_script_can_be_run_and_the_rest_is_readable(
    dsbridge: Callable[..., Any], spec: Path, tmp_path: Path
) -> None:
    mask = os.umask(0o022)
    try:
        dsbridge("render", spec, "-t", "deepspeed", "-o", tmp_path / "run")
    finally:
        os.umask(mask)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "run").iterdir()}
    assert modes == {"launch.sh": 0o755, "ds_config.json": 0o644}


def test_refusal_is_exit_1_and_writes_nothing(
    dsbridge: Callable[..., Any], spec: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    argv = ("render", spec, "-t", "deepspeed", "-o", out, "--set", "optimizer.type=adafactor")
    outcome = dsbridge(*argv)
    assert outcome.code == 1
    assert "DS003 optimizer-block" in outcome.err
    assert "--set optimizer.type=adafactor" in outcome.err
    assert not out.exists()
    result = dsbridge(*argv, "--format", "json").json
    assert result["files"] == {}
    assert result["diagnostics"][0]["severity"] == "error"


def test_a_reader_that_goes_away_is_no_error(spec: Path) -> None:
    command = f"{sys.executable} -m dsbridge render {spec} -t deepspeed | head -c 3"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"==>", b"")


@pytest.mark.slow
def test_schema_accepts_every_example_and_refuses_a_typo(dsbridge: Callable[..., Any], in_root: Path) -> None:
    schema = dsbridge("schema").json
    assert schema == spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    examples = list((in_root / "examples").glob("*/dsbridge.yaml"))
    assert len(examples) >= 7
    for path in examples:
        text = path.read_text()
        assert text.startswith("# yaml-language-server: $schema=")
        jsonschema.validate(read_yaml(text).value, schema)
    with pytest.raises(jsonschema.ValidationError, match="zeros"):
        jsonschema.validate({"zeros": {"stage": 2}}, schema)


def test_the_schema_beside_the_examples_is_the_current_one(in_root: Path) -> None:
    assert json.loads((in_root / "examples" / "dsbridge.schema.json").read_text()) == spec_schema()
