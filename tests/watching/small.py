"""A package that is called deepspeed and does next to nothing: what is tested with it is the hook alone.

Nothing that these tests say is about DeepSpeed: its own part is run in conformance/observing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import ROOT

PACKAGE = {
    "deepspeed/__init__.py": """
from deepspeed.runtime.engine import DeepSpeedEngine
def initialize(args=None, model=None, optimizer=None, config=None, config_params=None):
    "the doc"
    engine = DeepSpeedEngine(config or config_params or args.deepspeed_config)
    if isinstance(config, dict):
        config["changed"] = True
    return engine, engine.optimizer, None, None
""",
    "deepspeed/runtime/__init__.py": "",
    "deepspeed/runtime/engine.py": """
class DeepSpeedEngine:
    def __init__(self, config=None):
        if config.get("bad"):
            raise ValueError("bad config")
        self.basic_optimizer = None if config.get("reference") else object()
        self.optimizer = self.basic_optimizer
    def zero_optimization_stage(self):
        return 2
""",
}


class Ran(NamedTuple):
    """What `dsbridge observe` printed and wrote, and how it ended: minus the signal, if one killed it."""

    code: int
    out: str
    err: str
    report: dict[str, Any]

    def config(self, index: int = 0) -> Any:
        return self.report["calls"][index]["config"]


def lay_out(folder: Path, script: str = "", **files: str) -> None:
    """The package, a script `t.py`, and others by name with `__` for a dot."""
    for name, text in {**PACKAGE, "t.py": script}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def environment(**changes: str) -> dict[str, str]:
    """Without the test runner's own PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RANK")}
    return {**kept, **changes}


def argv(folder: Path, command: list[str], options: tuple[str, ...]) -> list[str]:
    """The words of a `dsbridge observe`, of this source."""
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'plugins')!r}]; "
    code += "from dsbridge.cli import main; main()"
    return [
        sys.executable,
        "-c",
        code,
        "observe",
        "-o",
        str(folder / "report.json"),
        *options,
        "--",
        *command,
    ]


def observe(folder: Path, *command: str, options: tuple[str, ...] = (), **env: str) -> Ran:
    """Run a command under `observe` in the folder; `python` without one runs t.py."""
    words = list(command) or [sys.executable, "t.py"]
    done = subprocess.run(
        argv(folder, words, options), cwd=folder, env=environment(**env), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    path = folder / "report.json"
    return Ran(
        done.returncode, done.stdout, done.stderr, json.loads(path.read_text()) if path.exists() else {}
    )
