"""DeepSpeed's own estimators on random inputs, with the Python of the environment it is installed in.

python -m conformance.planner.estimators --env hf            # again, compared with the recording
python -m conformance.planner.estimators --env hf --write    # stored
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner"
SEED, COUNT = 20261121, 200
# T0_3B, as DeepSpeed's and Transformers' guides have it, and t5-3b with the round numbers of the former
DOCUMENTED = {"T0_3B": (2_783_959_040, 65_798_144), "t5-3b": (2_851_000_000, 32_000_000)}
CLUSTERS = ((1, 1), (1, 8), (2, 8))


def inputs() -> list[dict[str, Any]]:
    """The same inputs in every environment: models of a million to a trillion parameters."""
    draw = random.Random(SEED)
    found = []
    for _ in range(COUNT):
        total = int(10 ** draw.uniform(6, 12))
        optimizer = draw.random() < 0.6
        found.append(
            {
                "total": total,
                "largest": max(1, int(total * 10 ** draw.uniform(-4, -0.3))),
                "per_node": draw.choice((1, 2, 3, 4, 6, 8, 16)),
                "nodes": draw.choice((1, 1, 2, 3, 7, 16, 128)),
                "offload_optimizer": optimizer,
                "offload_param": optimizer and draw.random() < 0.5,
                "zero_init": draw.random() < 0.5,
                "factor": draw.choice((1, 1.5, 1.5, round(draw.uniform(1, 3), 3))),
            }
        )
    return found


def answers(asked: dict[str, Any], stage2: Any, stage3: Any) -> dict[str, Any]:
    """Both functions on one input."""
    shared = {
        "total_params": asked["total"],
        "num_gpus_per_node": asked["per_node"],
        "num_nodes": asked["nodes"],
        "additional_buffer_factor": asked["factor"],
        "cpu_offload": asked["offload_optimizer"],
    }
    more = {
        "largest_layer_params": asked["largest"],
        "cpu_offload_params": asked["offload_param"],
        "zero_init": asked["zero_init"],
    }
    return {
        "asked": asked,
        "zero2": list(stage2.estimate_zero2_model_states_mem_needs(**shared)),
        "zero3": list(stage3.estimate_zero3_model_states_mem_needs(**shared, **more)),
    }


def tables(stage2: Any, stage3: Any) -> list[dict[str, Any]]:
    """What the functions print for the models of the guides."""
    found = []
    for model, (total, largest) in DOCUMENTED.items():
        for nodes, per_node in CLUSTERS:
            where = {"num_gpus_per_node": per_node, "num_nodes": nodes}
            for stage in (2, 3):
                text = io.StringIO()
                with contextlib.redirect_stdout(text):
                    if stage == 2:
                        stage2.estimate_zero2_model_states_mem_needs_all_cold(total_params=total, **where)
                    else:
                        stage3.estimate_zero3_model_states_mem_needs_all_cold(
                            total_params=total, largest_layer_params=largest, **where
                        )
                sizes = {"total": total, "largest": largest, "per_node": per_node, "nodes": nodes}
                found.append({"model": model, "stage": stage, **sizes, "text": text.getvalue()})
    return found


def seen(env: str) -> dict[str, Any]:
    """All that is recorded of an environment."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    stage2 = importlib.import_module("deepspeed.runtime.zero.stage_1_and_2")
    stage3 = importlib.import_module("deepspeed.runtime.zero.stage3")
    versions = {"deepspeed": importlib.metadata.version("deepspeed"), "python": sys.version.split()[0]}
    return {
        "env": env,
        "versions": versions,
        "cases": [answers(asked, stage2, stage3) for asked in inputs()],
        "tables": tables(stage2, stage3),
    }


def text(found: dict[str, Any]) -> str:
    """JSON, one line a case."""
    parts = [f'"{key}": {json.dumps(found[key])}' for key in ("env", "versions")]
    parts += [
        f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in found[key]) + "\n]"
        for key in ("cases", "tables")
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="DeepSpeed's own estimators on random inputs.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    path, now = RECORDED / f"estimators-{options.env}.json", seen(options.env)
    if options.write:
        path.write_text(text(now), encoding="utf-8")
    same = path.is_file() and json.loads(path.read_text(encoding="utf-8")) == now
    told = "as recorded" if same else "not as recorded"
    print(f"{len(now['cases'])} inputs, {len(now['tables'])} tables: {told}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
