"""How many elements stage 3's coordinator has gathered at a time, by its own count, for the cases of its
limits.

python -m conformance.planner.live --env hf            # compared with what is recorded
python -m conformance.planner.live --env hf --write
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from conformance.planner import __main__ as planner
from conformance.planner.cases import limits
from conformance.planner.ranks import run_all

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner"
COUNT = "_PartitionedParameterCoordinator__n_available_params"


def watch() -> None:
    """Note the coordinator's count at each gather and when the backward pass begins; of the last micro-
    step."""
    from deepspeed.runtime.zero.partitioned_param_coordinator import PartitionedParameterCoordinator as Own

    from conformance.planner import child

    gather, fetch, reset = (
        Own._PartitionedParameterCoordinator__all_gather_params,
        Own.fetch_sub_module,
        Own.reset_step,
    )

    def gathered(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = gather(self, *args, **kwargs)
        self.noted["most"] = max(self.noted["most"], getattr(self, COUNT))
        return result

    def fetched(self: Any, module: Any, forward: bool) -> Any:
        if not forward:
            self.noted.setdefault("turning", getattr(self, COUNT))
        return fetch(self, module, forward)

    def begun(self: Any) -> Any:
        self.noted = {"most": 0}
        return reset(self)

    Own._PartitionedParameterCoordinator__all_gather_params = gathered
    Own.fetch_sub_module, Own.reset_step = fetched, begun
    answer = child.Rank._answer

    def told(self: Any, moved: Any) -> Any:
        noted = self.engine.optimizer.parameter_offload.get_param_coordinator().noted
        return {**answer(self, moved), "live": noted}

    child.Rank._answer = told  # type: ignore[method-assign]


def main() -> int:
    """Run the cases; compare, or write."""
    parser = argparse.ArgumentParser(description="Count what stage 3 has gathered at a time.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    planner.warm()
    watch()
    found: dict[str, Any] = {}
    for case, seen in run_all(list(limits()), 2, None):
        line = planner.measured(case, options.env, seen)
        live = {"error": line["error"]["type"]} if "error" in line else line["seen"]["live"]
        found[case["id"]] = {"versions": line["versions"], **live}
        print(case["id"], live, flush=True)
    path = RECORDED / f"live-{options.env}.json"
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if options.write:
        path.write_text(text, encoding="utf-8")
        return 0
    return 0 if path.read_text(encoding="utf-8") == text else 1


if __name__ == "__main__":
    sys.exit(main())
