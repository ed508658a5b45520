"""What may be read: the folders that the user named, and what lies below the working folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsbridge.bounds import Bounds
from dsbridge.diagnostics import InputError, Severity
from dsbridge.reading import Files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder of configs, in which somebody works, and another folder beside it."""
    for name in ("project/conf/train.yaml", "project/conf/ds.json", "project/ds.json", "other/ds.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "project" / "link.json").symlink_to(tmp_path / "other" / "ds.json")
    (tmp_path / "project" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "project" / "near.json").symlink_to(tmp_path / "project" / "ds.json")
    (tmp_path / "other" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        pytest.param("conf/ds.json", True, id="beside-the-named-file"),
        pytest.param("conf/../conf/ds.json", True, id="dots-that-come-back"),
        pytest.param("{home}/project/conf/ds.json", True, id="absolute-but-beside"),
        pytest.param("ds.json", True, id="in-the-working-folder"),
        pytest.param("near.json", True, id="a-link-that-stays"),
        pytest.param("conf/../ds.json", False, id="dots-that-leave-the-named-folder"),
        pytest.param("../other/ds.json", False, id="dots-that-leave"),
        pytest.param("{home}/other/ds.json", False, id="absolute"),
        pytest.param("{home}/project/ds.json", False, id="absolute-and-not-beside"),
        pytest.param("link.json", False, id="a-link-that-leaves"),
        pytest.param("linked/ds.json", False, id="through-a-linked-folder"),
        pytest.param("/etc/passwd", False, id="the-systems"),
    ],
)
def test_a_file_that_the_input_names(name: str, reads: bool, home: Path) -> None:
    name = name.format(home=home)
    files = Files(bounds=Bounds(["conf/train.yaml"]))
    assert files.has(name)
    if reads:
        files.text(name)
        assert not files.left_out
        return
    with pytest.raises(InputError) as stop:
        files.text(name)
    assert stop.value.diagnostics[0].code == "IN007"
    assert "--allow-outside" in stop.value.diagnostics[0].hint
    assert name in files.left_out
    assert Files().text(name), "without bounds everything is read"


@pytest.mark.parametrize(
    ("given", "command"),
    [
        pytest.param(["conf/train.yaml", "../other/ds.json"], [], id="the-file"),
        pytest.param(["conf/train.yaml", "../other/config.json"], [], id="one-beside-it"),
        pytest.param(["../other"], [], id="its-folder"),
        pytest.param([], ["deepspeed", "x.py", "--deepspeed_config", "../other/ds.json"], id="a-word"),
        pytest.param(
            [], ["llamafactory-cli", "train", "a.yaml", "deepspeed=../other/ds.json"], id="behind-="
        ),
        pytest.param([], ["deepspeed x.py --deepspeed_config=../other/ds.json"], id="in-a-whole-line"),
        pytest.param(["deepspeed x.py --deepspeed_config=../other/ds.json"], [], id="in-quotes"),
        pytest.param(["link.json"], [], id="a-link-to-it"),
    ],
)
def test_what_the_user_names_is_read(given: list[str], command: list[str], home: Path) -> None:
    files = Files(bounds=Bounds(given, command))
    assert files.text("../other/ds.json") == "{}"


def test_a_models_description_is_left_out_with_a_warning(home: Path) -> None:
    files = Files(bounds=Bounds(["conf/train.yaml"]))
    name = f"{home}/other/config.json"
    assert not files.has(name)
    assert files.left_out[name].severity is Severity.WARNING
    assert Files(bounds=Bounds(["conf/train.yaml", f"{home}/other"])).has(name)


def test_names_that_cannot_be(home: Path) -> None:
    bounds = Bounds(["a\x00b", "", "x" * 5000, 'open "quote'], ["'"])
    files = Files(bounds=bounds)
    assert not files.has("a\x00b")
    with pytest.raises(InputError):
        files.text("a\x00b")


def test_a_spec_rendered_in_its_own_folder(home: Path) -> None:
    files = Files(home / "other", {"made.json": "[]"}, alone=False, bounds=Bounds(["conf/train.yaml"]))
    assert files.text("made.json") == "[]", "a text that is not on disk"
    assert files.text("ds.json") == "{}"
    with pytest.raises(InputError):
        files.text("../project/ds.json")
