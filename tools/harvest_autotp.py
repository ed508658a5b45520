"""Harvest what DeepSpeed's AutoTP does from release to release, from the packages' own source.

    python tools/harvest_autotp.py FOLDER

FOLDER holds one unpacked DeepSpeed a release (`FOLDER/0.16.4/deepspeed/...`). Nothing of it is run. Writes
`dsbridge/deepspeed/autotp.json`: for each behaviour the releases it holds in (`since` included, `until`
excluded, "" for no bound), and the model families that AutoTP refuses. A behaviour is there when its line is.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from dsbridge.rules import numbers  # noqa: E402

TABLE = ROOT / "dsbridge" / "deepspeed" / "autotp.json"
# behaviour: the file, and the line (or a part of it) that does it
LINES = {
    "reads_block": ("runtime/tensor_parallel/config.py", "autotp_size: int = 0"),
    "refuses_stage_3": ("runtime/engine.py", "compatibility between 'autotp' and 'zero_stage = 3'"),
    "engine_splits": ("runtime/engine.py", "def _apply_autotp_partitioning(self, model, tp_config):"),
    "refuses_other_tp_size": ("runtime/engine.py", "does not match tensor_parallel.autotp_size"),
    "follows_tp_plan": ("runtime/engine.py", "Using HuggingFace tp_plan with"),
    "marks_universal": ("runtime/engine.py", "collect_autotp_universal_checkpoint_info"),
    "splits_evenly": ("module_inject/layers.py", "torch.chunk(param, self.tp_world_size, dim=0)"),
    "warns_of_few_heads": ("runtime/engine.py", "exceeds the model's key-value head count"),
}


def main(folder: Path) -> None:
    """Write the table."""
    releases = sorted((p.name for p in folder.iterdir() if (p / "deepspeed").is_dir()), key=numbers)
    behaviours = {
        name: _ranges([release for release in releases if _has(folder / release, *line)], releases)
        for name, line in LINES.items()
    }
    families: dict[str, list[str]] = {}
    for release in releases:
        for family in _unsupported(folder / release):
            families.setdefault(family, []).append(release)
    table = {
        "generator": "tools/harvest_autotp.py",
        "releases": [releases[0], releases[-1]],
        "lines": {name: {"file": file, "quote": quote} for name, (file, quote) in LINES.items()},
        "behaviours": behaviours,
        "refused_families": {name: _ranges(have, releases) for name, have in sorted(families.items())},
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _has(release: Path, file: str, quote: str) -> bool:
    path = release / "deepspeed" / file
    return path.is_file() and quote in path.read_text(encoding="utf-8")


def _unsupported(release: Path) -> Iterator[str]:
    """The list `unsupported` of AutoTP.supported."""
    path = release / "deepspeed" / "module_inject" / "auto_tp.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "supported":
            for line in ast.walk(node):
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "unsupported":
                    yield from ast.literal_eval(line.value)


def _ranges(have: list[str], releases: list[str]) -> list[dict[str, Any]]:
    """Runs of neighbouring releases."""
    found: list[dict[str, Any]] = []
    for before, release in zip(["", *releases], releases, strict=False):
        if release in have and (not found or before not in have):
            found.append({"since": release if before else "", "until": ""})
        elif release not in have and before in have:
            found[-1]["until"] = release
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
