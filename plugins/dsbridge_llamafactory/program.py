"""What a LLaMA-Factory run goes through: its own code around the Trainer's, Accelerate's and DeepSpeed's."""

from __future__ import annotations

from dsbridge.rulebook import ENGINE, INITIALIZE, PARSE, Call, Program, get, is_set
from dsbridge_llamafactory.moments import PARSED, READ
from dsbridge_trainer.moments import ARGUMENTS, LAUNCH, LOAD_MODEL, TRAIN

LAYERS = ("llamafactory", "trainer", "accelerate", "deepspeed")


def _before(program: Program, own: dict[str, Program]) -> Program:
    """The program with our own moments put before some of the others."""
    found: list[str | Call] = []
    for entry in program:
        found += own.get(entry, ()) if isinstance(entry, str) else ()
        found.append(entry)
    return tuple(found)


_ENGINE = _before(ENGINE, {"deepspeed.engine.scheduler": ("lf.reference.sharded",)})
REFERENCE: Program = (
    "lf.reference",
    "lf.reference.stage",
    Call("lf.reference.engine", is_set(get("ref")), "ref", tuple(map(str, (*INITIALIZE, *PARSE, *_ENGINE)))),
)


PROGRAM: Program = (
    *LAUNCH,
    *READ,
    *ARGUMENTS,
    *PARSED,
    *LOAD_MODEL,
    "lf.optimizer",
    # the reference model of DPO and KTO, evaluation without training, and LLaMA-Factory's own Muon
    *_before(
        TRAIN,
        {
            "trainer.train.data": REFERENCE,
            "trainer.train.optimizer": ("lf.evaluate",),
            "deepspeed.engine.optimizer": ("lf.engine",),
        },
    ),
)
