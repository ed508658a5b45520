"""`llamafactory-cli train`: it starts torchrun itself, from its environment (0.9.5 launcher.py:57-125)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from dsbridge.rulebook import Launched, Launcher, Reading, Setup, Unknown, Words
from dsbridge.sdk import Source

NAMES = ("llamafactory-cli", "lmf")
TRUE = ("true", "y", "1")
COUNTED = "gpus"  # the fact: how many GPUs this machine shows


def enabled(value: str) -> bool:
    """is_env_enabled of llamafactory.extras.misc."""
    return value.lower() in TRUE


def matches(words: Sequence[str]) -> bool:
    """`llamafactory-cli train ...` or `lmf train ...`."""
    return len(words) > 1 and PurePath(words[0]).name in NAMES and words[1] == "train"


def read(setup: Setup) -> Launched:
    """Torchrun with as many processes as GPUs, or one process by itself."""
    environ = setup.environ
    gpus = _whole(setup.facts.get(COUNTED))
    forced = enabled(environ.get("FORCE_TORCHRUN", "0")) or enabled(environ.get("USE_MCA", "0"))
    alone: Any = False
    if not forced:
        apart = enabled(environ.get("USE_RAY", "0")) or enabled(environ.get("USE_KT", "0"))
        alone = True if apart else _alone(gpus, _whole(setup.facts.get("world_size")))
    program = Words(("-m", "llamafactory.launcher", *setup.words.items[2:]), setup.words.first)
    sources = {f"cli.{name}": Source("environment") for name in environ}
    tree = {"cli": {"alone": alone}}
    if alone is True:
        facts = {"world_size": 1, "local_world_size": 1}
        return Launched(Reading(tree, sources, facts), program, {}, "llamafactory")
    local = _whole(environ.get("NPROC_PER_NODE")) or (None if "NPROC_PER_NODE" in environ else gpus)
    nodes = _whole(environ.get("NNODES", "1"))
    facts = {}
    if local and not setup.assumed:
        facts = {"local_world_size": local} | ({"world_size": local * nodes} if nodes else {})
    exported = {"RANK": "0", "LOCAL_RANK": "0"} if alone is False else {}
    if "world_size" in facts:
        exported |= {"WORLD_SIZE": str(facts["world_size"]), "LOCAL_WORLD_SIZE": str(local)}
    return Launched(Reading(tree, sources, facts), program, exported, "llamafactory")


def _alone(gpus: int | None, world: int | None) -> bool | Unknown:
    """Whether one process is started, by the GPUs that it counts; several ranks were not started alone."""
    if gpus is None and world and world > 1:
        return False
    return Unknown(frozenset({COUNTED})) if gpus is None else gpus < 2


def _whole(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text[:9]) > 0 else None


LAUNCHERS = (Launcher("llamafactory-cli", matches, read),)
