"""Files of torch.save, whole, cut, hostile: a value or one sentence, never more."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsbridge.checkpoints import archive, opcodes
from dsbridge.checkpoints.archive import Unreadable, contents, whole
from tests.checkpoints.making import saved


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_value(tmp_path: Path, how: int) -> None:
    path = saved(tmp_path / "a.pt", {"ds_version": "0.19.8", "n": [1, 2]}, how)
    assert contents(path) == {"ds_version": "0.19.8", "n": [1, 2]}
    assert whole(path) == ""


def test_the_form_of_before_torch_1_6(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes(
        b"".join(pickle.dumps(value, 2) for value in (archive._MAGIC, 1001, {}, {"n": 3}, [])) + b"tensors"
    )
    assert contents(path) == {"n": 3}


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_ways_of_packing_are_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(Unreadable, match="torch does not use"):
        contents(saved(tmp_path / "a.pt", {}, method))


def test_what_is_not_there_and_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", ".", "pipe"):
        assert whole(tmp_path / name)
        with pytest.raises(Unreadable):
            contents(tmp_path / name)


def test_a_file_that_was_not_written_to_its_end(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"x": list(range(1000))})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert whole(path) == "its end is missing: it was not written to the end"
    with pytest.raises(Unreadable, match="not written to the end"):
        contents(path)
    path.write_bytes(b"")
    assert whole(path) == "it is empty"


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "MAX_BYTES", 1 << 20)
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb/data.pkl", b"N" * (64 << 20))
    with pytest.raises(Unreadable, match="more than"):
        contents(path)


def test_an_endless_list_of_contents_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "many.pt"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, archive.MAX_DIRECTORY + 1, 0, 0)
    path.write_bytes(b"PK" + b"\0" * 100 + end)
    with pytest.raises(Unreadable, match="list of contents"):
        contents(path)


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.pt"
    for text in (data, b"PK" + data, b"PK\x03\x04" + data + b"PK\x05\x06" + data):
        path.write_bytes(text)
        whole(path)
        try:
            contents(path)
        except Unreadable as error:
            assert str(error)


@given(st.integers(0, 2000), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_one_byte_changed(tmp_path: Path, at: int, byte: int) -> None:
    path = saved(tmp_path / "one.pt", {"ds_version": "0.19.8", "module": {str(i): i for i in range(40)}})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(bytes(data))
    try:
        contents(path)
    except Unreadable as error:
        assert str(error)
