"""`# dsbridge: ignore[CODE]` in a user's file: on the line of a finding, on a line of its own above it, or
`ignore-file[CODE]` before all content."""

from __future__ import annotations

import re
from typing import NamedTuple

from dsbridge.diagnostics import Diagnostic

_SAID = re.compile(
    r"(?P<alone>^\s*)?(?:#|//|<!--)\s*dsbridge:\s*ignore(?P<file>-file)?\[(?P<codes>[^\]\n]*)\]"
)
# what may stand above `ignore-file`: nothing, comments, and marks that open a file
_NO_CONTENT = re.compile(r"\s*(?:$|#|//|/\*|\*|<!--|---\s*$|\{\s*$|\"\"\")")


class Ignores(NamedTuple):
    """Codes, or their beginnings, that are not wanted: in the whole file, and by line."""

    everywhere: tuple[str, ...] = ()
    lines: dict[int, tuple[str, ...]] = {}  # noqa: RUF012 - never changed after `ignores_in`

    def silences(self, finding: Diagnostic) -> bool:
        """Whether a comment says that the finding is not wanted."""
        wanted = (*self.everywhere, *self.lines.get(finding.line or 0, ()))
        return any(finding.code.startswith(code) for code in wanted)


def ignores_in(text: str) -> Ignores:
    """What the comments of a text say."""
    if "dsbridge:" not in text:
        return Ignores()
    everywhere: list[str] = []
    lines: dict[int, tuple[str, ...]] = {}
    at_top = True
    above: tuple[str, ...] = ()  # of comment lines directly above
    for number, line in enumerate(text.splitlines(), start=1):
        at_top = at_top and bool(_NO_CONTENT.match(line))
        found = _SAID.search(line)
        codes = _codes(found["codes"]) if found else ()
        if found and found["file"]:
            everywhere += codes if at_top else ()
        elif found and found["alone"] is not None:
            above += codes
        else:
            lines[number] = (*above, *codes)
            above = ()
    return Ignores(tuple(everywhere), {number: codes for number, codes in lines.items() if codes})


def _codes(text: str) -> tuple[str, ...]:
    return tuple(word.strip().upper() for word in text.split(",") if word.strip())
