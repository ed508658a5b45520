"""The prediction for what this very process runs: it knows who set what."""

from __future__ import annotations

import enum
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from dsbridge.against import facts_of
from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation
from dsbridge.hooks import parents
from dsbridge.prediction import predict
from dsbridge.reading import Files

# What torchrun exports to each process: with the launcher back in front it says so itself.
_OF_A_PROCESS = re.compile(
    r"RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_\w+|ROLE_\w+|MASTER_\w+|TORCHELASTIC_\w+"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PLAIN = (bool, int, float, str)
_LOG = logging.getLogger("dsbridge.hooks")
# Files that exist in memory alone.
LIVE, LIVE_DEEPSPEED = "live_arguments.py", "live_deepspeed.json"
_HEAD = "from transformers import Trainer, TrainingArguments\n\nargs = TrainingArguments("


def own_predictions(seen: Mapping[str, Any]) -> Iterator[Explanation]:
    """What the launch commands above this process come to, the outermost first, and its own words."""
    words = command()
    if words:
        own = words[words.index("torchrun") :]
        for one in (*parents.commands(own), words):
            found = _predicted(one, seen, Files())
            if found is not None:
                yield found


def of_arguments(arguments: Any, seen: Mapping[str, Any]) -> Explanation | None:
    """What the live TrainingArguments come to, whatever made them."""
    given = arguments.deepspeed if isinstance(getattr(arguments, "deepspeed", None), dict) else None
    texts = {LIVE: script(arguments)} | ({LIVE_DEEPSPEED: json.dumps(given, indent=1)} if given else {})
    words = [*environment(), *_torchrun(), LIVE]
    return _predicted(words, seen, Files(Path(), texts, alone=False), "trainer")


def _predicted(
    words: Sequence[str], seen: Mapping[str, Any], files: Files, target: str = ""
) -> Explanation | None:
    try:
        return predict((), words, target, facts_of(seen), seen.get("versions") or {}, files=files)
    except InputError:
        return None  # a notebook, say: then nobody is named, and the difference is told all the same
    except Exception:
        _LOG.debug("who set what could not be read", exc_info=True)  # nor does it hide the difference
        return None


def command() -> list[str]:
    """This process's own words behind torchrun, which is what stands behind every launcher here."""
    words = list(getattr(sys, "orig_argv", [sys.executable, *sys.argv]))[1:]
    while words[:1] == ["-u"]:
        words = words[1:]
    module = words[:1] == ["-m"]
    if not words or (not module and not _is_program(words[0])):
        return []
    return [*environment(), *_torchrun(), *words]


def environment() -> list[str]:
    """NAME=value words: what this process was started with, but for what torchrun says itself."""
    return [
        f"{name}={value}"
        for name, value in os.environ.items()
        if _NAME.fullmatch(name) and not _OF_A_PROCESS.fullmatch(name)
    ]


def _torchrun() -> list[str]:
    return ["torchrun", "--nproc_per_node", os.environ.get("WORLD_SIZE", "1")]


def _is_program(word: str) -> bool:
    return word.endswith(".py") and Path(word).is_file()


def script(arguments: Any) -> str:
    """A script that says what live TrainingArguments hold, each argument on a line of its own."""
    said = settings(arguments)
    lines = [f"    {name}={value!r}," for name, value in said.items()]
    return (
        "\n".join(
            [_HEAD, *lines, ")", "trainer = Trainer(model, args, train_dataset=rows)", "trainer.train()"]
        )
        + "\n"
    )


def settings(arguments: Any) -> dict[str, Any]:
    """What was asked of them: the plain values that are not their class's defaults."""
    declared = fields(arguments) if is_dataclass(arguments) else ()
    found = {}
    for field in declared:
        value = getattr(arguments, field.name, field.default)
        value = value.value if isinstance(value, enum.Enum) else value
        if field.init and isinstance(value, _PLAIN) and value != field.default:
            found[field.name] = value
    if isinstance(getattr(arguments, "deepspeed", None), dict):
        found["deepspeed"] = LIVE_DEEPSPEED
    return found


def named(told: str, arguments: Any) -> str:
    """What `set_by` tells, with the argument that stands at a place of that script in the place's stead."""
    place, colon, why = told.partition(": ")
    file, _, rest = place.partition(":")
    line = rest.split(":")[0]
    if file not in (LIVE, LIVE_DEEPSPEED) or not line.isdigit():
        return told
    if file == LIVE_DEEPSPEED:
        place = f"the `deepspeed` dict of the live TrainingArguments, line {line}"
    else:
        words = script(arguments).splitlines()[int(line) - 1].strip().rstrip(",")
        place = f"`{words}` of the live TrainingArguments"
    return f"{place}{colon}{why}"
