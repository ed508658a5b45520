"""How long parsing and resolving 1,000 real configs takes, against loading them and one cold start.

    python benchmarks/corpus_speed.py FOLDER [--limit 1]

FOLDER: the corpus of `python -m tools.corpus`. The bar is 3 x what PyYAML's and json's C loaders alone need
for the same files, plus one cold start: a process that does the same for one file of each framework, and so
pays for every import, table and first use. Both sides are whole processes, in one run on one machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from dsbridge.diagnostics import InputError
from dsbridge.explaining import explain_input
from dsbridge.inputs import read_input
from dsbridge.parsing import parse_input
from dsbridge.plugins import registry
from dsbridge.reading import Files

FACTS = {"world_size": 8, "num_training_steps": 100, "hidden_size": 4096, "gpus": 8}
COUNT = 1000


def mixed(corpus: Path) -> list[Path]:
    """COUNT files, the frameworks in turn, from the start again when they are used up."""
    every = sorted(path for folder in corpus.iterdir() if folder.is_dir() for path in folder.iterdir())
    return [every[number * 7 % len(every)] for number in range(COUNT)]


def load(path: Path) -> None:
    """The C loaders alone."""
    text = path.read_text(encoding="utf-8")
    with contextlib.suppress(ValueError, yaml.YAMLError):
        _ = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)


def understand(path: Path) -> None:
    """Parse into a spec, and predict the effective config."""
    files = Files(path.parent)
    with contextlib.suppress(InputError):
        found = read_input(registry(), files, [path.name], facts=FACTS)
        parse_input(found)
        explain_input(found, registry())


def seconds(work: Callable[[Path], None], paths: list[Path]) -> float:
    start = time.perf_counter()
    for path in paths:
        work(path)
    return time.perf_counter() - start


def process(corpus: Path, count: int) -> float:
    """Seconds of a process of its own that understands so many files."""
    start = time.perf_counter()
    words = [sys.executable, __file__, str(corpus), "--only", str(count)]
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=float, default=1.0, help="of the bar")
    parser.add_argument("--only", type=int, help="understand so many files, and say nothing (0: one of each)")
    options = parser.parse_args()
    paths = mixed(options.corpus)
    if options.only is not None:
        first = {path.parent.name: path for path in reversed(paths)}
        seconds(understand, paths[: options.only] or list(first.values()))
        return 0
    loaders = min(seconds(load, paths) for _ in range(3))
    cold, ours = (min(process(options.corpus, count) for _ in range(3)) for count in (0, COUNT))
    bar = 3 * loaders + cold
    told = f"bar {bar:.2f} s = 3 x {loaders:.2f} s + {cold:.2f} s"
    print(f"parse and resolve {ours:.2f} s; {told}: {ours / bar:.1f} x the bar")
    return 0 if ours <= options.limit * bar else 1


if __name__ == "__main__":
    sys.exit(main())
