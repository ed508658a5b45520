"""A format asked for in one layer, and another layer that wins without a word."""

from __future__ import annotations

import pytest

from tests.checks.finding import found
from tests.checks.test_optimizer_checks import ds
from tests.checks.test_wishes import ACCELERATE, LAUNCH, SCRIPT, TRAINER

YAML = ACCELERATE % "  zero_stage: 2" + "mixed_precision: %s\n"


@pytest.mark.parametrize("version", ["1.15.0", "1.6.0"])
@pytest.mark.parametrize(("yaml", "argument", "winner"), [
    ("fp16", 'mixed_precision="bf16"', "train.py:4"), ("bf16", 'mixed_precision="fp16"', "train.py:4"),
    ("bf16", 'mixed_precision="bf16"', ""), ("bf16", "", ""), ("'no'", 'mixed_precision="bf16"', ""),
])  # fmt: skip
def test_the_script_wins_over_the_yaml(yaml: str, argument: str, winner: str, version: str) -> None:
    files = {"accelerate.yaml": YAML % yaml, "train.py": SCRIPT % argument}
    said = found("CK214", files, LAUNCH, versions={"accelerate": version})
    assert [winner in finding.message for finding in said] == ([True] if winner else [])
    assert all((finding.file, finding.key) == ("accelerate.yaml", "mixed_precision") for finding in said)


def test_a_flag_against_the_yaml() -> None:
    files = {"accelerate.yaml": YAML % "fp16", "train.py": SCRIPT % ""}
    (finding,) = found("CK214", files, LAUNCH.replace(" train.py", " --mixed_precision bf16 train.py"))
    assert finding.file == "accelerate.yaml"


def test_an_explicit_false_trains_in_float32() -> None:
    files = {
        "accelerate.yaml": ACCELERATE % "  deepspeed_config_file: ds.json",
        "train.py": SCRIPT % 'mixed_precision="bf16"',
        **ds(bf16={"enabled": False}),
    }
    (finding,) = found("CK214", files, LAUNCH)
    assert "no mixed precision" in finding.message
    assert "ds.json:8" in finding.message
    assert not found("CK214", {**files, **ds()}, LAUNCH)  # a missing block is written for it


def test_the_trainer_refuses_instead() -> None:
    assert not found("CK214", ds(bf16={"enabled": False}), f"{TRAINER}--bf16")
    assert not found("CK214", ds(bf16={"enabled": "auto"}), f"{TRAINER}--bf16")
