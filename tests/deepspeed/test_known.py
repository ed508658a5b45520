"""Which keys a release reads, from the harvested tables."""

from __future__ import annotations

import pytest

from dsbridge.deepspeed.known import NO_DEFAULT, harvested, known_keys, releases_with

RELEASES = harvested()


def test_every_release_of_the_range_was_harvested() -> None:
    """One of each minor version's patches is missing from none, as they were numbered."""
    patches: dict[str, list[int]] = {}
    for version in RELEASES:
        minor, _, patch = version.rpartition(".")
        patches.setdefault(minor, []).append(int(patch))
    assert list(patches) == ["0.16", "0.17", "0.18", "0.19"]
    for minor, found in patches.items():
        first = 2 if minor == "0.16" else 0
        assert found == list(range(first, found[-1] + 1))


@pytest.mark.parametrize(
    ("path", "name", "first", "last"),
    [
        ("", "zero_optimization", "0.16.2", "0.19.8"),
        ("", "tensor_parallel", "0.16.4", "0.19.8"),
        ("", "torch_autocast", "0.17.2", "0.19.8"),
        ("", "seq_parallel_comm_data_type", "0.16.2", "0.16.4"),
        ("aio", "thread_count", "0.16.2", "0.16.3"),
        ("fp16", "auto_cast", "0.16.2", "0.19.8"),
        ("checkpoint.writer", "decoupled", "0.17.1", "0.19.8"),
        ("zero_optimization", "cpu_offload", "0.16.2", "0.19.8"),
    ],
)
def test_a_key_is_known_from_one_release_to_another(path: str, name: str, first: str, last: str) -> None:
    known = releases_with(path, name)
    assert (known[0], known[-1]) == (first, last)
    assert known == RELEASES[RELEASES.index(first) : RELEASES.index(last) + 1]


def test_what_becomes_of_an_unknown_key_differs_by_block_and_release() -> None:
    old, new = known_keys("0.16.9"), known_keys("0.19.8")
    assert new[""].unknown == new["aio"].unknown == "ignored"
    assert new["zero_optimization"].unknown == new["zero_optimization.offload_param"].unknown == "refused"
    assert (old["fp16"].unknown, new["fp16"].unknown) == ("ignored", "refused")
    assert new["optimizer.params"].unknown == "kept"


def test_both_names_of_a_field_are_known() -> None:
    zero = known_keys("0.19.8")["zero_optimization"].keys
    assert zero["stage3_max_live_parameters"].other_name == "max_live_parameters"
    assert zero["max_live_parameters"].other_name == "stage3_max_live_parameters"
    blocks = known_keys("0.19.8")
    assert blocks["tensor_parallel.tp"].keys == blocks["tensor_parallel.tensor_parallel"].keys


def test_a_deprecated_key_names_its_replacement() -> None:
    key = known_keys("0.18.4")["zero_optimization"].keys["cpu_offload"]
    assert key.deprecated
    assert key.replacement == "offload_optimizer"


def test_removed_keys_are_told_from_unknown_ones() -> None:
    top = known_keys("0.19.8")[""]
    assert "removed" in top.removed["nebula"]
    assert "nebula" not in top.keys
    assert "nebula" in known_keys("0.18.4")[""].keys
    assert "mics_shard_size" in known_keys("0.19.8")["zero_optimization"].removed


def test_keys_read_one_by_one_have_what_was_tried_on_them() -> None:
    top = known_keys("0.19.8")[""].keys
    assert top["train_batch_size"].refuses[-1] == "object"
    assert "integer" not in top["train_batch_size"].refuses
    assert top["communication_data_type"].choices == ("bf16", "fp16", "fp32")
    assert "auto" not in top["gradient_clipping"].refuses
    assert top["optimizer"].block == "optimizer"
    assert top["optimizer"].default is NO_DEFAULT


def test_a_block_whose_entries_the_user_names() -> None:
    blocks = known_keys("0.18.4")
    groups = "compression_training.row_pruning.different_groups"
    assert blocks[groups].named_by_user
    assert set(blocks[f"{groups}.*"].keys) == {"modules", "params", "related_modules"}


def test_a_release_between_stands_for_itself_and_one_beyond_for_the_nearest() -> None:
    assert known_keys("0.17.5") != known_keys("0.16.9")
    assert known_keys("0.19.99") == known_keys(RELEASES[-1])


def test_parameters_of_optimizers_and_schedulers_are_those_of_their_classes() -> None:
    blocks = known_keys("0.19.8")
    assert {"lr", "betas", "torch_adam"} <= set(blocks["optimizer.params"].keys)
    assert {"warmup_num_steps", "total_num_steps"} <= set(blocks["scheduler.params"].keys)
