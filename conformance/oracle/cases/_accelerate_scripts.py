"""Scripts with raw Accelerate: what they give to Accelerator, DeepSpeedPlugin, DataLoader and prepare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._accelerate_ds import DUMMY as DUMMY_FIELDS
from conformance.oracle.cases._accelerate_ds import FIELDS
from conformance.oracle.cases._accelerate_files import (
    ADAMW,
    AUTO,
    DECAY,
    DUMMY,
    FROM_YAML,
    GONE,
    MODEL,
    NUMBERS,
    OPTIMIZER,
    ROWS,
    SCHEDULER,
    accelerate_yaml,
    case,
    changed,
    from_yaml,
    in_code,
    literal,
    script,
    source,
    text_of,
    with_file,
)

WARM = "scheduler = DummyScheduler(optimizer, total_num_steps=101, warmup_num_steps=7)\n"
LAMBDA = (
    "scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=5, num_training_steps=100)\n"
)
LINEAR = {"imports": "from transformers import get_linear_schedule_with_warmup\n", "scheduler": LAMBDA}
BF16 = {"mixed_precision": "bf16"}


def fields() -> Iterator[Case]:
    """The ds_config, one change each."""
    for name, changes in FIELDS.items():
        yield with_file(f"ds/{name}", changed(AUTO, changes))
    for precision in ("fp16", "no"):
        for name in (
            "bf16-null",
            "fp16-null",
            "as-is",
            "no-precision",
            "bf16-true",
            "fp16-true",
            "fp16-false",
            "bf16-false",
            "fp16-empty",
        ):
            config = changed(AUTO, FIELDS.get(name, {"fp16": {}}))
            yield with_file(f"ds/{precision}-{name}", config, accelerator={"mixed_precision": precision})
    for name, changes in DUMMY_FIELDS.items():
        yield with_file(f"dummy/{name}", changed(AUTO, changes), optimizer=DUMMY, scheduler=WARM)
    yield with_file("gpu/no-bf16", AUTO, gpu={"bf16": False, "fp16": True})
    yield with_file("gpu/no-fp16", AUTO, accelerator={"mixed_precision": "fp16"}, gpu={"fp16": False})
    two = changed(AUTO, FIELDS["tensor-parallel"])
    yield with_file("ds/tensor-parallel-alone", two, world_size=1)
    yield with_file("ds/tensor-parallel-four", two, world_size=4)


def texts() -> Iterator[Case]:
    """The file's text, and the other forms of hf_ds_config."""
    text = text_of(NUMBERS)
    yield with_file("text/comment", "// mine\n" + text)
    yield with_file("text/trailing-comma", text.replace("\n}", ",\n}"))
    yield with_file("text/empty", "")
    yield with_file("text/list", "[1, 2]")
    yield with_file("text/twice", text.replace('"bf16"', '"gradient_clipping": 3, "bf16"', 1))
    yield in_code("text/missing", {"hf_ds_config": "gone.json"})
    yield in_code("text/inline", {"hf_ds_config": json.dumps(NUMBERS)})
    yield in_code("text/dict", {"hf_ds_config": NUMBERS})
    yield in_code("text/dict-auto", {"hf_ds_config": AUTO})
    yield in_code("text/none", {"hf_ds_config": "none", "zero_stage": 1})
    head = f"ds_config = {literal(AUTO)}\n" + 'ds_config["zero_optimization"]["stage"] = 3\n'
    yield in_code("text/variable", {"hf_ds_config": source("ds_config")}, head=head)
    imports = "from accelerate.utils import HfDeepSpeedConfig\n"
    yield with_file("text/object", AUTO, plugin={"hf_ds_config": source('HfDeepSpeedConfig("ds.json")')},
                    imports=imports)  # fmt: skip


