"""Raw Accelerate: a script with its own Accelerator, and `accelerate launch` before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsbridge.rulebook import ENGINE, INITIALIZE, PARSE, Guess, Program, Reader, Reading, Setup, unread
from dsbridge.sdk import InputError
from dsbridge_accelerate import moments

if TYPE_CHECKING:
    from dsbridge.sdk import Draft

VERSIONS = {"accelerate": "1.15.0", "transformers": "5.23.0", "deepspeed": "0.19.8"}
YOURS = "YOUR_SCRIPT"  # where a YAML comes alone
_MARKS = ("distributed_type:", "deepspeed_config:", '"distributed_type"')
PROGRAM: Program = (
    *moments.LAUNCH,
    *moments.SCRIPT,
    *moments.PLUGIN,
    *moments.CPU,
    *moments.PRECISION,
    *moments.STATE,
    moments.zero_init(PARSE),
    *moments.ASSIGN,
    *moments.PREPARE,
    *moments.BEGIN,
    *INITIALIZE,
    *PARSE,
    *ENGINE,
)


def _text(setup: Setup, name: str) -> str:
    try:
        return setup.files.text(name) if setup.files.has(name) else ""
    except InputError:
        return ""


def script_of(setup: Setup) -> str:
    """The training script's file: `train.py`, or `train.py` of `-m train`."""
    items = setup.words.items
    if not items:
        return ""
    if items[0] == "-m":
        return items[1].replace(".", "/") + ".py" if len(items) > 1 else ""
    return items[0]


def _is_yaml(setup: Setup, name: str) -> bool:
    return name.endswith((".yaml", ".yml", ".json")) and any(m in _text(setup, name) for m in _MARKS)


def recognises(setup: Setup) -> int:
    """A script that makes an Accelerator; a YAML of `accelerate config` by itself."""
    scripts = [name for name in setup.given if name.endswith(".py")] or [script_of(setup)]
    if any("Accelerator(" in _text(setup, name) for name in scripts if name):
        return 2
    if setup.given and not any(name.endswith(".py") for name in setup.given):
        return 1 if any(_is_yaml(setup, name) for name in setup.given) else 0
    return 1 if "accelerate launch" in setup.launchers else 0


def command_of(setup: Setup) -> Guess | None:
    """`accelerate launch --config_file YAML SCRIPT`, or torchrun for a script alone."""
    config = next((name for name in setup.given if _is_yaml(setup, name)), None)
    script = next((name for name in setup.given if "Accelerator(" in _text(setup, name)), None)
    if config:
        return Guess(("accelerate", "launch", "--config_file", config, script or YOURS))
    return Guess(("torchrun", script)) if script else None


def read(setup: Setup) -> Reading:
    """The trees of the rules.

    Raises:
        InputError: the script is no Python, or it is not there although the command names it.
    """
    name = script_of(setup)
    trees: dict[str, Any] = {"env": dict(setup.environ)}
    if not name:
        return Reading(trees)
    if name == YOURS:
        return Reading({**trees, **_typical()})  # a YAML alone: what the script does is not known
    from dsbridge_accelerate.scripts import read_trees

    return read_trees(setup, name, trees)


def _typical() -> dict[str, Any]:
    """What every training script does; its numbers only a run would give."""
    return {
        "accelerator": {"gradient_accumulation_steps": unread("accelerator.gradient_accumulation_steps")},
        "prepared": {
            "model": {"config": True, "sharded": True},
            "optimizer": {"class": "torch.AdamW"},
            "loaders": [{"batch_size": unread("prepared.loaders.0.batch_size")}],
        },
    }


def _parse(setup: Setup, reading: Reading) -> Draft:
    from dsbridge_accelerate.parse import parse  # explaining needs none of it

    return parse(setup, reading)


READER = Reader(
    recognises=recognises,
    command_of=command_of,
    read=read,
    program=PROGRAM,
    layers=("accelerate", "deepspeed"),
    versions=VERSIONS,
    parse=_parse,
)
