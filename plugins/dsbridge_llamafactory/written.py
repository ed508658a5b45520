"""The names that an input of LLaMA-Factory's has: keys of its YAML, or flags."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.rulebook import Reading, Setup
from dsbridge.sdk import Written, flags_of, keys_of
from dsbridge_llamafactory.inputs import is_v1

BLOCKS = ("accelerator_config", "fsdp_config")


def written(setup: Setup, reading: Reading) -> Iterator[Written]:
    """Keys of the file, and the words behind the launcher."""
    if not {"lf", "v1"} & {*reading.trees}:
        return
    if reading.trees.get("input", {}).get("extra_allowed", False) is not False:
        return  # names of others are let through, or nobody knows whether they are
    v1 = is_v1(setup)
    surface = "v1" if v1 else "yaml"
    if "v1" in reading.trees:
        yield from keys_of(reading.trees["v1"], reading.sources, "v1", surface)
    elif reading.trees.get("input", {}).get("kind") != "flags":
        yield from keys_of(reading.trees.get("lf", {}), reading.sources, "lf", surface, BLOCKS)
    for name in flags_of(setup.words.items, setup.words.source, "v1" if v1 else "flags"):
        yield name._replace(name=name.name.removeprefix("--"))
