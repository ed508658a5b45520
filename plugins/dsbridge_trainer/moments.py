"""The places in the Trainer's code, in the order a run comes by them, and its whole program."""

from __future__ import annotations

from dsbridge.rulebook import (
    ENGINE,
    INITIALIZE,
    PARSE,
    Call,
    Expr,
    Moment,
    Phase,
    Program,
    all_of,
    any_of,
    eq,
    get,
    is_set,
    no,
    one_of,
    same,
    truthy,
)

# Accelerate's, by the names that its plugin gives them.
LAUNCH = tuple(f"accelerate.launch.{name}" for name in ("flags", "file", "validate", "precision", "export"))
PLUGIN = tuple(
    f"accelerate.plugin.{name}"
    for name in ("environment", "open", "default", "check", "fill", "finish", "init")
)
PRECISION = tuple(f"accelerate.precision.{name}" for name in ("block", "check", "fill"))
STATE = ("accelerate.state.weakref", "accelerate.state.accumulation")
LOADER = tuple(f"accelerate.prepare.{name}" for name in ("parallel", "micro", "accumulation", "objects"))
PREPARE = (
    *LOADER,
    *(
        f"accelerate.prepare.{name}"
        for name in ("model", "collect", "fill", "leftover", "sequence", "initialize")
    ),
)

_THREE = all_of(eq(get("ds.zero_optimization.stage"), 3), no(same(get("ds.zero_optimization.stage"), True)))
_BUILT = all_of(
    truthy(get("deepspeed.used")),
    one_of(get("script.model.way"), ("from_pretrained", "from_config")),
    _THREE,
)


def _zero_init(name: str, when: Expr, tree: str) -> Call:
    """`from_pretrained` and `from_config` under ZeRO-3 parse a config of their own."""
    return Call(name, all_of(when, _BUILT), tree, PARSE)


def _with(moments: tuple[str, ...], before: dict[str, str]) -> tuple[str, ...]:
    """DeepSpeed's moments with some of the Trainer's between them."""
    return tuple(name for moment in moments for name in (before.get(moment), moment) if name)


_OWN = truthy(get("args.deepspeed"))
_LATER = any_of(truthy(get("script.model.first")), truthy(get("script.model.init")))

ARGUMENTS: Program = (
    "trainer.parser.words",
    "trainer.arguments.names",
    "trainer.arguments.defaults",
    "trainer.arguments.renamed",
    "trainer.arguments.check",
    "trainer.arguments.precision",
    "trainer.config.now",
    "trainer.config.process",
    *PLUGIN,
    "trainer.precision.wait",
    *PRECISION,
    "accelerate.state.weakref",
    "trainer.precision.go",
    "trainer.arguments.last",
    "trainer.parser.left",
)
LOAD_MODEL: Program = (
    "trainer.model.load",
    _zero_init("trainer.model.zero_init", all_of(_OWN, no(_LATER)), "ds"),
    _zero_init("trainer.model.zero_init_launched", all_of(no(_OWN), no(_LATER)), "hf"),
    "trainer.model.split",
)
TRAIN: Program = (
    "trainer.init.early",
    "trainer.init.accelerator",
    *PRECISION,
    *STATE,
    "trainer.config.launched",
    "trainer.config.process",
    "trainer.init.model",
    _zero_init("trainer.init.zero_init", truthy(get("script.model.init")), "hf"),
    "trainer.init.check",
    "trainer.train.data",
    *LOADER,
    "trainer.train.length",
    "trainer.train.steps",
    "trainer.train.warmup",
    "trainer.config.find",
    "trainer.config.process",
    "trainer.finalize.model",
    "trainer.finalize.scheduler",
    "trainer.finalize.mismatch",
    "trainer.train.optimizer",
    *PREPARE,
    "accelerate.initialize.begin",
    *INITIALIZE,
    *PARSE,
    *_with(
        ENGINE,
        {
            "deepspeed.engine.optimizer": "trainer.engine.sharded",
            "deepspeed.engine.scheduler": "trainer.engine.scheduler",
        },
    ),
)
PROGRAM: Program = (*LAUNCH, *ARGUMENTS, *LOAD_MODEL, *TRAIN)


def _before(program: Program, own: dict[str, Program]) -> Program:
    """The program with TRL's moments put before some of the Trainer's."""
    found: list[str | Call] = []
    for entry in program:
        found += own.get(entry, ()) if isinstance(entry, str) else ()
        found.append(entry)
    return tuple(found)


