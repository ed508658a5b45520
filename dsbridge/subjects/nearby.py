"""Files that a name may have meant: the same name in another folder, or a name like it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import PurePath

from dsbridge.reading import Files

_MOST, _DEPTH = 500, 3  # files that are looked at; folders below the one where the command runs
_ALIKE = 0.85  # `ds_z2_config.json` for `ds_z2_offload_config.json` is another config
_LEFT_OUT = ("node_modules", "__pycache__", "site-packages")


def near(files: Files, name: str) -> str:
    """The likeliest file for a name that is not there; "" for none."""
    wanted = PurePath(name)
    found = [path for path in _listed(files) if PurePath(path).suffix == wanted.suffix]
    same = [path for path in found if PurePath(path).name == wanted.name]
    same.sort(key=lambda path: (-_shared(path, name), len(path), path))
    if same:
        return same[0]
    names = {PurePath(path).name: path for path in reversed(found) if _numbers(path) == _numbers(name)}
    close = difflib.get_close_matches(wanted.name, names, n=1, cutoff=_ALIKE)
    return names[close[0]] if close else ""


def _shared(path: str, name: str) -> int:
    """How many parts both have at their end."""
    pairs = zip(reversed(PurePath(path).parts), reversed(PurePath(name).parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _numbers(path: str) -> list[str]:
    """`ds_z2.json` is no slip of the pen for `ds_z3.json`."""
    return re.findall(r"\d+", PurePath(path).name)


def _listed(files: Files) -> Iterator[str]:
    yield from files.memory
    if not files.disk:
        return
    left = _MOST
    for place, folders, inside in os.walk(files.folder):
        inner = PurePath(place).relative_to(files.folder)
        deep = len(inner.parts) >= _DEPTH
        folders[:] = (
            []
            if deep
            else sorted(
                folder for folder in folders if not folder.startswith(".") and folder not in _LEFT_OUT
            )
        )
        for file in sorted(inside)[:left]:
            yield (inner / file).as_posix()
        left -= len(inside)
        if left <= 0:
            return
