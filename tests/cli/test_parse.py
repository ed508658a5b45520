"""parse and migrate as a user calls them: text, JSON, files, and what the exit code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cli.test_explain_bad_input import CASES as EXPLAIN_CASES
from tests.cli.test_explain_bad_input import Bad
from tests.conftest import ROOT
from tests.meta.test_docs import schema

Run = Callable[..., Any]
LF = "examples/migrate/train.yaml"


def test_the_spec_that_is_printed_loads_again(in_root: Path, dsbridge: Run, tmp_path: Path) -> None:
    outcome = dsbridge("parse", LF)
    assert outcome.code == 0
    assert outcome.out.startswith(f"# Read from {LF} as LLaMA-Factory.\nversion: 1\n")
    assert "never reaches DeepSpeed" in outcome.err
    spec = tmp_path / "dsbridge.yaml"
    written = dsbridge("import", LF, "-o", spec)
    assert (written.code, written.out) == (0, f"wrote {spec}\n")
    assert spec.read_text() == outcome.out
    assert dsbridge("render", spec, "--target", "llamafactory").code == 0
    again = dsbridge("parse", LF, "-o", spec)
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err


def test_parse_in_json(in_root: Path, dsbridge: Run) -> None:
    outcome = dsbridge("parse", LF, "--format", "json")
    assert (outcome.code, outcome.err) == (0, "")
    jsonschema.validate(outcome.json, schema("parse"))
    assert outcome.json["framework"] == "llamafactory"
    assert outcome.json["unclaimed"] == [{"key": "max_grad_norm", "file": LF, "line": 20}]
    spec = dsbridge("parse", LF).out
    assert yaml.safe_load(spec) == outcome.json["spec"]


def test_a_launch_command(in_root: Path, dsbridge: Run) -> None:
    words = ("--", "FORCE_TORCHRUN=1", "NPROC_PER_NODE=4", "llamafactory-cli", "train", LF)
    spec = dsbridge("parse", "--format", "json", *words).json["spec"]
    assert spec["cluster"] == {"nodes": 1, "gpus_per_node": 4} or spec["cluster"] == {"gpus_per_node": 4}


def test_migrate_in_json(in_root: Path, dsbridge: Run) -> None:
    outcome = dsbridge("migrate", LF, "--to", "trainer", "--format", "json")
    assert (outcome.code, outcome.err) == (0, "")
    jsonschema.validate(outcome.json, schema("migrate"))
    assert {move["status"] for move in outcome.json["mapping"]} == {"exact", "unsupported", "dropped"}
    assert json.loads(outcome.json["files"]["training_args.json"])["learning_rate"] == 1e-5


def test_migrate_writes_files_and_tells_every_key(in_root: Path, dsbridge: Run, tmp_path: Path) -> None:
    outcome = dsbridge("migrate", LF, "--to", "trainer", "--out", tmp_path / "new")
    assert outcome.code == 0
    assert (tmp_path / "new" / "ds_config.json").is_file()
    assert "train.yaml: learning_rate" in outcome.out
    assert "without a place in the target (1):\n  train.yaml: cutoff_len" in outcome.out
    again = dsbridge("migrate", LF, "--to", "trainer", "--out", tmp_path / "new")
    assert again.code == 2


def test_migrate_to_what_cannot_train_it(in_root: Path, dsbridge: Run, tmp_path: Path) -> None:
    outcome = dsbridge("migrate", LF, "--to", "xtuner", "--out", tmp_path / "new")
    assert (outcome.code, outcome.out) == (1, "")
    assert "error XT001 no-config" in outcome.err
    assert not (tmp_path / "new").exists()
    refused = dsbridge("migrate", LF, "--to", "xtuner", "--format", "json")
    assert refused.code == 1
    jsonschema.validate(refused.json, schema("migrate"))


# the same bad inputs as explain's, said to parse and migrate
SHARED = [
    name
    for name, case in EXPLAIN_CASES.items()
    if not {"--target", "-t", "--field"} & set(case.argv) and ("--" not in case.argv or name == "no-script")
]
OWN = {
    "from": Bad(("parse", "a.yaml", "--from", "trainr"), ("trainr", "`trainer`"), {"a.yaml": "a: 1"}),
    "to": Bad(("migrate", "a.yaml", "--to", "trainr"), ("trainr", "`trainer`"), {"a.yaml": "a: 1"}),
    "no-to": Bad(("migrate", "a.yaml"), ("--to",), {"a.yaml": "a: 1"}),
    "absent-base": Bad(("migrate", LF, "--to", "llamafactory", "--base", "gone.yaml"), ("gone.yaml",)),
    "bad-set": Bad(("migrate", "t.yaml", "--to", "trainer", "--set", "zero"), ("has no =",)),
}


@pytest.mark.parametrize("name", OWN)
def test_bad_input_of_their_own(
    name: str, dsbridge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = OWN[name]
    text = (ROOT / LF).read_text().replace("examples/migrate/", "")
    files = {
        "t.yaml": text,
        LF: text,
        "ds_config.json": (ROOT / "examples/migrate/ds_config.json").read_text(),
    }
    _bad(Bad(case.argv, case.says, {**files, **case.files}), dsbridge, tmp_path, monkeypatch)


@pytest.mark.parametrize("command", ["parse", "migrate"])
@pytest.mark.parametrize("name", SHARED)
def test_bad_input_of_every_reader(
    name: str, command: str, dsbridge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = EXPLAIN_CASES[name]
    argv = (command, *(("--to", "trainer") if command == "migrate" else ()), *case.argv[1:])
    _bad(Bad(argv, (), case.files), dsbridge, tmp_path, monkeypatch)


def _bad(case: Bad, dsbridge: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    outcome = dsbridge(*case.argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert all(text in outcome.err for text in case.says), outcome.err
    assert "internal error" not in outcome.err
    assert sorted(folder.rglob("*")) == before


NOTES = """\
# How I train

The training file:

```yaml
# train.yaml
model_name_or_path: m
stage: sft
do_train: true
finetuning_type: full
dataset: d
template: qwen
deepspeed: ds.json
learning_rate: 1.0e-5
```

and `ds.json`:

```json
{"zero_optimization": {"stage": 3},
 "my_key": 1}
```
"""


def test_a_config_pasted_into_markdown(
    dsbridge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    monkeypatch.chdir(tmp_path)
    outcome = dsbridge("parse", "notes.md", "--format", "json")
    assert outcome.code == 0
    assert outcome.json["framework"] == "llamafactory"
    assert outcome.json["spec"]["zero"] == {"stage": 3}
    assert outcome.json["spec"]["deepspeed"] == {"my_key": 1}
    assert outcome.json["spec"]["optimizer"] == {"lr": 1e-5}
    (tmp_path / "empty.md").write_text("# nothing\n")
    refused = dsbridge("parse", "empty.md")
    assert (refused.code, refused.out) == (2, "")
    assert "no code block of YAML, JSON or Python" in refused.err
