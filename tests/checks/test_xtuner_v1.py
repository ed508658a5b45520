from __future__ import annotations

from dsbridge.checks.xtuner_v1 import _CONFIG, _OWN, _RUN
from tests.checks.told import says, told


def test_a_config_of_v1() -> None:
    text = says("CK540", {"config.py": _CONFIG}, _RUN)
    assert "imports xtuner.v1" in text
    assert "FSDP" in text
    assert not told("EX005", {"config.py": _CONFIG}, _RUN)
    assert not told("CK540", {"config.py": _OWN}, _RUN)
