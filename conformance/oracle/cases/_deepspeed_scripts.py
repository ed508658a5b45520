"""How a script hands the config over, who starts it, and what else it gives to `deepspeed.initialize`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._deepspeed_files import (
    BASE,
    GONE,
    HEAD,
    MODEL,
    args_script,
    call,
    case,
    changed,
    literal,
    script,
    with_file,
)

_TEXT = json.dumps(BASE, indent=2)
_CONFIG = ["--deepspeed", "--deepspeed_config", "ds.json"]
_CPU_ADAM = "deepspeed.ops.adam.DeepSpeedCPUAdam(model.parameters(), lr=1e-4)"

# What client code builds before the call, by name.
CLIENTS: dict[str, str] = {
    "adamw": "optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)\n",
    "sgd": "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n",
    "cpu-adam": f"optimizer = {_CPU_ADAM}\n",
    "adafactor": "optimizer = torch.optim.Adafactor(model.parameters(), lr=1e-3)\n",
    "callable": "def optimizer(parameters):\n    return torch.optim.AdamW(parameters, lr=1e-4)\n\n\n",
}
_LAMBDA = "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)\n"


def entries() -> Iterator[Case]:
    """Every way to hand the config over."""
    yield with_file("entry/path", BASE)
    yield with_file("entry/config-params", BASE, script(config_params='"ds.json"'))
    yield case("entry/literal", {"train.py": script(config=literal(BASE))})
    yield case("entry/variable", {"train.py": script(f"ds_config = {literal(BASE)}\n", config="ds_config")})
    more = 'ds_config["train_batch_size"] = 8\nds_config["zero_optimization"]["stage"] = 1\n'
    yield case(
        "entry/changed", {"train.py": script(f"ds_config = {literal(BASE)}\n{more}", config="ds_config")}
    )
    load = '\nwith open("ds.json") as file:\n    ds_config = json.load(file)\n'
    yield with_file("entry/json-load", BASE, "import json\n\n" + script(load, config="ds_config"))
    changed_load = load + 'ds_config["gradient_accumulation_steps"] = 4\n'
    yield with_file(
        "entry/json-load-changed", BASE, "import json\n\n" + script(changed_load, config="ds_config")
    )
    comment = _TEXT.replace("{", "{\n  // ours", 1)
    yield with_file("entry/json-load-comment", comment, "import json\n\n" + script(load, config="ds_config"))
    yield with_file("entry/config-and-params", BASE, script(config='"ds.json"', config_params='"other.json"'))
    yield case("entry/none", {"train.py": script()})
    yield case("entry/missing-file", {"train.py": script(config='"ds_config.json"')})
    yield case("entry/missing-file-12", {"train.py": script(config='"configs/zero2"')})
    packed = base64.urlsafe_b64encode(_TEXT.encode()).decode()
    yield case("entry/base64", {"train.py": script(config=f'"{packed}"')})
    yield with_file("entry/folder", BASE, script(config='"configs/ds.json"'))
    in_folder = {"configs/ds.json": _TEXT, "train.py": script(config='"configs/ds.json"')}
    yield case("entry/in-folder", in_folder)
    yield with_file("entry/list", BASE, script(config="[1, 2]"))
    yield with_file("entry/empty-dict", BASE, script(config="{}"))
    yield with_file("entry/no-model", BASE, script(config='"ds.json"', model="None", model_parameters=""))
    unread = "import os\n\n" + script(
        f"ds_config = {literal(BASE)}\n"
        'ds_config["gradient_accumulation_steps"] = int(os.environ.get("STEPS", "4"))\n',
        config="ds_config",
    )
    facts = {"ds.gradient_accumulation_steps": 4}
    yield case("entry/from-environ", {"train.py": unread}, facts=facts)
    made = script(
        f"def make(micro):\n    return {literal(BASE)} | {{'train_micro_batch_size_per_gpu': micro}}\n\n\n",
        config="make(4)",
    )
    yield case(
        "entry/from-function",
        {"train.py": made},
        facts={"init.config": {**BASE, "train_micro_batch_size_per_gpu": 4}},
    )


def shared() -> Iterator[Case]:
    """Sequence parallel sizes in a dict, where older versions see them too."""
    for name, sizes, world in (
        ("mesh", {"sequence_parallel_size": 2, "data_parallel_size": 1}, 2),
        ("mesh-wrong", {"sequence_parallel_size": 2, "data_parallel_size": 2}, 2),
        ("mesh-four", {"sequence_parallel_size": 2, "data_parallel_size": 2, "train_batch_size": 8}, 4),
        ("sequence", {"sequence_parallel_size": 2}, 4),
    ):
        yield case(f"entry/{name}", {"train.py": script(config=literal({**BASE, **sizes}))}, world_size=world)


def arguments() -> Iterator[Case]:
    """The config named on the script's own command line."""
    run = ["torchrun", "--nproc_per_node", "2", "train.py"]
    files = {"ds.json": _TEXT, "train.py": args_script()}
    yield case("args/config", files, [*run, *_CONFIG])
    yield case("args/config-equals", files, [*run, "--deepspeed_config=ds.json"])
    yield case("args/no-flag", files, run)
    yield case("args/deepspeed-path", files, [*run, "--deepspeed", "ds.json"])
    yield case("args/deepscale", files, [*run, "--deepscale_config", "ds.json"])
    yield case("args/both-names", files, [*run, *_CONFIG, "--deepscale_config", "ds.json"])
    both = {"ds.json": _TEXT, "train.py": args_script(config='"ds.json"')}
    yield case("args/and-config", both, [*run, *_CONFIG])
    yield case("args/config-alone", both, run)
    own = (
        f"import argparse\n\n{HEAD}\nparser = argparse.ArgumentParser()\n"
        'parser.add_argument("--local_rank", type=int, default=-1)\n'
        'parser.add_argument("--deepspeed_config", default="ds.json")\n'
        f"args = parser.parse_args()\n{MODEL}{call(args='args')}"
    )
    yield case("args/own-default", {"ds.json": _TEXT, "train.py": own}, run)
    other = changed(BASE, {"zero_optimization.stage": 1})
    two = {"ds.json": _TEXT, "z1.json": json.dumps(other), "train.py": own}
    yield case("args/own-other", two, [*run, "--deepspeed_config", "z1.json"])
    named = own.replace('"--deepspeed_config"', '"--ds"').replace(call(args="args"), call(config="args.ds"))
    yield case("args/own-name", {"ds.json": _TEXT, "train.py": named}, run)
    micro = own.replace(
        f"args = parser.parse_args()\n{MODEL}{call(args='args')}",
        'parser.add_argument("--micro", type=int, default=2)\nargs = parser.parse_args()\n'
        f"{MODEL}ds_config = {literal(BASE)}\n"
        'ds_config["train_micro_batch_size_per_gpu"] = args.micro\n' + call(config="ds_config"),
    )
    yield case("args/number", {"train.py": micro}, [*run, "--micro", "8"])
    yield case("args/number-default", {"train.py": micro}, run)
    yield case("args/bad-flag", files, [*run, *_CONFIG, "--stage", "3"])