PLUGIN: dict[str, dict[str, Any]] = {
    "empty": {},
    "stage-0": {"zero_stage": 0},
    "stage-1": {"zero_stage": 1},
    "stage-3": {"zero_stage": 3},
    "stage-3-init": {"zero_stage": 3, "zero3_init_flag": True, "zero3_save_16bit_model": True},
    "stage-3-no-init": {"zero_stage": 3, "zero3_init_flag": False},
    "stage-text": {"zero_stage": "3"},
    "steps": {"gradient_accumulation_steps": 4},
    "steps-auto": {"gradient_accumulation_steps": "auto"},
    "clip": {"gradient_clipping": 0.5},
    "clip-zero": {"gradient_clipping": 0},
    "clip-auto": {"gradient_clipping": "auto"},
    "offload": {"offload_optimizer_device": "cpu"},
    "offload-3": {"zero_stage": 3, "offload_optimizer_device": "cpu", "offload_param_device": "cpu"},
    "nvme": {"zero_stage": 3, "offload_param_device": "nvme", "offload_param_nvme_path": "/nvme"},
    "nvme-no-path": {"zero_stage": 3, "offload_param_device": "nvme"},
    "max": {"is_train_batch_min": False},
    "unknown": {"stage": 3},
    "msamp": {"enable_msamp": True},
    "msamp-3": {"enable_msamp": True, "zero_stage": 3},
    "moe": {"zero_stage": 3, "transformer_moe_cls_names": "Qwen2DecoderLayer"},
    "moe-gone": {"zero_stage": 3, "transformer_moe_cls_names": "MixtralSparseMoeBlock"},
}
BESIDE: dict[str, dict[str, Any]] = {
    "stage": {"zero_stage": 3},
    "steps": {"gradient_accumulation_steps": 4},
    "clip": {"gradient_clipping": 0.7},
    "offload": {"offload_optimizer_device": "cpu"},
    "save": {"zero3_save_16bit_model": True},
}
ACCELERATOR: dict[str, dict[str, Any]] = {
    "steps": {"gradient_accumulation_steps": 4},
    "fp16": {"mixed_precision": "fp16"},
    "no": {"mixed_precision": "no"},
    "wrong": {"mixed_precision": "half"},
    "upper": {"mixed_precision": "BF16"},
    "split": {"split_batches": True},
    "split-config": {"dataloader_config": source("DataLoaderConfiguration(split_batches=True)")},
    "steps-plugin": {"gradient_accumulation_plugin": source("GradientAccumulationPlugin(num_steps=4)")},
    "steps-twice": {
        "gradient_accumulation_steps": 2,
        "gradient_accumulation_plugin": source("GradientAccumulationPlugin(num_steps=4)"),
    },
    "cpu": {"cpu": True},
}


SPLIT = "from accelerate.utils import DataLoaderConfiguration\n"


def plugins() -> Iterator[Case]:
    """DeepSpeedPlugin from fields, and fields beside a file."""
    for name, plugin in PLUGIN.items():
        facts = {"moe_layers_found": name == "moe"} if "moe" in name else {}
        facts |= {"msamp_available": False} if name == "msamp" else {}
        yield in_code(f"plugin/{name}", plugin, facts=facts)
    for name, plugin in BESIDE.items():
        yield with_file(f"beside/{name}-auto", _all_auto(), plugin=plugin)
        yield with_file(f"beside/{name}-numbers", NUMBERS, plugin=plugin)
    imports = "from accelerate.utils import DataLoaderConfiguration, GradientAccumulationPlugin\n"
    for name, arguments in ACCELERATOR.items():
        given = {**BF16, **arguments}
        yield in_code(f"accelerator/{name}", {}, accelerator=given, imports=imports)
        if name.startswith("steps"):
            yield with_file(f"accelerator/{name}-auto", AUTO, accelerator=given, imports=imports)
            yield with_file(f"accelerator/{name}-numbers", NUMBERS, accelerator=given, imports=imports)
    environ = {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "8"}
    given = {**BF16, "gradient_accumulation_steps": 4}
    yield with_file("accelerator/environ-steps", AUTO, accelerator=given, environ=environ)
    yield from_yaml("accelerator/yaml-steps", accelerate_yaml({"zero_stage": 2,
                    "gradient_accumulation_steps": 1}), script(accelerator=given))  # fmt: skip
    yield from_yaml(
        "accelerator/yaml-no-steps", accelerate_yaml({"zero_stage": 2}), script(accelerator=given)
    )
    yield from_yaml("accelerator/yaml-precision", accelerate_yaml({"zero_stage": 2}),
                    script(accelerator={"mixed_precision": "fp16"}))  # fmt: skip
    other = accelerate_yaml({"zero_stage": 3, "gradient_clipping": 0.2})
    yield from_yaml("accelerator/yaml-and-plugin", other, script(plugin={"zero_stage": 1}))
    yield case("accelerator/none", {"train.py": script(accelerator=BF16)})
    yield from_yaml("accelerator/two-plugins", accelerate_yaml({"zero_stage": 2}), script(
        head='first = DeepSpeedPlugin(zero_stage=3)\nsecond = DeepSpeedPlugin(zero_stage=2)\n',
        imports="from accelerate import DeepSpeedPlugin\n",
        accelerator={"deepspeed_plugins": source('{"a": first, "b": second}')}))  # fmt: skip


