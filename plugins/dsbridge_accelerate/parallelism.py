"""ParallelismConfig: sizes from the script, else from PARALLELISM_CONFIG_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dsbridge.rulebook import CallSite, unread

if TYPE_CHECKING:
    from dsbridge_accelerate.scripts import Values

_SIZES = {"dp_replicate_size": 0, "dp_shard_size": 1, "tp_size": 2, "cp_size": 3, "sp_size": 5}
_PREFIX = "PARALLELISM_CONFIG_"


def parallelism_of(accelerator: CallSite, values: Values, environ: Mapping[str, str]) -> dict[str, Any]:
    """The sizes, and the attention that Ulysses is told; empty without a ParallelismConfig."""
    given = accelerator.argument("parallelism_config")
    if given is None and environ.get("ACCELERATE_USE_PARALLELISM_CONFIG", "false").lower() != "true":
        return {}
    call = given if isinstance(given, CallSite) else None
    if given is not None and call is None:
        return {"sp_size": unread("accelerator.parallelism.sp_size")}
    found: dict[str, Any] = {}
    for name in _SIZES:
        path = f"accelerator.parallelism.{name}"
        value = values.take(call, name, path) if call else None
        if value is None:
            text = environ.get(f"{_PREFIX}{name.upper()}", "1")
            value = int(text) if text.isascii() and text.isdigit() else unread(path)
        found[name] = value
    path = "accelerator.parallelism.sp_attn_implementation"
    handler = call.argument("sp_handler") if call else None
    attention = (
        values.take(handler, "sp_attn_implementation", path) if isinstance(handler, CallSite) else None
    )
    if attention is None:
        attention = environ.get(f"{_PREFIX}SP_ATTN_IMPLEMENTATION")
    if attention is not None:
        found["sp_attn_implementation"] = attention
    return found
