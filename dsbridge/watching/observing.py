"""`observe` as one pass: run, read what was reported, and hold it against what was meant."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.watching.holding import Difference, Meant, differences
from dsbridge.watching.report import Report, read_report
from dsbridge.watching.running import run


class Observed(NamedTuple):
    """The report, and what is not as meant."""

    report: Report
    held: Meant | None
    differences: tuple[Difference, ...]

    @property
    def code(self) -> int:
        """The command's own exit code; 1 in place of 0 where there is a difference."""
        return self.report.ended.code or int(bool(self.differences))

    def to_json(self) -> dict[str, Any]:
        """The result that the CLI contract fixes, and more."""
        held = None if self.held is None else {"name": self.held.name, "target": self.held.target or None}
        found = [difference.to_json() for difference in self.differences]
        return {**self.report.to_json(), "against": held, "differences": found}


def observe(
    command: Sequence[str],
    *,
    ranks: str = "0",
    stop: bool = False,
    held: Meant | None = None,
    quiet_stdout: bool = False,
) -> Observed:
    """Run the command, and say what `deepspeed.initialize` got.

    ranks: "0" or "all". stop: end the run once the engine is built. held: what to compare with.
    quiet_stdout: the command's output goes to stderr.

    Raises:
        InputError: it cannot be started, or what it is held against cannot be predicted.
    """
    folder = Path(tempfile.mkdtemp(prefix="dsbridge-observe-"))
    try:
        asked = {"ranks": ranks, "stop": stop}
        (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        ended = run(command, folder, quiet_stdout=quiet_stdout, stop=stop)
        report = read_report(folder, command, ended, ranks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Observed(report, held, tuple(differences(report, held)) if held else ())


def write(path: Path, made: Any) -> None:
    """The JSON in one go: a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(made, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
