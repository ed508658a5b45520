"""The script's Accelerator: whether DeepSpeed is used, mixed precision, gradient accumulation."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Expr,
    OverrideRule,
    all_of,
    any_of,
    choose,
    eq,
    fact,
    first_set,
    get,
    is_a,
    is_auto,
    is_set,
    lower,
    missing,
    no,
    one_of,
    text,
    to_text,
    truthy,
    type_name,
)
from dsbridge_accelerate.rules._make import (
    ACCELERATOR,
    ANY_CASE_SINCE,
    PLUGIN,
    STATE,
    USED,
    ev,
    given,
    refusal,
    since,
    until,
    write,
)

_U = {"deepspeed.used": True}
_ASKED = get("accelerator.mixed_precision")
_VARIABLE = get("env.ACCELERATE_USE_DEEPSPEED")
_WORDS = ["no", "fp8", "fp16", "bf16"]
_FROM_ENV = first_set(get("env.ACCELERATE_MIXED_PRECISION"), "no")
# set_mixed_precision's argument
CHOSEN = choose(given("accelerator.mixed_precision"), to_text(_ASKED), _FROM_ENV)
BF16 = one_of(CHOSEN, ["bf16", "fp8"])
_TRUE = ["true", "1", "yes", "on", "t", "y"]


def _used(code: str, condition: Expr, versions: Any, quote: str, version: str) -> OverrideRule:
    return write(
        code,
        "DeepSpeed is used where the environment says so",
        "script.arguments",
        all_of(missing(get("deepspeed.used")), condition),
        "deepspeed.used",
        True,
        "Without a DeepSpeedPlugin in the script, Accelerator builds one if ACCELERATE_USE_DEEPSPEED is "
        "true.",
        ev(ACCELERATOR, "326-348", quote, "environ/use", version),
        {"env.ACCELERATE_USE_DEEPSPEED": "true"},
        {"env.ACCELERATE_USE_DEEPSPEED": "1"},
        versions=versions,
    )


SCRIPT: tuple[OverrideRule, ...] = (
    refusal(
        "ACC180",
        "Accelerator takes four words for mixed_precision",
        "script.arguments",
        all_of(given("accelerator.mixed_precision"), no(one_of(to_text(_ASKED), _WORDS))),
        ("ValueError", text("Unknown mixed_precision mode: {}. Choose between {}", _ASKED, str(_WORDS)),
         ("accelerator.mixed_precision",)),
        "no, fp16, bf16 and fp8, in lower case.",
        ev(ACCELERATOR, "316", 'f"Unknown mixed_precision mode: {mixed_precision}. Choose between '
           '{PrecisionType.list()}"', "accelerator/wrong"),
        {"accelerator.mixed_precision": "half"},
        {"accelerator.mixed_precision": "bf16"},
        hint="Write no, fp16, bf16 or fp8.",
    ),
    write(
        "ACC181",
        "DeepSpeed is used where the script builds a DeepSpeedPlugin",
        "script.plugin",
        truthy(get("plugin.built")),
        "deepspeed.used",
        True,
        "Accelerator(deepspeed_plugin=...) turns DeepSpeed on under any launcher.",
        ev(ACCELERATOR, "368",
           'os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"  # use DeepSpeed if plugin is '
           "provided", "ds/as-is"),
        {"plugin.built": True},
        {"env.ACCELERATE_USE_DEEPSPEED": "true"},
    ),
    _used("ACC182", eq(lower(first_set(_VARIABLE, "")), "true"), since(ANY_CASE_SINCE),
          'if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"', "1.15.0"),
    _used("ACC183", eq(_VARIABLE, "true"), until(ANY_CASE_SINCE),
          'DeepSpeedPlugin() if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true" else None',
             "1.6.0"),
)  # fmt: skip

_STRANGE = get("plugin.strange")
SCRIPT = (
    *SCRIPT,
    refusal(
        "ACC206",
        "the script's own command line is refused",
        "script.plugin",
        is_set(get("script.problem")),
        ("SystemExit", get("script.problem"), ("script.problem",)),
        "The script's ArgumentParser stops before there is an Accelerator.",
        ev(ACCELERATOR, "282", "device_placement: bool = True,", "unread/parser-wrong"),
        {"script.problem": "train.py: error: …"},
        {},
        hint="Correct the words after the script.",
    ),
    refusal(
        "ACC207",
        "DeepSpeedPlugin has no such argument",
        "script.plugin",
        is_set(_STRANGE),
        ("TypeError", text("DeepSpeedPlugin.__init__() got an unexpected keyword argument '{}'", _STRANGE),
         ("plugin.strange",)),
        "Its fields are named as in the documentation: zero_stage, offload_optimizer_device, ...",
        ev(PLUGIN, "1122", "class DeepSpeedPlugin:", "plugin/unknown"),
        {"plugin.strange": "stage"},
        {"plugin.zero_stage": 3},
        hint="Correct the name of the argument.",
    ),
)  # fmt: skip

_CPU = any_of(
    truthy(get("accelerator.cpu")), one_of(lower(first_set(get("env.ACCELERATE_USE_CPU"), "")), _TRUE)
)
_UNWANTED = any_of(no(USED), _CPU)
CPU = (
    write(
        "ACC184",
        "DeepSpeed is not used",
        "script.cpu",
        all_of(is_set(get("ds")), _UNWANTED),
        "ds",
        UNSET,
        "Without a plugin or ACCELERATE_USE_DEEPSPEED, and on the CPU, nobody calls deepspeed.initialize.",
        ev(STATE, "974",
           'elif os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true" and not cpu:',
           "accelerator/cpu"),
        {"ds.zero_optimization.stage": 2, "accelerator.cpu": True},
        {"ds.zero_optimization.stage": 2, **_U},
    ),
    write(
        "ACC185",
        "on the CPU, DeepSpeed is left out",
        "script.cpu",
        all_of(USED, _CPU),
        "deepspeed.used",
        False,
        "cpu=True, --cpu or ACCELERATE_USE_CPU win over a DeepSpeedPlugin.",
        ev(STATE, "974",
           'elif os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true" and not cpu:',
           "accelerator/cpu"),
        {**_U, "accelerator.cpu": True},
        _U,
    ),
)  # fmt: skip


def _null(code: str, name: str, asked: str, moment: str, when: Expr, why: str, recorded: str) -> OverrideRule:
    path = f"ds.{name}"
    return refusal(
        code,
        f"{name} is no mapping",
        moment,
        all_of(USED, when, is_set(get(path)), no(is_a(get(path), "dict"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(get(path))), (path,)),
        why,
        ev(PLUGIN, "1437", 'diff_dtype = "bf16" if mixed_precision == "fp16" else "fp16"', recorded),
        {**_U, "accelerator.mixed_precision": asked, path: None},
        {**_U, "accelerator.mixed_precision": asked, path: {}},
        hint='Write {"enabled": "auto"}, or take the block out.',
    )


def _block(
    code: str, name: str, when: Expr, value: Any, lines: str, quote: str, recorded: str
) -> OverrideRule:
    return write(
        code,
        f"mixed precision {name} adds its block",
        "precision.block",
        all_of(USED, when, missing(get(f"ds.{name}"))),
        f"ds.{name}",
        value,
        "Accelerator's argument, else ACCELERATE_MIXED_PRECISION, makes the block where the config has none.",
        ev(PLUGIN, lines, quote, recorded),
        {**_U, "accelerator.mixed_precision": name},
        {**_U, "accelerator.mixed_precision": "no"},
    )


_OTHER = (("ACC189", "bf16", "fp16", eq(CHOSEN, "fp16")),
          ("ACC190", "fp16", "bf16", no(one_of(CHOSEN, ["fp16", "no"]))))  # fmt: skip


def _clash(code: str, other: str, own: str, when: Expr) -> OverrideRule:
    path = f"ds.{other}.enabled"
    return refusal(
        code,
        f"{other} is on in the config and {own} in Accelerator",
        "precision.check",
        all_of(USED, when, eq(lower(to_text(first_set(get(path), "False"))), "true")),
        (
            "ValueError",
            text(
                "`--mixed_precision` arg cannot be set to `{}` when `{}` is set in the DeepSpeed config "
                "file.",
                CHOSEN,
                other,
            ),
            (path,),
        ),
        "The two precisions exclude each other; an explicit false of one's own is not noticed.",
        ev(PLUGIN, "1440", 'f"`--mixed_precision` arg cannot be set to `{mixed_precision}` when '
           '`{diff_dtype}` is set in the DeepSpeed config file."', f"ds/{'fp16-' if own == 'fp16' else ''}"
           f"{other}-true"),
        {**_U, "accelerator.mixed_precision": own, path: True},
        {**_U, "accelerator.mixed_precision": own, path: False},
        hint='Write "enabled": "auto" in both blocks.',
    )  # fmt: skip


def _filled(code: str, name: str, value: Expr, recorded: str) -> OverrideRule:
    path = f"ds.{name}.enabled"
    return write(
        code,
        f'"auto" at {name}.enabled follows mixed precision',
        "precision.fill",
        all_of(USED, is_auto(get(path))),
        path,
        value,
        "Accelerator's mixed_precision, else ACCELERATE_MIXED_PRECISION, decides.",
        ev(PLUGIN, "1445-1446", f'self.fill_match("{name}.enabled", must_match=False, **kwargs)', recorded),
        {**_U, path: "auto"},
        {**_U, path: False},
    )


def _off(code: str, name: str, recorded: str) -> OverrideRule:
    return write(
        code,
        f"a missing {name} block is written as off",
        "precision.fill",
        all_of(USED, missing(get(f"ds.{name}"))),
        f"ds.{name}",
        {"enabled": False},
        "Both blocks always reach DeepSpeed; an old `bfloat16` block is defeated by this one.",
        ev(PLUGIN, "1444", 'ds_config[dtype] = {"enabled": False}', recorded),
        _U,
        {**_U, f"ds.{name}": {}},
    )


PRECISION = (
    refusal(
        "ACC186",
        "fp8 needs a package for it",
        "precision.block",
        all_of(USED, eq(CHOSEN, "fp8"), no(fact("fp8_available"))),
        ("ValueError", "Using `fp8` precision requires `transformer_engine` or `MS-AMP` to be installed.",
         ("accelerator.mixed_precision",)),
        "Transformer Engine, MS-AMP or torchao must be installed.",
        ev(STATE, "935-939",
           '"Using `fp8` precision requires `transformer_engine` or `MS-AMP` to be installed."',
           "environ/fp8"),
        {**_U, "accelerator.mixed_precision": "fp8", "fact.fp8_available": False},
        {**_U, "accelerator.mixed_precision": "fp8", "fact.fp8_available": True},
        hint="Install one of them, or choose bf16.",
    ),
    _block("ACC187", "fp16", eq(CHOSEN, "fp16"), {"enabled": True, "auto_cast": True}, "1424",
           'ds_config["fp16"] = {"enabled": True, "auto_cast": True}', "top/fp16"),
    _block("ACC188", "bf16", BF16, {"enabled": True}, "1427", 'ds_config["bf16"] = {"enabled": True}',
           "yaml/plain"),
    _null("ACC195", "bf16", "fp16", "precision.check", eq(CHOSEN, "fp16"),
          "Accelerator looks into the other precision's block.", "ds/fp16-bf16-null"),
    _null("ACC196", "fp16", "bf16", "precision.check", no(one_of(CHOSEN, ["fp16", "no"])),
          "Accelerator looks into the other precision's block.", "ds/fp16-null"),
    *(_clash(*row) for row in _OTHER),
    _filled("ACC191", "fp16", eq(CHOSEN, "fp16"), "ds/fp16-as-is"),
    _filled("ACC192", "bf16", BF16, "ds/as-is"),
    _off("ACC193", "fp16", "ds/no-precision"),
    _off("ACC194", "bf16", "top/fp16"),
)  # fmt: skip

RULES: tuple[OverrideRule, ...] = (*SCRIPT, *CPU, *PRECISION)
