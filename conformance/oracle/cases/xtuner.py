"""XTuner 0.2: a config in Python, a DeepSpeed file or a built-in name, and `xtuner train`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases import _xtuner_cfg as cfg
from conformance.oracle.cases import _xtuner_ds as ds
from conformance.oracle.cases import _xtuner_launch as launch
from conformance.oracle.cases._xtuner_files import (
    AUTO,
    BUILT_IN,
    GONE,
    case,
    changed,
    command,
    config,
    hf_config,
)
from conformance.oracle.cases._xtuner_pairs import paired

FILES = {"batch": ds.BATCH, "precision": ds.PRECISION, "zero": ds.ZERO, "block": ds.BLOCKS}
CONFIGS = {
    "config": cfg.SETTINGS,
    "optimizer": cfg.OPTIMIZERS,
    "sequence": cfg.SEQUENCE,
    "unread": cfg.UNREAD,
    "followed": cfg.FOLLOWED,
    "huggingface": cfg.HF,
}
# Seen again with two real processes (with gloo: no NCCL without a GPU); the fake group must tell the same.
_GLOO = {"env_cfg": 'dict(dist_cfg=dict(backend="gloo"))'}
_SGD: dict[str, Any] = {
    "wrapper": {"optimizer": "dict(type=SGD, lr=1e-4)"},
    "imports": ("from torch.optim import SGD",),
}
TWO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stage-1": ({}, {"zero_optimization.stage": 1}),
    "stage-2": ({}, {}),
    "stage-3": ({}, {"zero_optimization.stage": 3}),
    "stage-auto": ({}, {"zero_optimization.stage": "auto"}),
    "all-other": ({}, ds.BATCH["all-other"]),
    "global-wrong": ({}, ds.BATCH["global-wrong"]),
    "fp16-true-bf16-auto": ({}, ds.PRECISION["fp16-true-bf16-auto"]),
    "unknown-key-stage-3": ({}, ds.ZERO["unknown-key-stage-3"]),
    "clip-missing": ({"wrapper": {"clip_grad": GONE}}, {"gradient_clipping": 0.3}),
    "sgd-not-allowed": (_SGD, {"zero_allow_untested_optimizer": GONE}),
    "scheduler": ({}, ds.BLOCKS["scheduler"]),
}
REAL: tuple[str, ...] = tuple(f"xtuner/real/{name}" for name in TWO)


def designed() -> list[Case]:
    """Every factor alone, then pairs."""
    return [
        *built_in(),
        *two(),
        *files(),
        *texts(),
        *configs(),
        *abilities(),
        *inherited(),
        *launch.launched(),
        *launch.options(),
        *launch.shipped(),
        *paired(),
    ]


def built_in() -> Iterator[Case]:
    """The five files that come with XTuner, on GPUs with and without bf16, and under the Trainer."""
    for name in BUILT_IN:
        for kind, bf16 in (("", True), ("-old-gpu", False)):
            words = command(deepspeed=f"deepspeed_{name}")
            gpu = {"bf16": bf16, "fp16": True}
            yield case(f"built-in/{name}{kind}", config(), GONE, words, gpu=gpu)
    for name in BUILT_IN:
        words = command(deepspeed=f"deepspeed_{name}")
        yield case(f"built-in/{name}-huggingface", hf_config({"bf16": "True"}), GONE, words)


def two() -> Iterator[Case]:
    """The ones that two real processes run, too."""
    for name, (change, body) in TWO.items():
        yield case(f"real/{name}", config(rest=_GLOO, **change), changed(AUTO, body))


def files() -> Iterator[Case]:
    """One change of the DeepSpeed file each."""
    for group, table in FILES.items():
        for name, changes in table.items():
            yield case(f"{group}/{name}", None, changed(AUTO, changes))


def texts() -> Iterator[Case]:
    """DeepSpeed files that are whole texts."""
    for name, text in ds.TEXTS.items():
        yield case(f"text/{name}", None, text)


def configs() -> Iterator[Case]:
    """One change of the config each."""
    for group, table in CONFIGS.items():
        for name, row in table.items():
            text, changes, facts, world = (*row, *({}, {}, 2)[len(row) - 1 :])
            gone = changes is GONE
            words = command(deepspeed="") if gone else command()
            more: dict[str, Any] = {"facts": facts} if facts else {}
            if "flash_attn" in facts:
                more["gpu"] = {"flash_attn": facts["flash_attn"]}
            if name == "own-strategy-file":
                words = command(deepspeed="")
            body = GONE if gone else changed(AUTO, changes)
            yield case(f"{group}/{name}", text, body, words, world=world, **more)


def abilities() -> Iterator[Case]:
    """GPUs that lack a number format."""
    old, odd = {"bf16": False, "fp16": True}, {"bf16": True, "fp16": False}
    for name in (
        "bf16-only-auto", "fp16-only-auto", "fp16-true-bf16-auto", "bf16-only-true",
        "fp16-auto-bf16-true", "none",
    ):  # fmt: skip
        body = changed(AUTO, ds.PRECISION[name])
        yield case(f"gpu/no-bf16-{name}", None, body, gpu=old)
        yield case(f"gpu/no-fp16-{name}", None, body, gpu=odd)
    third = changed(AUTO, {"zero_optimization.stage": 3})
    yield case("gpu/no-bf16-stage-3", None, third, gpu=old)
    true = changed(third, {"fp16": GONE, "bf16.enabled": True})
    yield case("gpu/no-bf16-stage-3-true", None, true, gpu=old)


def inherited() -> Iterator[Case]:
    """Configs that inherit with `with read_base():`."""
    base = config({"batch_size": "3"})
    head = "from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\n\n"
    small = 'optim_wrapper.update(dict(accumulative_counts=2))\ntrain_dataloader["batch_size"] = 5\n'
    deep = head.replace(".base", ".middle") + "use_varlen_attn = False\n"
    middle = head + "optim_wrapper.update(dict(clip_grad=dict(max_norm=0.1)))\n"
    one = head.replace("import *", "import env_cfg, model, optim_wrapper, train_cfg, train_dataloader")
    for name, text, files in (
        ("plain", head, {}),
        ("changed", head + small, {}),
        ("twice", deep, {"middle.py": middle}),
        ("folder", head.replace(".base", ".configs.base") + small, {"configs/base.py": base}),
        ("named", one + small, {}),
    ):
        yield case(f"inherited/{name}", text, files={"base.py": base, **files})


def setups() -> Any:
    """Whole set-ups as users have them."""
    from conformance.oracle.cases._xtuner_setups import setups as strategy

    return strategy()
