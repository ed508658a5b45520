"""Why a run has no call of `deepspeed.initialize`, as far as that can be known."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from dsbridge.diagnostics import InputError
from dsbridge.inputs import words_of

_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
# of Python's own options: those that keep PYTHONPATH or sitecustomize out, and those that take a value
_KEEPS_OUT = "IES"
_WITH_VALUE = "cmWX"


def why_never(folder: Path, command: Sequence[str], elsewhere: int) -> dict[str, str]:
    """{"why": word, "text": sentence} of a run whose report folder has no call of a rank asked for."""
    pythons, importers = len(list(folder.glob("python-*"))), len(list(folder.glob("deepspeed-*.json")))
    if elsewhere:
        text = f"deepspeed.initialize was called {times(elsewhere)}, on ranks that were not asked for"
        return {"why": "other-ranks", "text": f"{text}: --ranks all has them"}
    if importers:
        text = "deepspeed was imported, but deepspeed.initialize was never called"
        return {"why": "never-called", "text": text}
    flags = kept_out(command)
    if flags:
        text = f"Python was started with {flags}, so that nothing could be watched: leave it out to observe"
        return {"why": "kept-out", "text": text}
    if not pythons:
        text = (
            "no Python that could be watched was started: none at all, or only with -I, -E or -S, or with "
            "another PYTHONPATH, or elsewhere (ssh, a container)"
        )
        return {"why": "no-python", "text": text}
    seen = "one Python process was" if pythons == 1 else f"{pythons} Python processes were"
    return {"why": "never-imported", "text": f"{seen} watched, and none imported deepspeed"}


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def kept_out(command: Sequence[str]) -> str:
    """The option that keeps the hook out of a Python of the command: `-I`; "" where none is seen."""
    try:
        words = list(words_of(command)[1].items)
    except InputError:
        return ""
    words = [*_first_line(words[0]), *words]
    for index, word in enumerate(words):
        if _PYTHON.fullmatch(Path(word).name):
            found = _flags(words[index + 1 :])
            if found:
                return found
    return ""


def _flags(words: Sequence[str]) -> str:
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            return ""
        if word.startswith("--"):
            continue
        for letter in word[1:]:
            if letter in _KEEPS_OUT:
                return f"-{letter}"
            if letter in _WITH_VALUE:
                if letter in "cm":
                    return ""
                if word.endswith(letter):
                    next(rest, None)
                break
    return ""


def _first_line(program: str) -> list[str]:
    """The interpreter and its options, where the program is a script that names them."""
    found = shutil.which(program)
    if not found:
        return []
    with Path(found).open("rb") as file:
        line = file.readline(256)
    return line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []
