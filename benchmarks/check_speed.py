"""How many files a second `dsbridge check` gets through, against check-jsonschema with the DeepSpeed schema.

    python benchmarks/check_speed.py [FOLDER] [--limit 0.25] [--runs 5] [--count 1000]

FOLDER: the corpus of `python -m tools.corpus`; without it the DeepSpeed configs of examples/ are taken, of
which there are few. From its strict JSON, COUNT files are made that all differ: a copy has other numbers, so
nothing that remembers whole texts can help. Both are one process each and get the same list of files, in
turn, in one go on one machine. The best of the runs counts, in seconds of the CPU (user and system): the
machine may have more to do. Exit code 1: slower than limit x check-jsonschema. The bar is 1; the limit holds
what was reached (README.md).
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

RELEASE = "0.19.8"
NUMBERS = re.compile(
    r'("(?:train_micro_batch_size_per_gpu|train_batch_size|steps_per_print|lr|warmup_max_lr|warmup_num_steps'
    r'|reduce_bucket_size|allgather_bucket_size|stage3_prefetch_bucket_size|stage3_max_live_parameters)"\s*:\s*)'
    r"([-+.\deE]+)"
)


def originals(folder: Path | None) -> list[str]:
    """Texts of DeepSpeed configs that both tools can read."""
    if folder is None:
        paths = sorted((ROOT / "examples").rglob("ds_config.json"))
    else:
        paths = sorted((folder / "deepspeed").glob("*.json"))
    return [text for path in paths if _is_config(text := path.read_text(encoding="utf-8"))]


def _is_config(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and bool(value)


def copy(text: str, number: int) -> str:
    """The config with other numbers; batch sizes are multiplied alike, so that they still agree."""

    def other(found: re.Match[str]) -> str:
        head, value = found.groups()
        try:
            return head + str(int(value) * (1 + number))
        except ValueError:
            return head + repr(float(value) * (1 + number / 1000))

    made = NUMBERS.sub(other, text)
    if '"steps_per_print"' not in made:
        made = made.replace("{", f'{{"steps_per_print": {10 + number},', 1)
    return made


def copies(texts: list[str], count: int) -> Iterator[str]:
    """So many different texts, all originals in turn."""
    seen: set[str] = set()
    for number in range(count):
        for text in texts:
            made = copy(text, number)
            if made not in seen:
                seen.add(made)
                yield made
            if len(seen) == count:
                return


class Run:
    """The best of several runs of one command."""

    def __init__(self, command: list[str]) -> None:
        self.command, self.cpu, self.wall = command, float("inf"), float("inf")

    def again(self) -> None:
        """One more."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(self.command, capture_output=True, text=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            raise SystemExit(f"{self.command[0]} stopped with {done.returncode}: {done.stderr[-2000:]}")
        self.cpu = min(self.cpu, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        self.wall = min(self.wall, wall)

    def told(self, count: int) -> str:
        """For people."""
        return f"{count / self.cpu:6.0f} files/s ({self.cpu:.2f} s CPU, {self.wall:.2f} s)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--limit", type=float, default=0.25, help="of check-jsonschema's files per second")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    programs = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as name:
        folder, schema = Path(name) / "configs", Path(name) / "schema.json"
        folder.mkdir()
        files = []
        for number, text in enumerate(copies(originals(options.corpus), options.count)):
            path = folder / f"ds_config_{number:04}.json"
            path.write_text(text, encoding="utf-8")
            files.append(str(path))
        printed = [str(programs / "dsbridge"), "schema", "--deepspeed", RELEASE]
        schema.write_bytes(subprocess.run(printed, check=True, capture_output=True).stdout)
        ours = Run([str(programs / "dsbridge"), "check", "--each", *files])
        theirs = Run([str(programs / "check-jsonschema"), "--schemafile", str(schema), *files])
        for _ in range(options.runs):
            ours.again()
            theirs.again()
    ratio = theirs.cpu / ours.cpu
    print(f"{len(files)} files: dsbridge check {ours.told(len(files))}")
    print(f"check-jsonschema {theirs.told(len(files))}")
    clock = theirs.wall / ours.wall
    print(f"{ratio:.2f} x as fast, limit {options.limit} x, bar 1 x; by the clock {clock:.2f} x")
    return 0 if ratio >= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
