"""Every file of the corpus of real configs, where DSBRIDGE_CORPUS names its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.corpus import PAGE, page, rows

CORPUS = os.environ.get("DSBRIDGE_CORPUS", "")


@pytest.mark.skipif(not CORPUS, reason="the corpus is other people's files: DSBRIDGE_CORPUS names its folder")
def test_every_file_is_parsed_or_refused_and_none_trains_something_else() -> None:
    found = list(rows(Path(CORPUS)))
    assert not [row for row in found if row.outcome == "differs"]
    assert page(found) == PAGE.read_text(encoding="utf-8"), "run python -m tools.corpus FOLDER"
