"""A Trainer script: which model it loads and when, how much data it has, and whether it trains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dsbridge.rulebook import (
    Attribute,
    CallSite,
    Name,
    Script,
    Unread,
    read_arguments,
    read_script,
    trains_all,
    unread,
)
from dsbridge.sdk import InputError, Source
from dsbridge_trainer import codes, trl_table
from dsbridge_trainer.classes import Class, derives
from dsbridge_trainer.parsing import (
    PARSERS,
    PARSES,
    Context,
    Given,
    from_call,
    from_parser,
    is_arguments,
    member,
    path_of,
)
from dsbridge_trainer.says import MAKERS, Says, model_says

TRAINERS = ("Trainer", "Seq2SeqTrainer")
_OF_TRL = re.compile(r"\b(get_peft_config|peft_config)\b")  # which gives nothing where use_peft is not given
_MEMBER = re.compile(r"^[A-Za-z_]\w*\.([A-Za-z_]\w*)$", re.ASCII)
WRAPPERS = ("get_peft_model", "prepare_model_for_kbit_training", "PeftModel")


class Program(NamedTuple):
    """The trees of a script: given arguments, the model's config, and what the Trainer gets."""

    given: Given
    model: Any
    script: dict[str, Any]
    says: Says | None = None


def trainer_call(script: Script, classes: dict[str, Class]) -> CallSite | None:
    """The call that makes the Trainer, TRL's, or one of a class of the script that comes from them."""
    found = [call for call in script.calls if kind_of(call.short, classes)]
    return next((call for call in found if not call.maybe), found[0] if found else None)


def kind_of(name: str, classes: dict[str, Class], depth: int = 0) -> str:
    """The libraries' trainer that a class is, or comes from; "" if it is none."""
    if any(derives(name, trainer, classes) for trainer in TRAINERS):
        return TRAINERS[0]
    found = classes.get(name)
    if found is not None and depth < 20:
        kinds = (kind_of(base, classes, depth + 1) for base in found.bases)
        return next((kind for kind in kinds if kind), "")
    return name if name.endswith("Trainer") and trl_table.parameters(name, trl_table.NEWEST) else ""


def argument(trainer: CallSite | None, name: str, index: int, context: Context) -> Any:
    """An argument of the trainer. index: its place in Trainer's own constructor; TRL's differ."""
    if trainer is None:
        return None
    names = trl_table.parameters(kind_of(trainer.short, context.classes), context.trl)
    if not names:
        return trainer.argument(name, index)
    return trainer.argument(name, names.index(name) if name in names else None)


def arguments_call(script: Script, trainer: CallSite | None, context: Context) -> CallSite | None:
    """The call that makes the arguments: the one the Trainer gets, else the one that the command asks for."""
    given = argument(trainer, "args", 1, context)
    if isinstance(given, CallSite) and _makes(given, context):
        return given
    made = [call for call in script.calls if _makes(call, context)]
    parsers = [call for call in made if call.short in PARSES]
    words = context.words.items
    file = {".json": "parse_json_file", ".yaml": "parse_yaml_file", ".yml": "parse_yaml_file"}
    wanted = next((file[end] for end in file if len(words) == 1 and words[0].endswith(end)), PARSES[0])
    chosen = [call for call in parsers if call.short in (wanted, "parse_args_and_config")] or parsers or made
    return chosen[0] if chosen else None


def _makes(call: CallSite, context: Context) -> bool:
    if call.short in PARSES:
        return isinstance(call.owner, CallSite) and call.owner.short in PARSERS
    return is_arguments(call.function, context.classes)


