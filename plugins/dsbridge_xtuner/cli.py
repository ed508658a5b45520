"""The `xtuner` command: `xtuner train ...` becomes XTuner's tools/train.py, under torchrun or not.

xtuner 0.2.0 entry_point.py:280-330.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsbridge.rulebook import Launched, Launcher, Reading, Setup, Words

MODULE = ("-m", "xtuner.tools.train")
TRAINS = "train"


def _matches(words: Sequence[str]) -> bool:
    return bool(words) and words[0].rpartition("/")[2] == "xtuner"


def _number(text: str) -> int | None:
    """Python's int(), or None."""
    try:
        return int(text)
    except ValueError:
        return None


def _slurm(words: Sequence[str]) -> bool:
    """Only the word after the first `--launcher` counts."""
    return "--launcher" in words and tuple(words[words.index("--launcher") + 1 :][:1]) == ("slurm",)


def _read(setup: Setup) -> Launched:
    """Several processes or nodes: torchrun, and `--launcher pytorch` behind everything."""
    words, environ = setup.words.items, setup.environ
    mode = words[1].lower() if len(words) > 1 else ""
    nodes, local = _number(environ.get("NNODES", "1")), _number(environ.get("NPROC_PER_NODE", "1"))
    rest = words[2:]
    if mode != TRAINS or nodes is None or local is None:
        # XTuner prints its help and ends: nothing is trained
        return Launched(Reading({"run": {"help": True}}), Words(("-m", f"xtuner.{mode}")), {}, "xtuner")
    alone = _slurm(rest) or (nodes == 1 and local == 1)
    added = () if alone else ("--launcher", "pytorch")
    program = Words((*MODULE, *rest, *added), setup.words.first)
    facts: dict[str, Any] = {}
    exported: dict[str, str] = {}
    if alone:
        world = _number(environ.get("WORLD_SIZE", "1"))
        facts = {} if setup.assumed or not world else {"world_size": world, "local_world_size": world}
    else:
        # a command made from files alone does not say how many
        facts = {} if setup.assumed else {"world_size": nodes * local, "local_world_size": local}
        exported = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(nodes * local)}
    trees = {"run": {"torchrun": not alone}}
    return Launched(Reading(trees, {}, facts), program, exported, "xtuner")


LAUNCHERS = (Launcher("xtuner", _matches, _read),)