def _all_auto() -> dict[str, Any]:
    return changed(
        AUTO,
        {
            "zero_optimization.stage": "auto",
            "zero_optimization.offload_optimizer": {"device": "auto"},
            "zero_optimization.stage3_gather_16bit_weights_on_model_save": "auto",
        },
    )


TWO = ROWS + (
    "loader = DataLoader(rows, batch_size=8, shuffle=True)\nevaluation = DataLoader(rows, batch_size=2)\n"
)
LOADERS: dict[str, dict[str, Any]] = {
    "two": {"loader": TWO, "prepare": "model, optimizer, loader, evaluation"},
    "none-prepared": {"prepare": "model, optimizer"},
    "loader-alone": {"prepare": "loader = accelerator.prepare(loader)"},
    "loader-first": {
        "prepare": "loader = accelerator.prepare(loader)\n"
        "model, optimizer = accelerator.prepare(model, optimizer)"
    },
    "model-alone": {"prepare": "model = accelerator.prepare(model)", "optimizer": ""},
    "model-and-loader": {"prepare": "model, loader", "optimizer": ""},
    "default-size": {"loader": ROWS + "loader = DataLoader(rows)\n"},
    "positional": {"loader": ROWS + "loader = DataLoader(rows, 3)\n"},
    "null-size": {"loader": ROWS + "loader = DataLoader(rows, batch_size=None)\n"},
    "sampler": {
        "imports": "from torch.utils.data import BatchSampler, SequentialSampler\n",
        "loader": ROWS
        + "loader = DataLoader(rows, batch_sampler=BatchSampler(SequentialSampler(rows), 4, False))\n",
    },
    "variable": {"loader": "BATCH = 2 * 3\n" + ROWS + "loader = DataLoader(rows, batch_size=BATCH)\n"},
    "in-main": {
        "prepare": (
            "def main(size=6):\n    small = DataLoader(rows, batch_size=size)\n"
            "    return accelerator.prepare(model, optimizer, small)\n\n\n"
            "if __name__ == '__main__':\n    main()\n_ = 0"
        )
    },
}


