"""The names that an input of the Trainer's has: arguments of its class, from a script, a file or flags."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.rulebook import Reading, Setup
from dsbridge.sdk import Written, flags_of, keys_of

BLOCKS = ("accelerator_config", "fsdp_config")


def written(setup: Setup, reading: Reading) -> Iterator[Written]:
    """Arguments of the class; flags are told where the parser has no class for them."""
    if "parser" not in reading.trees or "lf" in reading.trees:
        return
    parser = reading.trees["parser"]
    left = parser.get("left") or ()
    flags = {name.name for name in flags_of(setup.words.items, setup.words.source)}
    arguments = reading.trees.get("args", {})
    of_trl = reading.trees.get("trl", {}).get("class")
    surface = of_trl or parser.get("class", "TrainingArguments")
    said = {name: value for name, value in arguments.items() if f"--{name}" not in flags}
    yield from keys_of(said, reading.sources, "args", surface, BLOCKS)
    for name in flags_of(setup.words.items, setup.words.source):
        if name.name in left or name.name.removeprefix("--") in arguments:
            yield name._replace(name=name.name.removeprefix("--"))
