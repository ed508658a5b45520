"""What an optimizer step allocates at most, in real engines on CPU ranks.

python -m conformance.planner.stepping --env hf            # again, compared with the recording
python -m conformance.planner.stepping --env hf --write    # stored

torch.optim.AdamW as it runs on a GPU: over all tensors at once (`foreach`, the default there) or in one
kernel (`fused`, what DeepSpeed's FusedAdam does too).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.planner.__main__ import PACKAGES, warm
from conformance.planner.ranks import run_all

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner"
# large enough that a scalar here and there is nothing
SHAPE = {"hidden": 64, "inner": 160, "vocab": 512}


def cases() -> Iterator[dict[str, Any]]:
    """Stages by AdamW, number format, world, and sub-groups of stage 3."""
    for optimizer in ("foreach", "fused"):
        for stage in (0, 1, 2, 3):
            for world in (2, 4):
                yield case(stage, optimizer, world=world)
            yield case(stage, optimizer, dtype="fp32")
        yield case(3, optimizer, sub_group=10_000)


def case(
    stage: int, optimizer: str, world: int = 2, dtype: str = "bf16", sub_group: int = 0
) -> dict[str, Any]:
    """One of them."""
    zero: dict[str, Any] = {"stage3_param_persistence_threshold": 0} if stage == 3 else {}
    if sub_group:
        zero["sub_group_size"] = sub_group
    name = f"z{stage}-{optimizer}-{dtype}-w{world}" + (f"-s{sub_group}" if sub_group else "")
    base = {"id": name, "child": "conformance.planner.stepping_child", "model": "llama", "llama": SHAPE}
    return {
        **base,
        "stage": stage,
        "optimizer": optimizer,
        "dtype": dtype,
        "world": world,
        "g": 1,
        "zero": zero,
    }


def seen(env: str) -> list[dict[str, Any]]:
    """Every case, in order."""
    warm()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    found = {}
    for one, answer in run_all(list(cases()), 2, None):
        rest = {"error": answer["error"]} if "error" in answer else of_ranks(answer["ranks"])
        found[one["id"]] = {"id": one["id"], "case": one, "env": env, "versions": versions, **rest}
    return [found[one["id"]] for one in cases()]


def of_ranks(ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """The rank that allocates most: the last ones have less where nothing divides."""
    return {"sizes": ranks[0]["sizes"], **max(ranks, key=lambda one: int(one["bytes"]))}


def told(row: dict[str, Any]) -> tuple[Any, ...]:
    """What must not differ. A few scalars come and go with Python's collector."""
    return row["id"], row.get("error"), round(row.get("bytes", 0), -3)


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="What an optimizer step allocates at most.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    path, now = RECORDED / f"stepping-{options.env}.jsonl", seen(options.env)
    if options.write:
        path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in now), encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    before = [told(json.loads(line)) for line in lines]
    differ = (
        [row["id"] for row, was in zip(now, before, strict=True) if told(row) != was] if before else ["all"]
    )
    print(f"{len(now)} cases: {'as recorded' if not differ else 'not as recorded: ' + ', '.join(differ)}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