def read_program(script: Script, context: Context) -> Program:
    """The trees of a script."""
    trainer = trainer_call(script, context.classes)
    kind = kind_of(trainer.short, context.classes) if trainer else ""
    made = arguments_call(script, trainer, context)
    given = Given({}, {}, {}, {})
    own = read_arguments(script, context.words.items)
    if own is not None and own.error:
        given = Given({}, {}, {"refused": own.error}, {})
    elif made is not None:
        context = context._replace(own=own.values if own else {})
        if made.short in PARSES:
            given = from_parser(made, context)
        else:
            given = from_call(made, context, script.calls[: made.number])
    elif kind.endswith("Trainer") and kind not in TRAINERS:
        # such a trainer makes its own arguments: SFTConfig() of SFTTrainer
        given = given._replace(root=kind.replace("Trainer", "Config"))
    about: dict[str, Any] = {
        "trains": any(
            call.short == "train" and isinstance(call.owner, CallSite) and call.owner == trainer
            for call in script.calls
        ),
        "data": _data(trainer, given, context),
        "tokenizer": bool(trainer and trainer.short in TRAINERS and "tokenizer" in trainer.keywords),
        "eval_dataset": argument(trainer, "eval_dataset", 4, context) is not None,
    }
    if trainer is not None and kind not in TRAINERS:
        if trl_table.alone(kind, context.trl):
            hint = (
                "Rules are there for the trainers that stand on the Trainer: SFT, DPO, KTO, GRPO, Reward, ..."
            )
            message = f"TRL's {kind} prepares its models itself, in a way that is not known here"
            raise InputError([codes.NOT_KNOWN(message, hint=hint, at=Source(context.file, trainer.line))])
        about["kind"] = kind
        about["strange"] = _strange(trainer, kind, context)
        about["reference"] = _reference(trainer, kind, context)
    model, config = _model(trainer, script, made, given, context)
    about["model"] = model
    about["asks"] = _asks(script)
    adapted = about["asks"]["adapter"] and given.others.get("use_peft")
    about["all"] = trains_all(_OF_TRL.sub("", context.text)) and not adapted
    if about["asks"]["adapter"] or about["asks"]["bits"]:
        about["others"] = given.others
    return Program(given, config, about, _says(trainer, given, context))


def _says(trainer: CallSite | None, given: Given, context: Context) -> Says | None:
    """What the script says of the model that the Trainer gets."""
    if trainer is None:
        return None
    value = argument(trainer, "model", 0, context)
    init = argument(trainer, "model_init", 6, context)
    if init is not None and value is None:
        value = _returned(init, context)
    own = kind_of(trainer.short, context.classes) in TRAINERS  # which take no model by its name
    adapter = None if own else argument(trainer, "peft_config", -1, context)

    def text(part: Any) -> str | None:
        return None if own and part is value else _text(part, given, context)

    return model_says(value, adapter, trainer, WRAPPERS, context.file, text)


def _asks(script: Script) -> dict[str, bool]:
    """Whether the script makes its adapter and its quantisation of TRL's ModelConfig."""
    return {name: bool(script.named(call)) for name, call in MAKERS.items()}


def _strange(trainer: CallSite, kind: str, context: Context) -> list[str]:
    """Keywords that a trainer of TRL's does not take in this release."""
    names = trl_table.parameters(kind, context.trl)
    own = trainer.short not in context.classes and "*" not in names and not trainer.more
    return [name for name in trainer.keywords if name not in names] if own else []


def _reference(trainer: CallSite, kind: str, context: Context) -> dict[str, Any]:
    """What decides whether there is a reference model: one is given, or LoRA takes its place."""
    given = argument(trainer, "ref_model", 1, context) if kind in ("DPOTrainer", "KTOTrainer") else None
    model = argument(trainer, "model", 0, context)
    wrapped = isinstance(model, CallSite) and model.short in ("get_peft_model", "PeftModel")
    lora = argument(trainer, "peft_config", -1, context)
    return {"given": given is not None, "lora": wrapped or lora is not None}


# TRL's trainers that train on each row of the data set once, unless they pack them
_BY_ROW = ("SFTTrainer", "RewardTrainer")


def _data(trainer: CallSite | None, given: Given, context: Context) -> dict[str, Any]:
    """`length`: rows of the training data, where the script shows it."""
    value = argument(trainer, "train_dataset", 3, context)
    if trainer is None or value is None:
        return {"given": False}
    kind = kind_of(trainer.short, context.classes)
    if kind not in TRAINERS:
        listed = isinstance(value, CallSite) and value.short == "from_list"
        rows = value.argument("mapping", 0) if listed else None
        if isinstance(rows, list) and kind in _BY_ROW and not given.args.get("packing"):
            return {"given": True, "length": len(rows)}
        return {"given": True}
    if isinstance(value, list):
        return {"given": True, "length": len(value)}
    if isinstance(value, CallSite) and value.short in context.classes:
        if derives(value.short, "IterableDataset", context.classes):
            return {"given": True, "stream": True}
        length = context.classes[value.short].length
        return {"given": True} if length is None else {"given": True, "length": length}
    return {"given": True}


