"""`accelerate launch`: where it stops, and what it exports."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    Loudness,
    OverrideRule,
    all_of,
    any_of,
    choose,
    count,
    eq,
    fact,
    get,
    is_a,
    is_set,
    joined,
    less,
    listed,
    lower,
    no,
    one_of,
    text,
    to_text,
    truthy,
    type_name,
    without,
)
from dsbridge_accelerate.launcher import SETTINGS
from dsbridge_accelerate.rules._make import (
    EXPORT,
    LAUNCH,
    LAUNCHED,
    PARALLELISM_SINCE,
    TP_UNTIL,
    ev,
    given,
    refusal,
    since,
    until,
    write,
)
from dsbridge_accelerate.rules.launch_file import FILE

_L = {"launch.used": True}
_TOGETHER = ("cpu", "multi_gpu", "tpu", "use_deepspeed", "use_fsdp")


def _one_at_a_time(
    code: str, names: tuple[str, ...], versions: Any, version: str, lines: str
) -> OverrideRule:
    shown = ", ".join(f"`--{name}`" for name in names)
    given_ = listed(*(choose(truthy(get(f"flags.{name}")), name, "") for name in names))
    return refusal(
        code,
        "one kind of launch at a time",
        "launch.flags",
        all_of(LAUNCHED, less(1, count(without(given_, [""])))),
        ("ValueError", f"You can only use one of {shown} at a time.", tuple(f"flags.{n}" for n in names)),
        "Accelerate starts one kind of training, and takes two of these flags for a mistake.",
        ev(LAUNCH, lines, f'"You can only use one of {shown} at a time."', "flag/two-kinds", version),
        {**_L, "flags.multi_gpu": True, "flags.use_deepspeed": True},
        {**_L, "flags.use_deepspeed": True},
        versions=versions,
        hint="Keep one of the flags.",
    )


CHECKS = (
    refusal(
        "ACC100",
        "the flags of accelerate launch are wrong",
        "launch.flags",
        all_of(LAUNCHED, is_set(get("launch.problem"))),
        ("SystemExit", get("launch.problem"), ("launch.problem",)),
        "argparse stops at a flag it does not know or a value of the wrong kind.",
        ev(LAUNCH, "141", "def launch_command_parser(subparsers=None):", "flag/unknown"),
        {**_L, "launch.problem": "…error: unrecognized arguments: --zero_stages"},
        _L,
        hint="`accelerate launch --help` lists the flags; abbreviations are not taken.",
    ),
    _one_at_a_time("ACC101", _TOGETHER, since(TP_UNTIL), "1.15.0", "1204-1207"),
    _one_at_a_time("ACC102", (*_TOGETHER, "use_tp"), until(TP_UNTIL), "1.6.0", "1005-1008"),
    refusal(
        "ACC103",
        "--multi_gpu wants two processes",
        "launch.flags",
        all_of(LAUNCHED, truthy(get("flags.multi_gpu")), given("flags.num_processes"),
               less(get("flags.num_processes"), 2)),
        ("ValueError", "You need to use at least 2 processes to use `--multi_gpu`.",
         ("flags.num_processes",)),
        "One process is no multi-GPU training.",
        ev(LAUNCH, "1208-1209",
           'raise ValueError("You need to use at least 2 processes to use `--multi_gpu`.")',
           "flag/multi-gpu-one"),
        {**_L, "flags.multi_gpu": True, "flags.num_processes": 1},
        {**_L, "flags.multi_gpu": True, "flags.num_processes": 2},
        hint="Leave --multi_gpu out, or start two processes.",
    ),
    refusal(
        "ACC104",
        "--use_parallelism_config is for FSDP",
        "launch.flags",
        all_of(LAUNCHED, truthy(get("flags.use_parallelism_config")), no(truthy(get("flags.use_fsdp")))),
        ("ValueError",
         "You cannot use `--use_parallelism_config` without `--use_fsdp` and `--fsdp_version=2`. ",
         ("flags.use_parallelism_config",)),
        "The flag is taken beside FSDP only; for DeepSpeed write ParallelismConfig in the script.",
        ev(LAUNCH, "1211-1212",
           "if (not args.use_fsdp or args.fsdp_version == 1) and args.use_parallelism_config:",
           "flag/parallelism"),
        {**_L, "flags.use_parallelism_config": True},
        {**_L, "flags.use_parallelism_config": True, "flags.use_fsdp": True},
        versions=since(PARALLELISM_SINCE),
        hint="Leave the flag out.",
    ),
)  # fmt: skip


_PRECISIONS = ["no", "fp8", "fp16", "bf16"]
_ASKED = get("launch.mixed_precision")
PRECISION = (
    refusal(
        "ACC111",
        "mixed_precision is no text",
        "launch.precision",
        all_of(LAUNCHED, is_set(_ASKED), no(is_a(_ASKED, "str"))),
        ("AttributeError", text("'{}' object has no attribute 'lower'", type_name(_ASKED)),
         ("launch.mixed_precision",)),
        "YAML 1.1 reads an unquoted `no` as false.",
        ev(EXPORT, "551", "mixed_precision = PrecisionType(args.mixed_precision.lower())",
           "top/no-boolean"),
        {**_L, "launch.mixed_precision": False},
        {**_L, "launch.mixed_precision": "no"},
        hint="Write `mixed_precision: 'no'`, with quotes.",
    ),
    refusal(
        "ACC112",
        "mixed_precision is one of four words",
        "launch.precision",
        all_of(LAUNCHED, is_a(_ASKED, "str"), no(one_of(lower(_ASKED), _PRECISIONS))),
        ("ValueError", text("Unknown mixed_precision mode: {}. Choose between {}.", lower(_ASKED),
                            str(_PRECISIONS)), ("launch.mixed_precision",)),
        "Accelerate knows no, fp16, bf16 and fp8.",
        ev(EXPORT, "554-557",
           'f"Unknown mixed_precision mode: {args.mixed_precision.lower()}. Choose between '
           '{PrecisionType.list()}."', "top/precision-wrong"),
        {**_L, "launch.mixed_precision": "bfloat16"},
        {**_L, "launch.mixed_precision": "BF16"},
        hint="Write no, fp16, bf16 or fp8.",
    ),
    refusal(
        "ACC113",
        "fp8 needs a package for it",
        "launch.precision",
        all_of(LAUNCHED, is_a(_ASKED, "str"), eq(lower(_ASKED), "fp8"), no(fact("fp8_available"))),
        ("RuntimeError",
         "FP8 is not available on this machine. Please ensure that either Transformer Engine…",
         ("launch.mixed_precision",)),
        "Transformer Engine, MS-AMP or torchao must be installed.",
        ev(EXPORT, "559", 'if args.mixed_precision.lower() == "fp8":', "top/fp8"),
        {**_L, "launch.mixed_precision": "fp8", "fact.fp8_available": False},
        {**_L, "launch.mixed_precision": "fp8", "fact.fp8_available": True},
        hint="Install one of them, or choose bf16.",
    ),
)  # fmt: skip

_FOR_DEEPSPEED = all_of(LAUNCHED, eq(get("launch.kind"), "deepspeed"))
# which settings are exported in lower case
_LOWERED = frozenset(
    {
        "gradient_clipping",
        "offload_optimizer_device",
        "offload_param_device",
        "zero3_init_flag",
        "zero3_save_16bit_model",
    }
)
_QUOTES = {
    "zero_stage": ("567", "yaml/stage-1"),
    "gradient_accumulation_steps": ("569", "yaml/steps-4"),
    "gradient_clipping": ("571", "yaml/clip-half"),
    "offload_optimizer_device": ("573", "yaml/offload-cpu"),
    "offload_param_device": ("575", "yaml/offload-cpu-3"),
    "zero3_init_flag": ("577", "yaml/init-wrong"),
    "zero3_save_16bit_model": ("579", "yaml/save-16bit"),
    "deepspeed_moe_layer_cls_names": ("585", "yaml/moe"),
}
_EXPORTED = [(name, variable) for name, variable in SETTINGS.items() if name in _QUOTES]


def _exports(number: int, name: str, variable: str) -> OverrideRule:
    value = to_text(get(f"launch.{name}"))
    lines, recorded = _QUOTES[name]
    return write(
        f"ACC{number}",
        f"{name} of flags or YAML becomes {variable}",
        "launch.export",
        all_of(_FOR_DEEPSPEED, is_set(get(f"launch.{name}"))),
        f"env.{variable}",
        lower(value) if name in _LOWERED else value,
        "The training process learns of it through its environment only; a flag wins over the YAML.",
        ev(EXPORT, lines, f"if args.{name} is not None:", recorded),
        {**_L, "launch.kind": "deepspeed", f"launch.{name}": 1},
        {**_L, "launch.kind": "multi", f"launch.{name}": 1},
    )


EXPORTS = (
    write(
        "ACC120",
        "accelerate launch turns DeepSpeed on",
        "launch.export",
        _FOR_DEEPSPEED,
        "env.ACCELERATE_USE_DEEPSPEED",
        "true",
        "`distributed_type: DEEPSPEED` or --use_deepspeed makes Accelerator build a DeepSpeedPlugin.",
        ev(EXPORT, "566", 'current_env["ACCELERATE_USE_DEEPSPEED"] = "true"', "yaml/plain"),
        {**_L, "launch.kind": "deepspeed"},
        {**_L, "launch.kind": "multi"},
    ),
    write(
        "ACC121",
        "the precision becomes ACCELERATE_MIXED_PRECISION",
        "launch.export",
        all_of(LAUNCHED, is_set(_ASKED)),
        "env.ACCELERATE_MIXED_PRECISION",
        lower(_ASKED),
        "Flag, else YAML, else `no`; Accelerator(mixed_precision=...) in the script wins over it.",
        ev(EXPORT, "558", 'current_env["ACCELERATE_MIXED_PRECISION"] = str(mixed_precision)', "yaml/plain"),
        {**_L, "launch.mixed_precision": "BF16"},
        _L,
    ),
    write(
        "ACC122",
        "the names of the YAML's DeepSpeed keys are handed on",
        "launch.export",
        _FOR_DEEPSPEED,
        "env.ACCELERATE_CONFIG_DS_FIELDS",
        lower(joined(get("launch.fields"), ",")),
        "With deepspeed_config_file, most of these names stop the run; flags are not among them.",
        ev(EXPORT, "565",
           'current_env["ACCELERATE_CONFIG_DS_FIELDS"] = '
           'str(args.deepspeed_fields_from_accelerate_config).lower()',
           "file/stage"),
        {**_L, "launch.kind": "deepspeed", "launch.fields": ["zero_stage"]},
        {**_L, "launch.kind": "multi", "launch.fields": []},
    ),
    *(_exports(123 + index, name, variable) for index, (name, variable) in enumerate(_EXPORTED)),
    *(
        write(
            f"ACC{132 + index}",
            f"{name} of flags or YAML reaches nobody",
            "launch.export",
            all_of(_FOR_DEEPSPEED, is_set(get(f"launch.{name}"))),
            f"ds.zero_optimization.{block}.nvme_path",
            None,
            "accelerate launch exports the device and forgets the path: DeepSpeedPlugin falls back to "
            "`none`.",
            ev(EXPORT, "575", "if args.offload_param_device is not None:",
               f"yaml/nvme{'-optimizer' if index == 0 else ''}"),
            {**_L, "launch.kind": "deepspeed", f"launch.{name}": "/nvme"},
            {**_L, "launch.kind": "deepspeed"},
            asked=get(f"launch.{name}"),
            hint="Name a ds_config with deepspeed_config_file, or build DeepSpeedPlugin in the script.",
            loudness=Loudness.SILENT,
        )
        for index, (name, block) in enumerate(
            (("offload_optimizer_nvme_path", "offload_optimizer"), ("offload_param_nvme_path",
             "offload_param"))
        )
    ),
)  # fmt: skip

USE_CPU = write(
    "ACC134",
    "one process without GPUs is told to use the CPU",
    "launch.export",
    all_of(LAUNCHED, eq(get("launch.kind"), "simple"),
           any_of(truthy(get("launch.use_cpu")), truthy(get("flags.cpu")))),
    "env.ACCELERATE_USE_CPU",
    "True",
    "--cpu, and `use_cpu: true` where one process is started, keep Accelerator from using DeepSpeed.",
    ev(EXPORT, "133", 'current_env["ACCELERATE_USE_CPU"] = str(args.cpu or args.use_cpu)', "flag/cpu-plugin"),
    {**_L, "launch.kind": "simple", "launch.use_cpu": True},
    {**_L, "launch.kind": "deepspeed", "launch.use_cpu": True},
)  # fmt: skip
RULES: tuple[OverrideRule, ...] = (*CHECKS, *FILE, *PRECISION, *EXPORTS, USE_CPU)
