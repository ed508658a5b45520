"""Harvest every DeepSpeed release of a range, each in an environment of its own.

    python -m tools.harvest_all --python .nox/conformance-hf/bin/python --cache ~/deepspeed-releases all
    python -m tools.merge_versions ~/deepspeed-releases/harvests

An environment is a folder with that one release, in front of the base Python's packages; the base Python must
have torch and what DeepSpeed imports. `all` is every release on the package index from 0.16.2 on; else name
the versions. What is in the cache already is not fetched again; downloads are tried three times.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIRST = (0, 16, 2)
TRIES = 3


def releases(python: Path) -> list[str]:
    """All releases from the first that dsbridge knows, oldest first."""
    done = _run([str(python), "-m", "pip", "index", "versions", "deepspeed"], dict(os.environ), TRIES)
    listed = re.search(r"Available versions: (.*)", done)
    if listed is None:
        raise SystemExit(f"pip did not list the versions of deepspeed:\n{done}")
    found = re.findall(r"\b\d+\.\d+\.\d+\b", listed[1])
    return sorted((v for v in found if numbers(v) >= FIRST), key=numbers)


def numbers(version: str) -> tuple[int, ...]:
    """A version to sort by."""
    return tuple(int(part) for part in version.split("."))


def environment(python: Path, version: str, cache: Path) -> Path:
    """The folder with the release; made once."""
    target, done = cache / version, cache / version / ".ok"
    if not done.exists():
        install = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--upgrade"]
        command = [str(python), *install, "--target", str(target), f"deepspeed=={version}"]
        _run(command, _environ(), TRIES)
        done.touch()
    return target


def harvest(python: Path, version: str, cache: Path) -> None:
    """Run the harvest on the release."""
    out = cache / "harvests" / f"{version}.json"
    environ = _environ() | {"PYTHONPATH": str(environment(python, version, cache))}
    command = [str(python), "-W", "ignore", "-m", "tools.harvest", "deepspeed", "--out", str(out)]
    print(_run(command, environ, 1).strip().splitlines()[-1], flush=True)


def _environ() -> dict[str, str]:
    return {**os.environ, "DS_ACCELERATOR": "cpu", "DS_BUILD_OPS": "0"}


def _run(command: list[str], environ: dict[str, str], tries: int) -> str:
    for left in reversed(range(tries)):
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
        if left:
            time.sleep(3)
    sys.stderr.write(done.stdout + done.stderr)
    raise SystemExit(f"this failed: {' '.join(command)}")


def main() -> None:
    """Harvest the versions that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, required=True, help="an interpreter that has torch")
    parser.add_argument("--cache", type=Path, required=True, help="where releases and harvests are kept")
    parser.add_argument("versions", nargs="+", help="versions, or `all`")
    options = parser.parse_args()
    python, cache = options.python.absolute(), options.cache.expanduser().absolute()
    cache.mkdir(parents=True, exist_ok=True)
    versions = releases(python) if options.versions == ["all"] else options.versions
    for version in versions:
        harvest(python, version, cache)


if __name__ == "__main__":
    main()
