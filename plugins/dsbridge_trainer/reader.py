"""The Trainer's input: a script, its flags and files. Nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dsbridge.rulebook import Document, Guess, Places, Reader, Reading, Setup, json_error, together
from dsbridge.sdk import InputError, Source
from dsbridge_trainer import table, trl_table
from dsbridge_trainer.moments import PROGRAM, TRL_PROGRAM
from dsbridge_trainer.roots import ROOTS

if TYPE_CHECKING:
    from dsbridge.sdk import Draft

VERSIONS = {"transformers": "5.23.0", "accelerate": "1.15.0", "deepspeed": "0.19.8", "trl": "1.16.0"}
_MARKS = ("TrainingArguments", "HfArgumentParser", "from trl import", "from trl.", "import trl\n")
_FILES = (".json", ".yaml", ".yml")  # what HfArgumentParser reads
_OWN_KEYS = ("output_dir", "per_device_train_batch_size")


def _text(setup: Setup, name: str) -> str:
    """A file's text, or nothing."""
    try:
        return setup.files.text(name) if setup.files.has(name) else ""
    except InputError:
        return ""


def recognises(setup: Setup) -> int:
    """A script that makes TrainingArguments is surely the Trainer's; it may mention Accelerate too."""
    words = setup.words.items
    name = words[0] if words else ""
    if name.endswith(".py"):
        text = _text(setup, name)
        return 3 if any(mark in text for mark in _MARKS) and "Trainer" in text else 0
    if setup.given:
        found = _kinds(setup)
        return 3 if found["script"] else (2 if found["arguments"] else 0)
    return 3 if name.endswith(_FILES) and _is_arguments(setup, name) else 0


def _kinds(setup: Setup) -> dict[str, list[str]]:
    """The FILE arguments by what they are."""
    found: dict[str, list[str]] = {name: [] for name in ("script", "arguments", "launch", "config", "yaml")}
    for name in setup.given:
        if name.endswith(".py"):
            text = _text(setup, name)
            if any(mark in text for mark in _MARKS) and "Trainer" in text:
                found["script"].append(name)
        elif name.endswith((".yaml", ".yml")) and "distributed_type" in _text(setup, name):
            found["launch"].append(name)
        elif name.endswith((".yaml", ".yml")) and any(given.endswith(".py") for given in setup.given):
            found["yaml"].append(name)
        elif name.endswith(_FILES) and _is_arguments(setup, name):
            found["arguments"].append(name)
        elif name.endswith(".json"):
            found["config"].append(name)
    return found


def _is_arguments(setup: Setup, name: str) -> bool:
    """A JSON or YAML mapping with TrainingArguments' own keys."""
    text = _text(setup, name)
    if not any(mark in text for mark in _OWN_KEYS) or (name.endswith(".json") and json_error(text)):
        return False
    value = _mapping(setup, name).value
    return isinstance(value, dict) and any(mark in value for mark in _OWN_KEYS)


def _mapping(setup: Setup, name: str) -> Document:
    """As parse_json_file and parse_yaml_file read it."""
    try:
        return setup.files.json(name) if name.endswith(".json") else setup.files.yaml(name)
    except InputError:
        return Document(None, name)


def command_of(setup: Setup) -> Guess | None:
    """`torchrun train.py` for a script, with `accelerate launch` if its YAML is there too."""
    found = _kinds(setup)
    program = found["script"] or found["arguments"]
    if not program:
        return None
    if found["script"] and found["launch"]:
        return Guess(("accelerate", "launch", "--config_file", found["launch"][0], program[0]))
    words = found["arguments"][:1] if found["script"] and found["arguments"] else []
    if found["script"] and found["yaml"] and "TrlParser" in _text(setup, program[0]):
        words = ["--config", found["yaml"][0]]
    return Guess(("torchrun", program[0], *words))


def read(setup: Setup) -> Reading:
    """The trees of the Trainer's rules."""
    from dsbridge.rulebook import read_with_files
    from dsbridge_trainer import classes, parsing, program

    version = table.of(setup.versions)
    words = setup.words.items
    count = program.after(words)
    name = words[0] if count == 1 else words[1].replace(".", "/") + ".py"
    if name.endswith(_FILES):
        return _from_file(setup, name, version)
    text = setup.files.text(name)
    context = parsing.Context(
        setup.files,
        name,
        classes.classes_of(text),
        setup.words.after(count),
        version,
        text,
        trl_table.of(setup.versions),
    )
    script, _ = read_with_files(text, name, setup.environ, setup.files.text)
    found = program.read_program(script, context)
    made = _reading(setup, found.given, found.model, found.script)
    given = found.given
    own = {key: value for key, value in given.others.items() if key in given.places}
    places = together(made.sources, {f"others.{key}": given.places[key] for key in own})
    trees = {**made.trees, "others": own}
    if found.says is not None:
        trees["says"], places = found.says.values, together(places, found.says.places)
    return made._replace(trees=trees, sources=places)


