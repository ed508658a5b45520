"""How LLaMA-Factory is started, and how its settings reach it: YAML, JSON, flags, overrides, environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._llamafactory_files import (
    AUTO,
    BASE,
    CLI,
    FORCE,
    GONE,
    OPTIMIZER,
    SHIPPED,
    TRAIN,
    case,
    changed,
    words_of,
    yaml_of,
)

TORCHRUN = ("torchrun", "--nproc_per_node", "2", "src/train.py", "train.yaml")
NO_DEEPSPEED = changed(BASE, {"deepspeed": GONE})
Z3: dict[str, Any] = json.loads(SHIPPED["z3"])


def started() -> Iterator[Case]:
    """Every way to start it."""
    for name, environ, world in (
        ("force", FORCE, 2),
        ("force-true", {"FORCE_TORCHRUN": "True"}, 1),
        ("force-yes", {"FORCE_TORCHRUN": "yes"}, 1),
        ("two-gpus", {}, 2),
        ("one-gpu", {}, 1),
        ("force-off", {"FORCE_TORCHRUN": "0"}, 1),
        ("processes", {**FORCE, "NPROC_PER_NODE": "4"}, 8),
        ("processes-1", {**FORCE, "NPROC_PER_NODE": "1"}, 2),
        ("nodes", {**FORCE, "NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "10.0.0.1"}, 2),
        ("nodes-all-said", {**FORCE, "NNODES": "2", "NPROC_PER_NODE": "4", "MASTER_PORT": "29501"}, 4),
        ("elastic", {**FORCE, "NNODES": "2", "RDZV_ID": "7", "MAX_RESTARTS": "3"}, 2),
        ("extra-allowed", {**FORCE, "ALLOW_EXTRA_ARGS": "1"}, 2),
        ("mixed-precision", {**FORCE, "ACCELERATE_MIXED_PRECISION": "fp16"}, 2),
    ):
        text = yaml_of(changed(BASE, {"zero_stage": 2})) if name == "extra-allowed" else None
        yield case(f"start/{name}", text, environ=environ, world_size=world)
    yield case("start/lmf", command=("lmf", "train", "train.yaml"))
    yield case("start/torchrun", command=TORCHRUN)
    module = ("python", "-m", "torch.distributed.run", "--nproc_per_node=2", "src/train.py", "train.yaml")
    yield case("start/run-module", command=module)
    packaged = ("torchrun", "--nproc_per_node", "2", "-m", "llamafactory.launcher", "train.yaml")
    yield case("start/torchrun-module", command=packaged)
    two = ("torchrun", "--nnodes", "2", "--node_rank", "0", "--nproc_per_node", "2", *TORCHRUN[3:])
    yield case("start/torchrun-nodes", command=two)
    yield case("start/python", command=("python", "src/train.py", "train.yaml"), world_size=1)
    yield case("start/python-two-gpus", command=("python", "src/train.py", "train.yaml"), world_size=2)
    inline = "from llamafactory.train.tuner import run_exp\n\nrun_exp()\n"
    words = ("torchrun", "--nproc_per_node", "2", "finetune.py", "train.yaml")
    yield case("start/own-script", command=words, files={"finetune.py": inline})
    given = TRAIN.replace("    run_exp()\n", '    run_exp({"stage": "sft"})\n', 1)
    yield case("start/script-with-dict", command=TORCHRUN, files={"src/train.py": given})


ACCELERATE = ("accelerate", "launch", "--config_file", "acc.yaml", "src/train.py", "train.yaml")
ACCELERATE_YAML: dict[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "DEEPSPEED",
    "num_machines": 1,
    "num_processes": 2,
    "machine_rank": 0,
}


def accelerated() -> Iterator[Case]:
    """Under accelerate launch."""
    files: dict[str, tuple[Any, Any]] = {
        "multi-gpu": ({"distributed_type": "MULTI_GPU", "mixed_precision": "bf16"}, BASE),
        "fields": ({"deepspeed_config": {"zero_stage": 2, "gradient_accumulation_steps": 4}}, NO_DEEPSPEED),
        "fields-3": ({"deepspeed_config": {"zero_stage": 3, "zero3_init_flag": True}}, NO_DEEPSPEED),
        "fields-wrong": ({"deepspeed_config": {"gradient_accumulation_steps": 1}}, NO_DEEPSPEED),
        "fields-clip-wrong": (
            {"deepspeed_config": {"gradient_accumulation_steps": 4, "gradient_clipping": 0.5}},
            NO_DEEPSPEED,
        ),
        "fields-and-file": ({"deepspeed_config": {"zero_stage": 2}}, BASE),
        "file": ({"deepspeed_config": {"deepspeed_config_file": "ds.json"}}, NO_DEEPSPEED),
        "file-twice": ({"deepspeed_config": {"deepspeed_config_file": "ds.json"}}, BASE),
        "empty-and-file": ({"deepspeed_config": {}}, BASE),
        "fields-galore": (
            {"deepspeed_config": {"zero_stage": 2, "gradient_accumulation_steps": 4}},
            changed(NO_DEEPSPEED, {"pure_bf16": True, "bf16": GONE}),
        ),
    }
    for name, (section, settings) in files.items():
        text = yaml_of({**ACCELERATE_YAML, **section})
        yield case(f"accelerate/{name}", settings and yaml_of(settings), command=ACCELERATE,
                   files={"acc.yaml": text})  # fmt: skip
    flags = ("accelerate", "launch", "--num_processes", "2", "--multi_gpu")
    yield case("accelerate/flags", command=(*flags, "src/train.py", "train.yaml"))
    flags = ("accelerate", "launch", "--use_deepspeed", "--num_processes", "2", "--zero_stage", "3")
    flags += ("--gradient_accumulation_steps", "4")
    yield case("accelerate/stage-flag", NO_DEEPSPEED, command=(*flags, "src/train.py", "train.yaml"))
    yield case("accelerate/stage-flag-and-file", command=(*flags, "src/train.py", "train.yaml"))


def flagged() -> Iterator[Case]:
    """Settings as `--name value` words."""
    words = words_of(BASE)
    program = ("torchrun", "--nproc_per_node", "2", "src/train.py")
    yield case("flags/torchrun", command=(*program, *words), files={"train.yaml": GONE})
    yield case("flags/cli", command=("llamafactory-cli", "train", *words), files={"train.yaml": GONE})
    for name, changes in {
        "switch": {"bf16": GONE, "do_train": GONE},
        "unknown": {"zero_stage": 2},
        "not-a-choice": {"finetuning_type": "qlora"},
        "not-a-number": {"learning_rate": "fast"},
        "optimizer": {"weight_decay": "0.1", "adam_beta1": "0.8"},
        "int-for-float": {"max_grad_norm": 1},
    }.items():
        more = ["--do_train", "--bf16"] if name == "switch" else []
        ds = changed(AUTO, {"optimizer": OPTIMIZER})
        given = [*program, *words_of(changed(BASE, changes)), *more]
        yield case(f"flags/{name}", None, ds, given, files={"train.yaml": GONE})
    node = ("deepspeed", "--num_gpus", "2", "src/train.py")
    yield case("flags/deepspeed", command=(*node, *words), files={"train.yaml": GONE})
    yield case("flags/deepspeed-yaml", command=(*node, "train.yaml"))
    quiet = ("deepspeed", "--num_gpus", "2", "--no_local_rank", "src/train.py", "train.yaml")
    yield case("flags/deepspeed-no-rank", command=quiet)


def overridden() -> Iterator[Case]:
    """`key=value` words after the file."""
    for name, words in {
        "rate": ["learning_rate=3e-5"],
        "several": ["per_device_train_batch_size=1", "gradient_accumulation_steps=2", "bf16=false"],
        "file": ["deepspeed=other.json"],
        "null": ["deepspeed=null"],
        "unknown": ["zero_stage=3"],
        "no-equals": ["learning_rate", "3e-5"],
        "dashes": ["--learning_rate", "3e-5"],
        "dashes-equals": ["--learning_rate=3e-5"],
        "nested": ["deepspeed.zero_optimization.stage=2"],
        "empty": ["deepspeed="],
        "twice": ["learning_rate=1e-5", "learning_rate=2e-5"],
        "method": ["finetuning_type=lora", "lora_rank=16"],
    }.items():
        ds = changed(AUTO, {"optimizer": OPTIMIZER})
        yield case(f"override/{name}", None, ds, (*CLI, *words), files={"other.json": SHIPPED["z3"]})
    inline = yaml_of(changed(BASE, {"deepspeed": AUTO}))
    yield case("override/inline", inline, None, (*CLI, "deepspeed.zero_optimization.stage=1"))


def written() -> Iterator[Case]:
    """The file itself: its YAML, its kind, the ds_config inside it."""
    block = "deepspeed:\n  train_micro_batch_size_per_gpu: auto\n  gradient_accumulation_steps: auto\n"
    block += "  train_batch_size: auto\n  bf16:\n    enabled: auto\n  zero_optimization:\n"
    block += "    stage: 2\n    reduce_bucket_size: 5e8\n"
    texts = {
        "comments": "### model\n" + yaml_of(BASE).replace("stage: sft", "\n### method\nstage: sft  # or pt"),
        "inline-mapping": yaml_of(NO_DEEPSPEED) + block,
        "inline-json": yaml_of(changed(BASE, {"deepspeed": f"'{json.dumps(AUTO)}'"})),
        "inline-json-broken": yaml_of(changed(BASE, {"deepspeed": "'{\"zero_optimization\": '"})),
        "inline-list": yaml_of(changed(BASE, {"deepspeed": [1, 2]})),
        "duplicate": yaml_of(BASE) + "learning_rate: 2.0e-5\n",
        "broken": yaml_of(BASE) + "foo: [1, 2\n",
        "tab": yaml_of(BASE) + "deepspeed_more:\n\tstage: 2\n",
        "list": "- stage: sft\n- do_train: true\n",
        "interpolated": yaml_of(changed(BASE, {"output_dir": "saves/${stage}"})),
        "interpolated-file": yaml_of(changed(BASE, {"deepspeed": "${oc.env:DS_CONFIG}"})),
        "interpolation-broken": yaml_of(changed(BASE, {"output_dir": "saves/${stage"})),
        "empty": "",
        "anchors": yaml_of(BASE).replace("learning_rate: ", "learning_rate: &rate ")
        + "adam_epsilon: *rate\n",
    }
    for name, text in texts.items():
        yield case(f"text/{name}", text)
    yield case("text/yml", command=("llamafactory-cli", "train", "train.yml"),
               files={"train.yml": yaml_of(BASE), "train.yaml": GONE})  # fmt: skip
    yield case("text/json", command=("llamafactory-cli", "train", "train.json"),
               files={"train.json": json.dumps(BASE), "train.yaml": GONE})  # fmt: skip
    yield case("text/not-there", command=("llamafactory-cli", "train", "sft.yaml"))
    yield case("text/no-file", command=("llamafactory-cli", "train"))
    for name, text in {
        "comment": '{\n  // ours\n  "zero_optimization": {"stage": 2}\n}\n',
        "comma": '{"zero_optimization": {"stage": 2},}\n',
        "list": "[]\n",
        "empty": "",
        "duplicate": '{"zero_optimization": {"stage": 3}, "zero_optimization": {"stage": 1}, '
        '"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}\n',
        "yaml": "zero_optimization:\n  stage: 2\n",
    }.items():
        yield case(f"file/{name}", None, text)
