"""What is saved and how it is resumed: rows of settings.

A set-up: stage, world, dtype; offload, tp, rank (LoRA), optimizer (client, ds, sgd), groups of parameters,
accum (dtype of accumulated gradients), elastic, lean (no frozen parameters are saved), universal (it is
told to load a universal checkpoint), scheduler. A row: the name of a saved checkpoint and the changes of
the run that resumes from it; `convert` is the command that is run before, `how` takes the weights alone,
`gone` a file away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Case = dict[str, Any]
BASE: Case = {"stage": 2, "world": 2, "dtype": "bf16"}
SAVED: dict[str, Case] = {
    **{
        f"z{stage}-{dtype}": {"stage": stage, "dtype": dtype}
        for stage in (0, 1, 2, 3)
        for dtype in ("bf16", "fp16", "fp32")
    },
    "z0-bf16-sgd": {"stage": 0, "optimizer": "sgd"},
    "z1-accum32": {"stage": 1, "accum": "fp32"},
    "z2-offload": {"offload": "cpu"},
    "z3-offload": {"stage": 3, "offload": "cpu"},
    "z2-elastic": {"elastic": True},
    "z2-lora": {"rank": 3},
    "z2-lora-lean": {"rank": 3, "lean": True},
    "z3-lora-lean": {"stage": 3, "rank": 3, "lean": True},
    "z3-lora": {"stage": 3, "rank": 3},
    "z2-groups": {"groups": 2},
    "z3-groups": {"stage": 3, "groups": 2},
    "z2-sgd": {"optimizer": "sgd"},
    "z2-w1": {"world": 1},
    "z2-scheduler": {"scheduler": True},
    "z1-tp2": {"stage": 1, "tp": 2, "world": 2, "llama": True},
    "z1-tp2-w4": {"stage": 1, "tp": 2, "world": 4, "llama": True},
    "z1-llama": {"stage": 1, "llama": True},
    "z3-w4": {"stage": 3, "world": 4},
}  # fmt: skip
WIDE = ("z0-bf16", "z1-bf16", "z2-bf16", "z3-bf16", "z2-w1", "z1-tp2")  # resumed on four ranks, too


def setup(changes: Case) -> Case:
    """A whole set-up."""
    return {**BASE, **changes}


def row(saved: str, name: str, **changes: Any) -> Case:
    """One resumption."""
    convert = changes.pop("convert", "")
    gone, how = changes.pop("gone", ""), changes.pop("how", "")
    plan = {**setup(SAVED[saved]), **changes}
    told = {"convert": convert} if convert else {}
    told |= {"gone": gone} if gone else {}
    told |= {"how": how} if how else {}
    return {"id": f"{saved}.{name}", "saved": saved, "plan": plan, **told}


def cases() -> Iterator[Case]:
    """Every resumption."""
    for saved, made in SAVED.items():
        yield row(saved, "same")
        worlds = (1, 2, 4) if saved in WIDE else (1, 2)
        for world in worlds:
            if world != setup(made)["world"] and world % made.get("tp", 1) == 0:
                yield row(saved, f"w{world}", world=world)
    yield from stages()
    yield from dtypes()
    yield from universal()
    yield from others()
    yield from weights()
    yield from damaged()


def stages() -> Iterator[Case]:
    """From each stage to each."""
    for dtype in ("bf16", "fp16", "fp32"):
        for saved in (0, 1, 2, 3):
            for planned in (0, 1, 2, 3):
                if saved != planned:
                    yield row(f"z{saved}-{dtype}", f"z{planned}", stage=planned)
    yield row("z2-bf16", "z1-w1", stage=1, world=1)
    yield row("z3-bf16", "z2-w1", stage=2, world=1)


def dtypes() -> Iterator[Case]:
    """From each number format to each."""
    for stage in (0, 1, 2, 3):
        for saved in ("bf16", "fp16", "fp32"):
            for planned in ("bf16", "fp16", "fp32"):
                if saved != planned:
                    yield row(f"z{stage}-{saved}", planned, dtype=planned)


CONVERTED = {"convert": "universal inject", "universal": True}


def universal() -> Iterator[Case]:
    """After ds_to_universal.py; and without it, though it is needed."""
    for stage in (1, 2, 3):
        saved = f"z{stage}-bf16"
        yield row(saved, "not-injected", convert="universal", universal=True, world=1)
        yield row(saved, "not-converted", universal=True)
        yield row(saved, "not-told", convert="universal inject", world=1)
        for world in (1, 2, 4):
            yield row(saved, f"u-w{world}", world=world, **CONVERTED)
        for planned in (0, 1, 2, 3):
            if planned != stage:
                yield row(saved, f"u-z{planned}", stage=planned, **CONVERTED)
        for dtype in ("fp16", "fp32"):
            yield row(saved, f"u-{dtype}", dtype=dtype, **CONVERTED)
            yield row(f"z{stage}-{dtype}", "u-w1", world=1, **CONVERTED)
    several = (
        "z0-bf16 z0-fp32 z1-accum32 z2-offload z2-elastic z2-lora z2-lora-lean z3-lora z3-lora-lean "
        "z2-groups z3-groups z3-offload z2-scheduler z2-sgd"
    )
    for saved in several.split():
        yield row(saved, "u-w1", world=1, **CONVERTED)
    for saved in ("z1-tp2", "z1-tp2-w4", "z1-llama"):
        yield row(saved, "not-injected", convert="universal", universal=True, world=2)
        yield row(saved, "u-tp1-w2", tp=1, world=2, **CONVERTED)
        yield row(saved, "u-tp2-w4", tp=2, world=4, **CONVERTED)
        yield row(saved, "u-tp2-w2", tp=2, world=2, **CONVERTED)


def others() -> Iterator[Case]:
    """Offload, optimizer, LoRA, tp, groups."""
    yield row("z2-bf16", "offload", offload="cpu")
    yield row("z2-offload", "no-offload", offload="")
    yield row("z3-bf16", "offload", offload="cpu")
    yield row("z3-offload", "no-offload", offload="")
    yield row("z2-bf16", "elastic", elastic=True)
    yield row("z2-elastic", "rigid", elastic=False)
    yield row("z2-bf16", "sgd", optimizer="sgd")
    yield row("z2-bf16", "ds-adam", optimizer="ds")
    yield row("z2-bf16", "lora", rank=3)
    yield row("z2-lora", "full", rank=0)
    yield row("z2-lora", "other-rank", rank=2)
    yield row("z3-bf16", "lora", rank=3)
    yield row("z2-groups", "one-group", groups=1)
    yield row("z2-bf16", "two-groups", groups=2)
    yield row("z2-bf16", "scheduler", scheduler=True)
    yield row("z2-scheduler", "no-scheduler", scheduler=False)
    yield row("z1-accum32", "accum-bf16", accum="")
    yield row("z1-bf16", "accum-fp32", accum="fp32")
    yield row("z1-accum32", "z2", stage=2, accum="")
    yield row("z1-tp2", "tp1", tp=1)
    yield row("z1-tp2-w4", "tp1-w2", tp=1, world=2)
    yield row("z1-llama", "tp2", tp=2)
    yield row("z1-llama", "tp2-w4", tp=2, world=4)


def weights() -> Iterator[Case]:
    """The weights alone: by load_module_only, and by zero_to_fp32.py into a model that is then trained."""
    for saved in ("z0-bf16", "z1-bf16", "z2-bf16", "z2-fp16", "z2-lora"):
        yield row(saved, "module-w1", how="module", world=1)
        yield row(saved, "module-z1", how="module", stage=1)
        yield row(saved, "module-z3", how="module", stage=3)
    yield row("z3-bf16", "module", how="module")
    yield row("z3-bf16", "module-w1", how="module", world=1)
    for saved in (
        "z1-bf16",
        "z2-bf16",
        "z3-bf16",
        "z2-fp32",
        "z2-lora",
        "z3-lora",
        "z2-groups",
        "z3-groups",
        "z2-lora-lean",
    ):
        yield row(saved, "fp32-z2-w1", convert="fp32", how="fp32", stage=2, world=1)
    yield row("z2-bf16", "fp32-z3", convert="fp32", how="fp32", stage=3)


def damaged() -> Iterator[Case]:
    """Files that are not there any more."""
    yield row("z2-bf16", "no-latest", gone="latest")
    yield row("z2-bf16", "no-shard", gone="bf16_zero_pp_rank_1_*")
    yield row("z3-bf16", "no-shard", gone="*zero_pp_rank_1_*optim_states.pt")
    yield row("z2-bf16", "no-model", gone="mp_rank_00_model_states.pt")
    yield row("z3-bf16", "no-model", gone="zero_pp_rank_1_*model_states.pt")
