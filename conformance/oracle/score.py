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
from dsbridge.explaining import Explanation, explain
from dsbridge.plugins import Registry
from dsbridge.reading import Files
from dsbridge.values import Unknown
from dsbridge.verification import compare

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
    """What differs between prediction and observation; empty when all is right.

    Stricter than `verify`: here nothing may be unknown, and nothing may be left unsaid.
    """
    seen, maybe = row["observed"], found.result.maybe
    wrong = [f"unknown {path}: {', '.join(needs)}" for path, needs in found.unknown.items()]
    wrong += [f"may be refused by {m.rule.code}: {', '.join(sorted(m.needs))}" for m in maybe]
    for entry in compare(found, seen):
        path, said, real = entry["path"], entry["predicted"], entry["observed"]
        wrong.append(f"{path}: predicted {str(said)[:400]!r}; seen {str(real)[:400]!r}")
    if found.error and not found.error["fields"]:
        wrong.append("no field named")
    made = found.result.trees.get("made", {})
    if seen["engine"]:
        wrong += [f"engine {name}: nothing predicted" for name in SAID if name not in made]
        wrong += [f"engine {name}: {said}" for name, said in made.items() if isinstance(said, Unknown)]
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
