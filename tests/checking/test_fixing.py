"""Repairs: applied until nothing is left, all or none, each file once; and they help."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsbridge.checking.catalogue import own_checks
from dsbridge.checking.fixing import by_hand, fixable, repair, unified
from dsbridge.checking.running import Report, check_units, run_example
from dsbridge.checking.units import units_of
from dsbridge.checking.writing import replace_text
from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, InputError, Severity
from dsbridge.formats.document import read_text
from dsbridge.reading import Files
from dsbridge.subjects.contract import Check

BAD = Code("CK101", "bad", Severity.ERROR, "Bad.")
WITH_FIX = [
    c for c in own_checks() if any(d.fix and d.code == c.code.code for d in run_example(c.fires).findings)
]


def finding(title: str, *edits: Edit) -> Diagnostic:
    return BAD(title, key=title, fix=Fix(title, edits))


def checker(*several: tuple[str, Edit]) -> Any:
    """A check of `ds.json` that reports each name that is there, with an edit."""

    def check(files: Files) -> Report:
        value = files.json("ds.json", comments=True).value
        return Report(("ds.json",), tuple(finding(name, edit) for name, edit in several if name in value))

    return check


def test_repairs_are_applied_until_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{\n  "a": 1, // one\n  "c": 3\n}\n')
    found = repair(
        checker(
            ("a", Edit("ds.json", ("a",), "rename", "b")),
            ("b", Edit("ds.json", ("b",), "set", 2)),
            ("c", Edit("ds.json", ("c",), "remove")),
        ),
        Files(tmp_path),
    )
    # `b` is only there after the first round, and is set again and again: told once, and left
    assert found.texts == {"ds.json": '{\n  "b": 2 // one\n}\n'}
    assert [d.message for d in found.fixed] == ["a", "c", "b"]
    assert [(d.message, reason) for d, reason in found.failed] == [
        ("b", "it was applied already, and did not help")
    ]
    assert (tmp_path / "ds.json").read_text() == '{\n  "a": 1, // one\n  "c": 3\n}\n'


def test_one_of_two_that_touch_the_same_key_waits(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"a": {"x": 1}}')
    found = repair(
        checker(("a", Edit("ds.json", ("a",), "remove")), ("a", Edit("ds.json", ("a", "x"), "set", 2))),
        Files(tmp_path),
    )
    assert (found.texts, len(found.fixed)) == ({"ds.json": "{}"}, 1)


def test_a_repair_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"a": 1}')
    both = finding("a", Edit("ds.json", ("a",), "set", 2), Edit("train.py", ("b",), "set", 3))
    found = repair(lambda files: Report(("ds.json",), (both,)), Files(tmp_path))
    assert (found.texts, found.fixed) == ({}, ())
    assert found.failed == ((both, "train.py is not edited"),)


def test_a_file_that_is_not_on_disk_is_not_edited(tmp_path: Path) -> None:
    files = Files(tmp_path, {"guide.json": '{"a": 1}'}, alone=False)
    one = finding("a", Edit("guide.json", ("a",), "remove"))
    assert by_hand(one, files) == "guide.json is not edited"
    assert not fixable(one, files)


def test_notes_are_repaired_when_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"a": 1}')
    note = finding("a", Edit("ds.json", ("a",), "remove"))._replace(severity=Severity.INFO)

    def check(files: Files) -> Report:
        return Report(("ds.json",), (note,) if "a" in files.json("ds.json").value else ())

    assert repair(check, Files(tmp_path), notes=False).texts == {}
    assert repair(check, Files(tmp_path)).texts == {"ds.json": "{}"}
    assert not fixable(note, Files(tmp_path), notes=False)


def test_what_no_longer_applies_is_said(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"a": 1}')
    one = finding("b", Edit("ds.json", ("b",), "remove"))
    found = repair(lambda files: Report(("ds.json",), (one,)), Files(tmp_path))
    assert found.failed == ((one, "`b` is not there any more"),)


def test_the_diff_is_what_git_reads(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{\n "a": 1\n}')
    expected = """--- a/ds.json
+++ b/ds.json
@@ -1,3 +1,3 @@
 {
- "a": 1
+ "b": 1
 }
\\ No newline at end of file
"""
    assert unified(Files(tmp_path), {"ds.json": '{\n "b": 1\n}'}) == expected


def test_links_modes_and_marks_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_bytes(b"\xef\xbb\xbf{}")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_text(link, "{}", '{"a": 1}')
    assert link.is_symlink()
    assert real.read_bytes() == b'\xef\xbb\xbf{"a": 1}'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"real.json", "link.json"}


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ds.json"
    file.write_text("{}")
    with pytest.raises(InputError, match="has changed"):
        replace_text(file, '{"a": 1}', "x")
    assert file.read_text() == "{}"


def in_folder(check: Check, folder: Path) -> Iterator[Path]:
    """The files of its example on disk."""
    for name, text in check.fires.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        yield folder / name


def test_checks_have_fixes() -> None:
    assert WITH_FIX, "no check repairs its own example"


@pytest.mark.parametrize("check", WITH_FIX, ids=lambda check: check.code.code)
def test_what_is_repaired_checks_clean(check: Check, tmp_path: Path) -> None:
    paths = list(in_folder(check, tmp_path))
    example = check.fires
    given = () if example.command else tuple(example.files)

    def run(files: Files) -> Report:
        units, skipped = units_of(
            files, given, (example.command,) if example.command else (),
            target=example.target, facts=example.facts, versions=example.versions,
        )  # fmt: skip
        return check_units(units)._replace(skipped=tuple(skipped))

    files = Files(tmp_path)
    wanted = [d for d in run(files).findings if d.code == check.code.code and fixable(d, files)]
    found = repair(run, files)
    # a repair of what is not edited (a script, a guide) is shown, and everything else is gone
    left = [
        d for d in found.report.findings if d.code == check.code.code and (d.key in {w.key for w in wanted})
    ]
    assert not left
    assert not wanted or found.texts
    before = {str(path.relative_to(tmp_path)): read_text(path) for path in paths}
    for name, text in found.texts.items():
        replace_text(tmp_path / name, before[name], text)
        if name.endswith(".json"):
            assert bool(_strict(before[name])) <= bool(_strict(text))


def _strict(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
