"""TRL's trainers: its classes of arguments, its parser, its reference models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from conformance.oracle.case import Case
from conformance.oracle.cases._trainer_files import (
    DS,
    GONE,
    OPTIMIZER,
    SCHEDULER,
    accelerate_yaml,
    changed,
    flags,
    text_of,
)

ARGS: dict[str, Any] = {
    "output_dir": "out",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "max_steps": 4,
    "report_to": "none",
    "deepspeed": "ds.json",
}
# the rows that each trainer asks for
TEXTS = [{"text": "zero splits the state over the ranks"}]
CHOICES = [{"prompt": "Say a word.", "chosen": "zero", "rejected": "one"}]
MARKED = [{"prompt": "Say a word.", "completion": "zero", "label": True},
          {"prompt": "Say two.", "completion": "one", "label": False}]  # fmt: skip
PROMPTS = [{"prompt": "Say a word."}]
ROWS = {
    "SFT": TEXTS,
    "DPO": CHOICES,
    "KTO": MARKED,
    "ORPO": CHOICES,
    "Reward": CHOICES,
    "GRPO": PROMPTS,
    "RLOO": PROMPTS,
}
# what a trainer cannot do without, besides the model, the arguments and the rows
MORE = {"GRPO": "reward_funcs=reward", "RLOO": "reward_funcs=reward"}
REWARD = "def reward(completions, **kwargs):\n    return [0.0 for _ in completions]\n\n\n"
# Run again with two real processes, to see that the one process of the oracle tells the truth.
REAL = (
    "trl/sft/defaults",
    "trl/sft/config-no-bf16",
    "trl/sft/stage-3",
    "trl/parser/yaml-flags",
    "trl/dpo/z2",
    "trl/dpo/no-stage",
    "trl/kto/z3",
    "trl/grpo/z2",
    "trl/grpo/one-step",
    "trl/reward/z2",
)


def case(name: str, script: str, ds: Any = None, words: Sequence[str] = (), **rest: Any) -> Case:
    """`train.py` on every rank, beside `ds.json`."""
    world = rest.pop("world_size", 2)
    files = {"ds.json": text_of(changed(DS, ds or {})), "train.py": script, **rest.pop("files", {})}
    return {
        "id": f"trl/{name}",
        "framework": "trainer",
        "files": files,
        "command": ["torchrun", f"--nproc_per_node={world}", "train.py", *words],
        "world_size": world,
        **rest,
    }


def script(
    kind: str,
    args: str,
    *,
    imports: Sequence[str] = (),
    trainer: str = "",
    model: str = '"model"',
    rows: str = "",
    call: str = "",
) -> str:
    """A script with one of TRL's trainers. `args` is the source that makes the arguments."""
    names = ", ".join(sorted({f"{kind}Trainer", *imports}))
    data = rows or f"Dataset.from_list({ROWS[kind]!r} * 32)"
    given = f"model={model}, args=args, train_dataset=rows, {call or MORE.get(kind, '')}".rstrip(", ")
    before = REWARD if "reward_funcs" in given else ""
    tail = f"trainer = {trainer or kind + 'Trainer'}({given})\ntrainer.train()\n"
    names_of = "AutoModelForCausalLM, AutoTokenizer, TrainingArguments"
    names_of = f"AutoModelForSequenceClassification, {names_of}" if "Sequence" in model else names_of
    head = f"from datasets import Dataset\nfrom transformers import {names_of}\n"
    lora = "from peft import LoraConfig, get_peft_model\n" if "LoraConfig" in given else ""
    return f"{head}{lora}from trl import {names}\n\n{before}{args}rows = {data}\n{tail}"


def literal(kind: str, args: Mapping[str, Any] | None = None, name: str = "") -> str:
    """`args = SFTConfig(...)`. args: changes."""
    given = changed(ARGS, args or {})
    lines = "".join(f"    {key}={value!r},\n" for key, value in given.items())
    return f"args = {name or kind + 'Config'}(\n{lines})\n"


def plain(name: str, kind: str, args: Mapping[str, Any] | None = None, ds: Any = None, **rest: Any) -> Case:
    """Literal arguments in the script. `ds` and `args` are changes."""
    layout = {key: rest.pop(key) for key in ("trainer", "model", "rows", "call") if key in rest}
    text = script(kind, literal(kind, args), imports=(f"{kind}Config",), **layout)
    return case(name, text, ds, **rest)


