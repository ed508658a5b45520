"""How the arguments come to the Trainer, who starts it, and which model and data it gets."""

from __future__ import annotations

import base64
import json
import pprint
from collections.abc import Iterator

import yaml

from conformance.oracle.case import Case
from conformance.oracle.cases._trainer_files import (
    ARGS,
    BUCKETS,
    DS,
    EITHER,
    FROM_CONFIG,
    MODEL_ARGUMENTS,
    MODEL_ARGUMENTS_IMPORTS,
    OPTIMIZER,
    SCHEDULER,
    case,
    changed,
    flags,
    literal_args,
    parser,
    plain,
    script,
    text_of,
)

GIVEN = {**ARGS, "deepspeed": "ds.json"}
SCHEDULED = {"optimizer": OPTIMIZER, "scheduler": SCHEDULER}
THREE = {"zero_optimization.stage": 3}
CONFIGLESS = """\
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, input_ids, labels=None):
        return {"loss": self.layer(input_ids.float()).sum()}


"""
# A model that sees: its hidden size is in text_config.
VLM = {
    "model_type": "llava",
    "image_token_index": 10,
    "text_config": {
        "model_type": "qwen2",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 64,
    },
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
        "projection_dim": 32,
    },
}
LLAMA = (
    "LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, "
    "num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2))"
)


def ways() -> Iterator[Case]:
    """How `deepspeed=` is given."""
    comment = text_of(DS).replace("{", "{\n  // ours", 1)
    twice = text_of(DS).replace(
        '"gradient_clipping": "auto"', '"gradient_clipping": 0.5, "gradient_clipping": 1.0'
    )
    yield plain("way/comment", comment)
    yield plain("way/twice", twice)
    yield plain("way/empty-file", "")
    yield plain("way/list", "[1]")
    yield plain("way/empty", "{}")
    for name, value in {
        "dict": DS,
        "inline": json.dumps(DS),
        "base64": base64.urlsafe_b64encode(json.dumps(DS).encode()).decode(),
        "missing-file": "configs/ds.json",
        "none": None,
        "empty-text": "",
        "inline-broken": "{'a': 1}",
        "empty-dict": {},
    }.items():
        one = {"max_steps": 1} if not value else {}
        yield case(f"way/{name}", {"train.py": script(literal_args({**ARGS, "deepspeed": value, **one}))})
    shown = pprint.pformat(DS, sort_dicts=False, width=90)
    made = literal_args({**ARGS, "deepspeed": "DS"}).replace("'DS'", "ds_config")
    more = 'ds_config["gradient_accumulation_steps"] = 4\n'
    yield case("way/variable", {"train.py": script(made, before=f"ds_config = {shown}\n")})
    yield case("way/variable-changed", {"train.py": script(made, before=f"ds_config = {shown}\n{more}")})
    kwargs = pprint.pformat(GIVEN, sort_dicts=False)
    files = {"ds.json": text_of(DS)}
    yield case(
        "way/kwargs",
        {**files, "train.py": script(f"settings = {kwargs}\nargs = TrainingArguments(**settings)\n")},
    )
    loading = 'with open("args.json") as file:\n    args = TrainingArguments(**json.load(file))\n'
    loaded = script(loading, imports=("import json",))
    yield case("way/loaded", {"ds.json": text_of(DS), "args.json": json.dumps(GIVEN), "train.py": loaded})
    yield case(
        "way/positional",
        {**files, "train.py": script('args = TrainingArguments("out", deepspeed="ds.json")\n')},
    )
    yield plain("way/no-train", {}, end="print(trainer.args.learning_rate)\n")
    yield case(
        "way/in-folder",
        {
            "conf/ds.json": text_of(DS),
            "train.py": script(literal_args({**ARGS, "deepspeed": "conf/ds.json"})),
        },
    )


