from __future__ import annotations

import pytest

from dsbridge.checks.xtuner_v1 import _CONFIG, _OWN, _RUN
from dsbridge.diagnostics import InputError
from tests.checks.told import says, told


def test_a_config_of_v1() -> None:
    text = says("CK540", {"config.py": _CONFIG}, _RUN)
    assert "imports xtuner.v1" in text
    assert "FSDP" in text
    assert not told("EX005", {"config.py": _CONFIG}, _RUN)
    assert not told("CK540", {"config.py": _OWN}, _RUN)


def test_a_file_of_v1_by_itself() -> None:
    text = says("CK540", {"v1.py": _CONFIG})
    assert text.startswith("warning")
    assert "reads no DeepSpeed config" in text
    assert not told("EX005", {"v1.py": _CONFIG})
    beside = {"v1.py": _CONFIG, "ds.json": '{"zero_optimization": {"stage": 2}}'}
    assert says("CK540", beside).startswith("error")
    assert not told("EX005", beside)
    with pytest.raises(InputError):  # nothing in it is anybody's
        told("CK540", {"config.py": _OWN})
