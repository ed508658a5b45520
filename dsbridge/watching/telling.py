"""A report in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsbridge.trees import flat
from dsbridge.watching.holding import Difference
from dsbridge.watching.never import times
from dsbridge.watching.report import Report, signal_name

_SIZES = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size")


def lines(report: Report, held: str = "", found: Sequence[Difference] = ()) -> Iterator[str]:
    """What was seen, how it ended, and what is not as meant. held: what the run was held against."""
    if report.reason:
        yield f"observed: no call of deepspeed.initialize: {report.reason['text']}"
    else:
        yield f"observed: deepspeed.initialize was called {times(len(report.calls))}{_elsewhere(report)}"
    first: Mapping[str, Any] | None = None
    for call in report.calls:
        yield from _call(call, first)
        first = first or call
    yield from _end(report)
    for note in report.notes:
        yield f"  the hook failed, which changed nothing for the program: {note}"
    if held:
        yield from _held(held, found)


def _elsewhere(report: Report) -> str:
    return f" on rank 0, and {times(report.elsewhere)} on other ranks" if report.elsewhere else ""


def _call(call: Mapping[str, Any], first: Mapping[str, Any] | None) -> Iterator[str]:
    yield f"\nrank {call['rank']} of {call['world_size']}, at {call['at'] or 'an unknown place'}"
    named = [f"{name} {call['versions'][name]}" for name in ("deepspeed", "accelerate", "transformers")
             if name in call["versions"]]  # fmt: skip
    if named and first is None:
        yield f"  with {', '.join(named)}"
    if first is not None and (call["config"], call["engine"]) == (first["config"], first["engine"]):
        yield "  the same config and engine"
        return
    engine, error = call["engine"], call["error"]
    if engine:
        yield f"  engine: {_engine(engine)}{'' if call['trains'] else ' (it has no optimizer)'}"
    elif error:
        yield f"  it raised {error['type']}: {error['message']} ({error['at']})"
    else:
        yield "  it never came back"
    yield from _config(call, first)


def _config(call: Mapping[str, Any], first: Mapping[str, Any] | None) -> Iterator[str]:
    if call["config"] is None:
        yield "  config: none that could be read"
        return
    given = flat(call["config"])
    before = flat(first["config"]) if first and first["config"] else {}
    rows = {path: value for path, value in given.items() if first is None or before.get(path, ...) != value}
    gone = [path for path in before if path not in given]
    head = "config" if first is None else f"config, where it differs from rank {first['rank']}'s"
    yield f"  {head}{', read from ' + call['config_file'] if call['config_file'] else ''}:"
    width = max((len(path) for path in (*rows, *gone)), default=0)
    for path, value in rows.items():
        yield f"    {path:{width}}  {json.dumps(value, ensure_ascii=False)}"
    for path in gone:
        yield f"    {path:{width}}  absent"


def _engine(engine: Mapping[str, Any]) -> str:
    micro, steps, batch = (engine.get(name) for name in _SIZES)
    kind = "bf16" if engine.get("bf16") else ("fp16" if engine.get("fp16") else "fp32")
    parts = [
        f"ZeRO stage {engine.get('zero_stage')}",
        f"batch {batch} ({micro} a rank x {steps} accumulated)",
        f"clipping {engine.get('gradient_clipping')}",
        kind,
    ]
    if (engine.get("autotp_size") or 1) > 1:
        parts.append(f"tp {engine['autotp_size']}")
    named = (engine.get("optimizer"), engine.get("optimizer_wrapper"), engine.get("scheduler"))
    return ", ".join([*parts, *(str(name) for name in named if name)])


def _end(report: Report) -> Iterator[str]:
    ended, error = report.ended, report.error
    how = f"exit code {ended.code}" if ended.signal is None else f"killed by {signal_name(ended.signal)}"
    stopped = "stopped there (--stop), " if report.stopped else ""
    yield f"\nthe run ended: {stopped}{how}"
    if error:
        who = "a process that is no rank" if report.calls else "the program"
        who = who if error["rank"] is None else f"rank {error['rank']}"
        what = f"{error['type']}: {error['message']} ({error['at']})"
        yield f"  {who} raised, {error['when']} deepspeed.initialize: {what}"


def _held(held: str, found: Sequence[Difference]) -> Iterator[str]:
    if not found:
        yield f"\nas {held} means it"
        return
    yield f"\nnot as {held} means it: {len(found)} {'difference' if len(found) == 1 else 'differences'}"
    ranks = {entry.rank for entry in found}
    for entry in found:
        where = f"rank {entry.rank}: " if len(ranks) > 1 or entry.rank else ""
        yield f"  {where}{entry.drift}"
        if entry.hint:
            yield f"    {entry.hint}"