def parsers() -> Iterator[Case]:
    """HfArgumentParser: flags and files."""
    ds = {"ds.json": text_of(DS)}
    run = ["torchrun", "--nproc_per_node=2", "train.py"]
    by_flags = {**ds, "train.py": script(parser())}
    words = flags(GIVEN)
    yield case("flags/all", by_flags, [*run, *words])
    yield case(
        "flags/equals", by_flags, [*run, *(f"{a}={b}" for a, b in zip(words[::2], words[1::2], strict=True))]
    )
    yield case(
        "flags/dashes", by_flags, [*run, *(w.replace("_", "-") if w.startswith("--") else w for w in words)]
    )
    bare = ["--output_dir", "out", "--deepspeed", "ds.json", "--report_to", "none"]
    yield case("flags/switch", by_flags, [*run, *bare, "--bf16"])
    yield case("flags/short", by_flags, [*run, *bare, "--bf16", "--per_device_train_b", "4"])
    yield case("flags/unknown", by_flags, [*run, *bare, "--model_name_or_path", "model"])
    yield case("flags/bad-int", by_flags, [*run, *bare, "--gradient_accumulation_steps", "two"])
    yield case("flags/bad-bool", by_flags, [*run, *bare, "--bf16", "maybe"])
    yield case("flags/bad-choice", by_flags, [*run, *bare, "--lr_scheduler_type", "cosin"])
    yield case("flags/float-int", by_flags, [*run, *bare, "--gradient_accumulation_steps", "2.0"])
    yield case("flags/missing-value", by_flags, [*run, *bare, "--learning_rate"])
    yield case("flags/no-output-dir", by_flags, [*run, "--deepspeed", "ds.json", "--max_steps", "1"])
    yield case(
        "flags/inline",
        by_flags,
        [*run, "--output_dir", "out", "--report_to", "none", "--deepspeed", json.dumps(DS)],
    )
    yield case("flags/twice", by_flags, [*run, *words, "--gradient_accumulation_steps", "8"])
    yield case(
        "flags/scheduled",
        {**by_flags, "ds.json": text_of(changed(DS, SCHEDULED))},
        [*run, *words, "--warmup_steps", "3", "--lr_scheduler_type", "cosine"],
    )
    remaining = parser("parse_args_into_dataclasses(return_remaining_strings=True)").replace(
        "(args,)", "args, rest"
    )
    yield case("flags/remaining", {**ds, "train.py": script(remaining)}, [*run, *bare, "--my_flag", "1"])
    both = script(
        EITHER,
        imports=MODEL_ARGUMENTS_IMPORTS,
        before=MODEL_ARGUMENTS,
        model="AutoModelForCausalLM.from_pretrained(model_args.model_name_or_path)",
    )
    pair = {**ds, "train.py": both}
    yield case("either/flags", pair, [*run, "--model_name_or_path", "model", *words])
    yield case("either/default-model", pair, [*run, *words])
    yield case(
        "either/json",
        {**pair, "args.json": json.dumps({"model_name_or_path": "model", **GIVEN}, indent=1)},
        [*run, "args.json"],
    )
    yield case("either/unknown", pair, [*run, "--lora_rank", "8", *words])
    by_json = {**ds, "train.py": script(parser('parse_json_file("args.json")'))}
    yield case("json/all", {**by_json, "args.json": json.dumps(GIVEN)})
    yield case("json/unknown", {**by_json, "args.json": json.dumps({**GIVEN, "lora_rank": 8})})
    yield case("json/missing", by_json)
    yield case("json/comment", {**by_json, "args.json": "{ // ours\n}"})
    yield case(
        "json/scheduled",
        {
            **by_json,
            "ds.json": text_of(changed(DS, SCHEDULED)),
            "args.json": json.dumps({**GIVEN, "warmup_steps": 2}),
        },
    )
    by_yaml = {**ds, "train.py": script(parser('parse_yaml_file("args.yaml")'))}
    yield case("yaml/all", {**by_yaml, "args.yaml": yaml.safe_dump(GIVEN, sort_keys=False)})
    yield case(
        "yaml/lr-text", {**by_yaml, "args.yaml": "output_dir: out\nlearning_rate: 1e-4\ndeepspeed: ds.json\n"}
    )
    yield case(
        "yaml/extra",
        {
            **ds,
            "train.py": script(parser('parse_yaml_file("args.yaml", allow_extra_keys=True)')),
            "args.yaml": yaml.safe_dump({**GIVEN, "extra": 1}),
        },
    )
    by_dict = script(parser(f"parse_dict({pprint.pformat(GIVEN)})"))
    yield case("dict/all", {**ds, "train.py": by_dict})
    own = (
        "@dataclass\nclass MyArguments(TrainingArguments):\n"
        '    optim: str = field(default="adamw_torch")\n    max_length: int = 512\n'
        "    gradient_accumulation_steps: int = 4\n\n\n"
    )
    imports = ("from dataclasses import dataclass, field",)
    mine = parser().replace("TrainingArguments", "MyArguments")
    yield case(
        "own/flags",
        {**ds, "train.py": script(mine, imports=imports, before=own)},
        [*run, *bare, "--max_length", "64"],
    )
    built = literal_args(GIVEN).replace("TrainingArguments", "MyArguments")
    yield case("own/literal", {**ds, "train.py": script(built, imports=imports, before=own)})


