"""A config that a FILE argument names is found beside that file, then where the command runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsbridge.bounds import Bounds
from dsbridge.diagnostics import InputError
from dsbridge.explaining import explain
from dsbridge.parsing import parse
from dsbridge.reading import Files
from tests.test_parsing import LF


def write(path: Path, stage: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": stage}})
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "train.yaml").write_text(LF)
    return tmp_path


def stage(folder: Path, *given: str) -> int:
    found = explain(Files(folder), given, facts={"world_size": 2})
    return int(found.config["zero_optimization"]["stage"])


def test_beside_the_file_comes_first(folder: Path) -> None:
    write(folder / "ds.json", 1)
    assert stage(folder, "in/train.yaml") == 1
    write(folder / "in" / "ds.json", 2)
    assert stage(folder, "in/train.yaml") == 2
    assert stage(folder / "in", "train.yaml") == 2


def test_a_command_is_read_where_it_runs(folder: Path) -> None:
    write(folder / "ds.json", 1)
    write(folder / "in" / "ds.json", 2)
    words = ("FORCE_TORCHRUN=1", "llamafactory-cli", "train", "in/train.yaml")
    found = explain(Files(folder), command=words, facts={"world_size": 2})
    assert found.config["zero_optimization"]["stage"] == 1


def test_places_name_the_file_that_was_found(folder: Path) -> None:
    write(folder / "in" / "ds.json", 2)
    parsed = parse(Files(folder), ["in/train.yaml"])
    assert parsed.loaded.document.at(("zero", "stage")).file == "in/ds.json"


def test_beside_is_no_way_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "secret.json", 3)
    (folder / "in" / "train.yaml").write_text(LF.replace("ds.json", "../secret.json"))
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    given = ["../in/train.yaml"]
    with pytest.raises(InputError, match="lies outside of the folders"):
        parse(Files(bounds=Bounds(given)), given)
