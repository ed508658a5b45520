"""The report folder of a run as one value: its calls, how it ended, and why there was no call."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.watching.never import why_never
from dsbridge.watching.running import Ended

# what a call has, in the order in which it is told; the hook's own file names are not part of it
_CALL = ("outcome", "rank", "world_size", "at", "pid", "config", "config_file", "engine", "trains", "error")


class Report(NamedTuple):
    """What was seen of a run.

    calls: those of the ranks that were asked for, in time. elsewhere: how many others there were.
    error: the exception that ended it, as far as a rank's Python told; `when` is before, inside or after
    `deepspeed.initialize`. reason: why there is no call.
    """

    command: tuple[str, ...]
    calls: tuple[Mapping[str, Any], ...]
    elsewhere: int
    ended: Ended
    stopped: bool
    error: Mapping[str, Any] | None
    reason: Mapping[str, str] | None
    notes: tuple[str, ...]

    @property
    def outcome(self) -> str:
        """`initialized`: an engine was built. `error`: a call was made, and no engine. `unused`: no call."""
        if not self.calls:
            return "unused"
        return "initialized" if any(c["outcome"] == "initialized" for c in self.calls) else "error"

    def to_json(self) -> dict[str, Any]:
        """The shape that docs/reference/schemas/observe.schema.json describes."""
        return {
            "command": list(self.command),
            "outcome": self.outcome,
            "exit_code": self.ended.code,
            "signal": signal_name(self.ended.signal),
            "stopped": self.stopped,
            "seconds": round(self.ended.seconds, 3),
            "error": self.error,
            "reason": self.reason,
            "calls": [dict(call) for call in self.calls],
            "calls_on_other_ranks": self.elsewhere,
            "notes": list(self.notes),
        }


def read_report(folder: Path, command: Sequence[str], ended: Ended, ranks: str) -> Report:
    """Everything that the run's Pythons wrote."""
    found = sorted(_read(folder, "call"), key=lambda call: str(call["file"]))
    mine = [_call(call) for call in found if ranks == "all" or not call["rank"]]
    calls = tuple(sorted(mine, key=lambda call: int(call["rank"])))  # of each rank in time
    error = _error(list(_read(folder, "error")), found)
    elsewhere = len(found) - len(calls)
    reason = None if calls else why_never(folder, command, elsewhere)
    notes = [f"{note['type']}: {note['message']} ({note['at']})" for note in _read(folder, "note")]
    notes += [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("broken-*")]
    stopped = any(folder.glob("stopped-*"))
    unique = tuple(dict.fromkeys(notes))
    return Report(tuple(command), calls, elsewhere, ended, stopped, error, reason, unique)


def signal_name(number: int | None) -> str | None:
    """`SIGTERM`; the number in digits where it has no name."""
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def _read(folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{kind}-*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _call(found: Mapping[str, Any]) -> dict[str, Any]:
    call = {name: found.get(name) for name in (*_CALL, "model", "versions")}
    call["rank"], call["world_size"] = call["rank"] or 0, call["world_size"] or 1
    call["versions"] = call["versions"] or {}
    # it never came back: the process ended inside
    return {**call, "outcome": "unfinished"} if call["outcome"] == "running" else call


def _error(errors: Sequence[Mapping[str, Any]], calls: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Of the lowest rank that told one; a launcher's own (a child has failed) only where no rank told."""
    if not errors:
        return None
    callers = {call["pid"]: call["rank"] or 0 for call in calls}
    first = min(errors, key=lambda e: (e["pid"] not in callers, e["rank"] is None, e["rank"] or 0))
    rank = callers.get(first["pid"], first["rank"])
    before = [call for call in calls if rank is None or call["pid"] == first["pid"]]
    same = [call for call in before if call.get("error") and call["error"]["message"] == first["message"]]
    when = "before" if not before else ("inside" if same else "after")
    return {**{name: first[name] for name in ("type", "message", "at")}, "rank": rank, "when": when}
