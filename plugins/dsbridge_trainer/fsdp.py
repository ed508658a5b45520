"""FSDP 1 and 2 as the flat settings that Accelerate knows, without its `fsdp_` prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.sdk import UNSET, Codec, Diagnostic, Field, ParallelSpec, Placed, RenderRequest, place, show
from dsbridge_trainer import codes

_UPPER = {
    "state_dict_type": ("full_state_dict", "sharded_state_dict", "local_state_dict"),
    "backward_prefetch": ("backward_pre", "backward_post", "no_prefetch"),
}
_WRAP = {"transformer": "TRANSFORMER_BASED_WRAP", "size": "SIZE_BASED_WRAP", "none": "NO_WRAP"}
# accelerate 1.15.0 utils/dataclasses.py:1586 FullyShardedDataParallelPlugin
BOTH = (
    Field("fsdp.auto_wrap", "auto_wrap_policy", codec=Codec(words=_WRAP)),
    Field("fsdp.transformer_layer_cls", "transformer_layer_cls_to_wrap"),
    Field("fsdp.min_num_params", "min_num_params"),
    Field("fsdp.cpu_ram_efficient_loading", "cpu_ram_efficient_loading"),
    Field(
        "fsdp.state_dict_type",
        "state_dict_type",
        codec=Codec(words={w: w.upper() for w in _UPPER["state_dict_type"]}),
    ),
    Field("fsdp.activation_checkpointing", "activation_checkpointing"),
)
ONE = (
    Field(
        "fsdp.backward_prefetch",
        "backward_prefetch",
        codec=Codec(words={w: w.upper() for w in _UPPER["backward_prefetch"]}),
    ),
    Field("fsdp.forward_prefetch", "forward_prefetch"),
    Field("fsdp.use_orig_params", "use_orig_params"),
    Field("fsdp.sync_module_states", "sync_module_states"),
)
NOT_IN_TWO = tuple(row.path for row in ONE)
# read by Accelerate's FSDP 1 where the plugin is given no strategy (1.15.0 utils/dataclasses.py:1846)
STRATEGY = "FSDP_SHARDING_STRATEGY"
TWO_SHARDING = {"full_shard": True, "shard_grad_op": False}


def fsdp_settings(request: RenderRequest, *, offload: str, default_version: int) -> Placed:
    """Document "fsdp". `offload` is the reader's name for the offload of parameters."""
    spec = request.spec
    version = spec.fsdp.version or default_version
    rows = [*BOTH, Field("fsdp.offload_params", offload), *(ONE if version == 1 else ())]
    placed = place(rows, request.values)
    found = [*placed.diagnostics, *_impossible(spec, version)]
    keys: dict[str, Any] = {"version": version, **_sharding(spec, version, found)}
    keys |= placed.document("args")
    decided = {f"fsdp.{name}" for name in ("version", "sharding", "reshard_after_forward")}
    claimed = decided | {row.path for row in (*rows, *ONE)}
    return Placed({"fsdp": keys}, frozenset(claimed), tuple(found))


def _sharding(spec: ParallelSpec, version: int, found: list[Diagnostic]) -> dict[str, Any]:
    """`reshard_after_forward`: FSDP 1 takes the name of the strategy there, FSDP 2 true or false."""
    sharding, reshard = spec.fsdp.sharding, spec.fsdp.reshard_after_forward
    if version == 1:
        if reshard is not UNSET:
            hint = "FSDP 1 says it by `fsdp.sharding`: full_shard frees them, shard_grad_op keeps them."
            found.append(_refused("reshard_after_forward", reshard, version, hint))
        return {} if sharding is UNSET else {"reshard_after_forward": str(sharding)}
    if sharding is not UNSET and sharding not in TWO_SHARDING:
        hint = (
            "Write `fsdp.version: 1`, or full_shard or shard_grad_op."
            if sharding != "no_shard"
            else "Without `fsdp:` the run is plain data parallel."
        )
        found.append(_refused("sharding", sharding, version, hint))
        return {}
    said = UNSET if sharding is UNSET else TWO_SHARDING[str(sharding)]
    if reshard is not UNSET and said is not UNSET and reshard is not said:
        hint = f"`sharding: {sharding}` means {show(said)} there; keep one of the two."
        found.append(_refused("reshard_after_forward", reshard, version, hint))
    chosen = reshard if reshard is not UNSET else said
    return {} if chosen is UNSET else {"reshard_after_forward": chosen}


def _impossible(spec: ParallelSpec, version: int) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    if version == 2:
        for path in NOT_IN_TWO:
            name = path.removeprefix("fsdp.")
            value = getattr(spec.fsdp, name)
            # FSDP 2 always keeps the original parameters, and has no such switch
            if value is not UNSET and not (name == "use_orig_params" and value is True):
                found.append(_refused(name, value, version, "Remove it, or write `fsdp.version: 1`."))
        if spec.fsdp.state_dict_type == "local_state_dict":
            hint = "Write full_state_dict or sharded_state_dict."
            found.append(_refused("state_dict_type", "local_state_dict", version, hint))
    elif spec.fsdp.cpu_ram_efficient_loading is True and spec.fsdp.sync_module_states is False:
        hint = "The other ranks get the weights by sync_module_states: write true, or leave it out."
        found.append(_refused("sync_module_states", False, version, hint))
    if spec.fsdp.activation_checkpointing is True and spec.training.gradient_checkpointing is True:
        # transformers 5.23.0 trainer.py:879 ValueError
        found.append(
            codes.TWICE(
                "`fsdp.activation_checkpointing: true` and `training.gradient_checkpointing: true`",
                hint="Keep the one of `fsdp`; the other gathers the weights once more in the backward pass.",
                key="fsdp.activation_checkpointing",
            )
        )
    return found


def _refused(name: str, value: object, version: int, hint: str) -> Diagnostic:
    message = f"`fsdp.{name}: {show(value)}` cannot be said to FSDP {version}"
    return codes.FSDP_OPTION(message, hint=hint, key=f"fsdp.{name}")


def words_of(said: Mapping[str, Any]) -> list[str]:
    """`fsdp` as Transformers before the switch reads it; `said` by the names of the spec's `fsdp`."""
    default = "shard_grad_op" if said.get("reshard_after_forward") is False else "full_shard"
    words = [str(said.get("sharding", default))]
    if said.get("auto_wrap", "transformer") != "none":
        words.append("auto_wrap")
    return [*words, *(["offload"] if said.get("offload_params") else [])]
