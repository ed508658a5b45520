"""A training YAML in the spec's words: LLaMA-Factory's own keys above those of the Trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.rulebook import Reading, Setup
from dsbridge.sdk import Claim, Draft, claimed_by, joined, rank_claims
from dsbridge_llamafactory.fields import OWN
from dsbridge_llamafactory.flags import known_arguments
from dsbridge_llamafactory.under_accelerate import launcher_part, with_fsdp
from dsbridge_trainer import table
from dsbridge_trainer.parse import Args, argument_claims, lost, silent, taken_keys
from dsbridge_trainer.under_accelerate import Around, around, renamed

# decided below, with the keys beside them
ENVIRONMENT = {"nodes": "NNODES", "ranks": "NPROC_PER_NODE", "addr": "MASTER_ADDR", "port": "MASTER_PORT"}
# rendering writes these where nobody says otherwise
_WRITTEN = {"stage": "sft", "do_train": True}
# LLaMA-Factory's own defaults that change what is trained
_SILENT = {"finetuning.method": "finetuning_type", "training.sequence_length": "cutoff_len"}
_LATER = ("finetuning.method", "finetuning.target_modules")


def parse(setup: Setup, reading: Reading) -> Draft:
    """The YAML, the DeepSpeed config it names or the launcher makes, and the launcher.

    Raises:
        InputError: the launcher shards in a way that the spec cannot say.
    """
    lf = reading.trees.get("lf") or {}
    ds = reading.trees.get("ds")
    if with_fsdp(setup):
        launcher = Around(launcher_part(setup, reading, lf), ds if isinstance(ds, Mapping) else None)
    else:
        launcher = around(setup, reading, lf)
    used = launcher.ds
    # LLaMA-Factory has `warmup_ratio` under every Transformers: hparams/training_args.py
    defaults = {"warmup_ratio": 0.0, **table.defaults(table.of(setup.versions))}
    args = Args(lf, "lf", defaults, used, setup.versions.get("deepspeed", ""))
    rows = [row for row in OWN if row.path not in _LATER]
    claims = [*claimed_by(rows, lf, "lf"), *_method(lf), *_targets(lf), *argument_claims(args)]
    claims += rank_claims(setup.environ, "env", ENVIRONMENT)
    consumed = {*taken_keys(args), ("lf", "deepspeed")} if used is not None else set()
    consumed |= {("lf", name) for name, value in _WRITTEN.items() if lf.get(name) == value}
    # rendered, a YAML trains unless it says otherwise
    implied = {} if "do_train" in lf else {"do_train": False}
    homes = {"lf": "own", "ds": "deepspeed"}
    usual = {path: known_arguments()[key].default for path, key in _SILENT.items()}
    usual["training.gradient_checkpointing"] = not known_arguments()["disable_gradient_checkpointing"].default
    silently = {**silent(args), **usual}
    own = Draft(tuple(claims), homes, frozenset(consumed), lost(args), implied, silently)
    return joined([renamed(own, bool(launcher.draft.trees)), launcher.draft])


def _method(lf: Mapping[str, Any]) -> Iterator[Claim]:
    """LoRA over quantized weights is a method of its own in the spec."""
    kind = lf.get("finetuning_type")
    if kind is not None:
        quantized = kind == "lora" and lf.get("quantization_bit") is not None
        yield Claim("finetuning.method", "qlora" if quantized else kind, (("lf", "finetuning_type"),))


def _targets(lf: Mapping[str, Any]) -> Iterator[Claim]:
    """`all`, or names with commas between them."""
    said = lf.get("lora_target")
    if isinstance(said, str):
        names = [name.strip() for name in said.split(",")]
        yield Claim(
            "finetuning.target_modules", "all" if names == ["all"] else names, (("lf", "lora_target"),)
        )