def _from_file(setup: Setup, name: str, version: str) -> Reading:
    """A file of arguments without the script that reads it."""
    from dsbridge_trainer.parsing import Given

    document = _mapping(setup, name)
    places = Places(lambda: {str(path[0]): at for path, at in document.values.items() if len(path) == 1})
    args = document.value if isinstance(document.value, dict) else {}
    strange = [key for key in args if key not in table.fields(version)]
    parser: dict[str, Any] = {"unknown": strange, "class": "TrainingArguments"} if strange else {}
    about = {"trains": True, "data": {"given": True}, "eval_dataset": True, "model": {"way": "unknown"}}
    return _reading(setup, Given(args, places, parser, {}), _model_of(setup), about)


def _model_of(setup: Setup) -> Mapping[str, Any]:
    from dsbridge.rulebook import unread

    return {"hidden_size": unread("model.hidden_size")}


def _reading(setup: Setup, given: Any, model: Any, about: dict[str, Any]) -> Reading:
    """Trees and places from what was found."""
    from dsbridge.rulebook import unread
    from dsbridge_trainer import config

    usual = given.root in ROOTS
    sources: Mapping[str, Source] = {f"args.{name}": at for name, at in given.places.items()}
    trees: dict[str, Any] = {
        "env": {**setup.environ, **given.environ},
        "args": given.args,
        "parser": given.parser,
        "script": about,
        "model": model or {},
        "prepared": {"model": {"config": model is not None}},
    }
    if _splits_sequences(trees["env"], given.args):
        # how the Trainer counts its batch then was not recorded: nobody is told a number
        trees["accelerator"] = {"parallelism": {"sp_size": unread("accelerator.parallelism.sp_size")}}
    named = given.args.get("fsdp_config")
    if isinstance(named, str) and named:
        # a file, or JSON in a word: read as `deepspeed` is (training_args.py _process_fsdp_args)
        sharding = config.read(named, setup.files, lambda: given.places.get("fsdp_config"))
        if isinstance(sharding.ds, dict):
            trees["fsdpfile"] = {"fsdp_config": sharding.ds}
            inside = sharding.sources
            sources = together(
                sources,
                Places(lambda: {f"fsdpfile.fsdp_config{k[2:]}": at for k, at in inside.items()}),
            )
    value = given.args.get("deepspeed")
    if value:
        found = config.read(value, setup.files, lambda: given.places.get("deepspeed"))
        if found.problem is not None:
            trees["dsfile"] = {"problem": found.problem}
        else:
            trees["ds"] = found.ds
        sources = together(sources, found.sources)
    if usual:
        return Reading(trees, sources, {})
    trees["trl"] = _trl(given.root, setup)
    return Reading(trees, sources, {}, program=TRL_PROGRAM)


def _splits_sequences(environ: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
    """Whether a ParallelismConfig is given, by the argument or the variables it is read from."""
    size = environ.get("PARALLELISM_CONFIG_SP_SIZE", "1")
    return size not in ("", "1") or args.get("parallelism_config") is not None


def _trl(root: str, setup: Setup) -> dict[str, Any]:
    """What the rules need to know of the class: its own defaults, and what it fills in."""
    release = trl_table.of(setup.versions)
    return {
        "class": root,
        "defaults": trl_table.defaults(root, release),
        "fills": {"bf16": trl_table.fills(root, release, "bf16")},
        "exported": trl_table.exported(root, release),
    }


def _parse(setup: Setup, reading: Reading) -> Draft:
    from dsbridge_trainer.parse import parse  # explaining needs none of it

    return parse(setup, reading)


READER = Reader(
    recognises=recognises,
    command_of=command_of,
    read=read,
    program=PROGRAM,
    layers=("trl", "trainer", "accelerate", "deepspeed"),
    versions=VERSIONS,
    parse=_parse,
)
