"""`TrainingArguments` in the spec's words: the way back from `arguments` and `optimizing`.

An argument counts as far as it reaches training. Under DeepSpeed some do only where the config says "auto":
what the config overrules stays in the framework's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import UNSET, Reading, Setup, lookup
from dsbridge.sdk import (
    DS_OPTIMIZERS,
    Claim,
    Draft,
    claimed_by,
    config_claims,
    default_clipping,
    joined,
    scheduler_claims,
    script_claims,
)
from dsbridge_trainer import table
from dsbridge_trainer.dialect import DIALECT
from dsbridge_trainer.fields import ARGUMENTS, rows_for
from dsbridge_trainer.optimizing import NAMES, NOT_READ
from dsbridge_trainer.parse_fsdp import fsdp_part
from dsbridge_trainer.says import others_part, said_claims, targets_chosen, unsaid
from dsbridge_trainer.under_accelerate import around, renamed

_CLIP = "gradient_clipping"
_LATER = ("gradient_clipping", "training.eval_steps")  # decided below
_FILLED = {
    "lr": ("learning_rate",),
    "betas": ("adam_beta1", "adam_beta2"),
    "eps": ("adam_epsilon",),
    "weight_decay": ("weight_decay",),
}


class Args(NamedTuple):
    """The arguments that are given, the tree they are in, what the others are, and the DeepSpeed config.

    ds: None for a run without DeepSpeed. ratio_key: there is an argument `warmup_ratio`.
    """

    given: Mapping[str, Any]
    tree: str
    defaults: Mapping[str, Any]
    ds: Mapping[str, Any] | None
    deepspeed_version: str

    def has(self, name: str) -> bool:
        """True for an argument that is given, and not null."""
        return self.given.get(name) is not None

    def value(self, name: str) -> Any:
        """What the argument is, given or not."""
        return self.given[name] if self.has(name) else self.defaults.get(name)

    def key(self, name: str) -> tuple[str, ...]:
        """The leaf of an argument."""
        return (self.tree, name)


def parse(setup: Setup, reading: Reading) -> Draft:
    """Arguments, the DeepSpeed config they name or the launcher makes, and the launcher.

    Raises:
        InputError: the launcher shards in a way that the spec cannot say.
    """
    usual = table.defaults(table.of(setup.versions))
    trl, says = reading.trees.get("trl") or {}, reading.trees.get("says") or {}
    given = {**_declared(trl, reading.trees.get("args") or {}, usual)}
    launcher = around(setup, reading, given)
    args = Args(given, "args", usual, launcher.ds, setup.versions.get("deepspeed", ""))
    claims = [
        *claimed_by(rows_for(trl.get("class", ""), setup.versions), given, "args"),
        *argument_claims(args),
        *script_claims(setup),
        *said_claims(says),
    ]
    consumed = frozenset({*taken_keys(args), ("args", "deepspeed")} if args.ds is not None else ())
    implied = {"class": trl["class"]} if trl else {}
    homes = {"args": "own", "ds": "deepspeed"}
    silently = silent(args)
    if (reading.trees.get("script") or {}).get("all"):
        silently["finetuning.method"] = "full"
    silently |= unsaid(says)
    beside = others_part(reading.trees)
    adapter = {**says, **{claim.path: claim.value for claim in beside.claims}}
    told = tuple(found for found in (targets_chosen(adapter),) if found)
    own = Draft(tuple(claims), homes, consumed, lost(args), implied, silently, told)
    sharded = fsdp_part(reading.trees, table.of(setup.versions))
    return joined([renamed(own, bool(launcher.draft.trees)), beside, sharded, launcher.draft])


def _declared(
    trl: Mapping[str, Any], given: Mapping[str, Any], usual: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The arguments, and what TRL's class has instead of TrainingArguments' defaults.

    The spec says these outright: another framework has other defaults.
    """
    if not trl:
        return given
    known = {*usual, "max_length", "max_seq_length"}
    own = {n: v for n, v in trl["defaults"].items() if n in known and v not in (None, usual.get(n))}
    found = {**own, **given}
    if trl["fills"]["bf16"] and found.get("bf16") is None:
        found["bf16"] = not found.get("fp16")
    return found


def argument_claims(args: Args) -> Iterator[Claim]:
    """What the arguments say, and the keys of the DeepSpeed config that no argument decides."""
    rows = [row for row in ARGUMENTS if row.path not in _LATER]
    yield from claimed_by(rows, args.given, args.tree)
    yield from _clipping(args)
    yield from _batch(args)
    yield from _precision(args)
    yield from _evaluation(args)
    if args.ds is None or "optimizer" not in args.ds:
        yield from _optimizer(args)
    else:
        yield from _optimizer_block(args)
    if args.ds is None or "scheduler" not in args.ds:
        yield from _schedule(args)
    else:
        yield from _schedule_block(args)
    if args.ds is not None:
        yield from config_claims(args.ds, DIALECT)


