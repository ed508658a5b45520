"""Who starts the Trainer: torchrun, deepspeed, python, accelerate launch with and without a YAML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._trainer_files import (
    ARGS,
    BUCKETS,
    DS,
    GONE,
    NO_MPI,
    accelerate_yaml,
    case,
    changed,
    flags,
    literal_args,
    parser,
    plain,
    script,
    text_of,
)
from conformance.oracle.cases._trainer_scripts import GIVEN, SCHEDULED, THREE


def launchers() -> Iterator[Case]:
    """Who starts the processes."""
    files = {"ds.json": text_of(DS), "train.py": script(literal_args(GIVEN))}
    flagged = {"ds.json": text_of(DS), "train.py": script(parser())}
    torchrun = ["torchrun", "--nproc_per_node", "4"]
    words = flags(GIVEN)
    yield case("run/torchrun-4", files, [*torchrun, "train.py"], world_size=4)
    yield case("run/two-nodes", files, [*torchrun, "--nnodes", "2", "train.py"], world_size=8)
    yield case(
        "run/module", files, ["python", "-m", "torch.distributed.run", "--nproc_per_node=2", "train.py"]
    )
    yield case("run/standalone", files, ["torchrun", "--standalone", "--nproc_per_node=2", "train.py"])
    gpus = ["torchrun", "--nproc_per_node=gpu", "train.py"]
    yield case("run/gpu", files, gpus, facts={"world_size": 2})
    yield case("run/python", files, ["python", "train.py"], world_size=1, facts=NO_MPI)
    three = text_of(changed(DS, {**THREE, "gradient_clipping": 0.5}))
    three_files = {"ds.json": three, "train.py": files["train.py"]}
    yield case("run/python-three", three_files, ["python", "train.py"], world_size=1, facts=NO_MPI)
    total = {"ds.json": text_of(changed(DS, {"train_batch_size": 8})), "train.py": files["train.py"]}
    yield case("run/python-total", total, ["python", "train.py"], world_size=1, facts=NO_MPI)
    yield case("run/deepspeed", files, ["deepspeed", "--num_gpus=2", "train.py"])
    yield case("run/deepspeed-flags", flagged, ["deepspeed", "--num_gpus=2", "train.py", *words])
    yield case(
        "run/deepspeed-include", flagged, ["deepspeed", "--include", "localhost:0,1", "train.py", *words]
    )
    yield case(
        "run/deepspeed-no-rank",
        flagged,
        ["deepspeed", "--no_local_rank", "--num_gpus", "2", "train.py", *words],
    )
    launch = ["accelerate", "launch"]
    yield case("run/launch", files, [*launch, "--multi_gpu", "--num_processes", "2", "train.py"])
    yield case("run/launch-use", files, [*launch, "--use_deepspeed", "--num_processes", "2", "train.py"])
    nothing = script(literal_args(ARGS))
    use = [*launch, "--use_deepspeed", "--num_processes=2", "--mixed_precision=bf16"]
    yield case(
        "run/launch-flags",
        {"train.py": nothing},
        [*use, "--zero_stage=1", "--gradient_clipping=1.0", "train.py"],
    )
    yield case(
        "run/launch-file-flag",
        {"ds.json": text_of(DS), "train.py": nothing},
        [*use, "--deepspeed_config_file", "ds.json", "train.py"],
    )
    for name, ds in {"precision": {"fp16": GONE, "bf16": GONE}, "auto": {}}.items():
        yield plain(f"env/{name}", ds, {"bf16": GONE}, environ={"ACCELERATE_MIXED_PRECISION": "bf16"})
    auto = {"zero_optimization.stage": "auto"}
    yield plain("env/stage", auto, environ={"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"})
    yield plain("env/steps", {}, environ={"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"})
    yield plain("env/init", THREE, environ={"ACCELERATE_DEEPSPEED_ZERO3_INIT": "false"})


_YAML = {
    "gradient_accumulation_steps": 2,
    "gradient_clipping": 1.0,
    "zero_stage": 2,
    "zero3_init_flag": False,
}
_OFFLOAD = {"offload_optimizer_device": "none", "offload_param_device": "none"}


def launch_yaml() -> Iterator[Case]:
    """`accelerate launch` with a YAML, with and without TrainingArguments.deepspeed."""
    run = ["accelerate", "launch", "--config_file", "acc.yaml", "train.py"]
    bf16 = {"mixed_precision": "bf16"}
    rows: dict[str, tuple[str, dict[str, Any]]] = {
        "equal": (accelerate_yaml({**_YAML, **_OFFLOAD}, **bf16), {}),
        "steps-other": (accelerate_yaml({**_YAML, "gradient_accumulation_steps": 4}, **bf16), {}),
        "clip-other": (accelerate_yaml({**_YAML, "gradient_clipping": 0.5}, **bf16), {}),
        "clip-zero": (accelerate_yaml({**_YAML, "gradient_clipping": 0.0}, **bf16), {}),
        "short": (accelerate_yaml({"zero_stage": 2}, **bf16), {}),
        "auto": (
            accelerate_yaml(
                {**_YAML, "gradient_accumulation_steps": "auto", "gradient_clipping": "auto"}, **bf16
            ),
            {},
        ),
        "steps-auto": (accelerate_yaml({**_YAML, "gradient_accumulation_steps": "auto"}, **bf16), {}),
        "no-precision": (accelerate_yaml(_YAML), {}),
        "precision-no": (accelerate_yaml(_YAML, mixed_precision="no"), {}),
        "bf16-unasked": (accelerate_yaml(_YAML, **bf16), {"bf16": GONE}),
        "fp16": (accelerate_yaml(_YAML, mixed_precision="fp16"), {}),
        "three": (accelerate_yaml({**_YAML, "zero_stage": 3, "zero3_init_flag": True}, **bf16), {}),
        "three-save": (
            accelerate_yaml(
                {**_YAML, "zero_stage": 3, "zero3_init_flag": True, "zero3_save_16bit_model": True}, **bf16
            ),
            {},
        ),
        "three-cpu": (
            accelerate_yaml(
                {**_YAML, "zero_stage": 3, "offload_optimizer_device": "cpu", "offload_param_device": "cpu"},
                **bf16,
            ),
            {},
        ),
        "cpu": (accelerate_yaml({**_YAML, "offload_optimizer_device": "cpu"}, **bf16), {"optim": "sgd"}),
        "four": (accelerate_yaml(_YAML, num_processes=4, **bf16), {}),
    }
    for name, (text, args) in rows.items():
        given = changed(ARGS, args)
        world = 4 if name == "four" else 2
        yield case(
            f"launch/{name}",
            {"acc.yaml": text, "train.py": script(literal_args(given))},
            run,
            world_size=world,
        )
    filed = {"deepspeed_config_file": "ds.json", "zero3_init_flag": False}
    configs: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
        "file": ({}, filed, {}),
        "file-scheduled": (SCHEDULED, filed, {}),
        "file-three": ({**THREE, **BUCKETS}, {**filed, "zero3_init_flag": True}, {}),
        "file-three-no-init": (THREE, filed, {}),
        "file-no-steps": ({"gradient_accumulation_steps": GONE}, filed, {}),
        "file-other": ({"gradient_clipping": 0.5}, filed, {}),
        "file-and-argument": ({}, filed, {"deepspeed": "other.json"}),
        "settings-and-argument": ({}, _YAML, {"deepspeed": "other.json"}),
        "file-and-stage": ({}, {**filed, "zero_stage": 2}, {}),
        "file-buckets": (BUCKETS, filed, {}),
        "file-other-auto": ({"wall_clock_breakdown": "auto"}, filed, {}),
    }
    for name, (ds, settings, args) in configs.items():
        files = {
            "acc.yaml": accelerate_yaml(settings),
            "ds.json": text_of(changed(DS, ds)),
            "other.json": text_of(changed(DS, {"zero_optimization.stage": 1})),
            "train.py": script(literal_args(changed(ARGS, args))),
        }
        yield case(f"launch/{name}", files, run)
    multi = accelerate_yaml(distributed_type="MULTI_GPU", deepspeed_config=GONE, mixed_precision="fp16")
    for name, args in {"multi-gpu": {}, "multi-gpu-none": {"bf16": GONE}}.items():
        text = script(literal_args(changed({**ARGS, "deepspeed": "ds.json"}, args)))
        yield case(f"launch/{name}", {"acc.yaml": multi, "ds.json": text_of(DS), "train.py": text}, run)
