"""`llamafactory-cli train`: it starts torchrun itself, from its environment (0.9.5 launcher.py:57-125)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dsbridge.rulebook import Launched, Launcher, Reading, Setup, Unknown, Words
from dsbridge.sdk import InputError, Severity, Source
from dsbridge_llamafactory.codes import V1_SWITCH
from dsbridge_llamafactory.v1_inputs import COMMANDS, MODULES, switched_on
from dsbridge_llamafactory.v1_inputs import enabled as v1_enabled

NAMES = ("llamafactory-cli", "lmf")
TRUE = ("true", "y", "1")
COUNTED = "gpus"  # the fact: how many GPUs this machine shows


def enabled(value: str) -> bool:
    """is_env_enabled of llamafactory.extras.misc."""
    return value.lower() in TRUE


def matches(words: Sequence[str]) -> bool:
    """`llamafactory-cli train ...` or `lmf train ...`; V1 has more words for it."""
    return len(words) > 1 and PurePath(words[0]).name in NAMES and words[1] in COMMANDS


def read(setup: Setup) -> Launched:
    """Torchrun with as many processes as GPUs, or one process by itself.

    Raises:
        InputError: V1's word without V1; LLaMA-Factory prints its help.
    """
    environ = setup.environ
    word = setup.words.items[1]
    if word != "train" and not switched_on(environ):
        message = f"`llamafactory-cli {word}` is V1's: without USE_V1=1 LLaMA-Factory prints its help"
        found = V1_SWITCH(message, hint=f"Write USE_V1=1 before the command, or `train` for `{word}`.")
        raise InputError([found._replace(severity=Severity.ERROR)])
    gpus = _whole(setup.facts.get(COUNTED))
    alone: Any = False
    if not _forced(environ):
        # V1 has neither Ray nor KTransformers
        apart = not switched_on(environ) and any(enabled(environ.get(n, "0")) for n in ("USE_RAY", "USE_KT"))
        alone = True if apart else _alone(gpus, _whole(setup.facts.get("world_size")))
    program = Words(("-m", "llamafactory.launcher", *setup.words.items[2:]), setup.words.first)
    if switched_on(environ):
        program = Words(("-m", MODULES[0], *setup.words.items[1:]), setup.words.first - 1)
    sources = {f"cli.{name}": Source("environment") for name in environ}
    tree = {"cli": {"alone": alone}}
    if alone is True:
        by_ray = not switched_on(environ) and enabled(environ.get("USE_RAY", "0"))
        workers = _workers(setup) if by_ray else None
        facts = {"world_size": workers} if workers else {"world_size": 1, "local_world_size": 1}
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


def _workers(setup: Setup) -> int | None:
    """Ray's workers are the ranks: `ray_num_workers` of the training YAML (0.9.5 train/tuner.py:283)."""
    name = setup.words.items[2] if len(setup.words.items) > 2 else ""
    if not name.endswith((".yaml", ".yml")) or not setup.files.has(name):
        return None
    value = setup.files.yaml(name).value
    return _whole(value.get("ray_num_workers", 1)) if isinstance(value, dict) else None


def _forced(environ: Mapping[str, str]) -> bool:
    """Whether torchrun is started whatever the number of GPUs."""
    asked = environ.get("FORCE_TORCHRUN", "0")
    if switched_on(environ):
        return v1_enabled(asked)
    return enabled(asked) or enabled(environ.get("USE_MCA", "0"))


def _alone(gpus: int | None, world: int | None) -> bool | Unknown:
    """Whether one process is started, by the GPUs that it counts; several ranks were not started alone."""
    if gpus is None and world and world > 1:
        return False
    return Unknown(frozenset({COUNTED})) if gpus is None else gpus < 2


def _whole(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text[:9]) > 0 else None


LAUNCHERS = (Launcher("llamafactory-cli", matches, read),)
