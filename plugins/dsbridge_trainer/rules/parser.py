"""HfArgumentParser: flags and files of arguments, before and after TrainingArguments is made."""

from __future__ import annotations

from dsbridge.rulebook import (
    OverrideRule,
    as_repr,
    get,
    is_set,
    text,
)
from dsbridge_trainer.rules._make import ARGUMENTS_FILE, ev, refusal

_PARSER = "hf_argparser.py"

PARSED: tuple[OverrideRule, ...] = (
    refusal(
        "TR100", "argparse refuses a flag", "parser.words",
        is_set(get("parser.refused")),
        ("SystemExit", get("parser.refused"), ("parser",)),
        "HfArgumentParser converts every word to the field's type and ends the program where it cannot.",
        ev(_PARSER, "338", "namespace, remaining_args = self.parse_known_args(args=args)", "flags/bad-int"),
        {"parser.refused": "train.py: error: argument --bf16: expected one argument"}, {"parser": {}},
        hint="Correct the flag.",
    ),
    refusal(
        "TR101", "the file of arguments is missing", "parser.words",
        is_set(get("parser.missing")),
        ("FileNotFoundError", text("[Errno 2] No such file or directory: {}", as_repr(get("parser.missing"))),
         ("parser",)),
        "The script opens the file that it names.",
        ev(_PARSER, "403", 'with open(Path(json_file), encoding="utf-8") as open_json_file:', "json/missing"),
        {"parser.missing": "args.json"}, {"parser": {}},
        hint="Put the file there, relative to the folder the command runs in.",
    ),
    refusal(
        "TR102", "the file of arguments is not JSON", "parser.words",
        is_set(get("parser.text")),
        ("JSONDecodeError", get("parser.text.message"), ("parser",)),
        "The file is read by Python's json module, which takes no comments.",
        ev(_PARSER, "404", "data = json.loads(open_json_file.read())", "json/comment"),
        {"parser.text": {"message": "Expecting value: line 1 column 1 (char 0)"}}, {"parser": {}},
        hint="Write strict JSON.",
    ),
    refusal(
        "TR103", "an argument that TrainingArguments does not have", "arguments.names",
        is_set(get("parser.unknown")),
        ("TypeError",
         text(
             "{}.__init__() got an unexpected keyword "
             "argument '{}'", get("parser.class"), get("parser.unknown.0")),
         ("args",)),
        "TrainingArguments is a dataclass; transformers 5 has taken out many old names.",
        ev(ARGUMENTS_FILE, "180", "class TrainingArguments:", "argument/unknown"),
        {"parser": {"unknown": ["lr"], "class": "TrainingArguments"}}, {"parser": {}},
        hint="Remove it, or write today's name: eval_strategy, warmup_steps, train_sampling_strategy.",
    ),
)  # fmt: skip

LEFT: tuple[OverrideRule, ...] = (
    refusal(
        "TR126", "flags that no dataclass has", "parser.left",
        is_set(get("parser.left")),
        ("ValueError",
         text("Some specified arguments are not used by the HfArgumentParser: {}", get("parser.left")),
         ("parser",)),
        "What no dataclass has is left over, and the parser says so after it has made the arguments.",
        ev(_PARSER, "354",
            'raise ValueError(f"Some specified arguments are not used by the '
            'HfArgumentParser: {remaining_args}")', "flags/unknown"),
        {"parser.left": ["--lora_rank", "8"]}, {"parser": {}},
        hint="Remove the flag, or give the parser a dataclass that has it.",
    ),
    refusal(
        "TR127", "keys that no dataclass has", "parser.left",
        is_set(get("parser.keys")),
        ("ValueError", text(
            "Some keys are not used by the HfArgumentParser: {}", get("parser.keys")), ("parser",)),
        "What no dataclass has is left over, and the parser says so after it has made the arguments.",
        ev(_PARSER, "383",
            'raise ValueError(f"Some keys are not used by the HfArgumentParser: '
            '{sorted(unused_keys)}")', "json/unknown"),
        {"parser.keys": ["lora_rank"]}, {"parser": {}},
        hint="Remove the key, or give the parser a dataclass that has it.",
    ),
)  # fmt: skip
