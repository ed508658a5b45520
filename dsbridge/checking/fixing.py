"""Repairs: the edits of findings, applied to the texts until nothing more can be repaired.

Nothing is written before all is settled, so each file is written once, and only if a repair holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.checking.running import Report
from dsbridge.diagnostics import Diagnostic, Edit, Fix, InputError, Severity
from dsbridge.formats.json_edit import edit_json
from dsbridge.formats.tree_edit import NotApplicable, destination
from dsbridge.formats.yaml_patch import edit_yaml
from dsbridge.reading import Files
from dsbridge.rules import NOTHING

EDITORS: dict[str, Callable[[str, Edit], str]] = {
    ".json": edit_json, ".jsonc": edit_json, ".hjson": edit_json, ".yaml": edit_yaml, ".yml": edit_yaml,
}  # fmt: skip
_NO_END = "\\ No newline at end of file"  # as diff says it
ROUNDS = 20  # a repair may uncover the next mistake


class Repair(NamedTuple):
    """What the repairs did. texts: the new ones, by file; report: of the files after them; fixed: in order.

    failed: repairs that do not apply, and why.
    """

    texts: Mapping[str, str]
    report: Report
    fixed: tuple[Diagnostic, ...] = ()
    failed: tuple[tuple[Diagnostic, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The part of the CLI's JSON that tells of repairs."""
        return {
            "fixed": [
                {"code": d.code, "file": d.file, "key": d.key, "title": _fix(d).title} for d in self.fixed
            ],
            "not_fixed": [
                {"code": d.code, "file": d.file, "title": _fix(d).title, "reason": reason}
                for d, reason in self.failed
            ],
        }


def _fix(finding: Diagnostic) -> Fix:
    assert finding.fix is not None
    return finding.fix


def by_hand(finding: Diagnostic, files: Files) -> str:
    """Why a repair is shown and not applied; "" if --fix applies it."""
    try:
        patched(_fix(finding), files, NOTHING)
    except NotApplicable as error:
        return str(error)
    return ""


def fixable(finding: Diagnostic, files: Files, *, notes: bool = True) -> bool:
    """True for a finding that --fix repairs; notes: as in `repair`."""
    asked = notes or finding.severity is not Severity.INFO
    return finding.fix is not None and asked and not by_hand(finding, files)


def patched(fix: Fix, files: Files, texts: Mapping[str, str]) -> dict[str, str]:
    """The new texts of the files that a repair touches; texts: those that others have changed already.

    Raises:
        NotApplicable: one of the edits does not fit; then none of them is made.
    """
    new: dict[str, str] = {}
    for edit in fix.edits:
        suffix = "." + edit.file.rpartition(".")[2]
        if suffix not in EDITORS or not on_disk(files, edit.file):
            raise NotApplicable(f"{edit.file or 'the command'} is not edited")
        text = new[edit.file] if edit.file in new else texts.get(edit.file)
        try:
            new[edit.file] = EDITORS[suffix](files.text(edit.file) if text is None else text, edit)
        except InputError as error:
            raise NotApplicable(error.diagnostics[0].message) from None
    return new


def on_disk(files: Files, name: str) -> bool:
    """Whether it is a file of the user's, not a block of a guide or a word of a command."""
    try:
        return files.disk and (files.folder / name).is_file()
    except (OSError, ValueError):
        return False


def repair(check: Callable[[Files], Report], files: Files, *, notes: bool = True) -> Repair:
    """Apply every repair that fits, and check again, until nothing is left to apply. Writes nothing.

    notes: also what is only for the record. Who is not shown a finding is not asked about its repair.
    """
    texts: dict[str, str] = {}
    fixed: list[Diagnostic] = []
    failed: dict[tuple[str, Fix], tuple[Diagnostic, str]] = {}
    done: set[tuple[str, str | None, str | None, Fix]] = set()
    for _ in range(ROUNDS):
        now = files.over(texts)
        report = check(now)
        touched: list[Edit] = []
        failed.clear()
        for finding in report.findings:
            if not notes and finding.severity is Severity.INFO:
                continue
            if finding.fix is None or _overlap(finding.fix, touched):
                continue  # the next round knows better
            mark = (finding.code, finding.file, finding.key, finding.fix)
            try:
                if mark in done:
                    raise NotApplicable("it was applied already, and did not help")
                texts |= patched(finding.fix, files, texts)
            except NotApplicable as error:
                failed[finding.code, finding.fix] = (finding, str(error))
                continue
            done.add(mark)
            touched += finding.fix.edits
            fixed.append(finding)
        if not touched:
            break
    kept = {name: text for name, text in texts.items() if text != files.text(name)}
    return Repair(kept, report, tuple(fixed), tuple(failed.values()))


def _overlap(fix: Fix, touched: list[Edit]) -> bool:
    """Whether an edit is about a key that one of this round has changed, or lies around or inside it."""
    places = [(edit.file, path) for edit in touched for path in _paths(edit)]
    return any(
        edit.file == file and (path[: len(other)] == other or other[: len(path)] == path)
        for edit in fix.edits
        for path in _paths(edit)
        for file, other in places
    )


def _paths(edit: Edit) -> Iterator[tuple[str | int, ...]]:
    yield edit.path
    if edit.action in ("rename", "move"):
        yield destination(edit)


def unified(files: Files, texts: Mapping[str, str]) -> str:
    """What the repairs change, as `diff -u` and `git apply` have it."""
    parts: list[str] = []
    for name, new in sorted(texts.items()):
        old = files.text(name).splitlines(True)
        lines = difflib.unified_diff(old, new.splitlines(True), f"a/{name}", f"b/{name}")
        parts += (each if each.endswith("\n") else f"{each}\n{_NO_END}\n" for each in lines)
    return "".join(parts)
