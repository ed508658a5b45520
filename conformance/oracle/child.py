"""One case in one forked process: set the stage, run the command, tell what happened."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.oracle.case import Case, Observation, lay_out
from dsbridge.observe import child

KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH")
OURS = {**child.ENVIRONMENT, "DISABLE_VERSION_CHECK": "0"}


def observe(case: Case, folder: Path, tiny: Path) -> Observation:
    """Put the files, the tiny model and its data there, set the environment, and run the command."""
    lay_out(case, folder, tiny)
    os.chdir(folder)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **OURS, "HF_HOME": str(tiny / "hf"), **case["environ"]})
    child.replace(case["world_size"], case["gpu"])
    return child.observe(case["command"], folder)
