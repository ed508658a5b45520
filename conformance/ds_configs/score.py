"""Predict recorded outcomes and compare: `python -m conformance.ds_configs.score [-v]`.

Runs in the development environment: only the recordings and dsbridge are needed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hjson

from conformance.ds_configs.cases import FOLDER, Case, checksum, corpus, own, plain
from conformance.oracle.case import read_lines
from dsbridge.deepspeed.keys import ASKED_LATER, KeyFinding, is_comment, judge
from dsbridge.explaining import Explanation, explain
from dsbridge.reading import Files
from dsbridge.values import UNSET

FILE, WORLD = "ds_config.json", 4
VERSIONS = ("0.16.9", "0.18.4", "0.19.8")
# The inside of compression_training is predicted as far as DS276. In this file words stand where numbers
# belong: DeepSpeed stops at one in that block, the prediction at one in the batch.
NOT_PREDICTED = {
    (
        "0.16.9",
        "corpus/deepspeedai__DeepSpeedExamples__compression-bert-config-ds_config_structural_pruning_TEMPLATE",
    ),
}
LOST = {"unknown", "misspelt", "misplaced", "removed"}


def predicted(text: str, version: str) -> tuple[Explanation, tuple[KeyFinding, ...]]:
    """What dsbridge says of a config file on its own."""
    files = Files(memory={FILE: text})
    facts = {"world_size": WORLD}
    found = explain(files, [FILE], target="deepspeed", facts=facts, versions={"deepspeed": version})
    try:
        config = hjson.loads(text)
    except ValueError:
        config = None
    return found, judge(config, version) if isinstance(config, dict) else ()


def differences(row: Mapping[str, Any], text: str, version: str) -> list[str]:
    """What differs from what the real package did; empty when all is right."""
    found, findings = predicted(text, version)
    wrong = [*_refusal(row, found, findings)]
    if row["outcome"] == "accepted":
        wrong += _ignored(row, text, findings)
        wrong += _becomes(row, findings)
    return wrong


def _refusal(row: Mapping[str, Any], found: Explanation, findings: tuple[KeyFinding, ...]) -> Iterator[str]:
    """Refused or not, with which exception, at which fields."""
    seen = row.get("error") if row["initialize"] == "the same" else row["initialize"]
    seen = None if isinstance(seen, str) else seen
    stop = found.result.refused
    if stop is not None and ".engine" in stop.rule.moment:
        stop = None  # later than what is recorded
    told = {".".join(finding.path) for finding in findings if finding.refused}
    if seen is None:
        if stop is not None:
            yield f"accepted; explain refuses: {stop.type}: {stop.message} ({stop.rule.code})"
        yield from (f"accepted; judge refuses {path}" for path in sorted(told))
        return
    if stop is None:
        yield f"refused: {seen['type']}: {seen['message'][:200]}; explain does not"
    elif stop.type != seen["type"] or seen["message"] not in (plain(stop.message), checksum(stop.message)):
        yield f"{seen['type']}: {seen['message'][:200]}; predicted {stop.type}: {stop.message[:200]}"
    if stop is not None and stop.type == "ValidationError":
        yield from _fields(seen["fields"], stop.fields, told)


def _fields(seen: list[str], named: tuple[str, ...], told: set[str]) -> Iterator[str]:
    """A class names every key at fault of its block: explain and judge name the same, and no other."""
    top = named[0].partition(".")[0]
    block = "timers.throughput" if top == "timers" else top
    real = {f"{block}.{field}".rstrip(".") for field in seen}
    if block in ("tensorboard", "wandb", "csv_monitor", "comet"):  # read by one class together
        real = set(seen)
    if real != {*named}:
        yield f"at {sorted(real)}; explain says {sorted(named)}"
    mine = {path for path in told if f"{path}.".startswith(f"{block}.")}
    if real - {block} != mine - {block}:
        yield f"at {sorted(real)}; judge says {sorted(mine)}"


def _ignored(row: Mapping[str, Any], text: str, findings: tuple[KeyFinding, ...]) -> Iterator[str]:
    """The leaves that nobody reads are those that judge tells, and comments."""
    config = hjson.loads(text)
    told = {f.path: f.kind for f in findings if not f.refused and f.kind in LOST}
    lost = set()
    for path in _leaves(config):
        above = [path[:end] for end in range(1, len(path) + 1)]
        if any(block in told for block in above) or any(is_comment(name) for name in path):
            lost.add(".".join(path))
    yield from (f"never read: {path}; judge says nothing" for path in sorted({*row["ignored"]} - lost))
    copied = {path for path in lost if path.rpartition(".")[0] in ASKED_LATER}  # kept whole, asked later
    wrong = sorted(lost - copied - {*row["ignored"]})
    yield from (f"read: {path}; judge says that nobody does" for path in wrong)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        yield path
        return
    for name, item in value.items():
        yield from _leaves(item, (*path, str(name)))


def _becomes(row: Mapping[str, Any], findings: tuple[KeyFinding, ...]) -> Iterator[str]:
    """What DeepSpeed puts in the place of an "auto"."""
    told = {".".join(f.path): f.becomes for f in findings if f.kind == "auto-dropped"}
    for path, value in row["becomes"].items():
        if told.get(path, UNSET) != value:
            yield f"{path} becomes {value!r}; judge says {told.get(path, UNSET)!r}"


@cache
def texts(folder: str) -> Mapping[str, Case]:
    """Every case that is at hand."""
    cases = [*own(), *(corpus(Path(folder)) if folder else ())]
    return {case.id: case for case in cases}


def check(version: str, folder: str = "") -> dict[str, list[str]]:
    """All that is wrong, by case; other people's configs only where their folder is given."""
    found = {}
    known = texts(folder)
    for row in read_lines(FOLDER / f"deepspeed-{version}.jsonl"):
        case = known.get(row["id"])
        if case is None or case.sha256 != row.get("sha256", ""):
            continue
        wrong = differences(row, case.text, version)
        if (version, row["id"]) in NOT_PREDICTED:
            assert row["outcome"] == "refused"
            assert wrong, "now it is"
            continue
        if wrong:
            found[row["id"]] = wrong
    return found


def main() -> None:
    """Print what is wrong."""
    parser = argparse.ArgumentParser(description="Compare predictions with recordings.")
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    options = parser.parse_args()
    for version in options.versions:
        wrong = check(version, os.environ.get("DSBRIDGE_CORPUS", ""))
        for name, lines in wrong.items():
            print(name, *lines, sep="\n    ")
        print(f"{version}: {len(wrong)} cases differ")


if __name__ == "__main__":
    main()
