"""What is written for Ray, read by those who read it: Ray's own `ray job submit`, and LLaMA-Factory's parser.

    python -m conformance.launching.ray_parsers --env ray            # where ray is installed
    python -m conformance.launching.ray_parsers --env llamafactory   # and llamafactory-old

Nothing is started: `ray job submit` is parsed and not sent, and the training YAML is parsed and not trained.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from conformance import recording
from dsbridge.artifacts import Artifacts
from dsbridge.formats.yaml import read_yaml
from dsbridge.rendering import render
from dsbridge.spec.load import load_mapping

ODD = {"A": 'it\'s "$5" `x`', "B": "two\nlines", "C": "--"}
# what each release of LLaMA-Factory has: the diagnostics of rendering say so
OWN = {
    "llamafactory": {"launch": {"kind": "ray", "master_addr": "10.0.0.1", "master_port": 29600}},
    "llamafactory-old": {
        "launch": {
            "kind": "ray",
            "ray": {
                "run_name": "it's one",
                "storage_path": "s 1",
                "placement_strategy": "SPREAD",
                "resources_per_worker": {"GPU": 1, "CPU": 4},
            },
        }
    },
    "ray": {"launch": {"kind": "ray", "env": ODD, "ray": {"address": "http://head:8265"}}},
}


def launched(env: str) -> Artifacts:
    """Two nodes of four GPUs."""
    made = render(
        load_mapping(
            {
                "version": 1,
                "model": {"name_or_path": "m"},
                "cluster": {"nodes": 2, "gpus_per_node": 4},
                "finetuning": {"method": "lora", "rank": 8},
                "batch": {"micro_per_gpu": 1, "accumulation": 2},
                "precision": {"dtype": "fp32"},
                "optimizer": {"lr": 1e-4},
                "training": {"max_steps": 10, "output_dir": "o"},
                "frameworks": {"llamafactory": {"dataset": "d", "template": "qwen"}},
                **OWN[env],
            }
        ),
        "llamafactory",
    )
    assert not made.refused, made.diagnostics
    return made


def submission(made: Artifacts) -> dict[str, Any]:
    """`ray job submit` as click gives it to Ray, with the runtime environment that Ray makes of it."""
    from ray.dashboard.modules.dashboard_sdk import parse_runtime_env_args
    from ray.dashboard.modules.job.cli import submit

    words = list(made.launch.argv)
    assert words[:3] == ["ray", "job", "submit"]
    params = submit.make_context("submit", words[3:]).params
    runtime = parse_runtime_env_args(
        runtime_env=params["runtime_env"],
        runtime_env_json=params["runtime_env_json"],
        working_dir=params["working_dir"],
    )
    sent = shlex.join(params["entrypoint"])  # ray 2.60.0 dashboard/modules/job/cli.py:316
    return {"address": params["address"], "runtime_env": runtime, "entrypoint": shlex.split(sent)}


def arguments(made: Artifacts) -> dict[str, Any]:
    """LLaMA-Factory's whole parser, which refuses an unknown key."""
    os.environ["USE_RAY"] = "1"
    from llamafactory.hparams import parser
    from llamafactory.hparams.training_args import RayArguments

    value = read_yaml(made.files["train.yaml"], "train.yaml").value
    *_, training, _, _ = parser._parse_train_args(value)
    names = [name for name in RayArguments.__dataclass_fields__ if name in value]
    return {"use_ray": training.use_ray, **{name: getattr(training, name) for name in names}}


def main(argv: list[str] | None = None) -> int:
    """0: read as recorded."""
    options = argparse.ArgumentParser(prog="conformance.launching.ray_parsers")
    options.add_argument("--env", required=True, choices=sorted(OWN))
    options.add_argument("--write", action="store_true")
    asked = options.parse_args(argv)
    made = launched(asked.env)
    package = "ray" if asked.env == "ray" else "llamafactory"
    found = {
        "versions": {package: importlib.metadata.version(package)},
        "files": recording.portable(dict(made.files), Path("/nowhere")),
        "diagnostics": sorted(d.code for d in made.diagnostics),
        "read": submission(made) if asked.env == "ray" else arguments(made),
    }
    path = recording.FOLDER / "launching" / asked.env / "ray.json"
    if asked.write:
        recording.write(path, found)
    problem = recording.differences(path, found)
    print(problem or f"ray, {asked.env}: read as recorded")
    return int(bool(problem))


if __name__ == "__main__":
    sys.exit(main())
