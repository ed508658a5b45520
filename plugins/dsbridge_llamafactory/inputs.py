"""Whether an input is LLaMA-Factory's, and where its settings start. Light: every input is asked."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from dsbridge.rulebook import Guess, Setup, Words, is_plain, read_script
from dsbridge.sdk import InputError, Source
from dsbridge_llamafactory import v1_inputs
from dsbridge_llamafactory.codes import UNREAD

MODULES = ("llamafactory.launcher", "llamafactory.cli", "llamafactory.train.tuner")
ENTRY = "llamafactory.train.tuner.run_exp"
_KEYS = ("finetuning_type", "dataset", "template", "stage", "model_name_or_path", "cutoff_len")


def recognises(setup: Setup) -> int:
    """3 for its launcher or module, and a script that imports it; 2 for its YAML alone."""
    items = setup.words.items
    if "llamafactory-cli" in setup.launchers or (items[:1] == ("-m",) and items[1] in MODULES):
        return 3
    if v1_inputs.is_module(items):
        return 3
    if any(_is_yaml(setup, name) or v1_inputs.is_file(setup, name) for name in setup.given):
        return 3
    if not items:
        return 0
    if setup.files.has(items[0]):
        return 3 if "llamafactory" in setup.files.text(items[0]) and items[0].endswith(".py") else 0
    named = PurePath(items[0]).as_posix().endswith("src/train.py")
    return 2 if named and any(word.endswith((".yaml", ".yml")) for word in items[1:2]) else 0


def is_v1(setup: Setup) -> bool:
    """Whether V1 reads it: its own module, or llamafactory-cli with USE_V1=1."""
    if v1_inputs.is_module(setup.words.items):
        return True
    return "llamafactory-cli" in setup.launchers and v1_inputs.switched_on(setup.environ)


def command_of(setup: Setup) -> Guess | None:
    """A training YAML is trained with llamafactory-cli; how many GPUs there are, nobody said.

    With DeepSpeed it must be under torchrun, whatever their number. Beside a YAML of Accelerate's it is that
    launcher's program, as in LLaMA-Factory's own examples of FSDP.
    """
    launcher = next((name for name in setup.given if _is_launchers(setup, name)), None)
    for name in setup.given:
        if v1_inputs.is_file(setup, name):
            switches = {v1_inputs.SWITCH: "1"}
            if "deepspeed" in setup.files.text(name):
                switches["FORCE_TORCHRUN"] = "1"
            return Guess(("llamafactory-cli", "train", name), switches)
        if _is_yaml(setup, name):
            text = setup.files.text(name)
            if launcher:
                words = ("accelerate", "launch", "--config_file", launcher, "-m", MODULES[0], name)
                return Guess(words)
            forced = "\ndeepspeed:" in f"\n{text}" or '"deepspeed":' in text
            return Guess(("llamafactory-cli", "train", name), {"FORCE_TORCHRUN": "1"} if forced else {})
    return None


def _is_launchers(setup: Setup, name: str) -> bool:
    """A YAML of `accelerate config`."""
    yaml = name.endswith((".yaml", ".yml"))
    return yaml and any(line.startswith("distributed_type:") for line in setup.files.text(name).splitlines())


def _is_yaml(setup: Setup, name: str) -> bool:
    if name.endswith(".json"):
        found = setup.files.text(name)
        return sum(f'"{key}":' in found for key in _KEYS) >= 3
    if not name.endswith((".yaml", ".yml")):
        return False
    lines = setup.files.text(name).splitlines()
    heads = {line.partition(":")[0].strip() for line in lines if line[:1] not in (" ", "\t", "#")}
    return len(heads.intersection(_KEYS)) >= 3


def program_of(setup: Setup) -> tuple[Words, dict[str, Any] | None]:
    """The words that the settings are in, or the dict that the script gives to run_exp.

    Raises:
        InputError: it gives something that is not written there.
    """
    words = setup.words
    if words.items[:1] == ("-m",):
        return words.after(2), None
    rest = words.after(1)
    if not words.items or not setup.files.has(words.items[0]):
        return rest, None
    try:
        script = read_script(setup.files.text(words.items[0]), words.items[0], setup.environ)
    except InputError:
        return rest, None
    for call in script.calls:
        value = call.argument("args", 0)
        if call.function != ENTRY or value is None:
            continue
        if isinstance(value, dict) and is_plain(value):
            return rest, value
        message = "run_exp gets settings that only running the script would give"
        hint = "Write them into a YAML file and name it on the command line."
        raise InputError([UNREAD(message, hint=hint, at=Source(words.items[0], call.line))])
    return rest, None
