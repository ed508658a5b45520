"""What the target `accelerate` tells, by code."""

from dsbridge.sdk import Code, Severity

IN_SCRIPT = Code(
    "ACC001", "in-your-script", Severity.WARNING, "Accelerate has no such key: your training script says it."
)
FILE_STYLE = Code(
    "ACC002",
    "file-style",
    Severity.INFO,
    "Accelerate's own fields do not suffice; a DeepSpeed file is written.",
)
WORLD_SIZE = Code("ACC003", "world-size", Severity.ERROR, "Accelerate needs the number of processes.")
NOT_FILLED = Code(
    "ACC004", "auto-not-filled", Severity.ERROR, 'Accelerate stops at an "auto" that it does not fill.'
)
OVERWRITTEN = Code("ACC005", "overwritten", Severity.WARNING, "Accelerate overwrites this value in silence.")
CLIPPING = Code(
    "ACC006", "clipping-default", Severity.INFO, "No clipping is given; Accelerate's own default holds."
)
OWN_CONFLICT = Code(
    "ACC007", "own-key-conflict", Severity.ERROR, "`frameworks.accelerate` contradicts the spec's own keys."
)
OWN_UNKNOWN = Code("ACC008", "own-key-unknown", Severity.ERROR, "Accelerate refuses a file with this key.")
MIXED_STYLES = Code(
    "ACC009", "mixed-styles", Severity.ERROR, "Accelerate refuses this key beside a deepspeed_config_file."
)
VERSION = Code(
    "ACC010", "needs-version", Severity.INFO, "Older supported versions of Accelerate do not know the keys."
)
ULYSSES = Code("ACC011", "ulysses", Severity.ERROR, "Accelerate cannot run this sequence parallelism.")
FSDP = Code("ACC012", "fsdp-not-possible", Severity.ERROR, "Accelerate's FSDP cannot do this.")
FP8 = Code("ACC013", "fp8-not-possible", Severity.ERROR, "Accelerate refuses this use of fp8.")
FSDP_CHOICE = Code(
    "ACC014", "fsdp-choice", Severity.INFO, "A value that the spec's other FSDP settings call for."
)
OPTIMIZER = Code(
    "ACC015", "optimizer-replaced", Severity.WARNING, "Accelerate replaces the optimizer under offload."
)
BASE_CHANGED = Code("ACC016", "base-changed", Severity.INFO, "A value of the base file is replaced.")
BASE_REMOVED = Code(
    "ACC017", "base-removed", Severity.INFO, "A key of the base file that Accelerate would refuse or ignore."
)
BASE_FILE = Code(
    "ACC018", "base-ds-file", Severity.WARNING, "The base file names a DeepSpeed file, which is not read."
)
BASE_BAD = Code("ACC019", "base-unusable", Severity.ERROR, "The base is no Accelerate YAML.")
TWO_OWNERS = Code(
    "ACC020",
    "two-owners",
    Severity.ERROR,
    "Accelerate takes an optimizer from the file or the script, not both.",
)
MEGATRON = Code("ACC021", "megatron", Severity.ERROR, "A Megatron-LM set-up, which dsbridge does not do.")
DECLINED = Code("ACC022", "declined", Severity.ERROR, "A place to train at that dsbridge does not do.")
UNREADABLE = Code("ACC023", "config-unreadable", Severity.ERROR, "Accelerate stops at its config file.")
ARGUMENTS = Code(
    "ACC024", "script-arguments", Severity.WARNING, "The script's own arguments have no place in the spec."
)

CODES = (
    IN_SCRIPT,
    FILE_STYLE,
    WORLD_SIZE,
    NOT_FILLED,
    OVERWRITTEN,
    CLIPPING,
    OWN_CONFLICT,
    OWN_UNKNOWN,
    MIXED_STYLES,
    VERSION,
    ULYSSES,
    FSDP,
    FP8,
    FSDP_CHOICE,
    OPTIMIZER,
    BASE_CHANGED,
    BASE_REMOVED,
    BASE_FILE,
    BASE_BAD,
    TWO_OWNERS,
    MEGATRON,
    DECLINED,
    UNREADABLE,
    ARGUMENTS,
)
