"""What a run of LLaMA-Factory's V1 goes through: its own code around Accelerate's and DeepSpeed's.

V1 (llamafactory/v1) has its own trainer: no TrainingArguments, and an Accelerator only under DeepSpeed.
"""

from __future__ import annotations

from dsbridge.rulebook import ENGINE, INITIALIZE, PARSE, Call, Moment, Phase, Program, eq, get
from dsbridge_trainer.moments import LAUNCH, PLUGIN, PRECISION, PREPARE, STATE

_TITLES = {
    "command": "V1's launcher chooses the trainer",
    "arguments": "V1 makes its four dataclasses",
    "ranks": "DistributedInterface divides the ranks",
    "data": "DataEngine opens the dataset",
    "config": "V1 opens the DeepSpeed config for the first time",
    "copy": "ZeRO-3: transformers is shown a copy of the config",
    "loaded": "the model is loaded",
    "init": "where and how the weights are loaded",
    "model": "adapters and kernels are put in",
    "batch": "BatchGenerator counts micro batches",
    "engine": "the trainer asks for its engine",
    "precision": "V1 decides fp16 and bf16",
    "micro": "V1 writes the micro batch",
    "optimizer": "optimizer and scheduler are made",
}
MOMENTS = tuple(Moment(f"lf.v1.{name}", Phase.INIT, title) for name, title in _TITLES.items())
_FIRST = ("lf.v1.command", "lf.read", "lf.v1.arguments", "lf.v1.ranks", "lf.v1.data", "lf.v1.config")
_MODEL = ("lf.v1.model", "lf.v1.batch", "lf.v1.engine")
# Accelerate's, by the names that its plugin gives them
_SCRIPT = ("accelerate.script.plugin", "accelerate.script.arguments")
_BEGIN = "accelerate.initialize.begin"
# V1 builds a DeepSpeedPlugin; ZeRO-3 has built one before, to load the model
_PLUGIN = (*PLUGIN, "lf.v1.precision")
_ZERO_INIT = Call("lf.v1.zero_init", eq(get("hf.zero_optimization.stage"), 3), "hf", PARSE)
_REST: Program = (
    "accelerate.script.cpu",
    *PRECISION,
    *STATE,
    "lf.v1.micro",
    "lf.v1.optimizer",
    *PREPARE,
    _BEGIN,
    *INITIALIZE,
    *PARSE,
    *ENGINE,
)
PLAIN: Program = (
    *LAUNCH,
    *_FIRST,
    *_SCRIPT,
    "lf.v1.init",
    *_MODEL,
    *_PLUGIN,
    *_REST,
)
SHARDED: Program = (
    *LAUNCH,
    *_FIRST,
    *_SCRIPT,
    *_PLUGIN,
    "lf.v1.copy",
    "lf.v1.init",
    _ZERO_INIT,
    "lf.v1.loaded",
    *_MODEL,
    *_REST,
)
# no DeepSpeed: V1's own FSDP 2, or torch's DistributedDataParallel
WITHOUT: Program = (*LAUNCH, *_FIRST, "lf.v1.init", *_MODEL, "lf.v1.optimizer", _BEGIN)
