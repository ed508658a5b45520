"""DeepSpeedPlugin: what it takes from the environment, the file it opens, the config it makes."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_digits,
    all_of,
    any_of,
    choose,
    eq,
    first_set,
    get,
    is_a,
    is_auto,
    is_set,
    lower,
    missing,
    no,
    one_of,
    reads_as_float,
    reads_as_int,
    same,
    text,
    to_float,
    to_int,
    type_name,
)
from dsbridge_accelerate.rules._make import (
    ANY_CASE_SINCE,
    CONFIG,
    PLUGIN,
    USED,
    ev,
    not_given,
    refusal,
    since,
    until,
    write,
)

_U = {"deepspeed.used": True}
_F = {**_U, "deepspeed.file": True}
_CLIP = get("env.ACCELERATE_GRADIENT_CLIPPING")
_STAGE = get("env.ACCELERATE_DEEPSPEED_ZERO_STAGE")
_STEPS = get("env.ACCELERATE_GRADIENT_ACCUMULATION_STEPS")

ENVIRONMENT: tuple[OverrideRule, ...] = (
    refusal(
        "ACC140",
        "gradient clipping from the environment is no number",
        "plugin.environment",
        all_of(USED, not_given("plugin.gradient_clipping"), is_set(_CLIP), no(is_auto(_CLIP)),
               no(reads_as_float(_CLIP))),
        ("ValueError", text("could not convert string to float: '{}'", _CLIP),
         ("env.ACCELERATE_GRADIENT_CLIPPING",)),
        "DeepSpeedPlugin calls float() on it; only `auto` may stand there instead.",
        ev(PLUGIN, "1235",
           'self.gradient_clipping = gradient_clipping if gradient_clipping == "auto" else '
           "float(gradient_clipping)", "yaml/clip-text"),
        {**_U, "env.ACCELERATE_GRADIENT_CLIPPING": "none"},
        {**_U, "env.ACCELERATE_GRADIENT_CLIPPING": "1.0"},
        hint="Leave `gradient_clipping` out, or write a number.",
    ),
    refusal(
        "ACC141",
        "the ZeRO stage from the environment is no integer",
        "plugin.environment",
        all_of(USED, not_given("plugin.zero_stage"), is_set(_STAGE), no(reads_as_int(_STAGE))),
        ("ValueError", text("invalid literal for int() with base 10: '{}'", _STAGE),
         ("env.ACCELERATE_DEEPSPEED_ZERO_STAGE",)),
        "DeepSpeedPlugin calls int() on it.",
        ev(PLUGIN, "1238", 'self.zero_stage = int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", 2))',
           "yaml/stage-text"),
        {**_U, "env.ACCELERATE_DEEPSPEED_ZERO_STAGE": "two"},
        {**_U, "env.ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
        hint="Write `zero_stage:` 0, 1, 2 or 3.",
    ),
)  # fmt: skip


def _default(
    code: str, name: str, variable: str, value: Any, line: tuple[str, str, str], **more: Any
) -> OverrideRule:
    lines, quote, recorded = line
    return write(
        code,
        f"DeepSpeedPlugin's {name} comes from the environment",
        "plugin.environment",
        all_of(USED, not_given(f"plugin.{name}")),
        f"plugin.{name}",
        value,
        "What the constructor was not given is taken from the variable that accelerate launch sets.",
        ev(PLUGIN, lines, quote, recorded),
        {**_U, f"env.{variable}": "1"},
        {**_U, f"plugin.{name}": 1},
        **more,
    )


def _text_of(name: str, variable: str, code: str, lines: str, recorded: str, quote: str) -> OverrideRule:
    return _default(code, name, variable, first_set(get(f"env.{variable}"), "none"), (lines, quote, recorded))


_SAVE = get("env.ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL")
_SAVE_QUOTE = 'os.environ.get("ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL", "false").lower() == "true"'
DEFAULTS = (
    _default(
        "ACC142",
        "gradient_accumulation_steps",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
        choose(all_digits(_STEPS), to_int(_STEPS), first_set(_STEPS, "auto")),
        ("1231", "self.gradient_accumulation_steps = int(gas) if gas.isdigit() else gas",
         "yaml/steps-4"),
    ),
    _default(
        "ACC143",
        "gradient_clipping",
        "ACCELERATE_GRADIENT_CLIPPING",
        choose(any_of(missing(_CLIP), is_auto(_CLIP)), "auto", to_float(_CLIP)),
        ("1234", 'gradient_clipping = os.environ.get("ACCELERATE_GRADIENT_CLIPPING", "auto")',
         "yaml/clip-half"),
    ),
    _default(
        "ACC144",
        "zero_stage",
        "ACCELERATE_DEEPSPEED_ZERO_STAGE",
        to_int(first_set(_STAGE, 2)),
        ("1238", 'self.zero_stage = int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", 2))',
         "yaml/stage-1"),
    ),
    _text_of(
        "offload_optimizer_device", "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "ACC145", "1241",
        "yaml/offload-cpu",
        'self.offload_optimizer_device = os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", '
        '"none")',
    ),
    _text_of(
        "offload_param_device", "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "ACC146", "1244",
        "yaml/offload-cpu-3",
        'self.offload_param_device = os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "none")',
    ),
    _text_of(
        "offload_optimizer_nvme_path", "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH", "ACC147",
        "1248", "ds/offload-auto", '"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH", "none"',
    ),
    _text_of(
        "offload_param_nvme_path", "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH", "ACC148", "1252",
        "environ/nvme",
        'self.offload_param_nvme_path = os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH", '
        '"none")',
    ),
    _default(
        "ACC149",
        "zero3_save_16bit_model",
        "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL",
        eq(lower(first_set(_SAVE, "false")), "true"),
        ("1256", _SAVE_QUOTE, "environ/save"),
        versions=since(ANY_CASE_SINCE),
    ),
    _default(
        "ACC150",
        "zero3_save_16bit_model",
        "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL",
        eq(_SAVE, "true"),
        ("1256", _SAVE_QUOTE, "environ/save"),
        versions=until(ANY_CASE_SINCE),
    ),
)  # fmt: skip

_BLOCK = get("ds.zero_optimization")
_OPENED = all_of(USED, is_set(get("ds")))


def _no_get(code: str, path: str, moment: str, when: Expr, lines: str, recorded: str) -> OverrideRule:
    """Python's words at `block.get(...)` where the block is no mapping."""
    return refusal(
        code,
        f"{path} is no mapping",
        moment,
        all_of(USED, when, is_set(get(f"ds.{path}")), no(is_a(get(f"ds.{path}"), "dict", "null"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(get(f"ds.{path}"))),
         (f"ds.{path}",)),
        "HfDeepSpeedConfig looks for keys below it.",
        ev(CONFIG, lines, "config = config.get(node)", recorded),
        {**_F, f"ds.{path}": True, "ds.zero_optimization.stage": 2}
        if "." in path else {**_F, f"ds.{path}": True},
        {**_F, f"ds.{path}": {}},
        hint="Write a mapping, or take the key out.",
    )  # fmt: skip


_EARLY = one_of(get("ds.zero_optimization.stage"), [2, 3])
OPEN = (
    refusal(
        "ACC151",
        "the DeepSpeed config cannot be opened",
        "plugin.open",
        all_of(USED, is_set(get("dsfile.problem"))),
        (get("dsfile.problem.type"), get("dsfile.problem.message"), ("dsfile",)),
        "It must be a file of strict JSON, or JSON itself, plain or in base64.",
        ev(CONFIG, "149-158",
           'f"Expected a string path to an existing deepspeed config, or a dictionary, or a base64 '
           'encoded string. '
           'Received: {config_file_or_dict}"', "file/missing"),
        {**_U, "dsfile.problem": {"type": "ValueError", "message": "…"}},
        _U,
        hint="Paths are relative to the folder the command runs in; JSON has no comments.",
    ),
    _no_get("ACC152", "zero_optimization", "plugin.open", is_set(get("ds")), "183-189", "ds/zero-true-clash"),
    _no_get("ACC153", "zero_optimization.offload_optimizer", "plugin.open", _EARLY, "183-189",
            "file/offload-optimizer-text"),
    _no_get("ACC154", "zero_optimization.offload_param", "plugin.open", _EARLY, "183-189",
            "file/offload-param-text"),
)  # fmt: skip

_FILE = same(get("deepspeed.file"), True)
RULES: tuple[OverrideRule, ...] = (*ENVIRONMENT, *DEFAULTS, *OPEN)
