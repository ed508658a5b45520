"""`check --resume` on the command of a LLaMA-Factory run, against what 0.9.5 really did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.resuming.llamafactory_cases import settings
from tests.resuming.replay import as_saved, lines, unpacked

PACKAGES = ("llamafactory", "deepspeed", "accelerate", "transformers")
LINES = lines("frameworks-llamafactory")
RAN = [line for line in LINES if "convert_error" not in line]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What LLaMA-Factory saved, without tensors."""
    return unpacked("frameworks-llamafactory", tmp_path_factory.mktemp("llamafactory"))


def resumed(line: dict[str, Any]) -> bool:
    """Weights, states and counters are those that were saved."""
    return as_saved(line, global_step=3)


@pytest.mark.parametrize("line", RAN, ids=lambda line: line["id"])
def test_the_verdict_is_what_llamafactory_did(
    line: dict[str, Any], checkpoints: Path, monkeypatch: pytest.MonkeyPatch, dsbridge: Callable[..., Any]
) -> None:
    monkeypatch.chdir(checkpoints / line["id"])
    plan = line["plan"]
    Path("train.yaml").write_text(json.dumps(settings(plan, "checkpoint-3")), encoding="utf-8")
    Path("ds.json").write_text(json.dumps(line["ds"]), encoding="utf-8")
    versions = ",".join(f"{name}={line['versions'][name]}" for name in PACKAGES)
    words = ["env", "FORCE_TORCHRUN=1", f"NPROC_PER_NODE={plan['world']}"]
    words += ["llamafactory-cli", "train", "train.yaml"]
    given = ("check", "--resume", "checkpoint-3", "--format", "json", "--versions", versions)
    outcome = dsbridge(*given, "--", *words)
    assert outcome.out, (line["id"], outcome.err)
    said = [d for d in outcome.json["diagnostics"] if d["code"].startswith(("CK7", "EX"))]
    told = [(d["code"], d["message"]) for d in said]
    fails = any(d["severity"] == "error" for d in said)
    assert fails != resumed(line), (line.get("error") or line["seen"], told)
    assert not any(d["code"] == "CK740" for d in said), told


def test_another_number_of_ranks_needs_the_conversion() -> None:
    by_name = {line["id"]: line for line in LINES}
    for saved in {line["saved"] for line in LINES}:
        assert resumed(by_name[f"{saved}.same"])
        assert by_name[f"{saved}.w1"]["error"]["type"] == "ZeRORuntimeException"
