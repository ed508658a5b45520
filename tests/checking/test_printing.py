"""Findings for people and for GitHub."""

from __future__ import annotations

from dsbridge.checking.printing import github_lines, summary, text_lines
from dsbridge.checking.running import Report
from dsbridge.diagnostics import Code, Edit, Fix, Severity
from dsbridge.provenance import Source
from dsbridge.reading import COMMAND

BAD = Code("CK101", "bad", Severity.ERROR, "Bad.")
ODD = Code("CK102", "odd", Severity.WARNING, "Odd.")
NOTE = Code("CK103", "note", Severity.INFO, "A note.")
FIX = Fix("write 2", (Edit("a.json", ("k",), "set", 2),))
REPORT = Report(
    ("a.json", "b.yaml"),
    (
        BAD("100% wrong,\nsaid twice", hint="Write 2.", key="k", at=Source("a.json", 3, 5), fix=FIX),
        NOTE("for the record", at=Source("a.json", 9, 1)),
        ODD("odd", at=Source("b,c:d.yaml", 1)),
        ODD("a word", at=Source(COMMAND, None, 4)),
    ),
)


def test_text_is_one_paragraph_a_file() -> None:
    lines = list(text_lines(REPORT, fixable=lambda finding: finding.fix is not None))
    assert lines[0].startswith("a.json:3:5: error CK101 bad: 100% wrong,")
    assert lines[0].endswith("    Write 2.\n    fix with --fix: write 2")
    assert [line.partition(":")[0] for line in lines] == [
        "a.json",
        "",
        "b,c",
        "",
        "command",
        "",
        lines[-1].partition(":")[0],
    ]
    assert (
        lines[-1]
        == "1 error, 2 warnings, 1 note in 2 files; 1 can be fixed with --fix; --all shows the notes"
    )


def test_notes_are_shown_when_asked_for() -> None:
    lines = list(text_lines(REPORT, everything=True))
    assert any("info CK103" in line for line in lines)
    assert lines[-1] == "1 error, 2 warnings, 1 note in 2 files"


def test_a_fix_that_cannot_be_applied_is_shown() -> None:
    assert "    fix by hand: write 2" in next(iter(text_lines(REPORT)))


def test_the_count_of_nothing() -> None:
    assert summary(Report(("a.json, b.yaml",), ())) == "no mistakes found in 2 files"
    assert summary(Report(("the command",), ())) == "no mistakes found in the command"
    assert (
        summary(Report(("a.json",), (), ("c.md",)))
        == "no mistakes found in 1 file; 1 file that nobody recognises"
    )


def test_colour_is_the_callers() -> None:
    (first, *_) = text_lines(REPORT, paint=lambda word, severity: f"<{word}>")
    assert first.startswith("a.json:3:5: <error> CK101 bad")


def test_github_escapes_as_its_own_toolkit() -> None:
    lines = list(github_lines(REPORT))
    assert lines == [
        "::error file=a.json,line=3,col=5,title=CK101 bad::100%25 wrong,%0Asaid twice%0AWrite 2.",
        "::warning file=b%2Cc%3Ad.yaml,line=1,title=CK102 odd::odd",
        "::warning title=CK102 odd::a word",
    ]
    assert any(line.startswith("::notice ") for line in github_lines(REPORT, everything=True))