def launchers() -> Iterator[Case]:
    """Who starts the script, and how many ranks that gives."""
    plain = {"ds.json": _TEXT, "train.py": script(config='"ds.json"')}
    taking = {"ds.json": _TEXT, "train.py": args_script()}
    total = {"ds.json": json.dumps({**BASE, "train_batch_size": 16}), "train.py": script(config='"ds.json"')}
    for name, files, world, words in (
        ("torchrun-1", plain, 1, ["torchrun", "--nproc_per_node=1", "train.py"]),
        ("torchrun-gpu", plain, 4, ["torchrun", "--nproc_per_node", "gpu", "train.py"]),
        ("torchrun-4-total", total, 4, ["torchrun", "--nproc_per_node=4", "train.py"]),
        ("module", plain, 2, ["python", "-m", "torch.distributed.run", "--nproc_per_node=2", "train.py"]),
        ("python", plain, 1, ["python", "train.py"]),
        ("deepspeed", plain, 2, ["deepspeed", "train.py"]),
        ("deepspeed-args", taking, 2, ["deepspeed", "train.py", *_CONFIG]),
        ("deepspeed-gpus", taking, 4, ["deepspeed", "--num_gpus", "2", "train.py", *_CONFIG]),
        ("deepspeed-include", taking, 4, ["deepspeed", "--include", "localhost:1,3", "train.py", *_CONFIG]),
        ("deepspeed-exclude", taking, 4, ["deepspeed", "--exclude", "localhost:0", "train.py", *_CONFIG]),
        (
            "deepspeed-include-wrong",
            taking,
            2,
            ["deepspeed", "--include", "localhost:5", "train.py", *_CONFIG],
        ),
        ("deepspeed-no-rank", plain, 2, ["deepspeed", "--no_local_rank", "train.py"]),
        ("deepspeed-port", taking, 2, ["deepspeed", "--master_port", "29511", "train.py", *_CONFIG]),
        (
            "deepspeed-mixed",
            taking,
            2,
            ["deepspeed", "--num_gpus=1", "--include=localhost:0", "train.py", *_CONFIG],
        ),
        ("deepspeed-no-args", taking, 2, ["deepspeed", "train.py"]),
    ):
        facts = {"mpi4py_installed": False} if name == "python" else {}
        yield case(f"launch/{name}", files, words, world_size=world, facts=facts)
    nodes = ["torchrun", "--nnodes", "2", "--nproc_per_node", "4", "--node_rank", "0", "train.py"]
    yield case("launch/two-nodes", total, nodes, world_size=8)
    no_rank = {
        "ds.json": _TEXT,
        "train.py": args_script().replace('parser.add_argument("--local_rank", type=int, default=-1)\n', ""),
    }
    yield case("launch/deepspeed-local-rank", no_rank, ["deepspeed", "train.py", *_CONFIG])


