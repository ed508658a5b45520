"""The findings of `check --resume`."""

from __future__ import annotations

from dsbridge.diagnostics import Code, Severity

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
NOTHING = Code("CK700", "no-checkpoint", _ERROR, "There is nothing that this run could resume from.")
DAMAGED = Code("CK701", "checkpoint-damaged", _ERROR, "A file of the checkpoint is missing or broken.")
NO_TAG = Code(
    "CK702", "checkpoint-not-found", _ERROR, "DeepSpeed does not find the checkpoint in this folder."
)
READER = Code("CK703", "seed-not-read", _ERROR, "XTuner cannot read the checkpoint's seed with this torch.")
WORLD = Code("CK710", "other-world-size", _ERROR, "The optimizer was split among another number of ranks.")
STAGE = Code("CK711", "other-stage", _ERROR, "This ZeRO stage does not load a checkpoint of that stage.")
DTYPE = Code("CK712", "other-precision", _ERROR, "A checkpoint of another number format does not load.")
TENSOR = Code(
    "CK713", "other-tensor-parallel", _ERROR, "The weights were split among other tensor-parallel groups."
)
UNIVERSAL = Code(
    "CK714", "universal-not-there", _ERROR, "The universal checkpoint is not there, or cannot be made."
)
PARAMETERS = Code(
    "CK715", "other-parameters", _ERROR, "The checkpoint is of other parameters than are trained."
)
OPTIMIZER = Code("CK716", "other-optimizer", _ERROR, "The checkpoint is of another optimizer.")
SCHEDULER = Code("CK717", "other-scheduler", _ERROR, "DeepSpeed's scheduler is in one of the two only.")
ELASTIC = Code("CK718", "elastic-checkpoint", _ERROR, "The elastic form of a checkpoint does not load.")
DROPPED = Code("CK719", "optimizer-dropped", _ERROR, "The optimizer's states are not loaded.")
GROUPS = Code("CK720", "groups-become-one", _WARNING, "All groups of parameters get the first one's values.")
FROZEN = Code("CK721", "frozen-not-loaded", _WARNING, "Frozen weights are not loaded.")
RANDOM = Code("CK730", "random-states", _WARNING, "Some ranks have no random state to go on with.")
DATA = Code("CK731", "data-order", _WARNING, "Other data is seen than without the break.")
RATE = Code("CK732", "rate-of-the-checkpoint", _WARNING, "The checkpoint's learning rate wins.")
PATH = Code(
    "CK733", "resumes-elsewhere", _WARNING, "The run as written does not resume from this checkpoint."
)
UNKNOWN = Code("CK740", "resume-unknown", _INFO, "What decides whether it loads is not known.")
UNREAD = Code("CK741", "checkpoint-unread", _WARNING, "A file of the checkpoint could not be looked into.")
LOADS = Code("CK750", "resume-loads", _INFO, "The run can load the checkpoint.")
CODES = (NOTHING, DAMAGED, NO_TAG, READER, WORLD, STAGE, DTYPE, TENSOR, UNIVERSAL, PARAMETERS, OPTIMIZER,
SCHEDULER, ELASTIC, DROPPED, RANDOM, DATA, RATE, GROUPS, FROZEN, PATH, UNKNOWN, UNREAD, LOADS)  # fmt: skip
FAMILY = "CK7"
