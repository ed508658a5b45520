"""What a LLaMA-Factory run goes through: its own code around the Trainer's, Accelerate's and DeepSpeed's."""

from __future__ import annotations

from dsbridge.rulebook import Call, Program
from dsbridge_llamafactory.moments import PARSED, READ
from dsbridge_trainer.moments import ARGUMENTS, LAUNCH, LOAD_MODEL, TRAIN

LAYERS = ("llamafactory", "trainer", "accelerate", "deepspeed")
# LLaMA-Factory's own code within the Trainer's: it evaluates without training, and brings its own Muon.
WITHIN = {"lf.evaluate": "trainer.train.optimizer", "lf.engine": "deepspeed.engine.optimizer"}


def _with_own(program: Program) -> Program:
    """The program with each moment of WITHIN put before its neighbour."""
    found: list[str | Call] = []
    for entry in program:
        found += [own for own, neighbour in WITHIN.items() if entry == neighbour]
        found.append(entry)
    return tuple(found)


PROGRAM: Program = (
    *LAUNCH,
    *READ,
    *ARGUMENTS,
    *PARSED,
    *LOAD_MODEL,
    "lf.optimizer",
    *_with_own(TRAIN),
)
