"""The schemas of Kubeflow's objects, from clones of its repositories, for the tests of `launch`.

    python -m tools.harvest_crds CLONE-OF-kubeflow/trainer CLONE-OF-kubeflow/training-operator

Each release's CustomResourceDefinition is read with `git show`, stripped of its descriptions, and written to
tests/kubeflow/ with origin, commit and licence.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "kubeflow"
TRAINER = ("v2.0.1", "v2.1.0", "v2.2.1", "v2.3.0")
OPERATOR = ("v1.9.0",)
PATHS = {
    "trainjob": "manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml",
    "pytorchjob": "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",
}


def shown(clone: str, *words: str) -> str:
    """What git says of a clone."""
    return subprocess.run(["git", "-C", clone, *words], check=True, capture_output=True, text=True).stdout


def bare(schema: Any, names: bool = False) -> Any:
    """A schema without descriptions; below `properties` a `description` is a field's name."""
    if isinstance(schema, list):
        return [bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: bare(value, key == "properties" and not names)
        for key, value in schema.items()
        if names or key != "description"
    }


def harvest(kind: str, repository: str, clone: str, tag: str) -> None:
    """One release's schema to a file."""
    crd = yaml.safe_load(shown(clone, "show", f"{tag}:{PATHS[kind]}"))
    (version,) = crd["spec"]["versions"]
    made = {
        "origin": f"https://github.com/{repository}/blob/{tag}/{PATHS[kind]}",
        "commit": shown(clone, "rev-parse", f"{tag}^{{commit}}").strip(),
        "licence": "Apache-2.0, The Kubeflow Authors",
        "changed": "descriptions taken out by tools/harvest_crds.py",
        "apiVersion": f"{crd['spec']['group']}/{version['name']}",
        "kind": crd["spec"]["names"]["kind"],
        "schema": bare(version["schema"]["openAPIV3Schema"]),
    }
    text = json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n"
    path = FOLDER / f"{kind}-{tag}.json.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main(trainer: str, operator: str) -> None:
    """All releases."""
    FOLDER.mkdir(exist_ok=True)
    for tag in TRAINER:
        harvest("trainjob", "kubeflow/trainer", trainer, tag)
    for tag in OPERATOR:
        harvest("pytorchjob", "kubeflow/training-operator", operator, tag)


if __name__ == "__main__":
    main(*sys.argv[1:])
