"""One case in one forked process: set the stage, run the command, tell what happened."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.oracle.case import Case, Observation
from dsbridge.observe import child

KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH")
OURS = {**child.ENVIRONMENT, "DISABLE_VERSION_CHECK": "0"}


def observe(case: Case, folder: Path, tiny: Path) -> Observation:
    """Put the files, the tiny model and its data there, set the environment, and run the command."""
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("model", "data"):
        if not (folder / name).exists():
            (folder / name).symlink_to(tiny / name)
    os.chdir(folder)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **OURS, "HF_HOME": str(tiny / "hf"), **case["environ"]})
    child.replace(case["world_size"], case["gpu"])
    return child.observe(case["command"], folder)
