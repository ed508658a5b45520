"""What is no markup is text, wherever it stands."""

from __future__ import annotations

import json

import pytest

from dsbridge.report.markup import GIB, Html, embedded, gib, joined, table, tag

HOSTILE = '</script><b onclick="x">\'&amp;'


def test_children_and_attributes_are_escaped() -> None:
    told = "&lt;/script&gt;&lt;b onclick=&quot;x&quot;&gt;&#x27;&amp;amp;"
    made = tag("a", HOSTILE, tag("b", "x"), href="#a", aria_label=HOSTILE, class_="c", hidden=None, open=True)
    assert made == f'<a href="#a" aria-label="{told}" class="c" open>{told}<b>x</b></a>'
    assert joined("<", None, Html("<br>"), 5) == "&lt;<br>5"


def test_a_table_names_its_rows_and_columns() -> None:
    made = table("A < B", ("k", "v"), [("x", "<i>")])
    assert "<caption>A &lt; B</caption>" in made
    assert '<th scope="row">x</th><td>&lt;i&gt;</td>' in made


def test_data_can_end_no_script_and_reads_back() -> None:
    value = {"a": [HOSTILE, "\u2028", 1.5, None]}
    text = embedded(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded(float("nan"))


@pytest.mark.parametrize(
    ("count", "told"), [(0.25, "0.25"), (12.34, "12.3"), (1234.5, "1,234"), (-3.0, "-3.0")]
)
def test_sizes_are_told_with_digits_that_mean_something(count: float, told: str) -> None:
    assert gib(count * GIB) == told
