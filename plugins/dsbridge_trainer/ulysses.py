"""Ulysses under the Trainer: Accelerate's ParallelismConfig, by environment.

`TrainingArguments(parallelism_config=...)` takes an object, which no JSON holds; Accelerator reads the same
from its environment (accelerate 1.15.0 accelerator.py:459, parallelism_config.py __post_init__).
"""

from __future__ import annotations

from dsbridge.sdk import UNSET, Diagnostic, ParallelSpec, Word, dims
from dsbridge_trainer import codes

_PREFIX = "PARALLELISM_CONFIG_"
PATHS = ("ulysses", "ulysses_sequence_length_is_variable", "ulysses_attention")
CLAIMED = frozenset(f"parallelism.{name}" for name in PATHS)


def environment(spec: ParallelSpec) -> tuple[dict[str, Word], list[Diagnostic]]:
    """What `launch.sh` exports for Ulysses; nothing when each rank has its own sequences."""
    layout, wanted = dims(spec), spec.parallelism
    if layout.ulysses == 1:
        return {}, []
    if layout.data_parallel is None:
        return {}, [_missing("the data-parallel size is not known", "Give `cluster.gpus_per_node`.")]
    env: dict[str, Word] = {
        "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
        f"{_PREFIX}SP_BACKEND": "deepspeed",
        f"{_PREFIX}SP_SIZE": str(layout.ulysses),
        f"{_PREFIX}DP_SHARD_SIZE": str(layout.data_parallel),
    }
    variable = wanted.ulysses_sequence_length_is_variable
    if variable is not UNSET:
        env[f"{_PREFIX}SP_SEQ_LENGTH_IS_VARIABLE"] = str(variable).lower()
    if variable is False:
        length = spec.training.sequence_length
        if length is UNSET:
            return {}, [_missing("sequences of one length, but which?", "Give `training.sequence_length`.")]
        env[f"{_PREFIX}SP_SEQ_LENGTH"] = str(length)
    kind = attention(spec)
    if kind == "eager" or spec.model.attention not in (UNSET, kind):
        message = f"its attention is {kind}, that of the model {spec.model.attention}"
        return {}, [_missing(message, "Both must be the same: sdpa, flash_attention_2 or flash_attention_3.")]
    env[f"{_PREFIX}SP_ATTN_IMPLEMENTATION"] = kind
    # deepspeed 0.19.8 runtime/sequence_parallel/ulysses_sp.py:667 ValueError
    hint = "Add `position_ids = torch.arange(length)` to each sample in your script or collator."
    message = "with `parallelism.ulysses` every batch must hold `position_ids`, or DeepSpeed stops"
    return env, [codes.ULYSSES_DATA(message, hint=hint, key="parallelism.ulysses")]


def attention(spec: ParallelSpec) -> str:
    """What the ranks run on their heads, which the model must be loaded with.

    Unset is None to DeepSpeed, which then finds another in every model and stops (deepspeed 0.19.8
    runtime/sequence_parallel/ulysses_sp.py:461 ValueError).
    """
    kinds = (spec.parallelism.ulysses_attention, spec.model.attention, "sdpa")
    return str(next(kind for kind in kinds if kind is not UNSET))


def _missing(message: str, hint: str) -> Diagnostic:
    return codes.ULYSSES(f"`parallelism.ulysses`: {message}", hint=hint, key="parallelism.ulysses")
