"""The places in DeepSpeed's code, in the order a run comes by them."""

from dsbridge.language.logic import get, is_set
from dsbridge.rules import ENGINE, INITIALIZE, PARSE, Moment, Phase

# A bare script, before it comes to DeepSpeed.
BARE = ("deepspeed.launcher", "deepspeed.script")
ZERO_INIT = is_set(get("zero_init"))

_TITLES = {
    "deepspeed.initialize": "deepspeed.initialize looks at the config before it is parsed",
    "deepspeed.config.removed": "DeepSpeedConfig stops at keys of features that are gone",
    "deepspeed.config.elasticity": "DeepSpeedConfig lets elasticity set the batch",
    "deepspeed.config.parameters": "DeepSpeedConfig reads every block",
    "deepspeed.config.batch": "DeepSpeedConfig derives what is missing of the batch",
    "deepspeed.config.batch_check": "DeepSpeedConfig checks the batch",
    "deepspeed.config.check": "DeepSpeedConfig checks what does not go together",
    "deepspeed.engine.check": "the engine checks the device and the names",
    "deepspeed.engine.model": "the engine takes the model over",
    "deepspeed.engine.basic_optimizer": "the engine makes or takes the optimizer",
    "deepspeed.engine.optimizer": "the engine wraps the optimizer",
    "deepspeed.engine.scheduler": "the engine makes or takes the scheduler",
    "deepspeed.engine.made": "the engine stands",
}
_BEFORE = (
    Moment("deepspeed.launcher", Phase.LAUNCH, "the deepspeed launcher counts GPUs"),
    Moment("deepspeed.script", Phase.INIT, "the script reads its command line and its files"),
    Moment("deepspeed.zero_init", Phase.INIT, "zero.Init is entered"),
    Moment("deepspeed.zero_init_done", Phase.INIT, "zero.Init is left"),
    Moment("deepspeed.given", Phase.PREPARE, "deepspeed.initialize looks for a config"),
    Moment("deepspeed.begin", Phase.ENGINE, "deepspeed.initialize looks at its arguments"),
)
MOMENTS = _BEFORE + tuple(Moment(name, Phase.ENGINE, title) for name, title in _TITLES.items())

__all__ = ["BARE", "ENGINE", "INITIALIZE", "MOMENTS", "PARSE", "ZERO_INIT"]
