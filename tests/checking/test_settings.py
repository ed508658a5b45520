"""`.dsbridge.toml` and `[tool.dsbridge]`: the nearest one upwards holds, and it is read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsbridge.checking.settings import Settings, forget, read_settings, settings_for, unknown_codes
from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.provenance import Source

FOUND = Code("CK101", "found", Severity.ERROR, "Found.")


@pytest.fixture(autouse=True)
def _anew() -> None:
    forget()


def of(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / ".dsbridge.toml"
    file.write_text(text)
    found = read_settings(file)
    assert found is not None
    return found


def test_the_nearest_file_upwards_holds(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.dsbridge]\ntarget = "trainer"\n')
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "other"\n')  # says nothing of ours
    assert settings_for(str(inner / "ds.json")).target == "trainer"
    (tmp_path / "a" / ".dsbridge.toml").write_text('target = "xtuner"\n')
    forget()
    assert settings_for(str(inner / "ds.json")).target == "xtuner"
    assert settings_for(str(tmp_path / "ds.json")).target == "trainer"


def test_the_own_file_wins_over_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dsbridge]\ntarget = "trainer"\n')
    (tmp_path / ".dsbridge.toml").write_text('target = "xtuner"\n')
    assert settings_for(str(tmp_path / "ds.json")).target == "xtuner"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('slect = ["CK1"]', "unknown key `slect`"),
        ('select = "CK1"', "`select` takes a list of codes"),
        ('severity = {CK101 = "fatal"}', "`severity` takes a table of error, warning or info"),
        ('per-file-ignores = {"*.json" = "CK1"}', "`per-file-ignores` takes a table of lists"),
        ("versions = {deepspeed = 0.18}", "`versions` takes a table of texts"),
        ("select = [", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as stop:
        of(tmp_path, text)
    (finding,) = stop.value.diagnostics
    assert says in finding.message
    assert finding.file == str(tmp_path / ".dsbridge.toml")


def test_a_misspelt_key_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean `per-file-ignores`"):
        of(tmp_path, "per-file-ignore = {}")


def test_the_longer_beginning_wins(tmp_path: Path) -> None:
    settings = of(tmp_path, 'select = ["CK101", "EX"]\nignore = ["CK1"]')
    assert not settings.silences(FOUND("a"))
    assert settings.silences(FOUND("a")._replace(code="CK102"))
    assert settings.silences(FOUND("a")._replace(code="PA001"))  # not selected
    assert not settings.silences(FOUND("a")._replace(code="IN002"))  # what cannot be read is always told


def test_ignores_by_file_and_by_key(tmp_path: Path) -> None:
    settings = of(tmp_path, '[per-file-ignores]\n"old/*.json" = ["CK1"]\n"ds.json:zero*.stage" = ["CK101"]')
    old = FOUND("a", at=Source(str(tmp_path / "old" / "x" / "ds1.json")))
    assert settings.silences(old)
    here = FOUND("a", key="zero_optimization.stage", at=Source(str(tmp_path / "ds.json"), 3))
    assert settings.silences(here)
    assert not settings.silences(here._replace(key="zero_optimization.overlap_comm"))
    assert not settings.silences(FOUND("a", at=Source(str(tmp_path / "new" / "b.json"))))


def test_folders_and_files_are_left_out(tmp_path: Path) -> None:
    settings = of(tmp_path, 'exclude = ["third_party", "cases/bad*"]')
    assert settings.excludes(str(tmp_path / "third_party" / "deep" / "ds.json"))
    assert settings.excludes(str(tmp_path / "a" / "third_party" / "ds.json"))
    assert settings.excludes(str(tmp_path / "cases" / "bad-1.json"))
    assert not settings.excludes(str(tmp_path / "cases" / "good.json"))


def test_a_project_weighs_findings(tmp_path: Path) -> None:
    settings = of(tmp_path, 'severity = {CK1 = "info", CK101 = "warning"}')
    assert settings.weighed(FOUND("a")).severity is Severity.WARNING
    assert settings.weighed(FOUND("a")._replace(code="CK102")).severity is Severity.INFO
    assert settings.weighed(FOUND("a")._replace(code="EX005")).severity is Severity.ERROR


def test_codes_that_nobody_has() -> None:
    assert not unknown_codes(["CK1", "EX005"], ["CK101", "EX005"], "x.toml")
    (finding,) = unknown_codes(["EX055"], ["CK101", "EX005"], "x.toml")
    assert "Did you mean EX005" in finding.hint
