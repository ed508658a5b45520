"""What real runs were seen to do under `observe`: the recordings hold together, and are told rightly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conformance.observing.cases import cases
from dsbridge.against import facts_of
from dsbridge.watching.holding import COMMAND, Meant, compared, differences
from dsbridge.watching.report import Report
from dsbridge.watching.running import Ended
from dsbridge.watching.telling import lines
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "recorded" / "observed"
FILES = sorted(FOLDER.glob("*/*/*.json"))
SCHEMA = json.loads((ROOT / "docs" / "reference" / "schemas" / "observe.schema.json").read_text())
BY_NAME = {path.stem: path for path in FILES}


def read(path: Path) -> dict[str, Any]:
    """A recorded report in the form in which it was printed, as far as that was kept."""
    report: dict[str, Any] = json.loads(path.read_text())["report"]
    calls = [{**call, "pid": 1, "model": model(call)} for call in report["calls"]]
    return {**report, "seconds": 1.0, "calls": calls}


def model(call: dict[str, Any]) -> Any:
    kept = call["model"]
    return kept and {"class": kept["class"], "config": {"hidden_size": kept["hidden_size"]}}


def report_of(path: Path) -> Report:
    made = read(path)
    number = 15 if made["signal"] == "SIGTERM" else None
    return Report(
        tuple(made["command"]), tuple(made["calls"]), made["calls_on_other_ranks"],
        Ended(made["exit_code"], number, 1.0), made["stopped"], made["error"], made["reason"], (),
    )  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_reports_follow_the_schema(path: Path) -> None:
    made = read(path)
    jsonschema.validate(made, SCHEMA)
    again = {**report_of(path).to_json(), "against": made["against"], "differences": made["differences"]}
    assert again == made


@pytest.mark.parametrize("env", ["hf", "llamafactory", "xtuner"])
def test_every_case_is_recorded_and_ended_as_it_must(env: str) -> None:
    recorded = {path.stem for path in FILES if path.parent.parent.name == env}
    assert recorded == {case.name for case in cases(env)}
    for case in cases(env):
        made, said = read(BY_NAME[case.name]), case.expected
        assert (made["outcome"], made["signal"], made["stopped"]) == (said.outcome, said.signal, said.stopped)
        assert (len(made["calls"]), (made["error"] or {}).get("when")) == (said.calls, said.when)
        assert tuple(entry["path"] for entry in made["differences"]) == said.differences


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_are_told_in_words(path: Path) -> None:
    report = report_of(path)
    text = "\n".join(lines(report))
    for call in report.calls:
        assert f"rank {call['rank']} of {call['world_size']}, at {call['at']}" in text
    ended = f"killed by {read(path)['signal']}" if report.ended.signal else f"exit code {report.ended.code}"
    assert f"the run ended: {'stopped there (--stop), ' if report.stopped else ''}{ended}" in text
    assert "None" not in text


BATCH = (
    "AssertionError: Check batch related parameters. train_batch_size is not equal to micro_batch_per_gpu * "
    "gradient_acc_step * world_size 7 != 1 * 2 * 2 (deepspeed/runtime/config.py:602)"
)


def told(name: str) -> list[str]:
    """Without the lines of our own probe, which move."""
    return re.sub(r"probe\.py:\d+", "probe.py:N", "\n".join(lines(report_of(BY_NAME[name])))).splitlines()


def test_the_tale_of_runs_that_did_not_go_well() -> None:
    assert told("crash-inside") == [
        "observed: deepspeed.initialize was called once on rank 0, and once on other ranks",
        "",
        "rank 0 of 2, at ../probe.py:N",
        "  with deepspeed 0.19.8, accelerate 1.15.0, transformers 5.23.0",
        f"  it raised {BATCH}",
        "  config:",
        "    gradient_accumulation_steps     2",
        "    gradient_clipping               0.5",
        "    optimizer.params.lr             0.0001",
        "    optimizer.params.torch_adam     true",
        '    optimizer.type                  "AdamW"',
        "    train_batch_size                7",
        "    train_micro_batch_size_per_gpu  1",
        "    zero_optimization.stage         1",
        "",
        "the run ended: exit code 1",
        f"  rank 0 raised, inside deepspeed.initialize: {BATCH}",
    ]
    why = "3 Python processes were watched, and none imported deepspeed"
    assert told("crash-before") == [
        f"observed: no call of deepspeed.initialize: {why}",
        "",
        "the run ended: exit code 1",
        "  rank 0 raised, before deepspeed.initialize: "
        "RuntimeError: the data set is not there (../probe.py:N)",
    ]
    assert told("accelerate-all-ranks").count("  the same config and engine") == 1


def seen(path: str = "accelerate-all-ranks", **changes: Any) -> Report:
    """A recorded run with one thing changed in what was seen on its last rank."""
    report = report_of(BY_NAME[path])
    *first, last = report.calls
    return report._replace(calls=(*first, {**last, **changes}))


def test_held_against_files_every_rank_counts(tmp_path: Path) -> None:
    """Beside a DeepSpeed file that says what was seen, and one rank's config is another."""
    real = report_of(BY_NAME["deepspeed-launcher"]).calls[0]["config"]
    (tmp_path / "ds.json").write_text(json.dumps(real))
    held = Meant(str(tmp_path / "ds.json"), "deepspeed", None)
    assert differences(seen("deepspeed-launcher"), held) == []
    changed = seen("deepspeed-launcher", config={**real, "gradient_clipping": 0.25})
    (found,) = differences(changed, held)
    assert (found.rank, found.drift.path, found.drift.expected, found.drift.found) == (
        1, "gradient_clipping", 0.5, 0.25,
    )  # fmt: skip
    assert found.drift.asked.startswith(f"{tmp_path}/ds.json:1")
    assert f"look at the code before {changed.calls[1]['at']}" in found.hint


def test_a_reference_model_is_not_compared() -> None:
    report = report_of(BY_NAME["trainer-agrees"])
    reference = {**report.calls[0], "trains": False, "config": {"train_batch_size": 1}}
    both = report._replace(calls=(reference, *report.calls))
    assert [call["trains"] for call in compared(both)] == [True]


def test_what_a_call_settles() -> None:
    (call,) = report_of(BY_NAME["llamafactory"]).calls
    assert facts_of(call) == {"world_size": 2, "model": {"hidden_size": 64}}


def test_a_run_without_a_call_is_a_difference() -> None:
    report = report_of(BY_NAME["never"])
    (found,) = compared(report)
    assert (found["outcome"], found["config"], found["error"]) == ("unused", None, None)
    (found,) = compared(report_of(BY_NAME["crash-before"]))
    assert (found["outcome"], found["error"]["type"]) == ("error", "RuntimeError")
    assert COMMAND == "command"
