"""`fsdp_config:` in the spec's words: the way back from `fsdp`."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.sdk import Claim, claimed_by
from dsbridge_accelerate.fields import FSDP1, FSDP2
from dsbridge_accelerate.given import Given

# read only with this policy; without it the value is dead and stays where it is
_WITH = {"fsdp.transformer_layer_cls": "transformer", "fsdp.min_num_params": "size"}


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