def models() -> Iterator[Case]:
    """Which model, made when."""
    three = {**THREE, **BUCKETS}
    wrong = {**THREE, "gradient_accumulation_steps": 16}
    for name, ds in {"three": three, "three-wrong": wrong, "buckets": BUCKETS}.items():
        yield plain(f"model/from-config-{name}", ds, model=FROM_CONFIG)
        yield plain(f"model/first-{name}", ds, model_first=True)
        imports = ("from transformers import LlamaConfig, LlamaForCausalLM",)
        yield plain(f"model/built-{name}", ds, model=LLAMA, imports=imports)
        yield plain(f"model/plain-{name}", ds, model="Tiny()", imports=("import torch",), before=CONFIGLESS)
    vision = 'AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained("vlm"))'
    imports = ("from transformers import AutoModelForImageTextToText",)
    for name, ds in {"three": three, "two": BUCKETS}.items():
        files = {"vlm/config.json": json.dumps(VLM)}
        yield plain(f"model/text-config-{name}", ds, model=vision, imports=imports, files=files)
    init = 'def model_init():\n    return AutoModelForCausalLM.from_pretrained("model")\n\n\n'
    trainer = {"model": "model", "args": "args", "train_dataset": "rows", "tokenizer": "None"}
    yield plain("model/tokenizer", {}, trainer=trainer)
    trainer = {"model_init": "model_init", "args": "args", "train_dataset": "rows"}
    yield plain("model/init", BUCKETS, model="", before=init, trainer=trainer)
    yield plain("model/none", {}, model="", trainer={"args": "args", "train_dataset": "rows"})
    lora = 'get_peft_model(AutoModelForCausalLM.from_pretrained("model"), '
    lora += 'LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))'
    yield plain("model/lora", three, model=lora, imports=("from peft import LoraConfig, get_peft_model",))
    yield plain(
        "model/base",
        {},
        model='AutoModel.from_pretrained("model")',
        imports=("from transformers import AutoModel",),
    )
    yield plain(
        "model/dtype", three, model='AutoModelForCausalLM.from_pretrained("model", torch_dtype="bfloat16")'
    )
    yield plain(
        "model/device-map", THREE, model='AutoModelForCausalLM.from_pretrained("model", device_map="auto")'
    )
    yield plain(
        "model/low-memory",
        THREE,
        model='AutoModelForCausalLM.from_pretrained("model", low_cpu_mem_usage=True)',
    )


