"""Run a harvester against many releases of a package, each installed apart over an environment with torch.

    python -m tools.harvest_releases transformers --python .nox/conformance-hf/bin/python --cache FOLDER
    python -m tools.harvest_releases accelerate --python .nox/conformance-hf/bin/python --cache FOLDER 1.15.0

Without versions: the first and the last patch of every minor release that the index has, from the oldest that
dsbridge covers. Each goes into FOLDER/PACKAGE-VERSION (`pip install --no-deps --target`), what it pins of
tokenizers and its like into FOLDER/needs-..., and both before the environment's own packages on the path.
The harvester writes FOLDER/PACKAGE/VERSION.json; then all are added to the package's table.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

from tools.tables import order

ROOT = Path(__file__).parent.parent


class Package(NamedTuple):
    """What harvests it, since which release, and which of its requirements must fit it."""

    harvester: str
    first: str
    needs: tuple[str, ...] = ()


PACKAGES = {
    "transformers": Package(
        "tools/harvest_transformers.py",
        "4.48",
        ("tokenizers", "huggingface-hub", "safetensors", "regex"),
    ),
    "accelerate": Package("tools/harvest_accelerate.py", "1.6"),
}


def main() -> int:
    """Install, harvest, add; a release that does not import is told, and the others are kept."""
    parser = argparse.ArgumentParser(description="Harvest many releases of a package.")
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("versions", nargs="*")
    parser.add_argument("--python", required=True, help="an environment that has torch")
    parser.add_argument("--cache", type=Path, required=True, help="where the releases are installed")
    options = parser.parse_args()
    package = PACKAGES[options.package]
    into = options.cache.resolve() / options.package
    failed = []
    for version in options.versions or ends(listed(options.package), package.first):
        print(options.package, version, flush=True)
        if not (into / f"{version}.json").is_file() and not harvest(options, version, into):
            failed.append(version)
    # Not sys.executable: the table's writer needs nothing, and the harvester may need this repository alone.
    subprocess.run([sys.executable, str(ROOT / package.harvester), "add", str(into)], check=True)
    if failed:
        print("not harvested:", *failed, file=sys.stderr)
    return 1 if failed else 0


def harvest(options: argparse.Namespace, version: str, into: Path) -> bool:
    """One release."""
    package = PACKAGES[options.package]
    folder = installed(
        options, f"{options.package}-{version}", ("--no-deps", f"{options.package}=={version}")
    )
    path = [folder]
    wanted = needed(folder, package.needs)
    if wanted:
        digest = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:12]
        path.append(installed(options, f"needs-{digest}", wanted))
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "DS_ACCELERATOR": "cpu"}
    words = [options.python, "-W", "ignore", str(ROOT / package.harvester), "harvest", "--out", str(into)]
    ran = subprocess.run(words, env=environ, capture_output=True, text=True)
    if ran.returncode:
        print(ran.stderr[-2000:], file=sys.stderr)
    return ran.returncode == 0


def installed(options: argparse.Namespace, name: str, words: tuple[str, ...]) -> Path:
    """The folder of a release, installed now if it is not there."""
    folder = Path(options.cache).resolve() / name
    if not folder.is_dir():
        target = ("--quiet", "--no-compile", "--target", str(folder))
        subprocess.run([options.python, "-m", "pip", "install", *target, *words], check=True)
    return folder


def needed(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """What the release itself requires of these, as pip takes it: `tokenizers<0.22,>=0.21`."""
    found = []
    for metadata in folder.glob("*.dist-info/METADATA"):
        for line in (
            HeaderParser().parsestr(metadata.read_text(encoding="utf-8")).get_all("Requires-Dist", [])
        ):
            wanted = line.replace(" ", "").replace("(", "").replace(")", "")
            if ";" not in wanted and any(wanted.startswith(name) for name in names):
                found.append(wanted)
    return tuple(sorted(found))


def listed(package: str) -> list[str]:
    """The releases that the index has."""
    words = [sys.executable, "-m", "pip", "index", "versions", package]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    line = next(line for line in text.splitlines() if line.startswith("Available versions:"))
    return [version.strip() for version in line.partition(":")[2].split(",")]


def ends(versions: list[str], first: str) -> list[str]:
    """The first and the last patch of each minor release, from one on."""
    minors: dict[tuple[int, ...], list[str]] = {}
    for version in sorted((v for v in versions if v.replace(".", "").isdigit()), key=order):
        if order(version) >= order(first):
            minors.setdefault(order(version)[:2], []).append(version)
    return [version for row in minors.values() for version in dict.fromkeys((row[0], row[-1]))]


if __name__ == "__main__":
    sys.exit(main())
