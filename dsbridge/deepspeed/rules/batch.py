"""DeepSpeedConfig: the three batch sizes, then what does not go together."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import RANKS, ev, refusal, write
from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    any_of,
    at_most,
    choose,
    differs,
    first_set,
    floor_div,
    get,
    is_a,
    is_set,
    item,
    mul,
    no,
    text,
    trouble,
)

TOTAL, MICRO, STEPS = "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"
# Ranks that DeepSpeed divides the batch by.
WORLD = first_set(get("init.world_size"), RANKS)
_T, _M, _G = get(f"engine.{TOTAL}"), get(f"engine.{MICRO}"), get(f"engine.{STEPS}")


def _given(value: Expr) -> Expr:
    return all_of(is_set(value), no(is_a(value, "null")))


_HAS_T, _HAS_M, _HAS_G = _given(_T), _given(_M), _given(_G)
_CODE = "runtime/config.py"


def _repeated(*values: Expr) -> Expr:
    """Python repeats a text or list that is multiplied; only its type matters afterwards."""
    product = mul(*values)
    for kind, empty in (("list", []), ("str", "")):
        product = choose(any_of(*(is_a(value, kind) for value in values)), empty, product)
    return product


_PLACES = (TOTAL, MICRO, STEPS)


def _fails(
    code: str,
    title: str,
    when: Expr,
    found: Expr,
    fields: Any,
    line: tuple[str, str, str],
    fires: dict[str, Any],
) -> OverrideRule:
    """Python cannot calculate with what is given."""
    number, quote, recorded = line
    return refusal(
        code,
        title,
        "config.batch",
        all_of(when, is_set(found)),
        (item(found, "type"), item(found, "message"), fields),
        'DeepSpeed calculates with the batch sizes before it checks them; nobody fills an "auto" here.',
        ev(_CODE, number, quote, recorded),
        {**fires, "fact.world_size": 2},
        {f"engine.{TOTAL}": 8, f"engine.{MICRO}": 2, "fact.world_size": 2},
        hint="Write whole numbers.",
    )


DERIVE = (
    _fails(
        "DS145",
        "the total cannot be divided by the micro batch",
        all_of(_HAS_T, _HAS_M, no(_HAS_G)),
        trouble("//", _T, _M),
        (TOTAL, MICRO),
        ("621", "grad_acc = train_batch // micro_batch", "batch/total-string"),
        {f"engine.{TOTAL}": "8", f"engine.{MICRO}": 2},
    ),
    _fails(
        "DS146",
        "the total cannot be divided by the ranks",
        all_of(_HAS_T, no(_HAS_M)),
        trouble("//", _T, WORLD),
        (TOTAL,),
        ("627", "micro_batch = train_batch // self.world_size", "batch/total-auto-alone"),
        {f"engine.{TOTAL}": "auto"},
    ),
    _fails(
        "DS147",
        "what a rank gets cannot be divided by the accumulation steps",
        all_of(_HAS_T, no(_HAS_M), _HAS_G, is_a(_T, "number")),
        trouble("//=", floor_div(_T, WORLD), _G),
        (STEPS,),
        ("628", "micro_batch //= grad_acc", "batch/total-and-gas-zero"),
        {f"engine.{TOTAL}": 8, f"engine.{STEPS}": 0},
    ),
    _fails(
        "DS275",
        "the micro batch cannot be multiplied by the accumulation steps",
        all_of(no(_HAS_T), _HAS_M, _HAS_G),
        trouble("*", _M, _G),
        (MICRO, STEPS),
        ("633", "train_batch_size = micro_batch * grad_acc", "batch/micro-and-gas-auto"),
        {f"engine.{MICRO}": "auto", f"engine.{STEPS}": "auto"},
    ),
    refusal(
        "DS148",
        "no batch size is given",
        "config.batch",
        no(any_of(_HAS_T, _HAS_M)),
        (
            "AssertionError",
            "Either train_batch_size or train_micro_batch_size_per_gpu needs to be provided",
            (TOTAL, MICRO),
        ),
        "The accumulation steps alone do not say how large a batch is.",
        ev(
            _CODE,
            "650",
            "'Either train_batch_size or train_micro_batch_size_per_gpu needs to be provided'",
            "batch/none",
        ),
        {"engine.gradient_accumulation_steps": 2},
        {f"engine.{MICRO}": 2},
        hint="Write train_micro_batch_size_per_gpu.",
    ),
    write(
        "DS149",
        "the accumulation steps",
        "config.batch",
        is_set(get("engine")),
        f"made.{STEPS}",
        choose(_HAS_G, _G, choose(all_of(_HAS_T, _HAS_M), floor_div(floor_div(_T, _M), WORLD), 1)),
        "Missing accumulation steps are what the total leaves, or 1.",
        ev(_CODE, "621-623", "grad_acc //= self.world_size", "batch/total-and-micro"),
        {f"engine.{TOTAL}": 8, f"engine.{MICRO}": 2, "fact.world_size": 2},
        {},
    ),
    write(
        "DS150",
        "the micro batch",
        "config.batch",
        is_set(get("engine")),
        f"made.{MICRO}",
        choose(_HAS_M, _M, choose(_HAS_G, floor_div(floor_div(_T, WORLD), _G), floor_div(_T, WORLD))),
        "A missing micro batch is the total divided by the ranks and the accumulation steps, rounded down.",
        ev(_CODE, "627-629", "self.train_micro_batch_size_per_gpu = micro_batch", "batch/total-and-gas"),
        {f"engine.{TOTAL}": 8, "fact.world_size": 2},
        {},
    ),
    write(
        "DS151",
        "the total",
        "config.batch",
        is_set(get("engine")),
        f"made.{TOTAL}",
        choose(_HAS_T, _T, choose(_HAS_G, _repeated(_M, _G, WORLD), _repeated(_M, WORLD))),
        "A missing total is micro batch times accumulation steps times ranks.",
        ev(_CODE, "633-635", "train_batch_size *= self.world_size", "batch/micro-alone"),
        {f"engine.{MICRO}": 2, "fact.world_size": 2},
        {},
    ),
)


def _positive(
    codes: tuple[str, str], name: str, label: str, fields: Any, lines: tuple[str, str, str]
) -> tuple[OverrideRule, ...]:
    """assert x > 0."""
    value = get(f"made.{name}")
    wrong = trouble(">", value, 0)
    number, text_id, small_id = lines
    quote = 'has to be greater than 0"'
    return (
        refusal(
            codes[0],
            f"{name} is no number",
            "config.batch_check",
            is_set(wrong),
            ("TypeError", item(wrong, "message"), fields),
            'DeepSpeed compares it with 0; nobody fills an "auto" here.',
            ev(_CODE, number, quote, text_id),
            {f"made.{name}": "auto"},
            {f"made.{name}": 2},
            hint="Write whole numbers.",
        ),
        refusal(
            codes[1],
            f"{name} is not above 0",
            "config.batch_check",
            at_most(value, 0),
            ("AssertionError", text(label + ": {} has to be greater than 0", value), fields),
            "A batch has samples. A total smaller than ranks and steps ask for is rounded down to 0.",
            ev(_CODE, number, quote, small_id),
            {f"made.{name}": 0},
            {f"made.{name}": 2},
        ),
    )


_NUMBERS = tuple(get(f"made.{name}") for name in _PLACES)
_PRODUCT = mul(_NUMBERS[1], _NUMBERS[2], WORLD)
_SUM_FIELDS = choose(_HAS_T, (TOTAL,), (MICRO, STEPS))
CHECK_BATCH = (
    *_positive(
        ("DS152", "DS153"),
        TOTAL,
        "Train batch size",
        _SUM_FIELDS,
        ("596", "batch/micro-auto", "batch/micro-zero"),
    ),
    *_positive(
        ("DS154", "DS155"),
        MICRO,
        "Micro batch size per gpu",
        (MICRO, TOTAL),
        ("598", "batch/all-three-micro-auto", "batch/total-alone-one"),
    ),
    *_positive(
        ("DS156", "DS157"),
        STEPS,
        "Gradient accumulation steps",
        (STEPS, TOTAL),
        ("600", "batch/all-three-gas-auto", "batch/total-and-micro-too-small"),
    ),
    refusal(
        "DS158",
        "the batch sizes do not multiply",
        "config.batch_check",
        differs(_NUMBERS[0], _PRODUCT),
        (
            "AssertionError",
            text(
                "Check batch related parameters. train_batch_size is not equal to "
                "micro_batch_per_gpu * gradient_acc_step * world_size {} != {} * {} * {}",
                *_NUMBERS,
                WORLD,
            ),
            _PLACES,
        ),
        "The total must be micro batch times accumulation steps times ranks; a rounded one is not.",
        ev(
            _CODE,
            "602-605",
            'f"Check batch related parameters. train_batch_size is not equal "',
            "batch/all-three-wrong",
        ),
        {f"made.{TOTAL}": 9, f"made.{MICRO}": 2, f"made.{STEPS}": 1, "fact.world_size": 2},
        {f"made.{TOTAL}": 4, f"made.{MICRO}": 2, f"made.{STEPS}": 1, "fact.world_size": 2},
        hint="Leave one of the three out; DeepSpeed derives it.",
    ),
)
