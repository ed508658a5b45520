from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsbridge.checking.environment import environment_findings, installed_here
from dsbridge.subjects.combinations import BUCKETS, COMBINATIONS, NO_SYNC, PACKAGES
from tests.checks.told import says, told

OLD = {"deepspeed": "0.16.0", "transformers": "4.46.3", "accelerate": "1.1.1"}
RUN = (
    "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json --per_device_train_batch_size 1"
)


def _ds(stage: int, **zero: object) -> dict[str, str]:
    text = ", ".join(f'"{name}": "{value}"' for name, value in zero.items())
    return {"ds.json": f'{{"zero_optimization": {{"stage": {stage}{", " if text else ""}{text}}}}}'}


@pytest.mark.parametrize(("package", "good"), [
    ("deepspeed", "0.15.4"), ("transformers", "4.47.1"), ("accelerate", "1.9.0"),
])  # fmt: skip
def test_each_boundary_of_no_sync(package: str, good: str) -> None:
    eight = f"{RUN} --gradient_accumulation_steps 8"
    text = says("CK550", _ds(2), eight, versions=OLD)
    assert text.startswith("error: deepspeed 0.16.0, transformers 4.46.3, accelerate 1.1.1:")
    assert not told("CK550", _ds(2), eight, versions={**OLD, package: good})


def test_no_sync_needs_accumulation_and_a_stage() -> None:
    assert not told("CK550", _ds(2), RUN, versions=OLD)
    assert not told("CK550", _ds(1), f"{RUN} --gradient_accumulation_steps 8", versions=OLD)
    assert not told("CK550", _ds(2), f"{RUN} --gradient_accumulation_steps 8")


def test_buckets_with_a_fraction() -> None:
    old = {**OLD, "transformers": "4.44.2", "deepspeed": "0.15.0"}
    files = _ds(3, stage3_prefetch_bucket_size="auto")
    model = {"model": {"hidden_size": 4096, "num_attention_heads": 32}}
    assert says("CK550", files, RUN, versions=old).startswith("warning")
    assert says("CK550", files, RUN, versions=old, facts=model).startswith("error")
    even = {"model": {"hidden_size": 5120, "num_attention_heads": 40}}
    assert not told("CK550", files, RUN, versions=old, facts=even)
    assert not told("CK550", files, RUN, versions={**old, "deepspeed": "0.14.5"}, facts=model)
    assert not told("CK550", _ds(3), RUN, versions=old, facts=model)


def test_rows() -> None:
    for row in COMBINATIONS:
        assert set(row.since) | set(row.until) <= set(PACKAGES)
        assert row.evidence
    assert not NO_SYNC.holds({"deepspeed": "0.16.0"})
    assert not BUCKETS.holds({})


def test_an_environment() -> None:
    names = [finding.name for finding in environment_findings(OLD)]
    assert names == ["bad-environment", "bad-environment"]
    assert not environment_findings({"deepspeed": "0.18.4", "transformers": "4.57.1", "accelerate": "1.11.0"})


def test_what_the_metadata_asks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The lines are those of llamafactory 0.9.5."""
    folder = tmp_path / "llamafactory-0.9.5.dist-info"
    folder.mkdir()
    lines = ("accelerate<=1.11.0,>=1.3.0", "torch>=2.4.0; extra == 'x'", "numpy", "no requirement at all <")
    asks = "".join(f"Requires-Dist: {line}\n" for line in lines)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: llamafactory\nVersion: 0.9.5\n{asks}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_here()["llamafactory"] == "0.9.5"
    have = {"llamafactory": "0.9.5", "accelerate": "1.15.0", "torch": "2.0.0"}
    (found,) = environment_findings(have)
    assert "0.9.5 asks for accelerate" in found.message
    assert "<=1.11.0" in found.message
    assert not environment_findings({**have, "accelerate": "1.11.0"})
    assert not environment_findings({**have, "llamafactory": "0.9.4"})  # another release than the metadata's


def test_only_what_is_installed() -> None:
    assert set(installed_here()) <= set(PACKAGES)
    assert "pydantic" in installed_here()


def test_the_command_needs_no_file(dsbridge: Callable[..., Any]) -> None:
    assert dsbridge("check", "--env").code == 0
    bad = dsbridge("check", "--env", "--versions", "deepspeed=0.16.0,transformers=4.46.3,accelerate=1.1.1")
    assert "CK552" in bad.out
    assert dsbridge("check").code == 2
