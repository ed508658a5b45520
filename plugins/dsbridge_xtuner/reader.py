"""XTuner's input: `xtuner train` or its tools/train.py, a config in Python, a DeepSpeed file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dsbridge.rulebook import Guess, Reader, Reading, Setup
from dsbridge.sdk import InputError
from dsbridge_xtuner.moments import HUGGINGFACE, LAYERS, PROGRAM

if TYPE_CHECKING:
    from dsbridge.sdk import Draft

VERSIONS = {
    "xtuner": "0.2.0",
    "mmengine": "0.10.6",
    "deepspeed": "0.16.2",
    "transformers": "4.48.0",
    "accelerate": "1.15.0",
}
_RANK = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def _text(setup: Setup, name: str) -> str:
    """A file's text, or nothing."""
    try:
        return setup.files.text(name) if setup.files.has(name) else ""
    except InputError:
        return ""


def _is_config(setup: Setup, name: str) -> bool:
    """A Python file with XTuner's own imports and a config's variables."""
    text = _text(setup, name) if name.endswith(".py") else ""
    if "xtuner.v1" in text:  # V1's own config; that 0.2 cannot read it is for the checks to say
        return "TrainerConfig" in text and "argparse" not in text
    return "xtuner" in text and ("optim_wrapper" in text or "training_args" in text)


def _program_words(words: tuple[str, ...]) -> int:
    """How many words are the program: `-m xtuner.tools.train`, or the path of it; 0 for another one."""
    if words[:1] == ("-m",):
        return 2 if words[1:2] and words[1].startswith("xtuner.") else 0
    path = words[0].replace("\\", "/") if words else ""
    return 1 if path.endswith("xtuner/tools/train.py") else 0


def recognises(setup: Setup) -> int:
    """XTuner's own program is surely its own; a config by its imports."""
    if setup.given:
        return 2 if any(_is_config(setup, name) for name in setup.given) else 0
    return 3 if _program_words(setup.words.items) else 0


def command_of(setup: Setup) -> Guess | None:
    """`xtuner train CONFIG --deepspeed FILE`."""
    configs = [name for name in setup.given if _is_config(setup, name)]
    if not configs:
        return None
    files = [name for name in setup.given if name.endswith(".json")]
    words = ("--deepspeed", files[0]) if files else ("--deepspeed", "deepspeed_zero2")
    # more than one process, so that ranks come from torchrun; how many is asked
    return Guess(("xtuner", "train", configs[0], *words), {"NPROC_PER_NODE": "2"})


def read(setup: Setup) -> Reading:
    """The trees of XTuner's rules."""
    from dsbridge_xtuner import flags, inputs

    if setup.trees.get("run", {}).get("help"):
        return Reading({}, program=())
    words = setup.words.items
    count = _program_words(words)
    found = flags.read_flags(words[count:])
    if found.values.get("help"):
        return Reading({}, program=())
    trees: dict[str, Any] = {"flags": {**found.values}, "env": dict(setup.environ)}
    if found.problem:
        trees["flags"]["problem"] = found.problem
        return Reading(trees, inputs.word_places(setup, count))
    trees["run"] = _run(setup, found.values)
    parts = inputs.Inputs(setup, count, found)
    parts.config(trees)
    program = PROGRAM
    if _framework(trees.get("cfg", {})) == "huggingface":
        parts.huggingface(trees)
        program = HUGGINGFACE
    else:
        parts.deepspeed(trees)
    facts = _world(setup, found.values)
    return Reading(trees, parts.sources, facts, program=program)


def _framework(cfg: Any) -> Any:
    """cfg.get("framework", "mmengine").lower(): tools/train.py:163."""
    name = cfg.get("framework", "mmengine") if isinstance(cfg, Mapping) else "mmengine"
    return name.lower() if isinstance(name, str) else "mmengine"


def _run(setup: Setup, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Who gave this process its rank."""
    own = setup.trees.get("run", {})
    torchrun = own.get("torchrun", False) or "torchrun" in setup.launchers or "deepspeed" in setup.launchers
    ranks = torchrun or all(name in setup.environ for name in _RANK)
    return {
        "ranks": ranks,
        "rank": torchrun or "RANK" in setup.environ,
        "slurm": "srun" in setup.launchers or "SLURM_PROCID" in setup.environ,
        "mpi": "OMPI_COMM_WORLD_LOCAL_RANK" in setup.environ,
        "launcher": flags.get("launcher", "none"),
    }


def _world(setup: Setup, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Under `--launcher slurm` Slurm says how many ranks there are: mmengine dist/utils.py:189."""
    if flags.get("launcher") != "slurm":
        return {}
    text = setup.environ.get("SLURM_NTASKS", "")
    tasks = int(text) if text.isascii() and text.isdigit() else setup.facts.get("slurm_tasks")
    return {"world_size": tasks} if tasks else {}


def _parse(setup: Setup, reading: Reading) -> Draft:
    from dsbridge_xtuner.parse import parse  # explaining needs none of it

    return parse(setup, reading)


READER = Reader(
    recognises=recognises,
    command_of=command_of,
    read=read,
    program=PROGRAM,
    layers=LAYERS,
    versions=VERSIONS,
    parse=_parse,
)