def taken_keys(args: Args) -> Iterator[tuple[str, ...]]:
    """Keys of the config that say what an argument says: "auto", or the same number."""
    assert args.ds is not None
    yield from schedule_keys(args)
    for key, name in DIALECT.takes.items():
        value = lookup(args.ds, key)
        if key.startswith(("optimizer.", "scheduler.")) or value is UNSET:
            continue
        if value == "auto" or (key != "train_batch_size" and _same(value, args.value(name))):
            yield ("ds", *key.split("."))


def lost(args: Args) -> dict[tuple[str, ...], str]:
    """Arguments that reach nobody, and why."""
    if args.ds is None or _CLIP in args.ds or not args.has("max_grad_norm"):
        return {}
    why = "never reaches DeepSpeed, whose config has no `gradient_clipping`; its own default holds"
    return {args.key("max_grad_norm"): why}


def _same(value: Any, other: Any) -> bool:
    return isinstance(value, bool) is isinstance(other, bool) and bool(value == other)


def _clipping(args: Args) -> Iterator[Claim]:
    value = args.given.get("max_grad_norm")
    asked = UNSET if args.ds is None else lookup(args.ds, _CLIP)
    if args.ds is None or asked == "auto":
        if value is not None:
            yield Claim(_CLIP, value, (args.key("max_grad_norm"),))
    elif asked is UNSET:
        # rendered, the key is always there: so the value that holds without it is written
        yield Claim(_CLIP, default_clipping(args.deepspeed_version))
    elif _same(asked, args.value("max_grad_norm")):
        keys = [("ds", _CLIP), *([args.key("max_grad_norm")] if value is not None else [])]
        yield Claim(_CLIP, asked, tuple(keys))


def _batch(args: Args) -> Iterator[Claim]:
    for name, path in (
        ("per_device_train_batch_size", "batch.micro_per_gpu"),
        ("gradient_accumulation_steps", "batch.accumulation"),
    ):
        if args.has(name):
            yield Claim(path, args.given[name], (args.key(name),))
    whole = UNSET if args.ds is None else lookup(args.ds, "train_batch_size")
    if isinstance(whole, int) and not isinstance(whole, bool):
        yield Claim("batch.global", whole, (("ds", "train_batch_size"),))


def _precision(args: Args) -> Iterator[Claim]:
    given = {name: args.given[name] for name in ("bf16", "fp16") if args.has(name)}
    if not given or not all(isinstance(value, bool) for value in given.values()):
        return
    on = [name for name, value in given.items() if value]
    if len(on) < 2:
        yield Claim("precision.dtype", on[0] if on else "fp32", tuple(args.key(name) for name in given))


def _evaluation(args: Args) -> Iterator[Claim]:
    """`eval_steps` is read only with `eval_strategy: steps`."""
    if args.given.get("eval_strategy") == "steps" and args.has("eval_steps"):
        keys = (args.key("eval_steps"), args.key("eval_strategy"))
        yield Claim("training.eval_steps", args.given["eval_steps"], keys)


def _optimizer(args: Args) -> Iterator[Claim]:
    """The Trainer's own optimizer."""
    names = {said: name for name, said in NAMES.items()}
    said = args.given.get("optim")
    kind = "adamw" if said is None else names.get(str(said))
    if said is not None and kind is not None:
        yield Claim("optimizer.type", kind, (args.key("optim"),))
    for field in _FILLED:
        if field not in NOT_READ.get(kind or "", ()):
            yield from _rate(args, field)


def _rate(args: Args, field: str) -> Iterator[Claim]:
    """One number of the optimizer, if its argument is given."""
    given = [name for name in _FILLED[field] if args.has(name)]
    if not given:
        return
    value = [args.value(name) for name in _FILLED[field]]
    yield Claim(f"optimizer.{field}", value if field == "betas" else value[0], tuple(map(args.key, given)))


def _optimizer_block(args: Args) -> Iterator[Claim]:
    """DeepSpeed's optimizer, if the block is one that rendering writes: its numbers are the arguments'."""
    assert args.ds is not None
    kinds = {said: (name, params) for name, (said, params) in DS_OPTIMIZERS.items()}
    kind, known = kinds.get(lookup(args.ds, "optimizer.type"), ("", ()))
    params = lookup(args.ds, "optimizer.params")
    if not kind or not isinstance(params, Mapping) or "lr" not in params:
        return  # kept as it is, and the arguments too
    taken = {name: argument for name, argument in _FILLED.items() if name in known}
    if any(params[name] != "auto" for name in taken if name in params):
        return
    if any(name not in params and args.has(taken[name][0]) for name in taken):
        return  # an argument that nobody reads
    yield Claim("optimizer.type", kind, (("ds", "optimizer", "type"),))
    yield Claim("optimizer.owner", "deepspeed")
    for field in taken:
        if field in params:
            key = ("ds", "optimizer", "params", field)
            said = list(_rate(args, field))
            yield (
                said[0]._replace(keys=(*said[0].keys, key))
                if said
                else Claim(f"optimizer.{field}", "auto", (key,))
            )


