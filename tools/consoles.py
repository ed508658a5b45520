"""The `console` blocks of how-to pages: their commands are run, and what they print stands in the page.

    python -m tools.docgen

A test runs them again, so that no page shows what a command no longer says.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ("planning.md", "resuming.md", "launching.md", "explanation/autotp-zero1-vs-zero3.md")
_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_CUT = re.compile(r"(head|tail) -(\d+)")
_GREP = re.compile(r"grep -m1 -A(\d+) '(.+)'")
WIDTH = 160


def page(name: str) -> str:
    """A page of docs/ with the output of its commands as it is now."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        return rewritten(
            (ROOT / "docs" / name).read_text(encoding="utf-8"), lambda c: output(c, Path(folder))
        )


def rewritten(text: str, run: Callable[[str], str]) -> str:
    """The text with every block filled anew."""
    return _BLOCK.sub(lambda found: "\n".join(_filled(found[0], run)) + "\n", text)


def _filled(block: str, run: Callable[[str], str]) -> Iterator[str]:
    for line in block.splitlines():
        if line.startswith("$ "):
            yield line
            yield from run(line[2:]).rstrip().splitlines()


def output(command: str, folder: Path) -> str:
    """What a command of dsbridge prints in a folder, on both streams unless `2> FILE` takes one away;
    `| head -3`, `| tail -3` and `| grep -m1 -A3 'word'` cut it.

    Raises:
        ValueError: it is another program, or it fails where it should not.
    """
    whole, *cuts = (part.strip() for part in command.split(" | "))
    whole, away, _ = whole.partition(" 2> ")
    program, *arguments = shlex.split(whole)
    if program != "dsbridge":
        raise ValueError(f"{command!r} is no command of dsbridge")
    done = subprocess.run(
        [sys.executable, "-m", "dsbridge", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if away else subprocess.STDOUT,
        text=True,
        env={"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": str(WIDTH)},
    )
    lines = done.stdout.splitlines()
    for cut in cuts:
        lines = _cut(lines, cut)
    if "internal error" in done.stdout:
        raise ValueError(f"{command!r} failed: {done.stdout}")
    return "\n".join(lines)


def _cut(lines: list[str], how: str) -> list[str]:
    if found := _CUT.fullmatch(how):
        count = int(found[2])
        return lines[:count] if found[1] == "head" else lines[-count:]
    if found := _GREP.fullmatch(how):
        first = next(i for i, line in enumerate(lines) if found[2] in line)
        return lines[first : first + 1 + int(found[1])]
    raise ValueError(f"{how!r} is neither head, nor tail, nor grep -A")
