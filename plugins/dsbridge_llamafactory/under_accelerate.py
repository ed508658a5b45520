"""LLaMA-Factory under `accelerate launch`: the YAML of that launcher beside the training YAML.

What the spec has no word for stays under `frameworks.llamafactory.accelerate`, as Accelerate's YAML says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Reading, Setup
from dsbridge.sdk import Claim, Draft, Source

OWN = "accelerate"  # the key of frameworks.llamafactory
# rendering writes these anyway
USUAL: Mapping[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "rdzv_backend": "static",
    "same_network": True,
    "use_cpu": False,
}
_PRECISIONS = {"no": "fp32", "fp16": "fp16", "bf16": "bf16"}
Key = tuple[str, ...]


def with_fsdp(setup: Setup) -> bool:
    """Whether Accelerate's launcher makes FSDP's environment: LLaMA-Factory then trains with it."""
    launch = setup.trees.get("launch") or {}
    return "accelerate launch" in setup.launchers and launch.get("kind") == "fsdp"


def tree_of(setup: Setup) -> str:
    """The launcher's tree: the YAML with the flags in it, or the YAML alone."""
    return "asked" if "asked" in setup.trees else "yaml"


def trees_of(setup: Setup) -> tuple[dict[str, Any], dict[str, Source]]:
    """The launcher's YAML as a tree of our own, below the key that keeps it."""
    if not with_fsdp(setup):
        return {}, {}
    tree = tree_of(setup)
    sources = {
        f"{OWN}.{OWN}.{name.partition('.')[2]}": at
        for name, at in setup.sources.items()
        if name.startswith(f"{tree}.")
    }
    return {OWN: {OWN: setup.trees[tree]}}, sources


def launcher_part(setup: Setup, reading: Reading, said: Mapping[str, Any]) -> Draft:
    """Ranks, FSDP and, where the training YAML is silent, the number format. said: the training YAML."""
    from dsbridge_accelerate.parse import launched
    from dsbridge_trainer.under_accelerate import UNASKED, check_both, check_version  # rendering needs none

    check_both(setup, reading, said)
    tree, top = tree_of(setup), setup.trees[tree_of(setup)]
    found = launched(setup, reading)
    check_version(reading, found)

    def ours(key: Key) -> Key:
        return (OWN, OWN, *key[1:]) if key[0] == tree else key

    claims = [claim._replace(keys=tuple(map(ours, claim.keys))) for claim in found.claims]
    if not any(claim.path == "fsdp.auto_wrap" for claim in claims):
        claims.append(Claim("fsdp.auto_wrap", "none"))  # Accelerate's own; rendering has another
    usual = [claim for claim in claims if UNASKED.get(claim.path) == str(claim.value)]
    claims = [claim for claim in claims if claim not in usual]
    consumed = {ours(key) for key in found.consumed}.union(*(claim.keys for claim in usual))
    consumed |= {(OWN, OWN, name) for name, value in USUAL.items() if top.get(name) == value}
    lost = {ours(key): why for key, why in found.lost.items()}
    word, key = top.get("mixed_precision"), (OWN, OWN, "mixed_precision")
    own = _precision(said)
    if not own and word in _PRECISIONS:
        # TrainingArguments take it from the environment: transformers 5.6.0 training_args.py:1580
        claims.append(Claim("precision.dtype", _PRECISIONS[word], (key,)))
    elif own and own == word:
        consumed.add(key)
    elif own and word is not None:
        lost[key] = "gives way to the training YAML"
    if "module" in (setup.trees.get("flags") or {}):
        lost.pop(("flags", "module"), None)
        consumed.add(("flags", "module"))  # how the program is named
    homes = {name: home for name, home in found.homes.items() if name != tree} | {OWN: "own"}
    implied = {OWN: dict(found.implied)} if found.implied else {}
    return Draft(tuple(claims), homes, frozenset(consumed), lost, implied, found.silent)


def _precision(said: Mapping[str, Any]) -> str:
    """The number format that the training YAML asks for, in Accelerate's word."""
    rows = (("fp16", "fp16"), ("bf16", "bf16"), ("pure_bf16", "bf16"), ("fp8", "fp8"))
    return next((word for name, word in rows if said.get(name)), "")
