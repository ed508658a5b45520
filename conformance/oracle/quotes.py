"""`python -m conformance.oracle.quotes`: every quote of every rule and check stands in the installed package.

Run with an environment's own Python: quotes of the versions installed there are looked up, word for word,
in the file and at the lines that the rule or check names.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from dsbridge.checking.catalogue import all_checks
from dsbridge.cli.rulepage import all_layers
from dsbridge.plugins import registry
from dsbridge.rules import Evidence


def folder_of(package: str) -> Path | None:
    """Where the package's code is, without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def problem(proof: Evidence) -> str:
    """Why a quote does not hold; "" if it does."""
    folder = folder_of(proof.package)
    if folder is None:
        return "package not found"
    path = folder / proof.file.removeprefix(f"{proof.package}/")
    if not path.is_file():
        return f"no file {proof.file}"
    lines = path.read_text(encoding="utf-8").splitlines()
    first, _, last = proof.lines.partition("-")
    where = lines[int(first) - 1 : int(last or first)]
    if any(proof.quote.strip() in line for line in where):
        return ""
    found = [number for number, line in enumerate(lines, 1) if proof.quote.strip() in line]
    return f"the quote is at lines {found}" if found else "no such line in the file"


def proofs() -> Iterator[tuple[str, Evidence]]:
    """All evidence, with the code that it is of."""
    for layer in all_layers(None):
        yield from ((rule.code, proof) for rule in layer.rules for proof in rule.evidence)
    for check in all_checks(registry()):
        yield from ((check.code.code, proof) for proof in check.evidence)


def main() -> int:
    """Check the quotes of the installed versions; exit code 1 if one does not stand."""
    wrong, checked = 0, 0
    versions: dict[str, str | None] = {}
    for code, proof in proofs():
        if proof.package not in versions:
            try:
                versions[proof.package] = importlib.metadata.version(proof.package)
            except importlib.metadata.PackageNotFoundError:
                versions[proof.package] = None
        if versions[proof.package] != proof.version:
            continue
        checked += 1
        reason = problem(proof)
        if reason:
            wrong += 1
            print(f"{code} {proof.package} {proof.file}:{proof.lines}: {reason}: {proof.quote}")
    print(f"{checked - wrong} of {checked} quotes stand in the installed packages")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
