"""What the Trainer's layer tells its user. Targets that stand on it report these codes too."""

from __future__ import annotations

from dsbridge.sdk import Code, Severity

OPTIMIZER = Code("TR001", "no-such-optimizer", Severity.ERROR, "The Trainer builds no such optimizer.")
REPLACED = Code(
    "TR002", "optimizer-replaced", Severity.ERROR, "Offload puts another optimizer in this one's place."
)
NOT_READ = Code("TR003", "not-read-by-optimizer", Severity.WARNING, "This optimizer takes no such number.")
FRACTION = Code("TR004", "warmup-fraction", Severity.INFO, "warmup_steps below 1 is a share of all steps.")
WARMUP = Code("TR005", "warmup-lost", Severity.ERROR, "The warm-up asked for would not happen.")
SCHEDULER = Code("TR006", "scheduler-incomplete", Severity.ERROR, "The schedule lacks a number it needs.")
BATCH = Code("TR007", "batch-undecided", Severity.ERROR, "The global batch cannot be kept.")
TP_ZERO3 = Code("TR008", "autotp-with-zero3", Severity.ERROR, "AutoTP and ZeRO-3 do not go together here.")
TP_LORA = Code("TR009", "autotp-with-lora", Severity.ERROR, "AutoTP is known to break LoRA layers.")
IN_CODE = Code("TR010", "said-in-code", Severity.WARNING, "Your script must do this; arguments cannot.")
NO_FP8 = Code("TR011", "no-fp8", Severity.ERROR, "TrainingArguments has no fp8.")
NEEDS_DEEPSPEED = Code("TR012", "needs-deepspeed", Severity.ERROR, "Only DeepSpeed has this; FSDP does not.")
FSDP_OPTION = Code("TR013", "not-in-this-fsdp", Severity.ERROR, "This FSDP version has no such option.")
TWICE = Code("TR014", "checkpointing-twice", Severity.ERROR, "Activations would be checkpointed twice.")
OWN_KEY = Code("TR015", "own-key-conflict", Severity.ERROR, "A framework's own key contradicts the spec.")
BAD_BASE = Code("TR016", "bad-base", Severity.ERROR, "The base file cannot be edited.")
BASE_CHANGED = Code("TR017", "base-changed", Severity.INFO, "A value of the base file has been replaced.")
UNIVERSAL = Code("TR018", "universal-checkpoint", Severity.INFO, "The checkpoint must be converted first.")
EVAL_DATA = Code("TR020", "needs-eval-data", Severity.INFO, "Evaluation needs a data set of its own.")
ULYSSES = Code("TR021", "ulysses-incomplete", Severity.ERROR, "Ulysses lacks a number it needs.")
ULYSSES_DATA = Code("TR023", "ulysses-data", Severity.WARNING, "Ulysses needs more of every batch.")
FSDP_VERSION = Code("TR022", "fsdp-by-version", Severity.INFO, "Transformers versions read this differently.")
COMPARED = Code("TR024", "native-compared", Severity.ERROR, "The Trainer stops at this native key.")
OVERWRITTEN = Code(
    "TR025", "native-overwritten", Severity.WARNING, "The Trainer puts a value of its own there."
)
NO_CLASS = Code("TR026", "no-such-class", Severity.ERROR, "TRL has no such class of arguments.")
NOT_KNOWN = Code("TR027", "trainer-not-known", Severity.ERROR, "This trainer of TRL's cannot be read.")
TARGETS = Code("TR030", "lora-targets", Severity.WARNING, "PEFT chooses what LoRA is put on.")
NOT_CARRIED = Code(
    "TR028", "launcher-not-carried", Severity.ERROR, "A launcher's sharding has no place in the spec."
)
STRATEGY_LOST = Code(
    "TR029", "fsdp-strategy-lost", Severity.WARNING, "Transformers 5 does not hand the strategy of FSDP 1 on."
)

ALL = (
    OPTIMIZER,
    REPLACED,
    NOT_READ,
    FRACTION,
    WARMUP,
    SCHEDULER,
    BATCH,
    TP_ZERO3,
    TP_LORA,
    IN_CODE,
    NO_FP8,
    NEEDS_DEEPSPEED,
    FSDP_OPTION,
    TWICE,
    OWN_KEY,
    BAD_BASE,
    BASE_CHANGED,
    UNIVERSAL,
    EVAL_DATA,
    ULYSSES,
    ULYSSES_DATA,
    FSDP_VERSION,
    COMPARED,
    OVERWRITTEN,
    NO_CLASS,
    NOT_KNOWN,
    TARGETS,
    NOT_CARRIED,
    STRATEGY_LOST,
)
