"""What the XTuner target tells its user."""

from __future__ import annotations

from dsbridge.sdk import Code, Severity

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

NO_CONFIG = Code("XT001", "no-config", ERROR, "`xtuner train` needs a config, which names model and data.")
NO_SUCH_CONFIG = Code("XT002", "no-such-config", ERROR, "XTuner 0.2.0 ships no config of this name.")
NO_FSDP = Code("XT003", "no-fsdp", ERROR, "XTuner 0.2 has no FSDP; its V1 line has nothing else.")
V1 = Code("XT004", "xtuner-v1", ERROR, "XTuner's V1 line takes no DeepSpeed config.")
QLORA_ZERO3 = Code("XT005", "qlora-zero3", ERROR, "Quantised weights cannot be partitioned by ZeRO-3.")
NO_AUTOTP = Code("XT006", "no-autotp", ERROR, "DeepSpeed 0.16.2 ignores the tensor_parallel key.")
NO_FP8 = Code("XT007", "no-fp8", ERROR, "XTuner 0.2 cannot train in fp8.")
OWNER = Code("XT008", "owner-deepspeed", ERROR, "XTuner builds optimizer and scheduler itself.")
UNKNOWN_OWN_KEY = Code("XT009", "unknown-own-key", ERROR, "`frameworks.xtuner` has no such key.")
OWN_CONFLICT = Code("XT010", "own-conflict", ERROR, "`frameworks.xtuner` says something else than the spec.")
NOT_SAYABLE = Code("XT011", "not-sayable", ERROR, "mmengine reads the value as another on a command line.")
NOT_READ = Code("XT012", "variable-not-read", ERROR, "The variable was substituted before the option comes.")
BASE_CHANGED = Code("XT013", "base-changed", INFO, "The spec's value replaces the one of your config.")
BASE_NOT_EDITED = Code("XT014", "base-not-edited", INFO, "The field cannot be edited; launch.sh sets it.")
CPU_OPTIMIZER = Code("XT015", "cpu-optimizer", INFO, "Offload runs with XTuner's own torch optimizer.")
CLIPPING = Code("XT016", "clipping-by-config", INFO, "XTuner always clips gradients.")
PRECISION = Code("XT017", "precision-by-gpu", INFO, "XTuner chooses bf16 or fp16 by what the GPU has.")
HUGGINGFACE = Code("XT018", "trainer-config", ERROR, "The config hands over to the Hugging Face Trainer.")
STEPS = Code("XT019", "steps-need-accumulation", ERROR, "XTuner counts micro-steps, not optimizer steps.")
CURVE = Code("XT020", "scheduler-curve", WARNING, "XTuner's curve differs from the one asked for.")
NO_CURVE = Code("XT021", "scheduler-not-sayable", ERROR, "The config's schedulers cannot become this curve.")
NO_OPTIMIZER = Code("XT022", "no-such-optimizer", ERROR, "mmengine has no such optimizer.")
NO_FREEZE = Code("XT023", "no-freeze", ERROR, "XTuner trains all weights, or adapters.")
VARLEN = Code("XT024", "varlen-batch", ERROR, "Variable-length attention takes one sample a step.")
ASSUMED = Code(
    "XT025", "config-not-read", INFO, "dsbridge has not seen the config; the usual one is assumed."
)
OTHER_MODEL = Code("XT026", "other-model-class", ERROR, "The config's model is not built from `model.llm`.")
EPOCHS = Code("XT027", "part-of-an-epoch", WARNING, "XTuner wants a whole number of steps.")
NO_ULYSSES = Code("XT028", "no-sequence-parallel", ERROR, "XTuner's sequence parallelism does not fit here.")
FP32_WEIGHTS = Code("XT029", "flash-attention-dtype", WARNING, "flash_attn makes XTuner load 16-bit weights.")
ENABLED = Code("XT030", "enabled-added", INFO, "XTuner stops on a precision block without `enabled`.")
QUANTISED_CONFIG = Code("XT031", "quantised-config", ERROR, "The config quantises what the spec does not.")
MOVED = Code("XT032", "inherits", INFO, "The config inherits from files that must lie beside the copy.")

MICRO_STEPS = Code("XT033", "micro-steps", INFO, "XTuner counts micro-steps where the spec counts steps.")
OVERWRITTEN = Code("XT034", "native-overwritten", ERROR, "XTuner overwrites this key of the DeepSpeed file.")
AUTO_LEFT = Code("XT035", "auto-unresolved", ERROR, 'XTuner does not fill this "auto".')
NO_DEEPSPEED = Code("XT036", "no-deepspeed", INFO, "The config is read as trained without DeepSpeed.")
STOPS = Code("XT037", "xtuner-stops", WARNING, "XTuner stops at this before it trains.")
BASE_NOT_PYTHON = Code("XT040", "base-not-python", ERROR, "The base is not a Python file.")
BASE_NOT_A_CONFIG = Code("XT041", "base-not-a-config", ERROR, "The base is no XTuner config.")
NO_LIBRARY = Code("XT042", "edit-extra-missing", ERROR, "Editing a config needs LibCST.")

CODES = tuple(value for value in list(globals().values()) if isinstance(value, Code))