def loaders() -> Iterator[Case]:
    """Batch sizes."""
    for name, layout in LOADERS.items():
        yield with_file(f"loader/{name}", AUTO, **layout)
        if name in ("none-prepared", "null-size", "sampler", "model-alone"):
            yield with_file(f"loader/{name}-number", NUMBERS, **layout)
    yield in_code("loader/max", {"is_train_batch_min": False}, **LOADERS["two"])
    split = {**BF16, **ACCELERATOR["split-config"]}
    two = {**LOADERS["two"], "imports": SPLIT}
    yield in_code("loader/split-uneven", {}, accelerator=split, imports=SPLIT, world_size=3)
    yield in_code("loader/split-two", {}, accelerator=split, **two)
    yield with_file("loader/three-ranks", AUTO, world_size=3)
    yield with_file("loader/eight-ranks", AUTO, world_size=8)
    yield with_file("loader/one-rank", AUTO, world_size=1)
    python = ["python", "train.py"]
    own = "deepspeed_plugin.deepspeed_config"
    micro = f'accelerator.state.{own}["train_micro_batch_size_per_gpu"] = 3\n'
    bucket = f'accelerator.{own}["zero_optimization"]["reduce_bucket_size"] = 5000\n'
    last = LOADERS["none-prepared"]["prepare"]
    layout = {"prepare": f"{micro}{bucket}{last} = accelerator.prepare({last})"}
    yield with_file("loader/assigned", AUTO, **layout)
    state = "from accelerate.state import AcceleratorState\n"
    late = {"prepare": layout["prepare"].replace("accelerator.state", "AcceleratorState()"), "imports": state}
    yield in_code("loader/assigned-state", {"zero_stage": 1}, **late)
    null = changed(AUTO, FIELDS["tensor-parallel-null"])
    yield with_file("loader/tensor-parallel-null", null, **LOADERS["none-prepared"])
    alone = with_file("loader/python", AUTO, world_size=1, facts={"mpi4py_installed": False})
    yield {**alone, "command": python}
    steps = changed(AUTO, {"train_batch_size": GONE, "gradient_accumulation_steps": 4})
    yield with_file("loader/no-total", steps)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"},
    "adam": {"optimizer": "optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)\n"},
    "adagrad": {"optimizer": "optimizer = torch.optim.Adagrad(model.parameters(), lr=1e-3)\n"},
    "rmsprop": {"optimizer": "optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)\n"},
    "imported": {
        "imports": "from torch.optim import AdamW\n",
        "optimizer": "optimizer = AdamW(model.parameters(), lr=1e-3)\n",
    },
    "groups": {
        "optimizer": 'groups = [{"params": list(model.parameters()), "weight_decay": 0.1}]\n'
        "optimizer = torch.optim.AdamW(groups, lr=1e-4)\n"
    },
    "none": {"optimizer": ""},
    "lambda": LINEAR,
    "get-scheduler": {
        "imports": "from transformers import get_scheduler\n",
        "scheduler": 'scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=5, '
        "num_training_steps=50)\n",
    },
    "step-lr": {"scheduler": "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10)\n"},
    "warmup-lr": {
        "imports": "from deepspeed.runtime.lr_schedules import WarmupLR\n",
        "scheduler": "scheduler = WarmupLR(optimizer, warmup_num_steps=10)\n",
    },
    "dummy": {"optimizer": DUMMY},
    "dummy-both": {"optimizer": DUMMY, "scheduler": WARM},
    "dummy-defaults": {
        "optimizer": "optimizer = DummyOptim(model.parameters())\n",
        "scheduler": "scheduler = DummyScheduler(optimizer)\n",
    },
    "dummy-positional": {
        "optimizer": "optimizer = DummyOptim(model.parameters(), 5e-5, 0.05)\n",
        "scheduler": "scheduler = DummyScheduler(optimizer, 500, 20)\n",
    },
    "dummy-callable": {
        "optimizer": DUMMY,
        "imports": "from transformers import get_linear_schedule_with_warmup\n",
        "scheduler": "def schedule(optimizer):\n"
        "    return get_linear_schedule_with_warmup(optimizer, 5, 100)\n\n\n"
        "scheduler = DummyScheduler(optimizer, total_num_steps=100, lr_scheduler_callable=schedule)\n",
    },
    "dummy-and-lambda": {
        "optimizer": DUMMY,
        "imports": LINEAR["imports"] + "import torch.optim.lr_scheduler as lr\n",
        "head": "",
        "scheduler": "real = torch.optim.AdamW(model.parameters(), lr=1e-4)\n"
        "scheduler = lr.LambdaLR(real, lambda step: 1.0)\n",
    },
    "adamw-and-dummy": {"scheduler": WARM},
    "adamw-and-dummy-callable": {
        "scheduler": "scheduler = DummyScheduler(optimizer, lr_scheduler_callable=lambda o: None)\n"
    },
    "not-prepared": {"optimizer": DUMMY, "scheduler": WARM, "prepare": "model, optimizer, loader"},
    "scheduler-alone": {"scheduler": WARM, "prepare": "model, loader, scheduler"},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "none": {},
    "optimizer": {"optimizer": OPTIMIZER},
    "both": {"optimizer": OPTIMIZER, "scheduler": SCHEDULER},
    "decay": {"optimizer": OPTIMIZER, "scheduler": DECAY},
    "scheduler": {"scheduler": SCHEDULER},
    "offload": {"zero_optimization.offload_optimizer": {"device": "cpu"}},
}
_MATCHES = {
    "dummy-defaults": ("both", "decay"),
    "dummy-positional": ("decay",),
    "dummy-both": ("none", "optimizer", "both", "decay", "scheduler"),
    "dummy-callable": ("optimizer", "both", "none"),
    "dummy-and-lambda": ("optimizer", "both"),
    "dummy": ("none", "optimizer", "both"),
    "adamw-and-dummy": ("none", "both", "scheduler"),
    "lambda": ("none", "optimizer", "scheduler", "offload"),
    "warmup-lr": ("none", "scheduler", "offload"),
    "not-prepared": ("both",),
    "scheduler-alone": ("scheduler", "none", "both"),
    "none": ("none", "optimizer"),
    "imported": ("none", "both"),
    "groups": ("none", "offload"),
    "adamw-and-dummy-callable": ("none",),
}


