"""The names that an input of Accelerate's has: keys of its YAML, and flags of `accelerate launch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsbridge.rulebook import COMMAND, Reading, Setup
from dsbridge.sdk import Source, Written, flags_of, keys_of

BLOCKS = (
    "deepspeed_config", "fsdp_config", "parallelism_config", "fp8_config", "megatron_lm_config",
    "dynamo_config", "mpirun_config", "tp_config",
)  # fmt: skip


def written(setup: Setup, reading: Reading) -> Iterator[Written]:
    """Of any program that `accelerate launch` starts."""
    if "accelerate launch" not in setup.launchers:
        return
    tree = reading.trees.get("yaml")
    if isinstance(tree, Mapping):
        sagemaker = tree.get("compute_environment") == "AMAZON_SAGEMAKER"
        surface = "sagemaker" if sagemaker else "yaml"
        yield from keys_of(tree, reading.sources, "yaml", surface, () if sagemaker else BLOCKS)
    own = len(setup.whole) - len(setup.words.items)
    first = setup.words.first - own
    if setup.words.items and not setup.given:
        yield from flags_of(setup.whole[:own], lambda index: Source(COMMAND, None, first + index))
