"""The verdict of `check --resume` against what really happened, for every recorded resumption."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.resuming import codes
from dsbridge.resuming.commands import to_universal
from dsbridge.resuming.judging import judged
from dsbridge.resuming.partition import unconvertible
from tests.resuming import replay

# nobody who reads files can know these: groups of parameters and the rank of an adapter are the script's
UNSEEN = {"z2-bf16.two-groups", "z2-groups.one-group", "z2-lora.other-rank"}
# the one thing that a case changes, by the end of its name, and the finding that says it
NO_GPU = "Invalid device string: '0'"  # AutoTP of older releases, on a machine without one
_ENDS = {
    codes.WORLD: "w1 w4 not-told",
    codes.STAGE: "z0 z1 z2 z3 u-z0 u-z1 u-z2 u-z3",
    codes.DTYPE: "bf16 fp16 fp32",
    codes.TENSOR: "tp1 tp2",
    codes.PARAMETERS: "lora full",
    codes.OPTIMIZER: "sgd",
    codes.SCHEDULER: "scheduler",
    codes.NO_TAG: "no-latest",
    codes.DAMAGED: "no-shard no-model",
    codes.UNIVERSAL: "not-converted",
    codes.ELASTIC: "rigid",
}
ONE_CHANGE = {end: code for code, ends in _ENDS.items() for end in ends.split()}
Judged = list[tuple[dict[str, Any], list[Diagnostic]]]
PRESENT = [env for env in replay.ENVIRONMENTS if replay.lines(env)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The checkpoints of an environment, unpacked once."""
    return cache(lambda env: replay.unpacked(env, tmp_path_factory.mktemp(env)))


@pytest.fixture(scope="module")
def judgements(
    folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Judged]:
    """Each resumption with what is said of it; a case that takes files away gets a folder of its own."""

    def of(env: str) -> Judged:
        found = []
        for line in replay.lines(env):
            no_gpu = line.get("error", {}).get("message") == NO_GPU
            if line["id"] in UNSEEN or line.get("how") or "convert_error" in line or no_gpu:
                continue
            own = (
                replay.unpacked(env, tmp_path_factory.mktemp(env), replay.name_of(line))
                if line.get("gone")
                else None
            )
            found.append((line, judged(replay.checkpoint(line, own or folders(env)), replay.plan(line))))
        return found

    return cache(of)


def shown(line: dict[str, Any], found: list[Diagnostic]) -> str:
    """For people."""
    return f"{line['id']}: {line.get('error') or line['seen']}\n   said: {[d.to_text() for d in found]}"


@pytest.mark.parametrize("env", PRESENT)
def test_the_verdict_is_what_really_happened(env: str, judgements: Callable[[str], Judged]) -> None:
    wrong = [
        shown(line, found) for line, found in judgements(env) if replay.fails(found) == replay.resumed(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("env", PRESENT)
def test_what_fails_is_told_by_its_cause(env: str, judgements: Callable[[str], Judged]) -> None:
    """One change, one finding; and what resumes says so."""
    for line, found in judgements(env):
        ours = [d.code for d in found if d.severity is Severity.ERROR]
        wanted = ONE_CHANGE.get(line["id"].partition(".")[2])
        if replay.resumed(line):
            assert [d.code for d in found if d.severity is Severity.INFO] == [codes.LOADS.code], shown(
                line, found
            )
        elif wanted is not None:
            also = {codes.ELASTIC.code} if "elastic" in line["id"] else set()
            if line["saved"].startswith("z0-") and ours == [codes.STAGE.code]:
                continue  # of releases that split what is without ZeRO
            assert set(ours) in ({wanted.code}, {wanted.code} | also), shown(line, found)
            told = next(d for d in found if d.code == wanted.code)
            assert told.message, shown(line, found)
            assert told.hint, shown(line, found)


@pytest.mark.parametrize("env", PRESENT)
def test_what_goes_on_otherwise_is_warned_of(env: str, judgements: Callable[[str], Judged]) -> None:
    """Everything that was compared is the same, and yet the next losses are not."""
    for line, found in judgements(env):
        if replay.resumed(line):
            warned = any(d.severity is Severity.WARNING for d in found)
            assert warned == (line["seen"]["goes_on"] == "other"), shown(line, found)


@pytest.mark.parametrize("env", PRESENT)
def test_what_cannot_be_converted_is_known(env: str, folders: Callable[[str], Path]) -> None:
    for line in replay.lines(env):
        convert = line.get("convert", "")
        if not convert.startswith("universal"):
            continue
        origin = {key: value for key, value in line.items() if key != "convert"}
        at, plan = replay.checkpoint(origin, folders(env)), replay.plan(line)
        assert at.saved is not None
        failed = "convert_error" in line
        if not at.saved.stage:
            assert failed, line["id"]  # CK711 tells it: there are no shards
        elif "inject" in convert:
            assert bool(unconvertible(at.saved, plan)) == failed, line["id"]
        elif at.saved.stage < 3:
            assert ("--inject_missing_state" in to_universal(at, plan)) == failed, line["id"]


@pytest.mark.parametrize("env", PRESENT)
def test_the_weights_alone_are_what_the_hints_promise(env: str) -> None:
    """load_module_only and zero_to_fp32.py give the weights, and a new optimizer.

    With ZeRO-3 load_module_only does not: what it is promised for is no ZeRO, resumed below stage 3.
    """
    for line in replay.lines(env):
        of_three = line["plan"]["stage"] == 3 and line.get("how") == "module"
        if of_three:
            assert "error" in line or line["seen"]["held"]["master"] == "other", line
        elif line.get("how"):
            held = line["seen"]["held"]
            assert held["master"] in ("same", "rounded"), line
            assert held["exp_avg"] in ("zero", "absent"), line


def test_there_is_something_to_compare() -> None:
    assert len(replay.lines("hf")) > 200
    assert sum(replay.resumed(line) for line in replay.lines("hf")) > 60
