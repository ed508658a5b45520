"""Write plugins/dsbridge_xtuner/shipped.json from an unpacked XTuner.

    PYTHONPATH=plugins python tools/harvest_xtuner.py PATH/xtuner/configs

Reads the configs' syntax trees; nothing of XTuner is executed.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import libcst as cst

from dsbridge_xtuner.config_shape import relevant
from dsbridge_xtuner.static import Cell, leaves, read_config

OUT = Path(__file__).parent.parent / "plugins/dsbridge_xtuner/shipped.json"


def relevant_of(file: Path) -> dict[str, Any]:
    """The leaves of a file that rendering asks about."""
    return relevant(dict(leaves(Cell(read_config(cst.parse_module(file.read_text(encoding="utf-8")))))))


def main(folder: Path) -> None:
    """Every config that `xtuner train` finds by name (xtuner/configs/__init__.py)."""
    configs = {f.stem: relevant_of(f) for f in sorted(folder.rglob("*.py")) if not f.name.startswith("_")}
    configs = {name: found for name, found in configs.items() if "model.type" in found}
    usual = json.loads(Counter(json.dumps(found) for found in configs.values()).most_common(1)[0][0])
    changes: list[str] = []
    names: dict[str, int] = {}
    for name, found in configs.items():
        other = {k: v for k, v in found.items() if k not in usual or usual[k] != v}
        change = json.dumps({"other": other, "absent": sorted(usual.keys() - found.keys())})
        if change not in changes:
            changes.append(change)
        names[name] = changes.index(change)
    table = {"usual": usual, "changes": [json.loads(c) for c in changes], "configs": names}
    lines = [f'"usual": {json.dumps(usual)}']
    lines.append('"changes": [\n' + ",\n".join(changes) + "\n]")
    lines.append('"configs": {\n' + ",\n".join(f"{json.dumps(n)}: {i}" for n, i in names.items()) + "\n}")
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    assert json.loads(OUT.read_text(encoding="utf-8")) == table
    print(f"{len(names)} configs, {len(changes)} shapes, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