def optimizers() -> Iterator[Case]:
    """Who brings the optimizer and the scheduler."""
    for name, layout in OPTIMIZERS.items():
        for kind in _MATCHES.get(name, ("none", "offload")):
            yield with_file(f"optimizer/{name}-{kind}", changed(AUTO, CONFIGS[kind]), **layout)
    split = {**BF16, **ACCELERATOR["split-config"]}
    both = changed(AUTO, CONFIGS["decay"])
    yield with_file("optimizer/split", both, accelerator=split, imports=SPLIT, **OPTIMIZERS["dummy-both"])
    yield with_file("optimizer/four", both, world_size=4, **OPTIMIZERS["dummy-both"])
    one = changed(AUTO, {**CONFIGS["offload"], "zero_optimization.stage": 1})
    yield with_file("optimizer/sgd-offload-1", one, **OPTIMIZERS["sgd"])


MODELS: dict[str, dict[str, Any]] = {
    "first": {"model_first": True},
    "config": {
        "imports": "from transformers import AutoConfig\n",
        "model": 'model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained("model"))\n',
    },
    "class": {
        "imports": "from transformers import Qwen2Config, Qwen2ForCausalLM\n",
        "model": "model = Qwen2ForCausalLM(Qwen2Config(hidden_size=32, intermediate_size=64, "
        "num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4, vocab_size=128))\n",
    },
    "linear": {"model": "model = torch.nn.Linear(8, 8)\n"},
    "own": {
        "model": "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layer = torch.nn.Linear(8, 8)\n\n\nmodel = Net()\n"
    },
    "lora": {
        "imports": "from peft import LoraConfig, get_peft_model\n",
        "model": MODEL + 'model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"]))\n',
    },
    "dtype": {"model": 'model = AutoModelForCausalLM.from_pretrained("model", torch_dtype=torch.bfloat16)\n'},
}
AUTO_3 = changed(AUTO, FIELDS["buckets-3"])


