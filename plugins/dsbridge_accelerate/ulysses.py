"""Sequence parallelism: `parallelism_config:` of the YAML, beside DeepSpeed."""

from __future__ import annotations

from dsbridge.sdk import UNSET, RenderRequest, dims, unsupported
from dsbridge_accelerate.codes import ULYSSES, VERSION
from dsbridge_accelerate.section import Section, under

_PREFIX = "parallelism_config.parallelism_config_"


def ulysses_section(request: RenderRequest) -> Section:
    """Sizes of the groups; the sequence length where it is fixed (parallelism_config.py:30-160)."""
    spec, layout = request.spec, dims(request.spec)
    section = Section(claimed=under(request.values, "parallelism.ulysses"))
    if layout.ulysses == 1:
        for path in sorted(section.claimed - {"parallelism.ulysses"}):
            reason = "it has no meaning without `parallelism.ulysses` above 1"
            section.found.append(unsupported(path, request.values[path], reason))
        return section
    section.said |= {
        f"{_PREFIX}sp_size": layout.ulysses,
        f"{_PREFIX}sp_backend": "deepspeed",
        # the global batch is micro x accumulation x dp sizes (accelerator.py:2357-2365)
        f"{_PREFIX}dp_shard_size": layout.data_parallel,
    }
    attention = spec.parallelism.ulysses_attention
    if attention is not UNSET:
        section.said[f"{_PREFIX}sp_attn_implementation"] = attention
    _length(section, request)
    message = "`parallelism_config_sp_size` needs Accelerate 1.12 and DeepSpeed 0.18.2 or newer"
    hint = (
        # deepspeed 0.19.8 runtime/sequence_parallel/ulysses_sp.py:667 ValueError
        "In your script, give every batch `position_ids`, or DeepSpeed stops, and average the loss over the "
        "ranks of a sequence, weighted by their tokens: see Accelerate's page on sequence parallelism."
    )
    section.found.append(VERSION(message, hint=hint, key="parallelism.ulysses"))
    return section


def _length(section: Section, request: RenderRequest) -> None:
    """The length is needed only where it never changes; Accelerate's default is that it does."""
    variable = request.spec.parallelism.ulysses_sequence_length_is_variable
    if variable is UNSET:
        return
    section.said[f"{_PREFIX}sp_seq_length_is_variable"] = variable
    length = request.spec.training.sequence_length
    if variable:
        return
    if length is UNSET:
        message = "sequences of one length need `training.sequence_length`"
        hint = "Give it, or write `ulysses_sequence_length_is_variable: true`."
        key = "parallelism.ulysses_sequence_length_is_variable"
        section.found.append(ULYSSES(message, hint=hint, key=key))
        return
    section.said[f"{_PREFIX}sp_seq_length"] = length
