"""What a run did beside what was meant: `--against` a spec, files, or the run's own command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.against import RUNNING, UNREAD, Drift, facts_of, from_prediction, from_spec
from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation
from dsbridge.inputs import place_text
from dsbridge.prediction import is_spec, predict
from dsbridge.reading import Files
from dsbridge.spec import ParallelSpec
from dsbridge.spec.load import load_file
from dsbridge.values import UNSET
from dsbridge.watching.report import Report

COMMAND = "command"  # in place of a file: the prediction for the command itself
# outcomes as a prediction knows them
_OUTCOMES = {"initialized": "initialized", "error": "error", "unfinished": "initialized"}


class Difference(NamedTuple):
    """A drift, the rank it was seen on, and what to do about it."""

    drift: Drift
    rank: int
    hint: str

    def to_json(self) -> dict[str, Any]:
        """As strict JSON."""
        return {**self.drift.to_json(), "rank": self.rank, "hint": self.hint}


class Meant(NamedTuple):
    """What the run is held against: a spec, or the input of a prediction."""

    name: str
    target: str
    spec: ParallelSpec | None


def meant(name: str, target: str) -> Meant:
    """Read it before the run, so that a slip costs no start.

    Raises:
        InputError: it cannot be read.
    """
    if name != COMMAND and not target and is_spec(Files(), name):
        return Meant(name, "", load_file(name).spec)
    if name != COMMAND:
        predict((name,), (), target)
    return Meant(name, target, None)


def differences(report: Report, held: Meant) -> list[Difference]:
    """Every difference, of each rank's engine that trains; a reference model is not meant."""
    found = []
    for seen in compared(report):
        own = _own(report, seen)
        drifts = _drift(report, held, seen, own)
        found += [Difference(drift, seen["rank"], advice(drift, own, seen)) for drift in drifts]
    return found


def compared(report: Report) -> list[dict[str, Any]]:
    """The calls that count, as a prediction knows them; without any, that there is none."""
    trained = [call for call in report.calls if call["trains"]] or report.calls[-1:]
    if trained:
        return [{**call, "outcome": _OUTCOMES[str(call["outcome"])]} for call in trained]
    seen: dict[str, Any] = {
        "config": None,
        "engine": None,
        "versions": {},
        "rank": 0,
        "world_size": None,
        "at": None,
    }
    error = report.error
    return [{**seen, "model": None, "outcome": "error" if error else "unused", "error": error}]


def _drift(report: Report, held: Meant, seen: Mapping[str, Any], own: Explanation | None) -> list[Drift]:
    if held.spec is not None:
        return from_spec(held.spec, seen, own, held.name)
    if held.name == COMMAND:
        found = predict((), report.command, held.target, facts_of(seen), _versions(seen))
    else:
        found = predict((held.name,), (), held.target, facts_of(seen), _versions(seen))
    return from_prediction(found, seen, own)


def _own(report: Report, seen: Mapping[str, Any]) -> Explanation | None:
    """The prediction of the run's own command: it knows who sets what. None where it cannot be read."""
    try:
        return predict((), report.command, "", facts_of(seen), _versions(seen))
    except InputError:
        return None


def _versions(seen: Mapping[str, Any]) -> dict[str, str]:
    return {name: version for name, version in seen["versions"].items() if name != "torch"}


def advice(drift: Drift, own: Explanation | None, seen: Mapping[str, Any]) -> str:
    """What to do: what the rule advises that set the value, else where to look."""
    story = next((entry for entry in own.fields if entry.path == drift.path), None) if own else None
    hints = [step.rule.hint for step in story.steps if step.rule.hint] if story else []
    if drift.path.startswith(("outcome", "error.")):
        return "" if seen.get("error") else "Is the config that names DeepSpeed passed to the program?"
    if hints and not drift.set_by.startswith(("nobody", RUNNING, UNREAD)):
        return hints[-1]
    if drift.set_by.startswith("nobody"):
        return f"Nothing the run reads says `{drift.path}`: write it there, or change what you expect."
    if drift.set_by.startswith((RUNNING, UNREAD)):
        return f"No file and no known rule gives this value: look at the code before {seen.get('at')}."
    if story is not None and story.source is not None and story.value is not UNSET:
        return f"Change it at {place_text(story.source)}, or change what you expect."
    return ""
