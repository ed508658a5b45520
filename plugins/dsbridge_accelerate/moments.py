"""The places in Accelerate's code, in the order a run comes by them."""

from __future__ import annotations

from dsbridge.rulebook import Call, Moment, Phase, all_of, eq, get, truthy

_LAUNCH = {
    "accelerate.launch.flags": "`accelerate launch` reads its flags",
    "accelerate.launch.file": "`accelerate launch` reads its YAML",
    "accelerate.launch.validate": "`accelerate launch` checks flags and YAML together",
    "accelerate.launch.precision": "`accelerate launch` checks the precision",
    "accelerate.launch.export": "`accelerate launch` exports ACCELERATE_* variables",
}
# Between the parts that other frameworks take over stand those of a script's own Accelerator.
_ACCELERATOR = {
    "accelerate.script.plugin": "the script builds a DeepSpeedPlugin",
    "accelerate.script.arguments": "Accelerator(...) looks at its arguments",
}
_PLUGIN = {
    "accelerate.plugin.environment": "DeepSpeedPlugin takes what it was not given from the environment",
    "accelerate.plugin.open": "DeepSpeedPlugin opens the DeepSpeed config",
    "accelerate.plugin.default": "DeepSpeedPlugin makes a config of its fields, or completes the given one",
    "accelerate.plugin.check": "DeepSpeedPlugin checks the DeepSpeed config",
    "accelerate.plugin.fill": "DeepSpeedPlugin fills `auto` of its own fields",
    "accelerate.plugin.finish": "DeepSpeedPlugin stops DeepSpeed's own logging",
    "accelerate.plugin.init": "DeepSpeedPlugin decides about zero.Init and MS-AMP",
}
_CPU = {"accelerate.script.cpu": "Accelerator is told to stay on the CPU"}
_PRECISION = {
    "accelerate.precision.block": "set_mixed_precision adds the block of the precision",
    "accelerate.precision.check": "set_mixed_precision looks for the other precision",
    "accelerate.precision.fill": "set_mixed_precision fills fp16 and bf16",
}
_STATE = {
    "accelerate.state.weakref": "DeepSpeedPlugin keeps a copy of the config for transformers",
    "accelerate.state.accumulation": "Accelerator settles gradient accumulation",
}
_ASSIGN = {"accelerate.script.assign": "the script itself writes into the plugin's config"}
_PREPARE = {
    "accelerate.prepare.parallel": "prepare() looks for tensor parallelism",
    "accelerate.prepare.micro": "prepare() looks for the micro batch",
    "accelerate.prepare.accumulation": "prepare() fills gradient accumulation",
    "accelerate.prepare.objects": "prepare() compares optimizer and scheduler with the config",
    "accelerate.prepare.model": "prepare() looks at the model",
    "accelerate.prepare.collect": "prepare() collects what it can fill in",
    "accelerate.prepare.fill": "prepare() fills what is `auto`",
    "accelerate.prepare.leftover": "prepare() stops at an `auto` that nobody fills",
    "accelerate.prepare.sequence": "prepare() counts with sequence parallelism",
    "accelerate.prepare.initialize": "prepare() calls deepspeed.initialize",
}
_BEGIN = {"accelerate.initialize.begin": "deepspeed.initialize looks for its ranks"}

LAUNCH, SCRIPT, PLUGIN, CPU = tuple(_LAUNCH), tuple(_ACCELERATOR), tuple(_PLUGIN), tuple(_CPU)
PRECISION, STATE, PREPARE = tuple(_PRECISION), tuple(_STATE), tuple(_PREPARE)
ASSIGN, BEGIN = tuple(_ASSIGN), tuple(_BEGIN)
_PHASES = (
    (Phase.LAUNCH, _LAUNCH),
    (Phase.INIT, {**_ACCELERATOR, **_PLUGIN, **_CPU, **_PRECISION, **_STATE}),
    (Phase.PREPARE, {**_ASSIGN, **_PREPARE}),
    (Phase.ENGINE, _BEGIN),
)
MOMENTS = tuple(Moment(name, phase, title) for phase, table in _PHASES for name, title in table.items())


def zero_init(parse: tuple[str, ...]) -> Call:
    """from_pretrained under ZeRO-3: zero.Init has DeepSpeed parse the copy of the config."""
    when = all_of(eq(get("hf.zero_optimization.stage"), 3), truthy(get("prepared.model.sharded")))
    return Call("accelerate.zero_init", when, "hf", parse)