def _model(
    trainer: CallSite | None, script: Script, made: CallSite | None, given: Given, context: Context
) -> tuple[dict[str, Any], Any]:
    """How the model is made, and its config."""
    if trainer is None:
        return {"way": "none"}, {}
    value = argument(trainer, "model", 0, context)
    init = argument(trainer, "model_init", 6, context)
    about: dict[str, Any] = {"init": init is not None}
    if init is not None and value is None:
        value = _returned(init, context)
    while isinstance(value, CallSite) and value.short in WRAPPERS:
        value = value.argument("model", 0)
    if value is None:
        return {**about, "way": "none"}, {}
    path = _text(value, given, context) if kind_of(trainer.short, context.classes) not in TRAINERS else None
    if path is not None:  # TRL's trainers load a model by its name
        return {**about, "way": "from_pretrained", "first": False}, _config_of(path, context)
    if not isinstance(value, CallSite):
        return {**about, "way": "unknown"}, _unknown()
    about["first"] = made is not None and value.number < made.number and not about["init"]
    way, config = _made(value, given, context)
    if value.short == "from_pretrained":
        about["device_map"] = value.argument("device_map") is not None
        about["low_memory"] = value.argument("low_cpu_mem_usage") is True
    return {**about, "way": way}, config


def _returned(init: Any, context: Context) -> Any:
    """What `def model_init(): return ...` makes: the script is read as if it called it at its end."""
    if not isinstance(init, Name) or not init.name.isidentifier():
        return init
    try:
        return read_script(f"{context.text}\n_made = {init.name}()\n", context.file).names.get("_made", init)
    except InputError:
        return init


def _made(call: CallSite, given: Given, context: Context) -> tuple[str, Any]:
    if call.short == "from_pretrained":
        path = _text(call.argument("pretrained_model_name_or_path", 0), given, context)
        return "from_pretrained", _config_of(path, context)
    if call.short in ("from_config", "_from_config"):
        return "from_config", _config(call.argument("config", 0), given, context)
    if call.short in context.classes:
        return "own", None
    config = call.argument("config", 0)
    return "built", _config(config, given, context)


def _config(value: Any, given: Given, context: Context) -> Any:
    """A config object: read from a folder, or made by its class."""
    if isinstance(value, CallSite) and value.short == "from_pretrained":
        return _config_of(_text(value.argument("pretrained_model_name_or_path", 0), given, context), context)
    if isinstance(value, CallSite) and value.short.endswith("Config"):
        size = value.argument("hidden_size")
        return {"hidden_size": size} if isinstance(size, int) else _unknown()
    return _unknown()


def _config_of(path: str | None, context: Context) -> Any:
    """config.json of a folder; a name on the hub is not looked up."""
    name = f"{path}/config.json" if path else ""
    if not name or not context.files.has(name):
        return _unknown()
    try:
        found = context.files.json(name).value
    except InputError:
        return _unknown()
    return found if isinstance(found, dict) else _unknown()


def _unknown() -> dict[str, Any]:
    return {"hidden_size": unread("model.hidden_size")}


def _text(value: Any, given: Given, context: Context) -> str | None:
    """A literal, or a member of what HfArgumentParser gave: `model_args.model_name_or_path`."""
    value = member(value, context)
    if isinstance(value, str):
        return value
    name = None
    if isinstance(value, Attribute):
        name = value.name
    elif isinstance(value, Unread) and (found := _MEMBER.match(value.code)):
        name = found[1]
    elif isinstance(value, Name) and "." in value.name:
        name = value.name.rpartition(".")[2]
    known: Mapping[str, Any] = {**given.others, **given.args}
    text = known.get(name) if name else path_of(value, context)
    return text if isinstance(text, str) else None


def after(words: Sequence[str]) -> int:
    """How many words are the program itself: `train.py`, or `-m train`."""
    return 2 if words[:1] == ["-m"] or tuple(words[:1]) == ("-m",) else 1
