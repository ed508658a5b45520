"""Reading a unit: as its framework does, with a plain script where a guide or a command names one that is
not there."""

from __future__ import annotations

from pathlib import PurePath

from dsbridge.assumed import ASSUMED
from dsbridge.diagnostics import Diagnostic, InputError
from dsbridge.formats.document import UNREADABLE
from dsbridge.inputs import Input, read_input
from dsbridge.plugins import Registry
from dsbridge.provenance import Source
from dsbridge.subjects.unit import Unit

# What stands in for a script that nobody shows. It takes all arguments from the command line, so nothing in
# it decides anything.
_TRAINER = """from transformers import AutoModelForCausalLM, HfArgumentParser, Trainer, TrainingArguments

parser = HfArgumentParser(TrainingArguments)
(args, *_) = parser.parse_args_into_dataclasses(return_remaining_strings=True)
model = AutoModelForCausalLM.from_pretrained(path)
trainer = Trainer(model, args, train_dataset=dataset, eval_dataset=dataset)
trainer.train()
"""
_LLAMAFACTORY = """from llamafactory.train.tuner import run_exp

run_exp()
"""
_ACCELERATE = """from accelerate import Accelerator
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

accelerator = Accelerator()
model = AutoModelForCausalLM.from_pretrained(path)
optimizer = AdamW(model.parameters(), lr=rate)
loader = DataLoader(dataset, batch_size=size)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_TRAINER_FLAGS = ("--output_dir", "--per_device_train_batch_size", "--num_train_epochs", "--learning_rate")
_LLAMAFACTORY_FLAGS = ("--finetuning_type", "--dataset_dir", "--template", "--lora_target", "--cutoff_len")


def opened(unit: Unit, known: Registry) -> tuple[Input, tuple[Diagnostic, ...]]:
    """The unit as read, and what had to be assumed for it.

    Raises:
        InputError: nobody recognises it, or it cannot be read.
    """
    more = (unit.facts, unit.versions)
    try:
        return read_input(known, unit.files, unit.given, unit.command, unit.target, *more), ()
    except InputError as error:
        script = _missing(unit, error)
        text = _stand_in(unit) if script else ""
        if not text:
            raise
    files = unit.files.over({script: text})
    found = read_input(known, files, unit.given, unit.command, unit.target, *more)
    message = f"{script} is not here: a plain script is assumed that takes its arguments from the command"
    return found, (ASSUMED(message, at=_word(unit, script)),)


def _missing(unit: Unit, error: InputError) -> str:
    """The script of a command that is not there."""
    absent = {d.file for d in error.diagnostics if d.code == UNREADABLE.code}
    scripts = sorted(name for name in _names(unit) if name.endswith(".py"))
    named = [name for name in scripts if absent & {name, str(unit.files.folder / name)}]
    return named[0] if named and not unit.files.has(named[0]) else ""


def _names(unit: Unit) -> set[str]:
    modules = {word.replace(".", "/") + ".py" for word in unit.command}
    whole = unit.command[0].split() if len(unit.command) == 1 else ()
    return {*unit.command, *modules, *whole}


def _stand_in(unit: Unit) -> str:
    """The script that the arguments belong to; "" if they leave it open."""
    words = " ".join(unit.command).replace("=", " ").split()
    files = [word for word in words if word.endswith((".yaml", ".yml")) and unit.files.has(word)]
    theirs = any("finetuning_type" in unit.files.text(name) for name in files)
    if theirs or any(flag in words for flag in _LLAMAFACTORY_FLAGS):
        return _LLAMAFACTORY
    if any(flag in words for flag in _TRAINER_FLAGS):
        return "" if "--config" in words else _TRAINER  # its own parser reads arguments from there
    return _ACCELERATE if "accelerate" in words or "accelerate.commands.launch" in words else ""


def _word(unit: Unit, script: str) -> Source | None:
    for index, word in enumerate(unit.command):
        if word == script or PurePath(word).name == script:
            return unit.words[index] if index < len(unit.words) else None
    return None