def models() -> Iterator[Case]:
    """How the model is made decides what ZeRO-3 looks at, and when."""
    three = changed(AUTO, {"zero_optimization.stage": 3, "train_batch_size": 8})
    wrong = changed(AUTO_3, {"zero_optimization.foo": 1})
    bare = changed(AUTO, {"zero_optimization.reduce_bucket_size": GONE})
    for name, layout in MODELS.items():
        yield with_file(f"model/{name}", AUTO, **layout)
        yield with_file(f"model/{name}-3", AUTO_3, **layout)
        if name in ("first", "config", "class", "linear"):
            yield with_file(f"model/{name}-3-total", three, **layout)
            yield with_file(f"model/{name}-3-unknown", wrong, **layout)
        if name in ("linear", "own"):
            yield with_file(f"model/{name}-no-auto", bare, **layout)
    yield with_file("model/3-total", three)
    both = {"train_batch_size": 16, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 2}
    yield with_file("model/3-batch", changed(AUTO_3, both))
    yield with_file("model/3-batch-wrong", changed(AUTO_3, {**both, "train_batch_size": 12}))
    total = {"train_batch_size": 4, "zero_optimization.stage": 3}
    yield with_file("model/3-total-one", changed(AUTO, total), world_size=1)
    for name, text in {
        "unsized": '{"model_type": "bit", "num_channels": 3}',
        "sizes": '{"model_type": "bit", "hidden_sizes": [32, 96]}',
    }.items():
        own = (
            "class Net(PreTrainedModel):\n    config_class = BitConfig\n\n"
            "    def __init__(self, config):\n        super().__init__(config)\n"
            "        self.layer = torch.nn.Linear(8, 8)\n\n\n"
            'model = Net(BitConfig.from_pretrained("net"))\n'
        )
        imports = "from transformers import BitConfig, PreTrainedModel\n"
        if name == "unsized":
            imports = imports.replace("BitConfig", "PretrainedConfig as BitConfig")
        facts = {"prepared.model.sized": False} if name == "unsized" else {}
        found = with_file(f"model/{name}", AUTO, imports=imports, model=own, facts=facts)
        yield _more(found, {"net/config.json": text})
    head = "model.config.hidden_size = 100\n"
    yield with_file("model/changed", AUTO, optimizer=head + ADAMW, facts={"model.hidden_size": 100})


def unreadable() -> Iterator[Case]:
    """What only a run knows."""
    text = "import os\n\nSIZE = int(os.environ['SIZE'])\n"
    loader = ROWS + "loader = DataLoader(rows, batch_size=SIZE)\n"
    yield with_file("unread/environ", AUTO, head=text, loader=loader, environ={"SIZE": "5"})
    made = "SIZE = int(open('size.txt').read())\n"
    size = {"size.txt": "5"}
    yield _more(with_file("unread/batch", AUTO, head=made, loader=loader,
                          facts={"prepared.loaders.0.batch_size": 5}), size)  # fmt: skip
    yield _more(with_file("unread/batch-unneeded", NUMBERS, head=made, loader=loader), size)
    rate = "import yaml\n\nsettings = yaml.safe_load(open('settings.yaml'))\n"
    optimizer = "optimizer = DummyOptim(model.parameters(), lr=settings['lr'], weight_decay=0.0)\n"
    given = changed(AUTO, {"optimizer": OPTIMIZER})
    settings = {"settings.yaml": "lr: 0.003\nn: 40\nsteps: 3\nstage: 3\n"}
    facts = {"prepared.optimizer.lr": 0.003}
    yield _more(with_file("unread/lr", given, head=rate, optimizer=optimizer, facts=facts), settings)
    warm = "scheduler = DummyScheduler(optimizer, total_num_steps=settings['n'], warmup_num_steps=2)\n"
    layout = {"optimizer": DUMMY, "scheduler": warm, "facts": {"prepared.scheduler.total_num_steps": 40}}
    yield _more(with_file("unread/steps", changed(AUTO, CONFIGS["decay"]), head=rate, **layout), settings)
    accelerator = {**BF16, "gradient_accumulation_steps": source("settings['steps']")}
    facts = {"accelerator.gradient_accumulation_steps": 3}
    steps = with_file("unread/accumulation", AUTO, head=rate, accelerator=accelerator, facts=facts)
    yield _more(steps, settings)
    plugin = {"zero_stage": source("settings['stage']")}
    yield _more(in_code("unread/stage", plugin, head=rate, facts={"plugin.zero_stage": 3}), settings)
    named = 'model = AutoModelForCausalLM.from_pretrained(open("name.txt").read())\n'
    yield _more(
        with_file("unread/model", AUTO, model=named, facts={"hidden_size": 64}), {"name.txt": "model"}
    )
    parsed = (
        "import argparse\n\nparser = argparse.ArgumentParser()\n"
        'parser.add_argument("--batch_size", type=int, default=4)\nargs = parser.parse_args()\n'
    )
    loader = ROWS + "loader = DataLoader(rows, batch_size=args.batch_size)\n"
    words = ["torchrun", "--nproc_per_node=2", "train.py", "--batch_size", "6"]
    yield {**with_file("unread/parser", AUTO, head=parsed, loader=loader), "command": words}
    yield {**with_file("unread/parser-wrong", AUTO, head=parsed, loader=loader),
           "command": [*words[:-1], "six"]}  # fmt: skip
    loaded = "import json\n\nds_config = json.load(open('ds.json'))\nds_config['gradient_clipping'] = 0.9\n"
    yield with_file("text/loaded", AUTO, plugin={"hf_ds_config": source("ds_config")}, head=loaded)
    yield with_file("unread/parser-default", AUTO, head=parsed, loader=loader)
    looped = ROWS + "for size in (2, 4):\n    loader = DataLoader(rows, batch_size=size)\n"
    yield with_file("unread/loop", AUTO, loader=looped, facts={"prepared.loaders.0.batch_size": 4})


