"""DeepSpeedPlugin: the config it makes of its fields, and what it writes into a given one."""

from __future__ import annotations

from dsbridge.rulebook import (
    UNSET,
    Expr,
    OverrideRule,
    all_of,
    among,
    any_of,
    block,
    choose,
    count,
    differs,
    eq,
    first_set,
    get,
    is_a,
    is_auto,
    is_set,
    less,
    lower,
    missing,
    no,
    one_of,
    same,
    split,
    text,
    truthy,
    type_name,
)
from dsbridge_accelerate.rules._make import (
    CONFIG,
    PLUGIN,
    USED,
    ev,
    not_given,
    refusal,
    write,
)

_U = {"deepspeed.used": True}
_F = {**_U, "deepspeed.file": True}
FILE = same(get("deepspeed.file"), True)
_STEPS = "gradient_accumulation_steps"


def _device(name: str) -> Expr:
    device = get(f"plugin.{name}_device")
    path = choose(eq(device, "nvme"), get(f"plugin.{name}_nvme_path"), None)
    return block({"device": device, "nvme_path": path})


_CLIP = get("plugin.gradient_clipping")
_MADE = block(
    {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        _STEPS: get(f"plugin.{_STEPS}"),
        "zero_optimization": block(
            {
                "stage": get("plugin.zero_stage"),
                "offload_optimizer": _device("offload_optimizer"),
                "offload_param": _device("offload_param"),
                "stage3_gather_16bit_weights_on_model_save": get("plugin.zero3_save_16bit_model"),
            }
        ),
        "gradient_clipping": choose(
            truthy(get("plugin.gradient_clipping")), get("plugin.gradient_clipping"), UNSET
        ),
    }
)
DEFAULT = (
    write(
        "ACC155",
        "a DeepSpeed config of the user's own is used",
        "plugin.default",
        all_of(USED, is_set(get("ds"))),
        "deepspeed.file",
        True,
        "A file or dict is completed; without one DeepSpeedPlugin makes a config of its fields.",
        ev(PLUGIN, "1268", "isinstance(self.hf_ds_config, dict)", "file/numbers"),
        {**_U, "ds.zero_optimization.stage": 2},
        _U,
    ),
    write(
        "ACC157",
        "DeepSpeedPlugin makes a config of its fields",
        "plugin.default",
        all_of(USED, missing(get("ds"))),
        "ds",
        _MADE,
        "Without a file the config is made from scratch: batch sizes are auto, both offload blocks are there "
        "at every stage, and a gradient_clipping of 0 is left out, so DeepSpeed's own default holds.",
        ev(PLUGIN, "1302-1323", "if self.gradient_clipping:", "yaml/clip-zero"),
        {**_U, "plugin.zero_stage": 2},
        {**_U, "ds.zero_optimization.stage": 2},
    ),
    write(
        "ACC265",
        "a gradient_clipping of 0 is left out",
        "plugin.default",
        all_of(USED, missing(get("ds")), is_a(_CLIP, "number"), no(truthy(_CLIP))),
        "ds.gradient_clipping",
        None,
        "Accelerate writes the key only if the number counts as true; DeepSpeed 0.19.8 then clips at 1.0.",
        ev(PLUGIN, "1321", "if self.gradient_clipping:", "yaml/clip-zero"),
        {**_U, "plugin.gradient_clipping": 0.0},
        {**_U, "plugin.gradient_clipping": 0.5},
        asked=_CLIP,
        hint="To turn clipping off, name a ds_config with gradient_clipping 0.0.",
    ),
    write(
        "ACC158",
        "a DeepSpeed config without gradient_accumulation_steps gets 1",
        "plugin.default",
        all_of(USED, is_set(get("ds")), missing(get(f"ds.{_STEPS}"))),
        f"ds.{_STEPS}",
        1,
        "Whatever Accelerator(gradient_accumulation_steps=...) or the YAML says, a missing key means 1.",
        ev(PLUGIN, "1275", 'self.hf_ds_config.config["gradient_accumulation_steps"] = 1',
           "ds/steps-gone"),
        {**_U, "ds.zero_optimization.stage": 2},
        {**_U, f"ds.{_STEPS}": 4},
        hint='Write "gradient_accumulation_steps": "auto" to have Accelerator\'s.',
    ),
)  # fmt: skip

