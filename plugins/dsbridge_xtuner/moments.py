"""The places in the code of XTuner and mmengine, in the order a run comes by them, and its two programs."""

from __future__ import annotations

from dsbridge.rulebook import (
    ENGINE,
    INITIALIZE,
    PARSE,
    Call,
    Moment,
    Phase,
    Program,
    all_of,
    eq,
    get,
    no,
    same,
    truthy,
)
from dsbridge_trainer.moments import ARGUMENTS, LOAD_MODEL, TRAIN

LAYERS = ("xtuner", "trainer", "accelerate", "deepspeed")
START = ("xtuner.arguments", "xtuner.config", "xtuner.options", "xtuner.check")
# zero.Init inside from_pretrained: XTuner's own strategy tells transformers of the config, mmengine's does
# not; a quantized model is loaded without it.
ZERO_3 = all_of(
    eq(get("ds.zero_optimization.stage"), 3),
    same(get("strategy.kind"), "xtuner"),
    no(truthy(get("cfg.model.llm.quantization_config"))),
)

PROGRAM: Program = (
    *START,
    "xtuner.resume",
    "xtuner.deepspeed.open",
    "xtuner.deepspeed.read",
    "xtuner.deepspeed.precision",
    "xtuner.deepspeed.both",
    "xtuner.deepspeed.strategy",
    "xtuner.runner.strategy",
    "xtuner.runner.check",
    "xtuner.strategy.setup",
    "xtuner.strategy.write",
    "xtuner.strategy.default",
    "xtuner.strategy.transformers",
    "xtuner.train.loop",
    "xtuner.train.model",
    Call("xtuner.train.zero_init", ZERO_3, "ds", PARSE),
    "xtuner.train.optimizer",
    "xtuner.initialize",
    *INITIALIZE,
    *PARSE,
    *ENGINE,
    "xtuner.made",
)
HUGGINGFACE: Program = (
    *START,
    "xtuner.huggingface.deepspeed",
    *ARGUMENTS,
    *LOAD_MODEL,
    *TRAIN,
)
_TITLES = {
    "xtuner.arguments": (Phase.INIT, "tools/train.py reads its flags"),
    "xtuner.config": (Phase.INIT, "the config is looked up"),
    "xtuner.options": (Phase.INIT, "--cfg-options are merged into the config"),
    "xtuner.check": (Phase.INIT, "check_cfg: what does not go together in the config"),
    "xtuner.resume": (Phase.INIT, "the checkpoint of --resume is opened"),
    "xtuner.deepspeed.open": (Phase.INIT, "the file of --deepspeed is read"),
    "xtuner.deepspeed.read": (Phase.INIT, "the config is asked for its batch and its clipping"),
    "xtuner.deepspeed.precision": (Phase.INIT, "auto_dtype_of_deepspeed_config asks the GPU"),
    "xtuner.deepspeed.both": (Phase.INIT, "auto_dtype_of_deepspeed_config chooses one of two formats"),
    "xtuner.deepspeed.strategy": (Phase.INIT, "the DeepSpeedStrategy is written into the config"),
    "xtuner.runner.strategy": (Phase.INIT, "FlexibleRunner takes the strategy"),
    "xtuner.runner.check": (Phase.INIT, "FlexibleRunner checks the parts of the config"),
    "xtuner.strategy.setup": (Phase.INIT, "the strategy starts the process group"),
    "xtuner.strategy.write": (Phase.INIT, "DeepSpeedStrategy writes its arguments into the DeepSpeed config"),
    "xtuner.strategy.default": (Phase.INIT, "DeepSpeedStrategy fills in what is still missing"),
    "xtuner.strategy.transformers": (Phase.INIT, "transformers is told of the DeepSpeed config"),
    "xtuner.train.loop": (Phase.PREPARE, "the training loop and its data are made"),
    "xtuner.train.model": (Phase.PREPARE, "zero.Init counts the ranks there are so far"),
    "xtuner.train.optimizer": (Phase.PREPARE, "the optimizer is made"),
    "xtuner.initialize": (Phase.ENGINE, "deepspeed.initialize starts a process group where there is none"),
    "xtuner.made": (Phase.ENGINE, "the engine stands, under sequence parallel"),
    "xtuner.huggingface.deepspeed": (Phase.INIT, "--deepspeed goes into training_args"),
}
MOMENTS = tuple(Moment(name, phase, title) for name, (phase, title) in _TITLES.items())
