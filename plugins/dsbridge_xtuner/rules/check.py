"""check_cfg of tools/train.py: variable length attention and sequence parallel."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    Expr,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    fact,
    first_set,
    get,
    is_a,
    less,
    missing,
    no,
    text,
)
from dsbridge_xtuner.rules._make import TRAIN, ev, lacks, on, refusal

SEQUENCE = first_set(get("cfg.sequence_parallel_size"), 1)
_VARLEN = on("cfg.use_varlen_attn")
_BATCH = get("cfg.train_dataloader.batch_size")
_ATTENTION = get("cfg.model.llm.attn_implementation")
_OTHER = no(any_of(missing(_ATTENTION), is_a(_ATTENTION, "null"), eq(_ATTENTION, "flash_attention_2")))
_FLASH = "Install flash_attn."
_MANY = choose(is_a(SEQUENCE, "number"), less(1, SEQUENCE), False)


def _assertion(
    code: str,
    title: str,
    when: Expr,
    message: Any,
    fields: tuple[str, ...],
    hint: str,
    quote: str,
    recorded: str,
    fires: dict[str, Any],
    holds: dict[str, Any],
) -> Any:
    why = "check_cfg looks at this before the model is loaded."
    proof = ev("xtuner", TRAIN, "0", quote, recorded)
    return refusal(
        code,
        title,
        "check",
        when,
        ("AssertionError", message, fields),
        why,
        proof,
        fires,
        holds,
        hint=hint,
    )


CHECK = (
    lacks(
        "XT110",
        "train_dataloader.batch_size",
        "check",
        _VARLEN,
        "With variable length attention XTuner compares the batch size with 1.",
        ev(
            "xtuner",
            TRAIN,
            "0",
            'if getattr(cfg, "use_varlen_attn", False) and cfg.train_dataloader.batch_size > 1:',
            "sequence/varlen-batch-missing",
        ),
        {"cfg.use_varlen_attn": True, "cfg.train_dataloader": {}},
        {"cfg.use_varlen_attn": True, "cfg.train_dataloader.batch_size": 1},
    ),
    refusal(
        "XT111",
        "variable length attention takes one packed sample at a time",
        "check",
        all_of(_VARLEN, choose(is_a(_BATCH, "number"), less(1, _BATCH), False)),
        (
            "NotImplementedError",
            text("If utilizing varlen attention, the batch size should be set to 1, but got {}", _BATCH),
            ("cfg.train_dataloader.batch_size",),
        ),
        "Samples are packed into one row, so the batch size must be 1.",
        ev("xtuner", TRAIN, "0", "raise NotImplementedError(", "sequence/varlen-batch-2"),
        {"cfg.use_varlen_attn": True, "cfg.train_dataloader.batch_size": 2},
        {"cfg.use_varlen_attn": False, "cfg.train_dataloader.batch_size": 2},
        hint="Write batch_size = 1, and raise accumulative_counts instead.",
    ),
    _assertion(
        "XT112",
        "sequence parallel needs flash_attn",
        all_of(_MANY, no(fact("flash_attn"))),
        "`flash_attn` is required if you want to use sequence parallel.",
        ("cfg.sequence_parallel_size",),
        _FLASH,
        '"`flash_attn` is required if you want to use " "sequence parallel."',
        "sequence/no-flash",
        {"cfg.sequence_parallel_size": 2, "fact.flash_attn": False},
        {"cfg.sequence_parallel_size": 1},
    ),
    _assertion(
        "XT113",
        "sequence parallel takes no other attention",
        all_of(_MANY, _OTHER),
        text(
            "If you want to use sequence parallel, please set attn_implementation to `flash_attention_2` or "
            "do not set this attribute. Got `{}` .",
            _ATTENTION,
        ),
        ("cfg.model.llm.attn_implementation",),
        "Leave attn_implementation out.",
        '"If you want to use sequence parallel, please set "',
        "sequence/sdpa",
        {"cfg.sequence_parallel_size": 2, "cfg.model.llm.attn_implementation": "sdpa"},
        {"cfg.sequence_parallel_size": 2},
    ),
    _assertion(
        "XT114",
        "variable length attention needs flash_attn",
        all_of(_VARLEN, no(fact("flash_attn"))),
        "`flash_attn` is required if you set `use_varlen_attn` to True.",
        ("cfg.use_varlen_attn",),
        _FLASH,
        '"`flash_attn` is required if you set " "`use_varlen_attn` to True."',
        "sequence/varlen-no-flash",
        {"cfg.use_varlen_attn": True, "fact.flash_attn": False},
        {"cfg.use_varlen_attn": False},
    ),
    _assertion(
        "XT115",
        "variable length attention takes no other attention",
        all_of(_VARLEN, _OTHER),
        text(
            "If you want to set `use_varlen_attn` to True, please set attn_implementation to "
            "`flash_attention_2` or do not set this attribute. Got `{}` .",
            _ATTENTION,
        ),
        ("cfg.model.llm.attn_implementation",),
        "Leave attn_implementation out.",
        '"If you want to set `use_varlen_attn` to True, please set"',
        "sequence/varlen-sdpa",
        {"cfg.use_varlen_attn": True, "cfg.model.llm.attn_implementation": "sdpa"},
        {"cfg.use_varlen_attn": True},
    ),
    _assertion(
        "XT116",
        "sequence parallel needs DeepSpeed",
        all_of(missing(get("flags.deepspeed")), differs(SEQUENCE, 1)),
        "Sequence parallel training without DeepSpeed lacks validation.Please use DeepSpeed to optimize the "
        "training phase by `--deepspeed deepspeed_zero1 (deepspeed_zero2 or deepspeed_zero3)`.",
        ("cfg.sequence_parallel_size",),
        "Give --deepspeed deepspeed_zero2.",
        '"Sequence parallel training without DeepSpeed lacks validation."',
        "sequence/no-deepspeed",
        {"cfg.sequence_parallel_size": 2},
        {"cfg.sequence_parallel_size": 2, "flags.deepspeed": "ds.json"},
    ),
)
