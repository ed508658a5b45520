"""`fsdp_config:` in the spec's words: the way back from `fsdp`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dsbridge.sdk import Claim, claimed_by
from dsbridge_accelerate.fields import FSDP1, FSDP2
from dsbridge_accelerate.given import Given

# read only with this policy; without it the value is dead and stays where it is
_WITH = {"fsdp.transformer_layer_cls": "transformer", "fsdp.min_num_params": "size"}

# What the launcher exports where the YAML is silent (1.15.0 commands/launch.py:513-607, utils/launch.py:304),
# and what the plugin then has of its own (utils/dataclasses.py:1910, 2049)
_BOTH: dict[str, Any] = {"auto_wrap": "none", "cpu_ram_efficient_loading": True, "offload_params": False}
_ONE = {"sharding": "full_shard", "state_dict_type": "full_state_dict", **_BOTH}
_TWO = {"reshard_after_forward": True, "state_dict_type": "sharded_state_dict", **_BOTH}
_SIZE = 100_000_000  # commands/launch.py:527


def unasked(claims: Iterable[Claim]) -> dict[str, Any]:
    """Accelerate's defaults where other frameworks have others, by the spec's path."""
    said = {claim.path: claim.value for claim in claims}
    if "fsdp.version" not in said:
        return {}
    usual = {f"fsdp.{k}": v for k, v in (_TWO if said["fsdp.version"] == 2 else _ONE).items()}
    if said.get("fsdp.auto_wrap") == "size":
        usual["fsdp.min_num_params"] = _SIZE
    return {path: value for path, value in usual.items() if path not in said}


def fsdp_claims(given: Given) -> Iterator[Claim]:
    """A key of another version stays in Accelerate's own words."""
    section = given.section("fsdp_config")
    names = {_long(str(name)): str(name) for name in section}
    version = section.get(names.get("fsdp_version", ""), 1)
    if version not in (1, 2):
        return
    keys = (given.key("fsdp_config", names["fsdp_version"]),) if "fsdp_version" in names else ()
    yield Claim("fsdp.version", version, keys)
    flat = {f"fsdp_config.{long}": section[name] for long, name in names.items()}
    found = list(claimed_by(FSDP2 if version == 2 else FSDP1, flat, given.tree))
    policy = next((claim.value for claim in found if claim.path == "fsdp.auto_wrap"), None)
    for claim in found:
        if _WITH.get(claim.path, policy) == policy:
            ((_, key),) = claim.keys
            yield claim._replace(keys=(given.key("fsdp_config", names[key.partition(".")[2]]),))


def _long(name: str) -> str:
    """`fsdp_offload_params` may be called `offload_params`: commands/launch.py of 1.15.0."""
    return name if name.startswith("fsdp") else f"fsdp_{name}"
