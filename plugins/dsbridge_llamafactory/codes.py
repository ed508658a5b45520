"""What LLaMA-Factory's own layer tells its user; the Trainer's below it adds its TR codes."""

from __future__ import annotations

from dsbridge.sdk import Code, Severity

REQUIRED = Code("LF001", "required-key", Severity.ERROR, "LLaMA-Factory does not start without this key.")
METHOD_ASSUMED = Code("LF002", "method-assumed", Severity.WARNING, "No fine-tuning method is given.")
QUANTIZATION = Code("LF003", "quantization-refused", Severity.ERROR, "LLaMA-Factory refuses the mixture.")
NO_ULYSSES = Code("LF004", "no-ulysses", Severity.ERROR, "LLaMA-Factory has no key for Ulysses.")
EVAL_DATA = Code("LF005", "needs-eval-data", Severity.ERROR, "Evaluation needs a data set of its own.")
FP8 = Code("LF006", "fp8-by-version", Severity.INFO, "fp8 needs a newer LLaMA-Factory.")
OPTIMIZER_MIX = Code("LF007", "optimizer-refused", Severity.ERROR, "LLaMA-Factory refuses the mixture.")
MUON = Code("LF008", "muon-on-flat-parameters", Severity.ERROR, "ZeRO leaves Muon no matrices.")
TUNING = Code("LF009", "finetuning-refused", Severity.ERROR, "LLaMA-Factory refuses the mixture.")
CHECKPOINTING = Code(
    "LF012", "own-checkpointing-off", Severity.INFO, "LLaMA-Factory's own checkpointing is switched off."
)
FSDP_WRAP = Code("LF013", "wrap-assumed", Severity.INFO, "No wrapping is given; the usual one is written.")
FILE_NAME = Code("LF014", "file-name", Severity.ERROR, "LLaMA-Factory's launcher splits at spaces.")
UNREAD = Code("LF015", "settings-unread", Severity.ERROR, "The script makes the settings as it runs.")
V1_VERSION = Code("LF016", "v1-version", Severity.WARNING, "This LLaMA-Factory has no V1 that trains.")
V1_SWITCH = Code("LF017", "v1-switch", Severity.WARNING, "V1's words without USE_V1=1.")
V1_BATCH = Code("LF018", "v1-batch", Severity.ERROR, "V1 says accumulation by the global batch.")
V1_REFUSED = Code("LF019", "v1-refused", Severity.ERROR, "LLaMA-Factory's V1 refuses this.")
V1_ENVIRONMENT = Code("LF020", "v1-environment", Severity.WARNING, "The spec has no room for a variable.")
DIALECT = Code("LF022", "unknown-dialect", Severity.ERROR, "LLaMA-Factory has no such dialect.")
SPACES = Code("LF023", "value-is-split", Severity.ERROR, "LLaMA-Factory's launcher splits at spaces.")
RAY_KEY = Code("LF024", "ray-key-by-version", Severity.INFO, "Not every LLaMA-Factory has this key of Ray's.")
V1_ALL = (V1_VERSION, V1_SWITCH, V1_BATCH, V1_REFUSED, V1_ENVIRONMENT, DIALECT)
ALL = (
    REQUIRED,
    METHOD_ASSUMED,
    QUANTIZATION,
    NO_ULYSSES,
    EVAL_DATA,
    FP8,
    OPTIMIZER_MIX,
    MUON,
    TUNING,
    CHECKPOINTING,
    FSDP_WRAP,
    FILE_NAME,
    UNREAD,
    SPACES,
    RAY_KEY,
    *V1_ALL,
)
