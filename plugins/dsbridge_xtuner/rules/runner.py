"""mmengine's FlexibleRunner takes the config apart."""

from __future__ import annotations

from dsbridge.rulebook import (
    Expr,
    all_of,
    any_of,
    eq,
    first,
    first_set,
    get,
    is_a,
    is_set,
    keys,
    merged,
    missing,
    no,
    text,
    without,
)
from dsbridge_xtuner.rules._make import CONVERTED, USED, ev, refusal, write

_CODE = "runner/_flexible_runner.py"
_OWN = {"own": {"config": {}, "arguments": {}, "kind": "mmengine"}, "cfg.runner_type": "FlexibleRunner"}
_PARTS = ("train_dataloader", "train_cfg", "optim_wrapper")
_WHOLE: dict[str, object] = {"ds": {}, **{f"cfg.{name}": {} for name in _PARTS}}


def absent(path: str) -> Expr:
    """Missing or null."""
    return any_of(missing(get(path)), is_a(get(path), "null"))


_EXTRA = without(keys(get("cfg.optim_wrapper")), ["type", "optimizer", "constructor", "paramwise_cfg"])

RUNNER = (
    write(
        "XT140",
        "the config's own DeepSpeedStrategy",
        "runner.strategy",
        all_of(is_set(get("own")), no(CONVERTED), eq(get("cfg.runner_type"), "FlexibleRunner")),
        "ds",
        merged(get("own.config"), get("own.arguments")),
        "The arguments of the strategy replace the same blocks of its config.",
        ev(
            "mmengine",
            "_strategy/deepspeed.py",
            "0",
            "self.config['zero_optimization'] = zero_optimization",
            "config/own-strategy",
        ),
        _OWN,
        {**_OWN, "cfg.runner_type": "Runner"},
    ),
    write(
        "XT141",
        "which strategy it is",
        "runner.strategy",
        all_of(is_set(get("own")), no(CONVERTED)),
        "strategy.kind",
        get("own.kind"),
        "Only XTuner's own strategy tells transformers of the DeepSpeed config.",
        ev(
            "xtuner",
            "engine/_strategy/deepspeed.py",
            "0",
            "self.hf_deepspeed_config = HfDeepSpeedConfig(self.config)",
            "config/own-strategy-xtuner",
        ),
        _OWN,
        {"cfg.runner_type": "FlexibleRunner"},
    ),
    refusal(
        "XT145",
        "DeepSpeed's wrapper without a strategy",
        "runner.strategy",
        all_of(
            missing(get("ds")),
            eq(get("cfg.optim_wrapper.type"), "DeepSpeedOptimWrapper"),
            missing(get("own")),
            eq(first_set(get("run.launcher"), "none"), "none"),
            is_set(first(_EXTRA)),
        ),
        (
            "TypeError",
            text("DeepSpeedOptimWrapper.__init__() got an unexpected keyword argument '{}'", first(_EXTRA)),
            ("cfg.optim_wrapper.type",),
        ),
        "The own DeepSpeedOptimWrapper makes XTuner ignore --deepspeed; it takes an optimizer only.",
        ev(
            "mmengine",
            "_strategy/deepspeed.py",
            "0",
            "def __init__(self, optimizer):",
            "start/one-wrapper",
        ),
        {"cfg.optim_wrapper": {"type": "DeepSpeedOptimWrapper", "clip_grad": {}}},
        {"cfg.optim_wrapper": {"type": "DeepSpeedOptimWrapper"}},
        hint="Write type=AmpOptimWrapper, and let --deepspeed do the rest.",
    ),
    refusal(
        "XT142",
        "`model` is missing",
        "runner.check",
        all_of(USED, missing(get("cfg.model"))),
        ("KeyError", "'model'", ("cfg.model",)),
        "The runner takes the model from the config.",
        ev("mmengine", _CODE, "0", "model=cfg['model'],", "config/model-missing"),
        {"ds": {}, "cfg.train_cfg": {}},
        {"ds": {}, "cfg.model": {}},
        hint="Write `model` in the config.",
    ),
    refusal(
        "XT143",
        "a part of the training is missing",
        "runner.check",
        all_of(
            USED,
            any_of(*(absent(f"cfg.{name}") for name in _PARTS)),
            no(all_of(*(absent(f"cfg.{name}") for name in _PARTS))),
        ),
        (
            "ValueError",
            "train_dataloader, train_cfg, and optim_wrapper should be either all None or not None, but got …",
            tuple(f"cfg.{name}" for name in _PARTS),
        ),
        "The runner takes all three, or none of them.",
        ev(
            "mmengine",
            _CODE,
            "0",
            "'train_dataloader, train_cfg, and optim_wrapper should be '",
            "config/train-cfg-missing",
        ),
        {"ds": {}, "cfg.train_dataloader": {}, "cfg.optim_wrapper": {}},
        _WHOLE,
        hint="Write train_dataloader, train_cfg and optim_wrapper.",
    ),
    refusal(
        "XT144",
        "`env_cfg` is missing",
        "runner.check",
        all_of(USED, absent("cfg.env_cfg")),
        ("TypeError", "dict() argument after ** must be a mapping, not NoneType", ("cfg.env_cfg",)),
        "FlexibleRunner hands env_cfg on without a default.",
        ev("mmengine", _CODE, "0", "**env_cfg,", "config/env-cfg-missing"),
        {"ds": {}, "cfg.train_cfg": {}},
        {"ds": {}, "cfg.env_cfg": {}},
        hint='Write env_cfg = dict(dist_cfg=dict(backend="nccl")).',
    ),
)
