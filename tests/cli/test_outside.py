"""Files that an input names outside of its folder: parse, migrate and diff refuse, explain reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
TRAIN = """model_name_or_path: {model}
stage: sft
do_train: true
finetuning_type: full
dataset: mine
template: qwen
output_dir: out
bf16: true
deepspeed: {ds}
"""
DS = (
    '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 3}, "bf16": {"enabled": true}}'
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("work/ds.json", "other/ds.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(DS)
    (tmp_path / "other" / "config.json").write_text('{"hidden_size": 64}')
    (tmp_path / "work" / "link.json").symlink_to(tmp_path / "other" / "ds.json")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def train(home: Path, ds: str, model: str = "some/model") -> str:
    (home / "work" / "train.yaml").write_text(TRAIN.format(ds=ds, model=model))
    return "train.yaml"


OUTSIDE = ["../other/ds.json", "{home}/other/ds.json", "link.json"]


@pytest.mark.parametrize("ds", OUTSIDE)
@pytest.mark.parametrize(
    "argv",
    [
        ("parse", "train.yaml"),
        ("migrate", "train.yaml", "--to", "trainer"),
        ("diff", "train.yaml", "ds.json"),
    ],
    ids=lambda argv: argv[0],
)
def test_refused_unless_allowed(argv: tuple[str, ...], ds: str, home: Path, dsbridge: Run) -> None:
    train(home, ds.format(home=home))
    outcome = dsbridge(*argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("IN007 outside") == 1
    assert "pass --allow-outside" in outcome.err
    assert dsbridge(*argv, "--allow-outside").code in (0, 1)


def test_a_script_that_names_a_config_outside(home: Path, dsbridge: Run) -> None:
    call = f'import deepspeed\ndeepspeed.initialize(model=model, config="{home}/other/ds.json")\n'
    (home / "work" / "train.py").write_text(call)
    outcome = dsbridge("parse", "train.py", "--from", "deepspeed")
    assert (outcome.code, outcome.out) == (2, "")
    assert "IN007 outside" in outcome.err


def test_beside_the_file_is_read(home: Path, dsbridge: Run) -> None:
    assert "stage: 3" in dsbridge("parse", train(home, "ds.json")).out


def test_named_on_the_command_line_is_read(home: Path, dsbridge: Run) -> None:
    train(home, "ds.json")
    words = ("llamafactory-cli", "train", "train.yaml", "deepspeed=../other/ds.json")
    outcome = dsbridge("parse", "--", *words)
    assert outcome.code == 0
    assert "stage: 3" in outcome.out


def test_explain_reads_what_the_input_names(home: Path, dsbridge: Run) -> None:
    outcome = dsbridge("explain", train(home, "../other/ds.json"), "--world-size", "2")
    assert outcome.code == 0
    assert "IN007" not in outcome.err


def test_a_model_elsewhere_is_no_reason_to_stop(home: Path, dsbridge: Run) -> None:
    outcome = dsbridge("parse", train(home, "ds.json", str(home / "other")))
    assert outcome.code == 0
    assert "warning IN007 outside" in outcome.err or "IN007" not in outcome.err


def test_a_url_is_not_followed(home: Path, dsbridge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    for command in (("parse",), ("migrate", "--to", "trainer"), ("diff", "ds.json")):
        outcome = dsbridge(*command, train(home, "https://example.com/ds.json"))
        assert "internal error" not in outcome.err
