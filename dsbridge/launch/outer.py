"""What is put around the words of a node by a scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dsbridge.diagnostics import Diagnostic
from dsbridge.framework import Launch
from dsbridge.launch.script import Word


class Node(NamedTuple):
    """What every node runs, and the files it needs beside it."""

    argv: tuple[Word, ...]
    env: Mapping[str, Word]
    notes: tuple[str, ...]
    files: Mapping[str, str]
    each_gpu: bool = False


class Outer(NamedTuple):
    """The launch as the scheduler takes it; `told` and `hint` say how it is submitted."""

    launch: Launch
    files: dict[str, str]
    says: frozenset[str]
    told: str
    hint: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
