"""Blocks read without pydantic are what pydantic makes of them, in every version."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.deepspeed.blocks import PARTS, Blocks
from dsbridge.deepspeed.plain_blocks import NotPlain, read_plain
from dsbridge.deepspeed.pydantic_blocks import models

VERSIONS = ("0.16.2", "0.16.9", "0.18.4", "0.19.8")
NAMES = ("zero_optimization", "fp16", "bf16", "tensor_parallel", "hybrid_engine", "comms_logger", "compile")
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(-1, 4),
    st.sampled_from([5e8, 0.5, 1e-3, 2.0**60, -0.0, 1.5, 10**20]),
    st.sampled_from(["auto", "cpu", "nvme", "none", "/mnt", "3", "true", "z3"]),
    st.none(),
    st.just({}),
)


PLAIN = {
    "bool": st.booleans(),
    "int": st.sampled_from([1, 2, 500, 5e8]),
    "float": st.sampled_from([1, 0.5, 2.0]),
    "str": st.just("x"),
    "Path": st.just("/mnt"),
}


def plain_block(version: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Values of the right type, for some of the keys."""
    found = Blocks(version).class_of(name)
    rows = found[0] if found else []
    typed = {
        row.get("alias") or row["name"]: PLAIN[kind]
        for row in rows
        if (kind := str(row["type"]).removeprefix("Optional[").removesuffix("]")) in PLAIN
    }
    return st.fixed_dictionaries({}, optional=typed)


def keys(version: str, name: str) -> list[str]:
    found = Blocks(version).class_of(name)
    rows = found[0] if found else []
    return [key for row in rows for key in (row["name"], row.get("alias")) if key] + ["unknown_key"]


@st.composite
def given_blocks(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    version, name = draw(st.sampled_from(VERSIONS)), draw(st.sampled_from(NAMES))
    if draw(st.booleans()):
        return version, name, draw(plain_block(version, name))
    block = draw(st.dictionaries(st.sampled_from(keys(version, name)), VALUES, max_size=4))
    for part in ("offload_param", "offload_optimizer"):
        if name == "zero_optimization" and draw(st.booleans()):
            inner = keys(version, f"{name}.{part}")
            block[part] = draw(st.dictionaries(st.sampled_from(inner), VALUES, max_size=3))
    return version, name, block


def test_both_ways_give_the_same() -> None:
    ways: Counter[str] = Counter()

    @settings(max_examples=600)
    @given(given_blocks())
    def check(case: tuple[str, str, dict[str, Any]]) -> None:
        version, name, block = case
        blocks = Blocks(version)
        if blocks.class_of(name) is None:
            return
        try:
            plain = read_plain(name, block, blocks.class_of, PARTS)
        except NotPlain:
            ways["pydantic"] += 1
            return
        ways["plain"] += 1
        made = models(version).made(name, block)
        assert plain == made, (version, name, block)
        assert {k: type(v) for k, v in plain.items()} == {k: type(v) for k, v in made.items()}

    check()
    assert ways["plain"] >= 100
    assert ways["pydantic"] >= 100


@pytest.mark.parametrize("version", VERSIONS)
def test_what_people_write_needs_no_pydantic(version: str) -> None:
    block = {
        "stage": 3,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": 5e8,
        "stage3_prefetch_bucket_size": "auto",
        "stage3_max_live_parameters": 1e9,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "offload_param": {"device": "none", "nvme_path": None},
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    made = read_plain("zero_optimization", block, Blocks(version).class_of, PARTS)
    assert made["reduce_bucket_size"] == 500_000_000
    assert made["prefetch_bucket_size"] == 50_000_000
    assert made["offload_optimizer"]["device"] == "cpu"
    with pytest.raises(NotPlain):
        read_plain("zero_optimization", {"stge": 3}, Blocks(version).class_of, PARTS)
