"""The names that LLaMA-Factory's YAML and flags take, by its version and that of Transformers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from dsbridge.rulebook import Versions, numbers
from dsbridge.sdk import REFUSED, Argument, Vocabulary, vocabulary
from dsbridge_llamafactory import v1_table
from dsbridge_llamafactory.flags import NEWEST, deprecated, evaluation, megatron, rows
from dsbridge_llamafactory.flags import Argument as Row
from dsbridge_trainer import vocabulary as trainer

SURFACES = ("yaml", "flags", "v1")
NEWEST_TRANSFORMERS = "5.6.0"  # what 0.9.5 allows: its own check refuses newer ones
KINDS = {"str": "text"}
MEGATRON_SINCE = (0, 9, 4)
# what other tools call it; only a hint, so a wrong guess costs nobody anything
MEANT = {
    **dict.fromkeys(("model_max_length", "max_seq_length", "max_seq_len", "seq_length"), "cutoff_len"),
    **dict.fromkeys(
        ("trainer_backend", "deepspeed_config", "deepspeed_config_file", "ds_config"), "deepspeed"
    ),
    **dict.fromkeys(("lora_r", "rank"), "lora_rank"),
    **dict.fromkeys(("lora_target_modules", "target_modules"), "lora_target"),
    **dict.fromkeys(("load_in_4bit", "load_in_8bit", "bits"), "quantization_bit"),
    **dict.fromkeys(("lr",), "learning_rate"),
    **dict.fromkeys(("epochs", "num_epochs"), "num_train_epochs"),
    **dict.fromkeys(("micro_batch_size", "batch_size"), "per_device_train_batch_size"),
    **dict.fromkeys(("scheduler", "lr_scheduler"), "lr_scheduler_type"),
    # its own names before 0.9
    **dict.fromkeys(("dpo_ftx", "kto_ftx"), "pref_ftx"),
    "dpo_beta": "pref_beta",
    "dpo_loss": "pref_loss",
    "name_module_trainable": "freeze_trainable_modules",
    "num_layer_trainable": "freeze_trainable_layers",
    "image_max_resolution": "image_max_pixels",
    "video_max_resolution": "video_max_pixels",
    **dict.fromkeys(("gradient_clipping", "clip_grad", "max_norm"), "max_grad_norm"),
}


def known(versions: Versions, surface: str) -> Vocabulary | None:
    """The training YAML, the same as flags, or V1's YAML; None for another surface."""
    own = versions.get("llamafactory", NEWEST)
    if surface == "v1":
        return _v1(own)
    if surface not in SURFACES:
        return None
    return _known(own, versions.get("transformers", NEWEST_TRANSFORMERS))


@cache
def _known(own: str, transformers: str) -> Vocabulary:
    """HfArgumentParser refuses an unknown name in the YAML and on the command line alike.

    With ALLOW_EXTRA_ARGS=1 it ignores it: 0.9.5 hparams/parser.py:193-204.
    """
    fates = trainer.fates(transformers, "flags") | {"": REFUSED}
    under = dict.fromkeys(megatron(), "USE_MCA=1") if numbers(own) >= MEGATRON_SINCE else {}
    return vocabulary(_rows(own, transformers), fates)._replace(meant=MEANT, under=under)


def _rows(own: str, transformers: str) -> Iterator[tuple[bool, Argument]]:
    """LLaMA-Factory's own win over Transformers', and both over what only `llamafactory-cli eval` takes."""
    mine = {name: row for name, row in rows() if row.package == "llamafactory"}
    taken = {name for name, row in mine.items() if _held(row, own)}
    theirs = [
        (have, argument)
        for have, argument in trainer.inherited(transformers)
        if argument.block or argument.name not in taken
    ]
    taken |= {argument.name for have, argument in theirs if have and not argument.block}
    yield from theirs
    for name, row in (evaluation() | mine).items():
        held = name in mine and _held(row, own)
        if held or name not in taken:
            yield held, _argument(name, row, own)


def _held(row: Row, version: str) -> bool:
    have = numbers(version)
    return not (row.since and have < numbers(row.since)) and not (row.until and have >= numbers(row.until))


def _argument(name: str, row: Row, version: str) -> Argument:
    held = [found for since, found in row.choices.items() if numbers(since) <= numbers(version)]
    choices = tuple(held[-1]) if held else ()
    kind = KINDS.get(row.kind, row.kind)
    return Argument(
        name,
        "",
        kind,
        row.default,
        choices=choices,
        package="llamafactory",
        since=row.since,
        until=row.until,
        owner=row.label,
        deprecated=deprecated(name, version),
    )


@cache
def _v1(version: str) -> Vocabulary:
    have = v1_table.arguments(version)
    every = v1_table.arguments() | have
    found = (
        (
            name in have,
            Argument(name, "", KINDS.get(row.kind, row.kind), row.default, choices=row.choices,
                     package="llamafactory", owner="v1"),
        )
        for name, row in every.items()
    )  # fmt: skip
    return vocabulary(found, {"": REFUSED})