def _schedule(args: Args) -> Iterator[Claim]:
    """The Trainer's own schedule."""
    kind = args.given.get("lr_scheduler_type")
    if kind is not None:
        yield Claim("scheduler.type", kind, (args.key("lr_scheduler_type"),))
    for name, path in (("min_lr", "scheduler.min_lr"), ("min_lr_rate", "scheduler.min_lr_ratio")):
        least = lookup(args.given, f"lr_scheduler_kwargs.{name}")
        if kind == "cosine_with_min_lr" and least is not UNSET:
            yield Claim(path, least, ((args.tree, "lr_scheduler_kwargs", name),))
    if kind != "constant":
        yield from _warmup(args)


def _warmup(args: Args) -> Iterator[Claim]:
    steps, ratio = args.given.get("warmup_steps"), args.given.get("warmup_ratio")
    # from 5.0 to where it is gone, a ratio takes the place of the steps (5.6.0 training_args.py:1511)
    ratio_wins = args.defaults.get("warmup_ratio") is None
    if ratio is not None and (ratio_wins or not steps):
        yield Claim("scheduler.warmup_ratio", ratio, (args.key("warmup_ratio"),))
    elif isinstance(steps, float) and 0 < steps < 1 and ratio_wins:
        yield Claim("scheduler.warmup_ratio", steps, (args.key("warmup_steps"),))
    elif steps is not None:
        yield Claim("scheduler.warmup_steps", steps, (args.key("warmup_steps"),))


_FILLED_STEPS = ("warmup_num_steps", "total_num_steps", "warmup_max_lr", "warmup_min_lr")


def _schedule_block(args: Args) -> Iterator[Claim]:
    """DeepSpeed's scheduler: what its "auto" means, or the number that the Trainer compares with it."""
    assert args.ds is not None
    params = lookup(args.ds, "scheduler.params")
    if not isinstance(params, Mapping):
        return
    # never compared, a number in it holds; "auto" is 0 (integrations/deepspeed.py:173 of 5.23.0)
    low = params.get("warmup_min_lr", "auto")
    taken = {name for name in _FILLED_STEPS if name in params}
    if low != "auto":
        taken.discard("warmup_min_lr")
    if params.get("warmup_max_lr", "auto") not in ("auto", args.value("learning_rate")):
        return
    found = scheduler_claims(args.ds, (), taken)
    if found:
        yield from found
        yield from _warmup(args)


def schedule_keys(args: Args) -> Iterator[tuple[str, ...]]:
    """Parameters of a scheduler block that say what an argument says."""
    if args.ds is not None and "scheduler" in args.ds and any(True for _ in _schedule_block(args)):
        claimed = {key for claim in _schedule_block(args) for key in claim.keys}
        params = lookup(args.ds, "scheduler.params")
        found = (("ds", "scheduler", "params", name) for name in _FILLED_STEPS if name in params)
        yield from (key for key in found if key not in claimed)


# TrainingArguments' defaults that change what is trained, by the spec's path
_SILENT = {
    "batch.micro_per_gpu": "per_device_train_batch_size",
    "batch.accumulation": "gradient_accumulation_steps",
    "optimizer.lr": "learning_rate",
    "optimizer.weight_decay": "weight_decay",
    "optimizer.eps": "adam_epsilon",
    "training.epochs": "num_train_epochs",
    "training.seed": "seed",
    "gradient_clipping": "max_grad_norm",
}


def silent(args: Args) -> dict[str, Any]:
    """What the Trainer does where no argument says it."""
    found = {path: args.defaults[name] for path, name in _SILENT.items() if name in args.defaults}
    found |= {"optimizer.type": "adamw", "optimizer.betas": [0.9, 0.999]}
    if args.ds is None or "scheduler" not in args.ds:
        found["scheduler.type"] = "linear"
    if not any(args.has(name) for name in ("warmup_steps", "warmup_ratio")):
        found["scheduler.warmup_steps"] = 0
    if not any(args.has(name) for name in ("bf16", "fp16", "pure_bf16", "fp8")):
        found["precision.dtype"] = "fp32"
    return {path: value for path, value in found.items() if value is not None}
