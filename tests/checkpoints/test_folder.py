"""Folders by their names and texts: whose they are, and where DeepSpeed's part lies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dsbridge.checkpoints.folder import read_checkpoint, safe
from tests.checkpoints.making import checkpoint, optim_states, saved


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_what_deepspeed_wrote(tmp_path: Path, stage: int) -> None:
    found = read_checkpoint(str(checkpoint(tmp_path, stage)))
    assert (found.kind, found.tag, found.latest) == ("deepspeed", "global_step7", "global_step7")
    one = found.saved
    assert one is not None
    assert (one.stage, one.dp, one.tp, one.steps, one.version) == (stage, 2, 1, 7, "0.19.8")
    assert one.states == ("exp_avg", "exp_avg_sq")
    assert one.bf16_names is (True if stage else None)
    assert not one.damaged
    assert not one.unread


def test_a_trainers_checkpoint(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 7}))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8}))
    for rank in range(2):
        (tmp_path / f"rng_state_{rank}.pth").write_bytes(b"")
    found = read_checkpoint(str(tmp_path))
    assert found.kind == "trainer"
    assert found.ranks == {0, 1}
    assert found.trainer["global_step"] == 7
    assert found.adapter["r"] == 8


def test_a_folder_of_checkpoints(tmp_path: Path) -> None:
    for step in (20, 100, 3):
        checkpoint(tmp_path / f"checkpoint-{step}")
    found = read_checkpoint(str(tmp_path))
    assert (found.kind, found.inside) == ("runs", ("checkpoint-3", "checkpoint-20", "checkpoint-100"))


def test_accelerates_and_mmengines(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a")
    (tmp_path / "a" / "global_step7").rename(tmp_path / "a" / "pytorch_model")
    (tmp_path / "a" / "latest").unlink()
    found = read_checkpoint(str(tmp_path / "a"))
    assert (found.kind, found.tag) == ("accelerate", "pytorch_model")
    checkpoint(tmp_path / "m")
    (tmp_path / "m" / "global_step7").rename(tmp_path / "m" / "iter_7.pth")
    (tmp_path / "m" / "latest").unlink()
    (tmp_path / "m" / "last_checkpoint").write_text(str(tmp_path / "m" / "iter_7.pth"))
    found = read_checkpoint(str(tmp_path / "m" / "iter_7.pth"))
    assert (found.kind, found.tag) == ("mmengine", "iter_7.pth")
    assert found.saved is not None
    assert found.saved.stage == 2


def test_the_newest_tag_without_latest(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    (tmp_path / "latest").unlink()
    (tmp_path / "global_step10").mkdir()
    (tmp_path / "global_step7").rename(tmp_path / "global_step11")
    assert read_checkpoint(str(tmp_path)).tag == "global_step11"


@pytest.mark.parametrize("name", ["absent", "file", "empty", "\x00", "a" * 5000])
def test_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    found = read_checkpoint(str(tmp_path / name))
    assert found.saved is None
    assert found.kind in ("absent", "file", "")


@pytest.mark.parametrize("tag", ["../..", "/etc", "a/../../b", "", "x\x00y"])
def test_a_tag_stays_in_the_folder(tmp_path: Path, tag: str) -> None:
    assert not safe(tag)
    (tmp_path / "latest").write_text(tag)
    assert read_checkpoint(str(tmp_path)).saved is None


def test_a_pipe_called_latest_does_not_stop_us(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    (tmp_path / "latest").unlink()
    os.mkfifo(tmp_path / "latest")
    assert read_checkpoint(str(tmp_path)).latest in (None, "")


def test_broken_files_are_told(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    tag = tmp_path / "global_step7"
    shard = tag / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
    shard.write_bytes(shard.read_bytes()[:50])
    (tag / "mp_rank_00_model_states.pt").write_bytes(b"PK nothing" + b"\0" * 100)
    found = read_checkpoint(str(tmp_path)).saved
    assert found is not None
    assert set(found.damaged) == {shard.name, "mp_rank_00_model_states.pt"}
    assert (found.stage, found.dp) == (2, 2)


def test_pickles_that_say_strange_things(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    tag = tmp_path / "global_step7"
    odd = {
        "dp_world_size": "x",
        "module": 3,
        "ds_config": [1],
        "param_shapes": 5,
        "global_steps": None,
        "optimizer": 1,
    }
    saved(tag / "mp_rank_00_model_states.pt", odd)
    for value in (7, {"optimizer_state_dict": 5}, optim_states(zero_stage="x", partition_count="y")):
        saved(tag / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", value)
        found = read_checkpoint(str(tmp_path)).saved
        assert found is not None
        assert (found.dp, found.steps) == (2, None)
