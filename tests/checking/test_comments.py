"""Comments that say which findings are not wanted, in every kind of file that has comments."""

from __future__ import annotations

import pytest

from dsbridge.checking.comments import ignores_in
from dsbridge.diagnostics import Code, Severity
from dsbridge.provenance import Source

FOUND = Code("CK101", "found", Severity.ERROR, "Found.")


def silenced(text: str, code: str = "CK101") -> set[int]:
    """The lines where a finding of this code is not wanted."""
    ignores = ignores_in(text)
    lines = range(1, text.count("\n") + 2)
    made = FOUND("a")._replace(code=code)
    return {n for n in lines if ignores.silences(made.at(Source("f", n, 1)))}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2  # dsbridge: ignore[CK101]\nc: 3\n", {2}),
        ("a: 1\n# dsbridge: ignore[CK101]\nb: 2\nc: 3\n", {2 + 1}),
        ("# dsbridge: ignore[CK102]\n# dsbridge: ignore[CK101]\nb: 2\n", {3}),
        ('{\n  "a": 1, // dsbridge: ignore[CK101]\n  "b": 2\n}\n', {2}),
        ("torchrun train.py \\\n  --bf16  # dsbridge:ignore[EX005, CK1]\n", {2}),
        ("args = TrainingArguments(bf16=True)  # dsbridge: ignore[ck101]\n", {1}),
        ("b: 2  # dsbridge: ignore[CK102]\n", set()),
        ("b: 2  # dsbridge: ignore\n", set()),
        ("b: 2\n", set()),
    ],
)
def test_on_the_line_or_above(text: str, lines: set[int]) -> None:
    assert silenced(text) == lines


TOPS = (
    "# dsbridge: ignore-file[CK101]",
    "#!/bin/bash\n\n# dsbridge: ignore-file[CK1,EX005]",
    "{\n  // dsbridge: ignore-file[CK]",
    "<!-- dsbridge: ignore-file[CK101] -->",
    "---\n# config\n# dsbridge: ignore-file[CK101]",
)


@pytest.mark.parametrize("top", TOPS)
def test_a_whole_file(top: str) -> None:
    text = f"{top}\na: 1\nb: 2\n"
    assert silenced(text) == set(range(1, text.count("\n") + 2))
    assert not silenced(text, "PA001")


def test_a_whole_file_only_at_the_top() -> None:
    assert not silenced("a: 1\n# dsbridge: ignore-file[CK101]\nb: 2\n")


def test_a_comment_behind_a_value_is_of_that_line_alone() -> None:
    assert silenced("a: 1  # dsbridge: ignore[CK101]\nb: 2\n") == {1}