def data() -> Iterator[Case]:
    """How many steps there are."""
    row = '[{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]}]'
    for count in (1, 5, 67, 100):
        yield plain(f"data/{count}", SCHEDULED, rows=f"{row} * {count}")
    yield plain("data/drop-last", SCHEDULED, {"dataloader_drop_last": True}, rows=f"{row} * 67")
    yield plain("data/warmup", SCHEDULED, {"warmup_steps": 0.3}, rows=f"{row} * 67")
    yield plain("data/none", {}, rows="", trainer={"model": "model", "args": "args"})
    sized = (
        "class Rows(torch.utils.data.Dataset):\n    def __len__(self):\n        return 48\n\n"
        "    def __getitem__(self, index):\n"
        '        return {"input_ids": torch.tensor([1, 2]), "labels": torch.tensor([1, 2])}\n\n\n'
    )
    yield plain("data/sized", SCHEDULED, rows="Rows()", imports=("import torch",), before=sized)
    stream = (
        "class Rows(torch.utils.data.IterableDataset):\n    def __iter__(self):\n"
        '        yield {"input_ids": torch.tensor([1, 2]), "labels": torch.tensor([1, 2])}\n\n\n'
    )
    yield plain("data/stream", SCHEDULED, rows="Rows()", imports=("import torch",), before=stream)
    yield plain(
        "data/stream-steps",
        SCHEDULED,
        {"max_steps": 20},
        rows="Rows()",
        imports=("import torch",),
        before=stream,
    )
    made = "def load():\n    return list(range(0))\n\n\n".replace("list(range(0))", f"list({row} * 40)")
    yield plain("data/function", SCHEDULED, rows="load()", before=made, facts={"num_training_steps": 15})
    yield plain("data/function-unneeded", {}, rows="load()", before=made)
    wide = {"tensor_parallel": {"autotp_size": 2}, "zero_optimization.stage": 1, **SCHEDULED}
    run = ["torchrun", "--nproc_per_node=4", "train.py"]
    yield {**plain("data/tp", wide, world_size=4), "command": run}
    yield plain("data/three-ranks", SCHEDULED, {"num_train_epochs": 2}, rows=f"{row} * 67", world_size=3)


OWN_PARSER = """\
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-4)
parser.add_argument("--config", default="ds.json")
parser.add_argument("--batch", type=int, default=2)
parser.add_argument("--bf16", action="store_true")
cli = parser.parse_args()
"""


def own_parsers() -> Iterator[Case]:
    """A script with its own argparse parser, as many have."""
    call = OWN_PARSER + (
        'args = TrainingArguments("out", learning_rate=cli.lr, deepspeed=cli.config, bf16=cli.bf16, '
        'per_device_train_batch_size=cli.batch, report_to="none")\n'
    )
    ds = text_of(changed(DS, {"optimizer": OPTIMIZER}))
    files = {"ds.json": ds, "train.py": script(call, imports=("import argparse",))}
    run = ["torchrun", "--nproc_per_node=2", "train.py"]
    yield case("argparse/defaults", files, run)
    yield case("argparse/flags", files, [*run, "--bf16", "--lr", "3e-4", "--batch=4", "--config", "ds.json"])
    yield case("argparse/bad", files, [*run, "--batch", "many"])
    yield case("argparse/missing-file", files, [*run, "--config", "other.json"])
    yield case("argparse/local-rank", files, ["deepspeed", "--num_gpus=2", "train.py", "--bf16"])


def unreadable() -> Iterator[Case]:
    """What only a run knows."""
    source = literal_args({**GIVEN, "learning_rate": "LR"}).replace("'LR'", "float(open('lr.txt').read())")
    lr = {"lr.txt": "0.0002\n"}
    yield plain(
        "unread/lr", {"optimizer": OPTIMIZER}, source=source, files=lr, facts={"args.learning_rate": 2e-4}
    )
    yield plain("unread/lr-unneeded", {}, source=source, files=lr)
    count = "import json\n\nsettings = json.load(open('settings.json'))\n"
    steps = literal_args({**GIVEN, "gradient_accumulation_steps": "N"}).replace("'N'", "settings['steps']")
    yield plain(
        "unread/steps",
        {},
        source=steps,
        before=count,
        files={"settings.json": '{"steps": 4}'},
        facts={"args.gradient_accumulation_steps": 4},
    )
    model = 'AutoModelForCausalLM.from_pretrained(open("name.txt").read())'
    yield plain(
        "unread/model", BUCKETS, model=model, files={"name.txt": "model"}, facts={"model.hidden_size": 64}
    )
    env = literal_args({**GIVEN, "max_grad_norm": "C"}).replace("'C'", 'float(os.environ["CLIP"])')
    yield plain("unread/environ", {}, source=env, imports=("import os",), environ={"CLIP": "0.7"})
    ds = literal_args({**ARGS, "deepspeed": "D"}).replace("'D'", "make_config()")
    made = (
        "def make_config():\n    return "
        + pprint.pformat(DS, sort_dicts=False).replace("\n", "\n    ")
        + "\n\n\n"
    )
    yield plain("unread/function", {}, source=ds, before=made)