def designed() -> list[Case]:
    """Every factor alone."""
    return [*sft(), *parsers(), *preferences(), *generating(), *launched()]


LR = {"optimizer": OPTIMIZER}
THREE = {"zero_optimization.stage": 3}


def sft() -> Iterator[Case]:
    """SFTConfig: what it fills in, and how SFTTrainer is called."""
    kind = "SFT"
    yield plain("sft/defaults", kind, {}, LR)
    yield plain("sft/fp16", kind, {"fp16": True}, LR)
    yield plain("sft/no-bf16", kind, {"bf16": False}, LR)
    yield plain("sft/null-bf16", kind, {"bf16": None}, LR)
    yield plain("sft/config-fp16", kind, {}, {"fp16.enabled": True})
    yield plain("sft/config-no-bf16", kind, {}, {"bf16.enabled": False})
    yield plain("sft/no-gpu-bf16", kind, gpu={"bf16": False, "fp16": True})
    yield plain("sft/learning-rate", kind, {"learning_rate": 1e-4}, LR)
    yield plain("sft/scheduler", kind, {}, {**LR, "scheduler": SCHEDULER})
    yield plain("sft/no-lr", kind, {}, {"optimizer": {"type": "AdamW"}})
    yield plain("sft/other-rate", kind, {}, {"optimizer": {"type": "AdamW", "params": {"lr": 5e-5}}})
    yield plain("sft/stage-3", kind, {}, {**THREE, **LR})
    loaded = 'AutoModelForCausalLM.from_pretrained("model")'
    yield plain("sft/stage-3-loaded", kind, {}, {**THREE, **LR}, model=loaded)
    yield plain("sft/epochs", kind, {"max_steps": GONE}, {**LR, "scheduler": SCHEDULER})
    packed = {"max_steps": GONE, "packing": True, "max_length": 64}
    yield plain("sft/packing", kind, packed, LR)
    yield plain("sft/clip-missing", kind, {}, {"gradient_clipping": GONE})
    yield plain("sft/unknown", kind, {"max_sequence_length": 64})
    yield plain("sft/max-seq-length", kind, {"max_seq_length": 64})
    yield plain("sft/tokenizer", kind, call="tokenizer=None")
    plain_args = literal(kind, {"bf16": True}, "TrainingArguments")
    yield case("sft/training-arguments", script(kind, plain_args), LR)
    yield case("sft/training-arguments-fp32", script(kind, literal(kind, {}, "TrainingArguments")), LR)
    own = "class Ours(SFTConfig):\n    pass\n\n\n"
    yield case("sft/own-class", script(kind, own + literal(kind, {}, "Ours"), imports=("SFTConfig",)), LR)
    yield plain("class/moved", "ORPO", call='processing_class=AutoTokenizer.from_pretrained("model")')
    lora = 'peft_config=LoraConfig(r=4, target_modules=["q_proj"])'
    yield plain("sft/lora", kind, {}, LR, call=lora)


TOKENIZER = 'processing_class=AutoTokenizer.from_pretrained("model")'
LORA = f'{TOKENIZER}, peft_config=LoraConfig(r=4, target_modules=["q_proj"])'
SET = {"type": "AdamW", "params": {"lr": 1e-6}}  # DPOConfig's own rate
TURNS = {
    "type": "WarmupDecayLR",
    "params": {"total_num_steps": "auto", "warmup_min_lr": 0, "warmup_max_lr": 1e-6, "warmup_num_steps": 1},
}

FIXED = {**TURNS, "params": {**TURNS["params"], "total_num_steps": 4, "warmup_num_steps": 0}}


