"""Repair every file of a corpus of real configs in memory, and show what that does to the run.

    python -m tools.fixes FOLDER

FOLDER holds one folder a framework. Of each file that `check --fix` would change: the repaired text checks
clean for the repaired codes, and `diff` compares what trains before and after. A repair is good if the run
stopped before and no longer does, or if nothing differs but what the findings speak of.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.checking.fixing import Repair, repair
from dsbridge.checking.running import Report, check_units
from dsbridge.checking.units import units_of
from dsbridge.deepspeed.meanings import NOTHING
from dsbridge.diagnostics import InputError
from dsbridge.differing import diff
from dsbridge.explaining import Explanation, explain
from dsbridge.reading import Files
from tools.corpus import FACTS

GOOD = ("same", "as said", "starts now")


class Row(NamedTuple):
    """One file that was repaired.

    outcome: same; as said (only what a finding names differs); starts now; differs; left; unread.
    """

    framework: str
    name: str
    codes: tuple[str, ...]
    outcome: str
    note: str = ""


def rows(corpus: Path) -> Iterator[Row]:
    """Every file that a repair changes."""
    for folder in sorted(path for path in corpus.iterdir() if path.is_dir()):
        for file in sorted(folder.iterdir()):
            found = repaired(folder, file.name)
            if found is not None and found.texts:
                yield row(folder, file.name, found)


def repaired(folder: Path, name: str) -> Repair | None:
    """What --fix makes of one file; None for one that nobody reads."""

    def check(files: Files) -> Report:
        units, skipped = units_of(files, (name,), each=True)
        return check_units(units)._replace(skipped=tuple(skipped))

    try:
        return repair(check, Files(folder))
    except InputError:
        return None


def row(folder: Path, name: str, found: Repair) -> Row:
    """What became of one file."""
    codes = tuple(sorted({finding.code for finding in found.fixed}))
    mended = {(finding.code, finding.key) for finding in found.fixed}
    left = [d.code for d in found.report.findings if (d.code, d.key) in mended]
    if left:
        return Row(folder.name, name, codes, "left", ", ".join(left))

    def side(files: Files, facts: Mapping[str, Any]) -> Explanation:
        return explain(files, [name], target=folder.name, facts={**FACTS, **facts})

    try:
        before = side(Files(folder), {})
        after = side(Files(folder, found.texts, alone=False), {})
        if before.error or after.error:
            return _stopped(Row(folder.name, name, codes, ""), before, after)
        entries = diff(
            lambda facts: side(Files(folder), facts),
            lambda facts: side(Files(folder, found.texts, alone=False), facts),
        ).differences
    except InputError as error:
        return Row(folder.name, name, codes, "unread", error.diagnostics[0].code)
    different = [entry.path for entry in entries if entry.meaning.kind != NOTHING]
    said = " ".join(f"{d.key} {d.message} {d.fix.title if d.fix else ''}" for d in found.fixed)
    unsaid = [path for path in different if path.rpartition(".")[2] not in said]
    outcome = "differs" if unsaid else "as said" if different else "same"
    return Row(folder.name, name, codes, outcome, ", ".join(unsaid or different))


def _stopped(base: Row, before: Explanation, after: Explanation) -> Row:
    told = [f"{side.error['type']}" if side.error else "starts" for side in (before, after)]
    if before.error and after.error:
        return base._replace(outcome="same", note=f"stops before and after: {told[0]}, {told[1]}")
    outcome = "starts now" if before.error else "differs"
    return base._replace(outcome=outcome, note=" -> ".join(told))


def main() -> int:
    """Exit code 1 if a repair left its finding, or changed what no finding speaks of."""
    found = list(rows(Path(sys.argv[1])))
    for entry in found:
        print(f"{entry.outcome:10} {entry.framework}/{entry.name} {','.join(entry.codes)} {entry.note}")
    print(dict(Counter(entry.outcome for entry in found)))
    return int(any(entry.outcome not in (*GOOD, "unread") for entry in found))


if __name__ == "__main__":
    sys.exit(main())