def _more(found: Case, files: dict[str, str]) -> Case:
    return {**found, "files": {**found["files"], **files}}


def ulysses() -> Iterator[Case]:
    """ParallelismConfig with sequence parallelism."""
    imports = (
        "from accelerate.parallelism_config import ParallelismConfig\n"
        "from accelerate.utils import DeepSpeedSequenceParallelConfig\n"
    )
    handler = 'sp_handler=DeepSpeedSequenceParallelConfig(sp_attn_implementation="sdpa")'
    own = MODEL.replace('"model"', '"model", attn_implementation="eager"')
    for name, arguments in {
        "bare": "sp_size=2",
        "two": f"sp_size=2, {handler}",
        "two-of-four": f"sp_size=2, dp_replicate_size=2, {handler}",
        "two-shard": f"sp_size=2, dp_shard_size=2, {handler}",
        "four-unsaid": f"sp_size=2, {handler}",
        "one": "sp_size=1",
        "eager": f"sp_size=2, {handler}",
    }.items():
        world = 4 if "four" in name or "shard" in name else 2
        accelerator = {**BF16, "parallelism_config": source(f"ParallelismConfig({arguments})")}
        rest = {"accelerator": accelerator, "imports": imports, "world_size": world}
        if name == "eager":
            rest["model"] = own
        yield with_file(f"ulysses/{name}", AUTO, **rest)
    numbers = changed(NUMBERS, {"train_batch_size": 16})
    accelerator = {**BF16, "parallelism_config": source(f"ParallelismConfig(sp_size=2, {handler})")}
    yield with_file("ulysses/numbers", numbers, accelerator=accelerator, imports=imports)
    environ = {"ACCELERATE_USE_PARALLELISM_CONFIG": "true", "PARALLELISM_CONFIG_SP_SIZE": "2"}
    yield with_file("ulysses/environ", AUTO, environ=environ)
    environ["PARALLELISM_CONFIG_SP_ATTN_IMPLEMENTATION"] = "sdpa"
    yield with_file("ulysses/environ-sdpa", AUTO, environ=environ)


def module() -> Iterator[Case]:
    """Other ways to start the same script."""
    text = script(plugin={"hf_ds_config": "ds.json"}, accelerator=BF16)
    files = {"ds.json": text_of(AUTO), "train.py": text, "acc.yaml": accelerate_yaml({"zero_stage": 3})}
    yield case("start/module", files, ["torchrun", "--nproc_per_node=2", "--module", "train"])
    yield case("start/deepspeed", files, ["deepspeed", "--num_gpus=2", "train.py"])
    yield case(
        "start/torch-module",
        files,
        ["python", "-m", "torch.distributed.run", "--nproc_per_node=2", "train.py"],
    )
    yield case("start/accelerate", files, [*FROM_YAML])
    yield case("start/accelerate-module", files, [*FROM_YAML[:-1], "-m", "train"])
    yield case(
        "start/two-nodes", files, ["torchrun", "--nnodes=2", "--nproc_per_node=2", "train.py"], world_size=4
    )