_REFERENCE_ENGINE = _with(ENGINE, {"deepspeed.engine.scheduler": "trl.reference.sharded"})
REFERENCE: Program = (
    "trl.reference",
    "trl.reference.stage",
    "trl.reference.blocks",
    Call("trl.reference.engine", is_set(get("ref")), "ref", (*INITIALIZE, *PARSE, *_REFERENCE_ENGINE)),
)
# a script that makes SFTConfig, DPOConfig, ...
TRL_PROGRAM: Program = _before(
    PROGRAM,
    {
        "trainer.arguments.names": ("trl.import", "trl.parser"),
        "trainer.arguments.defaults": ("trl.arguments.defaults", "trl.arguments.precision"),
        "trainer.parser.left": ("trl.arguments.check",),
        "trainer.model.load": ("trl.parser.left", "trl.init"),
        "trainer.init.early": ("trl.reference.copy",),
        "trainer.train.data": REFERENCE,
    },
)
TRL_MOMENTS = (
    Moment("trl.import", Phase.INIT, "the script imports the class from TRL"),
    Moment("trl.parser", Phase.INIT, "TrlParser reads flags and a YAML"),
    Moment("trl.arguments.defaults", Phase.INIT, "TRL's class of arguments fills in its own defaults"),
    Moment("trl.arguments.precision", Phase.INIT, "TRL's class of arguments chooses bf16"),
    Moment("trl.arguments.check", Phase.INIT, "TRL's class of arguments checks the batch"),
    Moment("trl.parser.left", Phase.INIT, "TrlParser looks at the keys that nobody has taken"),
    Moment("trl.reference.copy", Phase.INIT, "DPOTrainer copies the model for its reference"),
    Moment("trl.reference", Phase.INIT, "the reference model, if there is one"),
    Moment("trl.reference.stage", Phase.INIT, "prepare_deepspeed chooses the stage"),
    Moment("trl.reference.blocks", Phase.INIT, "prepare_deepspeed takes out what trains"),
    Moment("trl.reference.sharded", Phase.ENGINE, "the reference model's optimizer is wrapped"),
    Moment("trl.init", Phase.INIT, "TRL's trainer takes its arguments"),
)

_TITLES = {
    "trainer.parser.words": (Phase.INIT, "HfArgumentParser reads flags or a file"),
    "trainer.arguments.names": (Phase.INIT, "TrainingArguments takes its arguments"),
    "trainer.arguments.defaults": (Phase.INIT, "TrainingArguments fills in its defaults"),
    "trainer.arguments.renamed": (Phase.INIT, "TrainingArguments carries old names over to new ones"),
    "trainer.arguments.check": (Phase.INIT, "TrainingArguments checks its arguments"),
    "trainer.arguments.precision": (Phase.INIT, "TrainingArguments chooses the precision"),
    "trainer.config.now": (Phase.INIT, "TrainingArguments looks whether it has a DeepSpeed config"),
    "trainer.config.process": (
        Phase.INIT,
        "trainer_config_process: the arguments against the DeepSpeed config",
    ),
    "trainer.precision.wait": (Phase.INIT, "a config of TrainingArguments gets its precision later"),
    "trainer.precision.go": (Phase.INIT, "DeepSpeed is used after all"),
    "trainer.arguments.last": (Phase.INIT, "TrainingArguments' last checks"),
    "trainer.parser.left": (Phase.INIT, "HfArgumentParser looks at what nobody has taken"),
    "trainer.model.load": (Phase.INIT, "the model is loaded"),
    "trainer.model.split": (Phase.INIT, "zero.Init splits the weights over the ranks"),
    "trainer.init.early": (Phase.INIT, "Trainer checks before there is an Accelerator"),
    "trainer.init.accelerator": (Phase.INIT, "Trainer makes its Accelerator"),
    "trainer.config.launched": (
        Phase.INIT,
        "propagate_args_to_deepspeed, for a config of `accelerate launch`",
    ),
    "trainer.init.model": (Phase.INIT, "Trainer takes the model"),
    "trainer.init.check": (Phase.INIT, "Trainer checks what it was given"),
    "trainer.train.data": (Phase.PREPARE, "train() makes the data loader"),
    "trainer.train.length": (Phase.PREPARE, "train() counts the batches of one rank"),
    "trainer.train.steps": (Phase.PREPARE, "train() counts the optimizer steps"),
    "trainer.train.warmup": (Phase.PREPARE, "get_warmup_steps"),
    "trainer.config.find": (Phase.PREPARE, "auto_find_batch_size sends the arguments once more"),
    "trainer.finalize.model": (Phase.PREPARE, "trainer_config_finalize asks for the hidden size"),
    "trainer.finalize.scheduler": (Phase.PREPARE, "trainer_config_finalize fills in the steps"),
    "trainer.finalize.mismatch": (Phase.PREPARE, "trainer_config_finalize tells what does not match"),
    "trainer.train.optimizer": (Phase.PREPARE, "deepspeed_optim_sched: whose optimizer and scheduler"),
    "trainer.engine.sharded": (Phase.ENGINE, "the engine takes a model that is split already"),
    "trainer.engine.scheduler": (Phase.ENGINE, "the engine asks the Trainer for its scheduler"),
}
MOMENTS = tuple(Moment(name, phase, title) for name, (phase, title) in _TITLES.items())
