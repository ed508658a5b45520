"""Record or compare: python -m conformance.shapes --env hf [--write]

With an environment's own Python. Every entry of the catalogue and every tiny config is built on the meta
device;
what each holds is compared with `tests/recorded/planner/shapes-ENV.json`, or written there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from conformance.shapes.cases import TINY
from conformance.shapes.weigh import build, knows, weigh

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDED = ROOT / "tests" / "recorded" / "planner"
CATALOGUE = ROOT / "dsbridge" / "planner" / "models.json"


def configs() -> dict[str, dict[str, Any]]:
    """Every config to build, by name; one of several models of the same config."""
    found = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {**TINY, **{entry["name"]: entry["config"] for entry in found["models"]}}


def measured() -> dict[str, Any]:
    """What the installed release builds for each of them."""
    import transformers

    cases = {}
    for name, config in configs().items():
        if knows(config):
            cases[name] = {"config": config, **_weighed(config)}
            print(f"{name}: {cases[name].get('total', 'cannot be built')}", flush=True)
    return {"transformers": transformers.__version__, "cases": cases}


def _weighed(config: dict[str, Any]) -> dict[str, Any]:
    try:
        return weigh(build(config))
    except (TypeError, AttributeError) as error:  # old releases fall over some switches of their own configs
        return {"cannot_be_built": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def to_text(found: dict[str, Any]) -> str:
    """One case a line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in found["cases"].items()]
    head = f' "transformers": {json.dumps(found["transformers"])},\n "cases": {{\n'
    return "{\n" + head + ",\n".join(lines) + "\n }\n}\n"


def main() -> int:
    """Exit code 1 where a model differs from its recording."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    path, found = RECORDED / f"shapes-{given.env}.json", measured()
    if given.write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_text(found), encoding="utf-8")
        return 0
    recorded = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(found))
    differ = [
        n for n in {**recorded["cases"], **now["cases"]} if recorded["cases"].get(n) != now["cases"].get(n)
    ]
    for name in differ:
        print(f"differs from its recording: {name}")
    print(f"{len(now['cases'])} models of transformers {now['transformers']}, {len(differ)} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