IGNORED = [
    _STEPS,
    "gradient_clipping",
    "zero_stage",
    "offload_optimizer_device",
    "offload_param_device",
    "offload_param_nvme_path",
    "offload_optimizer_nvme_path",
    "zero3_save_16bit_model",
    "mixed_precision",
]
_FIELDS = split(first_set(get("env.ACCELERATE_CONFIG_DS_FIELDS"), ""), ",")
CHECK = (
    refusal(
        "ACC156",
        "a DeepSpeed config needs zero_optimization",
        "plugin.check",
        all_of(USED, FILE, missing(get("ds.zero_optimization"))),
        ("ValueError", "Please specify the ZeRO optimization config in the DeepSpeed config.",
         ("ds.zero_optimization",)),
        "Accelerate wants the block even for stage 0.",
        ev(PLUGIN, "1277",
           'raise ValueError("Please specify the ZeRO optimization config in the DeepSpeed config.")',
           "ds/zero-gone"),
        {**_F, "ds.gradient_clipping": 1.0},
        {**_F, "ds.zero_optimization": {"stage": 0}},
        hint='Write "zero_optimization": {"stage": 0}.',
    ),
    refusal(
        "ACC159",
        "settings in the YAML beside deepspeed_config_file",
        "plugin.check",
        all_of(USED, FILE, less(0, count(among(_FIELDS, IGNORED)))),
        ("ValueError",
         text("When using `deepspeed_config_file`, the following accelerate config variables will be "
            "ignored: "
              "{}.…", str(IGNORED)), ("env.ACCELERATE_CONFIG_DS_FIELDS",)),
        "These YAML keys would be ignored, so Accelerate refuses them, mixed_precision too; the same as "
        "flags "
        "are taken.",
        ev(PLUGIN, "1524-1531", "if any(name in env_variable_names_to_ignore for name in "
           "deepspeed_fields_from_accelerate_config):", "file/stage"),
        {**_F, "env.ACCELERATE_CONFIG_DS_FIELDS": "deepspeed_config_file,zero_stage"},
        {**_F, "env.ACCELERATE_CONFIG_DS_FIELDS": "deepspeed_config_file,zero3_init_flag"},
        hint="Take them out of the YAML and write them into the DeepSpeed config.",
    ),
)  # fmt: skip

_SAVE = "stage3_gather_16bit_weights_on_model_save"
FILLED = (
    (_STEPS, _STEPS, "file/flag-steps-auto"),
    ("gradient_clipping", "gradient_clipping", "file/flag-clip-auto"),
    ("zero_stage", "zero_optimization.stage", "ds/stage-auto"),
    ("offload_optimizer_device", "zero_optimization.offload_optimizer.device", "ds/offload-auto"),
    ("offload_param_device", "zero_optimization.offload_param.device", "ds/offload-param-auto"),
    ("offload_param_nvme_path", "zero_optimization.offload_param.nvme_path", "ds/offload-param-auto"),
    ("offload_optimizer_nvme_path", "zero_optimization.offload_optimizer.nvme_path", "ds/offload-auto"),
    ("zero3_save_16bit_model", f"zero_optimization.{_SAVE}", "ds/buckets"),
)


def _fill(code: str, name: str, path: str, recorded: str) -> OverrideRule:
    return write(
        code,
        f'"auto" at {path} becomes DeepSpeedPlugin\'s {name}',
        "plugin.fill",
        all_of(USED, FILE, is_auto(get(f"ds.{path}")), no(is_auto(get(f"plugin.{name}")))),
        f"ds.{path}",
        get(f"plugin.{name}"),
        "Constructor argument, else flag or YAML, else the plugin's own default: stage 2, device none, "
        "false.",
        ev(PLUGIN, "1290",
           "kwargs = {v: getattr(self, k) for k, v in plugin_to_config_mapping.items() if "
           "getattr(self, k) is not None}", recorded),
        {**_F, f"ds.{path}": "auto", f"plugin.{name}": 3},
        {**_F, f"ds.{path}": 1, f"plugin.{name}": 3},
    )  # fmt: skip


def _ignored(code: str, name: str, path: str, variable: str, recorded: str) -> OverrideRule:
    wished = any_of(is_set(get(f"env.{variable}")), is_set(get(f"plugin.asked.{name}")))
    return write(
        code,
        f"DeepSpeedPlugin's {name} gives way to the DeepSpeed config",
        "plugin.fill",
        all_of(
            USED,
            FILE,
            wished,
            is_set(get(f"ds.{path}")),
            no(is_auto(get(f"ds.{path}"))),
            differs(get(f"ds.{path}"), get(f"plugin.{name}")),
        ),
        f"ds.{path}",
        None,
        "A value in the file stands; only an `auto` there is filled from fields and flags.",
        ev(PLUGIN, "1292", "self.fill_match(key, **kwargs, must_match=False)", recorded),
        {**_F, f"ds.{path}": 1, f"plugin.{name}": 3, f"env.{variable}": "3"},
        {**_F, f"ds.{path}": "auto", f"plugin.{name}": 3, f"env.{variable}": "3"},
        asked=get(f"plugin.{name}"),
        hint=f'Write "auto" at {path}, or the value itself.',
    )