def preferences() -> Iterator[Case]:
    """DPO and KTO have a reference model with an engine of its own; Reward and ORPO have none."""
    for kind in ("DPO", "KTO"):
        name = kind.lower()
        yield plain(f"{name}/z2", kind, call=TOKENIZER)
        yield plain(f"{name}/z2-optimizer", kind, {}, {"optimizer": SET}, call=TOKENIZER)
        yield plain(f"{name}/z3", kind, {}, THREE, call=TOKENIZER)
        yield plain(f"{name}/z3-lora", kind, {}, {**THREE, **LR}, call=LORA)
        yield plain(f"{name}/no-stage", kind, {}, {"zero_optimization": {}}, call=TOKENIZER)
    kind, given = "DPO", f'ref_model=AutoModelForCausalLM.from_pretrained("model"), {TOKENIZER}'
    loaded = 'AutoModelForCausalLM.from_pretrained("model")'
    yield plain("dpo/no-zero", kind, {}, {"zero_optimization": GONE}, call=TOKENIZER)
    yield plain("dpo/no-zero-lora", kind, {}, {"zero_optimization": GONE}, call=LORA)
    yield plain("dpo/z2-scheduler", kind, {}, {"optimizer": SET, "scheduler": TURNS}, call=TOKENIZER)
    yield plain("dpo/z2-scheduler-only", kind, {}, {"scheduler": TURNS}, call=TOKENIZER)
    yield plain("dpo/z2-auto", kind, {}, LR, call=TOKENIZER)
    yield plain("dpo/z2-fp32", kind, {"bf16": False}, {"optimizer": SET}, call=TOKENIZER)
    yield plain("dpo/z3-given", kind, {}, THREE, model=loaded, call=given)
    yield plain("dpo/z3-given-optimizer", kind, {}, {**THREE, "optimizer": SET}, model=loaded, call=given)
    half = {"bf16": True}
    yield plain("dpo/z2-optimizer-bf16", kind, half, {"optimizer": SET}, call=TOKENIZER)
    three = {**THREE, "optimizer": SET}
    yield plain("dpo/z3-optimizer-bf16", kind, half, three, model=loaded, call=given)
    yield plain("dpo/scheduler-set", kind, half, {"optimizer": SET, "scheduler": FIXED}, call=TOKENIZER)
    wrapped = 'get_peft_model(AutoModelForCausalLM.from_pretrained("model"), LoraConfig(r=4))'
    yield plain("dpo/z2-wrapped", kind, half, {"optimizer": SET}, model=wrapped, call=TOKENIZER)
    yield plain("dpo/z3-precompute", kind, {"precompute_ref_log_probs": True}, THREE, call=TOKENIZER)
    yield plain("reward/z2", "Reward", {}, LR, call=TOKENIZER, model=CLASSIFIER)
    yield plain("orpo/z2", "ORPO", {}, LR, call=TOKENIZER)


CLASSIFIER = 'AutoModelForSequenceClassification.from_pretrained("model", num_labels=1)'


def generating() -> Iterator[Case]:
    """GRPO and RLOO: the batch holds whole groups of completions."""
    kind, call = "GRPO", f"reward_funcs=reward, {TOKENIZER}"
    yield plain("grpo/z2", kind, {}, LR, call=call)
    yield plain("grpo/z3", kind, {}, {**LR, **THREE}, call=call)
    yield plain("grpo/one-step", kind, {"gradient_accumulation_steps": 1}, call=call)
    yield plain("grpo/groups", kind, {"num_generations": 4, "gradient_accumulation_steps": 1}, call=call)
    yield plain("grpo/groups-of-3", kind, {"num_generations": 3}, call=call)
    yield plain("grpo/one-generation", kind, {"num_generations": 1}, call=call)
    yield plain("grpo/generation-batch", kind, {"generation_batch_size": 16}, call=call)
    yield plain("grpo/generation-batch-bad", kind, {"generation_batch_size": 6}, call=call)
    both = {"generation_batch_size": 16, "steps_per_generation": 4}
    yield plain("grpo/generation-both", kind, both, call=call)
    yield plain("grpo/beta", kind, {"beta": 0.04}, {"optimizer": SET}, call=call)
    yield plain("grpo/beta-zero", kind, {"beta": 0.0}, {"optimizer": SET}, call=call)
    yield plain("grpo/beta-z3", kind, {"beta": 0.04}, THREE, call=call)
    yield plain("grpo/micro-missing", kind, {}, {"train_micro_batch_size_per_gpu": GONE}, call=call)
    yield plain("grpo/beta-no-stage", kind, {"beta": 0.04}, {"zero_optimization": {}}, call=call)


# trl/accelerate_configs/zero3.yaml, on two ranks
ZERO3 = {
    "zero_stage": 3,
    "zero3_init_flag": True,
    "zero3_save_16bit_model": True,
    "offload_optimizer_device": "none",
    "offload_param_device": "none",
    "deepspeed_multinode_launcher": "standard",
}
ZERO2 = {key: value for key, value in ZERO3.items() if key != "zero3_save_16bit_model"}
ZERO2 |= {"zero_stage": 2, "zero3_init_flag": False}


