"""The moments of LLaMA-Factory's own code, in the order in which they happen."""

from __future__ import annotations

from dsbridge.rulebook import Moment, Phase

MOMENTS = (
    Moment("lf.read", Phase.INIT, "read_args: the YAML, JSON or words are read"),
    Moment("lf.arguments.model", Phase.INIT, "ModelArguments are made"),
    Moment("lf.arguments.data", Phase.INIT, "DataArguments are made"),
    Moment("lf.arguments.training", Phase.INIT, "TrainingArguments are made"),
    Moment("lf.arguments.finetuning", Phase.INIT, "FinetuningArguments are made"),
    Moment("lf.arguments.unused", Phase.INIT, "HfArgumentParser looks for keys that nobody took"),
    Moment("lf.checks", Phase.INIT, "get_train_args compares the arguments"),
    Moment("lf.task", Phase.INIT, "the workflow of the stage is chosen"),
    Moment("lf.template", Phase.INIT, "the chat template is chosen"),
    Moment("lf.dataset", Phase.INIT, "the rows are loaded"),
    Moment("lf.model.config", Phase.INIT, "attention and quantization are set up"),
    Moment("lf.optimizer", Phase.INIT, "which optimizer the Trainer will make"),
    Moment("lf.reference", Phase.INIT, "the reference model, if there is one"),
    Moment("lf.reference.stage", Phase.INIT, "TRL's prepare_deepspeed"),
    Moment("lf.reference.sharded", Phase.ENGINE, "ZeRO-3 wraps the reference model's optimizer"),
    Moment("lf.evaluate", Phase.PREPARE, "evaluation without training"),
    Moment("lf.engine", Phase.ENGINE, "DeepSpeed wraps LLaMA-Factory's own optimizer"),
)
READ = ("lf.read", "lf.arguments.model", "lf.arguments.data", "lf.arguments.training")
PARSED = (
    "lf.arguments.finetuning",
    "lf.arguments.unused",
    "lf.checks",
    "lf.task",
    "lf.template",
    "lf.dataset",
    "lf.model.config",
)
