"""Harvest the arguments that Megatron's adapter adds to a training YAML of LLaMA-Factory.

    python -m tools.harvest_mca REPOSITORY

REPOSITORY is a git directory of alibaba/ROLL, where mcore_adapter lives. LLaMA-Factory puts its class in
place of Transformers' where USE_MCA=1 is set (0.9.5 hparams/training_args.py:26-35). Only the source is read.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

TABLE = Path(__file__).parent.parent / "plugins" / "dsbridge_llamafactory" / "mca_arguments.json"
SOURCE = "mcore_adapter/src/mcore_adapter/training_args.py"
CLASSES = ("DistributingParallelArguments", "MegatronArguments", "Seq2SeqTrainingArguments")


def arguments(source: str) -> list[str]:
    """The fields of the dataclasses, in order of name."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in CLASSES:
            lines = (line for line in node.body if isinstance(line, ast.AnnAssign))
            found |= {line.target.id for line in lines if isinstance(line.target, ast.Name)}
    return sorted(found)


def main() -> None:
    """Write the table, stamped."""

    def git(*words: str) -> str:
        return subprocess.check_output(("git", "-C", sys.argv[1], *words), text=True)

    project = git("show", "HEAD:mcore_adapter/pyproject.toml")
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)
    table = {
        "generator": "tools/harvest_mca.py",
        "source": f"alibaba/ROLL@{git('rev-parse', 'HEAD').strip()}:{SOURCE}",
        "version": version[1] if version else "",
        "arguments": arguments(git("show", f"HEAD:{SOURCE}")),
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
