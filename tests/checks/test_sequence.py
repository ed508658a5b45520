from __future__ import annotations

from dsbridge.checks.sequence import _CONFIG, _DS, _RUN, _SCRIPT, _XTUNER
from tests.checks.told import says, told


def _files(size: int) -> dict[str, str]:
    return {"train.py": _SCRIPT % size, "ds.json": _DS}


def _model(heads: int, shared: int) -> dict[str, object]:
    return {"model": {"num_attention_heads": heads, "num_key_value_heads": shared}}


def test_heads() -> None:
    assert "does not divide 14 attention heads" in says("CK430", _files(4), _RUN, facts=_model(14, 2))
    assert "3 key-value heads" in says("CK430", _files(4), _RUN, facts=_model(12, 3))
    assert says("CK430", _files(4), _RUN).startswith("info")
    for heads, shared in ((16, 2), (16, 8), (8, 8)):
        assert not told("CK430", _files(4), _RUN, facts=_model(heads, shared))
    assert not told("CK430", _files(1), _RUN, facts=_model(14, 2))


def test_xtuners_batch() -> None:
    text = says("CK431", {"config.py": _CONFIG % 4}, _XTUNER)
    assert "trains 8 samples" in text
    assert "says 32" in text
    assert "accumulative_counts 16" in text
    assert not told("CK431", {"config.py": _CONFIG % 1}, _XTUNER)
    assert not told("CK430", {"config.py": _CONFIG % 4}, _XTUNER)
