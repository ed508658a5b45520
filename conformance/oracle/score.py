"""Predict recorded cases and compare: `python -m conformance.oracle.score FILE.jsonl... [--only ID] [-v]`.

Runs in the development environment: only the recording and dsbridge are needed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from conformance.oracle.case import read_lines
from dsbridge.diagnostics import InputError
from dsbridge.explaining import Explanation, explain, strict
from dsbridge.plugins import Registry
from dsbridge.reading import Files
from dsbridge.trees import flat
from dsbridge.values import UNSET, Unknown
from dsbridge.verification import message_matches

TINY = Path(__file__).with_name("tiny_model_config.json")
# The data that lie beside every case, as conformance/tiny.py writes them, but for the rows.
INDEX = {name: {"file_name": "alpaca.json"} for name in ("identity", "alpaca_en_demo", "alpaca_zh_demo")}
DATA = {"data/dataset_info.json": json.dumps(INDEX), "data/alpaca.json": "[]"}
# What every prediction must say of the engine.
SAID = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "zero_stage",
    "fp16",
    "bf16",
    "optimizer",
    "optimizer_wrapper",
    "scheduler",
)


def predicted(
    row: dict[str, Any], plugins: Registry | None = None, *, with_facts: bool = True
) -> Explanation:
    """The prediction for a recorded case, from its files and command alone (and its facts)."""
    memory = dict(row["files"])
    memory.setdefault("model/config.json", TINY.read_text(encoding="utf-8"))
    memory |= {name: text for name, text in DATA.items() if name not in memory}
    gpu = row["gpu"]
    facts = {"bf16_supported": gpu["bf16"], "fp16_supported": gpu["fp16"], "gpus": row["world_size"]}
    if with_facts:
        facts |= row["facts"]
    words = [f"{name}={value}" for name, value in row["environ"].items()] + list(row["command"])
    return explain(
        Files(memory=memory), command=words, facts=facts, versions=row["versions"], plugins=plugins
    )


def differences(row: dict[str, Any], found: Explanation) -> list[str]:
    """What differs between prediction and observation; empty when all is right."""
    seen = row["observed"]
    wrong = []
    if found.unknown or found.result.maybe:
        wrong += [f"unknown {path}: {', '.join(needs)}" for path, needs in found.unknown.items()]
        wrong += [
            f"may be refused by {m.rule.code}: {', '.join(sorted(m.needs))}" for m in found.result.maybe
        ]
    outcome = "error" if found.error else ("unused" if found.config is None else "initialized")
    if outcome != seen["outcome"]:
        said = f"{found.error['type']}: {found.error['message'][:300]}" if found.error else outcome
        was = seen["error"]
        real = f"{was['type']}: {was['message'][:300]} at {was.get('at')}" if was else seen["outcome"]
        return [*wrong, f"predicted {said}; seen {real}"]
    if found.error:
        wrong += _error(found, seen["error"])
    if seen["config"] is not None or outcome == "initialized":
        wrong += _config(strict(found.config), seen["config"])
    if seen["engine"]:
        wrong += _engine(found, seen["engine"])
    return wrong


def _error(found: Explanation, seen: dict[str, Any]) -> list[str]:
    assert found.error is not None
    wrong = []
    if found.error["type"] != seen["type"]:
        wrong.append(f"error type {found.error['type']}; seen {seen['type']}: {seen['message'][:300]}")
    if not message_matches(found.error["message"], seen["message"]):
        wrong.append(f"message {found.error['message'][:400]!r}; seen {seen['message'][:400]!r}")
    if not found.error["fields"]:
        wrong.append("no field named")
    return wrong


def _config(said: Any, seen: Any) -> list[str]:
    if json.dumps(said, sort_keys=True) == json.dumps(seen, sort_keys=True):
        return []
    mine, real = flat(said or {}), flat(seen or {})
    wrong = []
    for path in dict.fromkeys([*real, *mine]):
        a, b = mine.get(path, "<missing>"), real.get(path, "<missing>")
        if json.dumps(a) != json.dumps(b):
            wrong.append(f"config {path}: predicted {a!r}; seen {b!r}")
    return wrong or [f"config predicted {said!r}; seen {seen!r}"]


def _engine(found: Explanation, seen: dict[str, Any]) -> list[str]:
    made = found.result.trees.get("made", {})
    wrong = []
    for name in dict.fromkeys([*SAID, *made]):
        value = made.get(name, UNSET)
        if isinstance(value, Unknown) or value is UNSET or strict(value) != seen.get(name):
            wrong.append(f"engine {name}: predicted {value!r}; seen {seen.get(name)!r}")
    return wrong


def check(row: dict[str, Any], plugins: Registry | None = None) -> list[str]:
    """Everything wrong with the prediction of one case."""
    try:
        found = predicted(row, plugins)
    except InputError as error:
        seen = row["observed"]
        return [f"unreadable: {error}; seen {seen['outcome']} {seen['error']}"]
    wrong = differences(row, found)
    if row["facts"] and not wrong:
        blind = predicted(row, with_facts=False)
        needed = {need for needs in blind.unknown.values() for need in needs}
        needed |= {need for maybe in blind.result.maybe for need in maybe.needs}
        absent = sorted(set(row["facts"]) - needed)
        if absent and differences(row, blind):
            wrong.append(f"without its facts, these are not asked for: {', '.join(absent)}")
    return wrong


def main() -> None:
    """Print what is wrong, and the score."""
    parser = argparse.ArgumentParser(description="Compare predictions with recordings.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("-n", type=int, default=20, help="how many failures to print")
    options = parser.parse_args()
    for path in options.files:
        rows = [row for row in read_lines(path) if options.only in row["id"]]
        failures: Counter[str] = Counter()
        printed = 0
        for row in rows:
            try:
                wrong = check(row)
            except Exception as error:
                if options.only:
                    raise
                wrong = [f"crash: {type(error).__name__}: {error}"]
            if wrong:
                failures[row["id"]] += 1
                if printed < options.n:
                    printed += 1
                    print(row["id"], *wrong[:6], sep="\n    ")
        print(f"{path}: {len(rows) - len(failures)} of {len(rows)} predicted")


if __name__ == "__main__":
    main()