def launched() -> Iterator[Case]:
    """`accelerate launch` with a YAML such as TRL ships, and no config in the arguments."""

    def one(name: str, kind: str, settings: Any, args: Any = None, **rest: Any) -> Case:
        precision = rest.pop("mixed_precision", "bf16")
        text = accelerate_yaml(settings, mixed_precision=precision)
        case = plain(name, kind, {"deepspeed": GONE, **(args or {})}, **rest)
        command = ["accelerate", "launch", "--config_file", "zero.yaml", "train.py"]
        return {**case, "files": {**case["files"], "zero.yaml": text}, "command": command}

    yield one("launch/zero2", "SFT", ZERO2)
    yield one("launch/zero3", "SFT", ZERO3)
    yield one("launch/zero2-fp16", "SFT", ZERO2, mixed_precision="fp16")
    yield one("launch/zero2-no", "SFT", ZERO2, mixed_precision="no")
    yield one("launch/zero2-fp32", "SFT", ZERO2, {"bf16": False}, mixed_precision="no")
    yield one("launch/zero2-clip", "SFT", {**ZERO2, "gradient_clipping": 1.0}, {"max_grad_norm": 0.3})
    yield one("launch/zero2-dpo", "DPO", ZERO2, call=TOKENIZER)
    yield one("launch/zero3-dpo-lora", "DPO", ZERO3, call=LORA)
    given = f'ref_model=AutoModelForCausalLM.from_pretrained("model"), {TOKENIZER}'
    loaded = 'AutoModelForCausalLM.from_pretrained("model")'
    yield one("launch/zero3-dpo-given", "DPO", ZERO3, model=loaded, call=given)
    yield one("launch/zero2-grpo", "GRPO", ZERO2, {"beta": 0.04}, call=f"reward_funcs=reward, {TOKENIZER}")


CONFIG = ARGS | {"learning_rate": 3e-4}


def parsers() -> Iterator[Case]:
    """TrlParser: flags, and the YAML that --config names."""
    kind = "SFT"

    def parsed(name: str, words: Sequence[str], config: Any = None, **rest: Any) -> Case:
        classes = rest.pop("classes", "(ScriptArguments, SFTConfig, ModelConfig)")
        ending = rest.pop("ending", "")
        source = f"parser = TrlParser({classes})\n_, args, _ = parser.parse_args_and_config({ending})\n"
        if ending:
            source = source.replace("_, args, _", "_, args, _, _")
        imports = ("ModelConfig", "SFTConfig", "ScriptArguments", "TrlParser")
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        files = {} if config is None else {"sft.yaml": text}
        return case(f"parser/{name}", script(kind, source, imports=imports), LR, words, files=files, **rest)

    named = ["--config", "sft.yaml"]
    own = {"model_name_or_path": "model", "dataset_name": "d", **CONFIG}
    yield parsed("flags", ["--dataset_name", "d", *flags(CONFIG)])
    yield parsed("yaml", named, own)
    yield parsed("yaml-flags", [*named, "--learning_rate", "1e-3"], own)
    yield parsed("yaml-text", named, "dataset_name: d\noutput_dir: out\nreport_to: none\nmax_steps: 4\n"
                 "learning_rate: 2e-4\ndeepspeed: ds.json\nfp16: yes\n")  # fmt: skip
    yield parsed("yaml-env", named, {**own, "env": {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": 8}})
    yield parsed("yaml-unknown", named, {**own, "lora_rank": 8})
    yield parsed("yaml-unknown-kept", named, {**own, "lora_rank": 8}, ending="return_remaining_strings=True")
    yield parsed("yaml-missing", named)
    yield parsed("yaml-list", named, [1])
    yield parsed("unknown-flag", [*named, "--lora_rank", "8"], own)
    yield parsed("bad-value", [*named, "--learning_rate", "fast"], own)
    yield parsed("bad-default", named, {**own, "learning_rate": "fast"})


def setups() -> Any:
    """Whole set-ups for the score: the designed ones, each with one argument more."""
    from hypothesis import strategies as st

    return st.sampled_from(designed())
