"""Where between two recorded releases DeepSpeed changed what it holds or moves.

    python -m conformance.planner.releases FOLDER --env hf            # again, compared with the recording
    python -m conformance.planner.releases FOLDER --env hf --write    # again, stored

FOLDER holds one unpacked DeepSpeed a release (`FOLDER/0.19.5/deepspeed/...`), as tools/harvest_autotp.py
takes it: an environment runs the releases on both sides of each change with its own torch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from conformance.planner import recording

NAME = "releases"
ROOT = Path(__file__).resolve().parents[2]
# environment: (case, the last release before a change and the first with it)
CHANGES = {
    "hf": (
        ("z0-bf16-large-g4-w4", ("0.18.5", "0.18.6")),
        ("z1-offload-large-g4-w4", ("0.18.6", "0.19.0")),  # those between stop with an error on this torch
        ("z3-bf16-g4-w2", ("0.19.2", "0.19.3")),
        ("llama-z1-tp2-w2", ("0.19.5", "0.19.6")),
        ("z2-accumulate-fp32-large-g4-w2", ("0.19.7",)),
    ),
    "hf-old": (
        ("llama-z3-checkpointing-w2", ("0.16.7", "0.16.8")),
        ("z1-accumulate-fp32-large-g4-w2", ("0.16.4", "0.16.5")),
    ),
}


def runs(env: str) -> list[tuple[str, str]]:
    """(case, release) of an environment."""
    return [(case, release) for case, releases in CHANGES[env] for release in releases]


def line(folder: Path, env: str, case: str, release: str) -> dict[str, Any]:
    """What a case measures with an unpacked release."""
    path = os.pathsep.join([str(folder / release), str(ROOT)])
    words = [sys.executable, "-m", "conformance.planner", "--env", env, "--exactly", case, "--print"]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not found["versions"]["deepspeed"].startswith(release):
        raise SystemExit(f"{folder / release} is not first on the path: {found['versions']}")
    return {**found, "id": f"{case}@{release}"}


def main() -> int:
    """Run them; compare, or store."""
    parser = argparse.ArgumentParser(description="Measure DeepSpeed's releases around each change.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--env", required=True, choices=sorted(CHANGES))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    recorded, differ = recording.read(NAME), 0
    for case, release in runs(options.env):
        found = line(options.folder, options.env, case, release)
        before = recorded.get(found["id"], {})
        same = all(before.get(key) == found.get(key) for key in ("case", "seen", "error"))
        differ += not same
        print(f"{found['id']}: {'as recorded' if same else 'differs'}", flush=True)
        recorded[found["id"]] = found
    if options.write:
        recording.write(NAME, list(recorded.values()))
        return 0
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