def _no_get(code: str, name: str) -> OverrideRule:
    path = f"ds.zero_optimization.{name}"
    return refusal(
        code,
        f"{name} is no mapping",
        "plugin.fill",
        all_of(USED, FILE, is_set(get(path)), no(is_a(get(path), "dict", "null"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(get(path))), (path,)),
        "HfDeepSpeedConfig looks for keys below it.",
        ev(
            CONFIG,
            "188",
            "config = config.get(node)",
            "ds/offload-text-1-clash" if "optimizer" in name else "ds/offload-param-text-1",
        ),
        {**_F, path: "cpu"},
        {**_F, path: {"device": "cpu"}},
        hint='Write {"device": "cpu"}.',
    )


FILL = (
    _no_get("ACC160", "offload_optimizer"),
    _no_get("ACC161", "offload_param"),
    *(_fill(f"ACC{162 + index}", *row) for index, row in enumerate(FILLED)),
    *(
        _ignored(code, *row)
        for code, row in (
            ("ACC170", (*FILLED[0][:2], "ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "file/flag-steps-numbers")),
            ("ACC171", (*FILLED[1][:2], "ACCELERATE_GRADIENT_CLIPPING", "file/flag-clip-numbers")),
            ("ACC172", (*FILLED[2][:2], "ACCELERATE_DEEPSPEED_ZERO_STAGE", "file/flag-stage-numbers")),
        )
    ),
)

_INIT = get("env.ACCELERATE_DEEPSPEED_ZERO3_INIT")
_WORDS = ["y", "yes", "t", "true", "on", "1", "n", "no", "f", "false", "off", "0"]
_MSAMP = all_of(
    USED,
    any_of(
        truthy(get("plugin.enable_msamp")),
        all_of(not_given("plugin.enable_msamp"), eq(get("env.ACCELERATE_FP8_BACKEND"), "MSAMP")),
    ),
    missing(get("ds.msamp")),
)
FINISH = (
    write(
        "ACC173",
        "steps_per_print is always infinite",
        "plugin.finish",
        USED,
        "ds.steps_per_print",
        float("inf"),
        "Accelerate silences DeepSpeed's own progress lines, whatever the config says.",
        ev(PLUGIN, "1326", 'self.deepspeed_config["steps_per_print"] = float("inf")', "ds/steps-per-print"),
        {**_U, "ds.steps_per_print": 10},
        {"deepspeed.used": False},
    ),
    refusal(
        "ACC174",
        "zero3_init_flag is no truth value",
        "plugin.init",
        all_of(USED, not_given("plugin.zero3_init_flag"), is_set(_INIT), no(one_of(lower(_INIT), _WORDS))),
        ("ValueError", text("invalid truth value {}", lower(_INIT)),
         ("env.ACCELERATE_DEEPSPEED_ZERO3_INIT",)),
        "yes and no, true and false, on and off, 1 and 0 are taken.",
        ev(PLUGIN, "1327-1336", '"ACCELERATE_DEEPSPEED_ZERO3_INIT",', "yaml/init-wrong"),
        {**_U, "env.ACCELERATE_DEEPSPEED_ZERO3_INIT": "auto"},
        {**_U, "env.ACCELERATE_DEEPSPEED_ZERO3_INIT": "true"},
        hint="Write `zero3_init_flag: true` or false.",
    ),
    refusal(
        "ACC176",
        "MS-AMP and ZeRO-3 do not go together",
        "plugin.init",
        all_of(_MSAMP, eq(get("ds.zero_optimization.stage"), 3)),
        (
            "NotImplementedError",
            "MS-AMP is not supported for ZeRO Stage 3. Please use ZeRO Stage 0, 1, or 2 instead.",
            ("ds.zero_optimization.stage", "plugin.enable_msamp"),
        ),
        "MS-AMP patches DeepSpeed's stages up to 2.",
        ev(
            PLUGIN,
            "1348",
            '"MS-AMP is not supported for ZeRO Stage 3. Please use ZeRO Stage 0, 1, or 2 instead."',
            "plugin/msamp-3",
        ),
        {**_U, "plugin.enable_msamp": True, "ds.zero_optimization.stage": 3},
        {**_U, "plugin.enable_msamp": True, "ds.zero_optimization.stage": 2},
        hint="Choose ZeRO stage 2 at most, or leave MS-AMP out.",
    ),
    write(
        "ACC175",
        "MS-AMP gets a block of its own",
        "plugin.init",
        _MSAMP,
        "ds.msamp",
        block({"enabled": True, "opt_level": first_set(get("plugin.msamp_opt_level"), "O1")}),
        "enable_msamp, or the FP8 backend MSAMP, is written into the config.",
        ev(PLUGIN, "1347-1358", 'self.deepspeed_config["msamp"] = {', "plugin/msamp"),
        {**_U, "plugin.enable_msamp": True},
        _U,
    ),
)  # fmt: skip
RULES: tuple[OverrideRule, ...] = (*DEFAULT, *CHECK, *FILL, *FINISH)
