"""auto_dtype_of_deepspeed_config: the two precision blocks, by what the GPU has."""

from __future__ import annotations

from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    eq,
    fact,
    get,
    is_a,
    is_auto,
    missing,
    no,
    same,
    text,
    truthy,
    type_name,
)
from dsbridge_xtuner.rules._make import CONVERTED, ev, refusal, write

_CODE = "tools/utils.py"
_FP16, _BF16 = get("ds.fp16"), get("ds.bf16")
_BOTH = all_of(truthy(_FP16), truthy(_BF16))
_ON = {"flags.deepspeed": "ds.json", "cfg.optim_wrapper.type": "AmpOptimWrapper"}
_WHY = "XTuner asks a block that is not empty for its keys, without looking at what it is."


def _no_mapping(code: str, block: str, quote: str, recorded: str) -> OverrideRule:
    value = get(f"ds.{block}")
    return refusal(
        code,
        f"`{block}` is no mapping",
        "deepspeed.precision",
        all_of(CONVERTED, truthy(value), no(is_a(value, "dict"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(value)), (f"ds.{block}",)),
        _WHY,
        ev("xtuner", _CODE, "0", quote, recorded),
        {**_ON, f"ds.{block}": True},
        {**_ON, f"ds.{block}": {}},
        hint=f'Write "{block}": {{"enabled": true}}, or leave it out.',
    )


def _filled(code: str, block: str, value: Expr | bool, why: str, quote: str, recorded: str) -> OverrideRule:
    return write(
        code,
        f"`{block}.enabled` follows the GPU",
        "deepspeed.precision",
        all_of(CONVERTED, is_auto(get(f"ds.{block}.enabled"))),
        f"ds.{block}.enabled",
        value,
        why,
        ev("xtuner", _CODE, "0", quote, recorded),
        {**_ON, f"ds.{block}.enabled": "auto", "fact.bf16_supported": True},
        {**_ON, f"ds.{block}.enabled": True},
    )


def _no_key(code: str, block: str, when: Expr, quote: str, recorded: str) -> OverrideRule:
    other = "bf16" if block == "fp16" else "fp16"
    return refusal(
        code,
        f"`{block}` has no `enabled`",
        "deepspeed.both",
        all_of(CONVERTED, _BOTH, missing(get(f"ds.{block}.enabled")), when),
        ("KeyError", "'enabled'", (f"ds.{block}.enabled",)),
        "With both blocks in the file XTuner looks at `enabled` of each.",
        ev("xtuner", _CODE, "0", quote, recorded),
        {**_ON, f"ds.{block}": {"x": 1}, f"ds.{other}.enabled": True},
        {**_ON, f"ds.{block}.enabled": False, f"ds.{other}.enabled": False},
        hint=f'Write "enabled" in `{block}`, or leave the block out.',
    )


PRECISION = (
    _no_mapping(
        "XT130", "fp16", 'if ds_config.get("fp16").get("enabled") == "auto":', "precision/fp16-is-true"
    ),
    _no_mapping(
        "XT131", "bf16", 'if ds_config.get("bf16").get("enabled") == "auto":', "precision/bf16-is-true"
    ),
    _filled(
        "XT132",
        "fp16",
        True,
        'fp16 "auto" is on wherever there is a GPU.',
        'ds_config["fp16"]["enabled"] = get_torch_device().is_available()',
        "precision/fp16-only-auto",
    ),
    _filled(
        "XT133",
        "bf16",
        fact("bf16_supported"),
        'bf16 "auto" is on where the GPU has it.',
        'ds_config["bf16"]["enabled"] = get_torch_device().is_bf16_supported()',
        "built-in/zero1-old-gpu",
    ),
    _no_key("XT134", "fp16", eq(1, 1), 'ds_config["fp16"]["enabled"] is True', "precision/fp16-no-enabled"),
    _no_key(
        "XT135",
        "bf16",
        same(get("ds.fp16.enabled"), True),
        'and ds_config["bf16"]["enabled"] is True',
        "precision/bf16-no-enabled",
    ),
    write(
        "XT136",
        "bf16 wins over fp16",
        "deepspeed.both",
        all_of(CONVERTED, same(get("ds.fp16.enabled"), True), same(get("ds.bf16.enabled"), True)),
        "ds.fp16.enabled",
        False,
        "Where both are on, XTuner switches fp16 off, also one that the file asks for.",
        ev("xtuner", _CODE, "0", 'ds_config["fp16"]["enabled"] = False', "precision/fp16-true-bf16-auto"),
        {**_ON, "ds.fp16.enabled": True, "ds.bf16.enabled": True},
        {**_ON, "ds.fp16.enabled": True, "ds.bf16.enabled": False},
        hint="To train in fp16, write bf16.enabled: false or leave bf16 out.",
    ),
)
