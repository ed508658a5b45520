"""Harvest what changes in loading and converting checkpoints, from the source of DeepSpeed's releases.

    python tools/harvest_resuming.py FOLDER

FOLDER holds one unpacked DeepSpeed a release (`FOLDER/0.16.4/deepspeed/...`). Nothing of it is run. Writes
`dsbridge/deepspeed/resuming.json`: for each behaviour the releases it holds in (`since` included, `until`
excluded, "" for no bound). A behaviour is there when its line is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from dsbridge.rules import numbers  # noqa: E402
from tools.harvest_autotp import _has, _ranges  # noqa: E402

TABLE = ROOT / "dsbridge" / "deepspeed" / "resuming.json"
_BOTH = "self.zero_optimization() or self.bfloat16_enabled()"
# behaviour: the file, and the line (or a part of it) that does it
LINES = {
    "loads_bf16_shards_without_zero": ("runtime/engine.py", f"load_path is not None and ({_BOTH})"),
    "saves_bf16_without_optimizer": ("runtime/engine.py", f"zero_optimizer_state = {_BOTH}"),
    "converts_groups_of_stage_3": (
        "checkpoint/ds_to_universal.py",
        "for idx, sub_group_shape in enumerate(param_shapes):",
    ),
}


def main(folder: Path) -> None:
    """Write the table."""
    releases = sorted((p.name for p in folder.iterdir() if (p / "deepspeed").is_dir()), key=numbers)
    behaviours = {
        name: _ranges([release for release in releases if _has(folder / release, *line)], releases)
        for name, line in LINES.items()
    }
    table = {
        "generator": "tools/harvest_resuming.py",
        "releases": [releases[0], releases[-1]],
        "lines": {name: {"file": file, "quote": quote} for name, (file, quote) in LINES.items()},
        "behaviours": behaviours,
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
