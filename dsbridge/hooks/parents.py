"""The launch commands above this process: what they read is not in the words of their child."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_PROC = Path("/proc")
_HIGH = 6  # a worker's launcher's launcher's shell, and a little more
_LAUNCHERS = ("accelerate", "deepspeed", "llamafactory-cli", "lmf", "torchrun", "xtuner")
_INPUTS = (".py", ".yaml", ".yml", ".json")


def commands(own: Sequence[str]) -> Iterator[list[str]]:
    """Launch commands above, the outermost first, that started the program with these words.

    Each with its own environment in front, as NAME=value words.
    """
    found = []
    for pid in _above():
        words = launch_words(_list(pid, "cmdline"))
        if words and _same_program(words, own) and _cwd(pid) == Path.cwd():
            found.append([*(entry for entry in _list(pid, "environ") if _is_name(entry)), *words])
    yield from reversed(found)


def launch_words(words: Sequence[str]) -> list[str]:
    """The command as it was typed: an installed launcher is a script that Python runs."""
    for at, word in enumerate(words[:3]):
        if Path(word).name in _LAUNCHERS:
            return [Path(word).name, *words[at + 1 :]]
    return []


def _same_program(words: Sequence[str], own: Sequence[str]) -> bool:
    """They name one of the same files: a launcher of something else above is none of this run."""
    files = {word for word in own if word.endswith(_INPUTS)}
    return any(word in files for word in words)


def _above() -> Iterator[int]:
    pid = os.getppid()
    for _ in range(_HIGH):
        if pid <= 1:
            return
        yield pid
        pid = _parent(pid)


def _parent(pid: int) -> int:
    try:
        status = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("PPid:")), "PPid: 0")
    return int(line.split()[1])


def _list(pid: int, name: str) -> list[str]:
    try:
        data = (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in data.rstrip(b"\0").split(b"\0")] if data else []


def _cwd(pid: int) -> Path | None:
    try:
        return (_PROC / str(pid) / "cwd").resolve(strict=True)
    except OSError:
        return None


def _is_name(entry: str) -> bool:
    return entry.partition("=")[0].isidentifier() and entry.isascii() and "=" in entry
