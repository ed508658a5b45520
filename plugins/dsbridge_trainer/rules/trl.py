"""TRL's classes of arguments and its trainers, around what the Trainer itself does."""

from __future__ import annotations

from dsbridge.rulebook import (
    OverrideRule,
    all_of,
    any_of,
    first_set,
    get,
    is_a,
    is_set,
    merged,
    missing,
    no,
    text,
    truthy,
)
from dsbridge_trainer.rules._trl import OLD, ev, refusal, since, until, write

_BASE = "trainer/base_config.py"
_NO_BF16 = any_of(missing(get("args.bf16")), is_a(get("args.bf16"), "null"))
_UTILS = "scripts/utils.py"

PARSED: tuple[OverrideRule, ...] = (
    refusal(
        "TRL104", "the YAML of --config is no mapping", "parser",
        is_set(get("parser.list")),
        ("ValueError", text("Config file {} must contain a YAML mapping.", get("parser.list")), ("parser",)),
        "The keys of the file are arguments.",
        ev(_UTILS, "329", 'raise ValueError(f"Config file {config_path} must contain a YAML mapping.")',
           "parser/yaml-list"),
        {"parser.list": "sft.yaml"}, {"parser": {}},
        hint="Write `name: value` lines.",
        versions=since("1.10.0"),
    ),
    refusal(
        "TRL105", "the YAML of --config is no mapping (TRL before 1.10)", "parser",
        is_set(get("parser.list")),
        ("TypeError", "…set_defaults_with_config() argument after ** must be a mapping, not …", ("parser",)),
        "The keys of the file are arguments.",
        ev(_UTILS, "203", "config_remaining_strings = self.set_defaults_with_config(**config)",
           "parser/yaml-list", OLD),
        {"parser.list": "sft.yaml"}, {"parser": {}},
        hint="Write `name: value` lines.",
        versions=until("1.10.0"),
    ),
)  # fmt: skip
LEFT: tuple[OverrideRule, ...] = (
    refusal(
        "TRL106", "keys of the --config file that no class has", "parser.left",
        is_set(get("parser.config")),
        ("ValueError", text(
            "Unknown arguments from config file: {}. Please remove them, add them to the dataclass, or set "
            "`fail_with_unknown_args=False`.", get("parser.config")), ("parser",)),
        "What no dataclass has is left over, and from 0.19 on TrlParser says so.",
        ev(_UTILS, "354-357", 'f"Unknown arguments from config file: {config_remaining_strings}. '
           'Please remove them, add them to the "', "parser/yaml-unknown"),
        {"parser.config": ["--lora_rank", "8"]}, {"parser": {}},
        hint="Remove the key, or give the parser a dataclass that has it.",
        versions=since("0.19.0"),
    ),
)  # fmt: skip
INIT: tuple[OverrideRule, ...] = (
    refusal(
        "TRL107", "an argument that TRL's trainer does not take", "init",
        truthy(get("script.strange")),
        ("TypeError", text("{}.__init__() got an unexpected keyword argument '{}'", get("script.kind"),
                           get("script.strange.0")), ("script.strange",)),
        "TRL's trainers take no others; `tokenizer` is `processing_class` today.",
        ev("trainer/sft_trainer.py", "626", "def __init__(", "sft/tokenizer"),
        {"script": {"kind": "SFTTrainer", "strange": ["tokenizer"]}},
        {"script": {"kind": "SFTTrainer", "strange": []}},
        hint="Remove it; what concerns the training belongs into the class of arguments.",
    ),
)  # fmt: skip
ARGUMENTS: tuple[OverrideRule, ...] = (
    refusal(
        "TRL101", "a class that this TRL does not export", "import",
        no(truthy(get("trl.exported"))),
        ("ImportError", text("cannot import name '{}' from 'trl' (…)", get("trl.class")), ("trl.class",)),
        "Old classes were moved to trl.experimental, and some taken out.",
        ev("_lazy_module.py", "64", 'raise AttributeError(f"module {self.__name__} has no attribute {name}")',
           "class/moved"),
        {"trl": {"class": "ORPOConfig", "exported": False}},
        {"trl": {"class": "SFTConfig", "exported": True}},
        hint="Import it from trl.experimental, or name the release with --versions trl=0.28.0.",
    ),
    write(
        "TRL102", "the defaults of TRL's class of arguments", "arguments.defaults",
        is_set(get("trl.defaults")), "args", merged(get("trl.defaults"), first_set(get("args"), {})),
        "SFTConfig, DPOConfig and the others declare some of TrainingArguments' fields anew: the learning "
        "rate, and by release logging_steps, gradient_checkpointing and bf16.",
        ev("trainer/sft_config.py", "141", "default=2e-5,", "sft/defaults"),
        {"trl.defaults": {"learning_rate": 2e-5}}, {"trl.class": "SFTConfig"},
    ),
    write(
        "TRL103", "bf16 unless fp16", "arguments.precision",
        all_of(truthy(get("trl.fills.bf16")), _NO_BF16), "args.bf16", no(truthy(get("args.fp16"))),
        "From 0.19 on bf16 that is not given is on, unless fp16 is; TrainingArguments leave it off.",
        ev(_BASE, "108", "self.bf16 = not (self.fp16) if self.bf16 is None else self.bf16", "sft/defaults"),
        {"trl.fills.bf16": True, "args": {"bf16": None}}, {"trl.fills.bf16": True, "args": {"bf16": False}},
        hint="Write bf16=False for fp32.",
    ),
)  # fmt: skip