def clients() -> Iterator[Case]:
    """An optimizer or scheduler of the script's own, with and without one in the config."""
    bare = changed(BASE, {"optimizer": GONE})
    cpu = {"zero_optimization.offload_optimizer": {"device": "cpu"}}
    rows: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("adamw", "adamw", {}),
        ("adamw-stage-0", "adamw", {"zero_optimization.stage": 0}),
        ("adamw-stage-3", "adamw", {"zero_optimization.stage": 3}),
        ("adamw-and-block", "adamw", {"optimizer": BASE["optimizer"]}),
        ("adamw-and-unknown-block", "adamw", {"optimizer": {"type": "AdamX"}}),
        ("adamw-fp32", "adamw", {"bf16": GONE}),
        ("sgd", "sgd", {}),
        ("sgd-allowed", "sgd", {"zero_allow_untested_optimizer": True}),
        ("sgd-allowed-auto", "sgd", {"zero_allow_untested_optimizer": "auto"}),
        ("sgd-stage-0", "sgd", {"zero_optimization.stage": 0}),
        ("sgd-stage-1", "sgd", {"zero_optimization.stage": 1}),
        ("adafactor", "adafactor", {}),
        ("callable", "callable", {}),
        ("offload", "adamw", cpu),
        ("offload-not-forced", "adamw", {**cpu, "zero_force_ds_cpu_optimizer": False}),
        ("offload-stage-0", "adamw", {**cpu, "zero_optimization.stage": 0}),
        ("offload-old-flag", "adamw", {"zero_optimization.cpu_offload": True}),
        ("offload-cpu-adam", "cpu-adam", cpu),
        ("offload-none", "adamw", {"zero_optimization.offload_optimizer": {"device": "none"}}),
        ("offload-sgd", "sgd", {**cpu, "zero_force_ds_cpu_optimizer": False}),
        ("cpu-adam", "cpu-adam", {}),
    )
    for name, client, changes in rows:
        text = script(CLIENTS[client], config='"ds.json"', optimizer="optimizer")
        facts = {"init.optimizer.class": "torch.AdamW"} if client == "callable" else {}
        yield with_file(f"client/{name}", changed(bare, changes), text, facts=facts)
    both = script(
        CLIENTS["adamw"] + _LAMBDA, config='"ds.json"', optimizer="optimizer", lr_scheduler="scheduler"
    )
    warm = {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}}
    yield with_file("client/scheduler", bare, both)
    yield with_file("client/scheduler-and-block", changed(bare, warm), both)
    lone = CLIENTS["adamw"] + _LAMBDA
    yield with_file(
        "client/scheduler-alone", BASE, script(lone, config='"ds.json"', lr_scheduler="scheduler")
    )
    text = script(CLIENTS["adamw"], config='"ds.json"', optimizer="optimizer")
    yield with_file("client/config-scheduler", changed(bare, warm), text)
    wrong = script("", config='"ds.json"', optimizer='"adamw"')
    yield with_file("client/word", bare, wrong)
    yield with_file("client/none-given", bare, script("", config='"ds.json"', optimizer="None"))


def zero_init() -> Iterator[Case]:
    """Models built inside `deepspeed.zero.Init`, or after `HfDeepSpeedConfig`."""
    three = changed(BASE, {"zero_optimization.stage": 3})
    total = {"train_batch_size": 8, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2}
    started = "\ndeepspeed.init_distributed()\n"
    inside = 'with deepspeed.zero.Init(config_dict_or_path="ds.json"):\n    model = torch.nn.Linear(8, 8)\n'
    for name, head in (("init", HEAD + "\n"), ("init-started", HEAD + started)):
        text = head + inside + call(config='"ds.json"')
        yield with_file(f"{name}/stage-3", three, text)
        yield with_file(f"{name}/total", changed(three, total), text)
        yield with_file(f"{name}/wrong-batch", changed(three, {"train_batch_size": 99}), text)
        yield with_file(f"{name}/wrong-zero", changed(three, {"zero_optimization.foo": 1}), text)
    told = HEAD.replace("import deepspeed", "import json\n\nimport deepspeed")
    told += "from transformers.integrations import HfDeepSpeedConfig\n"
    load = f'\nds_config = json.load(open("ds.json"))\nkept = HfDeepSpeedConfig(ds_config)\n{MODEL}'
    for name, head in (("hf", told), ("hf-started", told + started)):
        text = head + load + call(config="ds_config")
        yield with_file(f"{name}/stage-3", three, text)
        yield with_file(f"{name}/total", changed(three, total), text)
        yield with_file(f"{name}/wrong-batch", changed(three, {"train_batch_size": 99}), text)
        yield with_file(
            f"{name}/micro-auto", changed(three, {"train_micro_batch_size_per_gpu": "auto"}), text
        )
        yield with_file(f"{name}/stage-2", changed(BASE, {"train_batch_size": 99}), text)
