"""What a Trainer script says of its model and adapter, in the spec's words."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.diagnostics import InputError
from dsbridge.explaining import explain
from dsbridge.migrating import migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.reading import Files
from dsbridge.trees import flat

HEAD = """\
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

args = TrainingArguments(output_dir="o", deepspeed="ds.json")
"""
END = "Trainer(model=model, args=args, train_dataset=[1, 2]).train()\n"
LOADED = 'model = AutoModelForCausalLM.from_pretrained("m")\n'
PLAIN = HEAD.replace("from peft import LoraConfig, get_peft_model\n", "")
TRL = """\
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

args = SFTConfig(output_dir="o", deepspeed="ds.json")
lora = LoraConfig(r=4, target_modules="all-linear")
SFTTrainer("m", args=args, train_dataset=[1, 2], peft_config=lora).train()
"""


def read(script: str) -> Parsed:
    return parse(
        Files(memory={"train.py": script, "ds.json": '{"zero_optimization": {"stage": 2}}'}), ["train.py"]
    )


def told(parsed: Parsed) -> dict[str, Any]:
    said = flat(parsed.loaded.document.value)
    return {path: value for path, value in said.items() if path.startswith(("model.", "finetuning."))}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (PLAIN + LOADED + END, {"model.name_or_path": "m"}),
        (
            PLAIN + 'model = AutoModelForCausalLM.from_pretrained("m", attn_implementation="sdpa")\n' + END,
            {"model.name_or_path": "m", "model.attention": "sdpa"},
        ),
        (
            HEAD
            + LOADED
            + 'model = get_peft_model(model, LoraConfig(r=16, target_modules=["q_proj"]))\n'
            + END,
            {
                "model.name_or_path": "m",
                "finetuning.method": "lora",
                "finetuning.rank": 16,
                "finetuning.target_modules": ["q_proj"],
            },
        ),
        (
            HEAD
            + "bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4')\n"
            + 'model = AutoModelForCausalLM.from_pretrained("m", quantization_config=bits)\n'
            + "model = get_peft_model(model, LoraConfig(lora_alpha=32))\n"
            + END,
            {
                "model.name_or_path": "m",
                "finetuning.method": "qlora",
                "finetuning.alpha": 32,
                "finetuning.quantization_bits": 4,
                "finetuning.quantization_type": "nf4",
            },
        ),
        (
            TRL,
            {
                "model.name_or_path": "m",
                "finetuning.method": "lora",
                "finetuning.rank": 4,
                "finetuning.target_modules": "all",
            },
        ),
        (PLAIN + "model = AutoModelForCausalLM.from_pretrained(input())\n" + END, {}),
    ],
    ids=["name", "attention", "lora", "qlora", "trl", "only-a-run-knows"],
)
def test_the_model_is_read(script: str, said: dict[str, Any]) -> None:
    assert told(read(script)) == said


def test_places_are_the_scripts() -> None:
    parsed = read(HEAD + LOADED + "model = get_peft_model(model, LoraConfig(r=16))\n" + END)
    at = parsed.loaded.document.at(("finetuning", "rank"))
    assert (at.file, at.line) == ("train.py", 7)


def test_all_weights_are_trained_where_nothing_says_otherwise() -> None:
    assert read(PLAIN + LOADED + END).silent["finetuning.method"] == "full"
    frozen = LOADED + "for p in model.parameters():\n    p.requires_grad = False\n"
    assert "finetuning.method" not in read(PLAIN + frozen + END).silent
    assert "finetuning.method" not in read(HEAD + LOADED + END).silent


def test_pefts_own_numbers_go_along() -> None:
    """LLaMA-Factory would take alpha = 2 x rank, and every linear layer."""
    script = HEAD + LOADED + "model = get_peft_model(model, LoraConfig(r=16))\n" + END
    texts = {"train.py": script, "ds.json": '{"zero_optimization": {"stage": 2}}'}
    sets = ("cluster.gpus_per_node=2", "frameworks.llamafactory={dataset: d, template: t}")
    found = migrate(Files(memory=texts), ["train.py"], target="llamafactory", sets=sets)
    yaml = found.artifacts.files["train.yaml"]
    assert "lora_alpha: 8\n" in yaml
    assert "lora_dropout: 0.0\n" in yaml
    assert "TR030" in [d.code for d in found.diagnostics]


def test_a_full_run_stays_one() -> None:
    texts = {"train.py": PLAIN + LOADED + END, "ds.json": '{"zero_optimization": {"stage": 2}}'}
    sets = ("cluster.gpus_per_node=2", "frameworks.llamafactory={dataset: d, template: t}")
    found = migrate(Files(memory=texts), ["train.py"], target="llamafactory", sets=sets)
    assert "finetuning_type: full\n" in found.artifacts.files["train.yaml"]


ARGUMENTS = "output_dir: o\nper_device_train_batch_size: 4\ndeepspeed: ds.json\nlearning_rate: {rate}\n"


def yaml_of(rate: str) -> Files:
    ds = '{"zero_optimization": {"stage": 2}}'
    return Files(memory={"args.yaml": ARGUMENTS.format(rate=rate), "ds.json": ds})


def test_a_yaml_of_arguments_is_the_trainers() -> None:
    parsed = parse(yaml_of("1.0e-5"), ["args.yaml"])
    said = flat(parsed.loaded.document.value)
    assert parsed.framework == "trainer"
    assert (said["batch.micro_per_gpu"], said["optimizer.lr"], said["zero.stage"]) == (4, 1e-5, 2)
    assert parsed.loaded.document.at(("optimizer", "lr")).line == 4


def test_a_rate_that_pyyaml_takes_for_text_stops_it() -> None:
    found = explain(yaml_of("1e-5"), ["args.yaml"], facts={"world_size": 2})
    assert found.error is not None
    assert found.error["fields"] == ["args.learning_rate"]


def test_a_yaml_of_anything_else_is_not() -> None:
    with pytest.raises(InputError, match="not recognised"):
        parse(Files(memory={"a.yaml": "output: 1\nsteps: [1, 2]\n"}), ["a.yaml"])


TRL_FLAGS = """\
from transformers import AutoModelForCausalLM
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_peft_config

parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))
script_args, args, model_args = parser.parse_args_and_config()
model = AutoModelForCausalLM.from_pretrained(model_args.model_name_or_path)
SFTTrainer(model, args=args, train_dataset=[1], peft_config=get_peft_config(model_args)).train()
"""
FLAGS = ("--model_name_or_path", "m", "--output_dir", "o", "--dataset_name", "d")


def flagged(*more: str) -> Parsed:
    words = ("torchrun", "--nproc_per_node=2", "train.py", *FLAGS, *more)
    return parse(Files(memory={"train.py": TRL_FLAGS}), command=words, versions={"trl": "1.16.0"})


def test_an_adapter_of_trls_model_config_is_read_with_its_defaults() -> None:
    parsed = flagged("--use_peft", "--lora_r", "32")
    assert told(parsed) == {
        "model.name_or_path": "m",
        "finetuning.method": "lora",
        "finetuning.rank": 32,
        "finetuning.alpha": 32,
        "finetuning.dropout": 0.05,
    }
    assert parsed.claims["finetuning.rank"].keys == (("others", "lora_r"),)
    assert "TR030" in [d.code for d in parsed.diagnostics]


def test_without_use_peft_all_weights_are_trained() -> None:
    parsed = flagged()
    assert told(parsed) == {"model.name_or_path": "m"}
    assert parsed.silent["finetuning.method"] == "full"


def test_arguments_of_the_scripts_other_classes_are_told() -> None:
    assert [entry.key for entry in flagged().unclaimed] == ["dataset_name"]
    assert [entry.key for entry in flagged("--lora_r", "32").unclaimed] == ["dataset_name", "lora_r"]
