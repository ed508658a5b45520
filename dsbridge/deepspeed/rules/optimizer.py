"""DeepSpeedEngine: the optimizer it makes or takes, and what ZeRO says to it."""

from __future__ import annotations

from dsbridge.deepspeed.rules._make import NEWEST, ev, refusal, until
from dsbridge.deepspeed.rules.check import STAGE, ZERO_READ
from dsbridge.deepspeed.rules.engine import CLIENT, NAME, NAMED
from dsbridge.rulebook import (
    Expr,
    all_of,
    any_of,
    children,
    choose,
    count,
    eq,
    first,
    first_set,
    get,
    has,
    here,
    here_path,
    is_a,
    is_set,
    item,
    keys,
    last_word,
    less,
    listed,
    missing,
    no,
    one_of,
    starts_with,
    table,
    text,
    trouble,
    truthy,
    without,
)

_ENGINE = "runtime/engine.py"
_BASIC = "engine.basic_optimizer"
_GIVEN = first_set(get("engine.optimizer.params"), None)
PARAMS = choose(is_a(_GIVEN, "dict"), _GIVEN, {})
DEVICE = item(item(ZERO_READ, "offload_optimizer"), "device")
ON_CPU = one_of(DEVICE, ["cpu", "nvme"])
OURS = all_of(missing(CLIENT), NAMED)  # DeepSpeed makes it
HAS_OPTIMIZER = any_of(is_set(CLIENT), NAMED)
CLIENT_CLASS = get("init.optimizer.class")
_TORCH_ADAM = truthy(item(PARAMS, "torch_adam"))
_W_MODE = any_of(eq(NAME, "adamw"), truthy(first_set(item(PARAMS, "adam_w_mode"), True)))


def _adam() -> Expr:
    ours = choose(ON_CPU, "deepspeed.DeepSpeedCPUAdam", "deepspeed.FusedAdam")
    return choose(_TORCH_ADAM, choose(_W_MODE, "torch.AdamW", "torch.Adam"), ours)


_BY_NAME: tuple[tuple[str, Expr | str], ...] = (
    ("adam", _adam()),
    ("adamw", _adam()),
    ("adagrad", choose(ON_CPU, "deepspeed.DeepSpeedCPUAdagrad", "torch.Adagrad")),
    ("lamb", "deepspeed.FusedLamb"),
    ("lion", choose(ON_CPU, "deepspeed.DeepSpeedCPULion", "deepspeed.FusedLion")),
    ("muon", "deepspeed.MuonWithAuxAdam"),
)


def _class_of_name() -> Expr:
    found: Expr = text("torch.{}", NAME)
    for name, kind in _BY_NAME:
        found = choose(eq(NAME, name), kind, found)
    return found


MADE_CLASS = choose(is_set(CLIENT), CLIENT_CLASS, choose(NAMED, _class_of_name(), None))
_SHORT = last_word(_class_of_name())
_SIGNATURE = item(table("deepspeed.signatures"), _class_of_name())
# What DeepSpeed takes out of the parameters before the class sees them.
_TAKEN = choose(one_of(NAME, ["adam", "adamw"]), ["torch_adam", "adam_w_mode", "fp32_optimizer_states"], [])
_UNKNOWN = first(without(without(keys(PARAMS), _TAKEN), item(_SIGNATURE, "takes")))
_FORCED = truthy(first_set(get("engine.zero_force_ds_cpu_optimizer"), True))
_WORDS = children(
    "engine.optimizer.params",
    all_of(
        one_of(last_word(here_path()), ["lr", "eps", "weight_decay", "betas"]),
        no(is_a(here(), "number", "bool", "list")),
    ),
)
_ONE_BIT = {"onebitadam": "1bit-Adam", "zerooneadam": "0/1 Adam", "onebitlamb": "1bit-Lamb"}
LR = first_set(item(PARAMS, "lr"), 1e-3)

_LR_TROUBLE = choose(eq(_class_of_name(), "torch.SGD"), trouble("<", LR, 0.0), trouble("<=", 0.0, LR))

BASIC = (
    refusal(
        "DS187",
        "ZeRO-Offload with an optimizer of the script's own",
        _BASIC,
        all_of(
            is_set(CLIENT),
            ON_CPU,
            no(one_of(CLIENT_CLASS, ["deepspeed.DeepSpeedCPUAdam", "deepspeed.DeepSpeedCPULion"])),
            _FORCED,
        ),
        (
            "ZeRORuntimeException",
            text(
                "You are using ZeRO-Offload with a client provided optimizer (…) which in most cases will "
                "yield poor performance. Please either use deepspeed.ops.adam.DeepSpeedCPUAdam or set an "
                "optimizer in your ds-config (https://www.deepspeed.ai/docs/config-json/"
                "#optimizer-parameters). If you really want to use a custom optimizer w. ZeRO-Offload and "
                'understand the performance impacts you can also set <"zero_force_ds_cpu_optimizer": false> '
                "in your configuration file."
            ),
            ("zero_optimization.offload_optimizer", "zero_force_ds_cpu_optimizer"),
        ),
        "Offloaded states are updated on the CPU, where only DeepSpeed's own Adam is fast.",
        ev(_ENGINE, "2345", "which in most cases will yield poor performance", "client/offload"),
        {"init.optimizer.class": "torch.AdamW", "engine.zero_optimization.offload_optimizer.device": "cpu"},
        {"init.optimizer.class": "torch.AdamW"},
        hint="Use DeepSpeedCPUAdam, or an optimizer block, or zero_force_ds_cpu_optimizer: false.",
    ),
    refusal(
        "DS188",
        "clipping among the optimizer's parameters",
        _BASIC,
        all_of(OURS, has(PARAMS, "max_grad_norm")),
        (
            "ValueError",
            "'max_grad_norm' is not supported as an optimizer parameter, please switch to using the "
            "deepspeed parameter 'gradient_clipping' see: "
            "https://www.deepspeed.ai/docs/config-json/#gradient-clipping for more details",
            ("optimizer.params.max_grad_norm",),
        ),
        "DeepSpeed clips itself.",
        ev(
            _ENGINE,
            "2483",
            "is not supported as an optimizer parameter, please switch to using",
            "optimizer/clip-inside",
        ),
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params.max_grad_norm": 1.0},
        {"engine.optimizer.type": "AdamW"},
        hint="Write gradient_clipping instead.",
    ),
    refusal(
        "DS189",
        "1-bit optimizers do not go with ZeRO",
        _BASIC,
        all_of(OURS, less(0, STAGE), has(_ONE_BIT, NAME)),
        (
            "AssertionError",
            text("{} is not compatible with ZeRO", item(_ONE_BIT, NAME)),
            ("optimizer.type", "zero_optimization.stage"),
        ),
        "They compress what ZeRO partitions.",
        ev(
            _ENGINE,
            "1382",
            'assert not self.zero_optimization(), "1bit-Adam is not compatible with ZeRO"',
            "optimizer/onebit",
            "0.16.2",
        ),
        {"engine.optimizer.type": "OneBitAdam", "engine.zero_optimization.stage": 2},
        {"engine.optimizer.type": "OneBitAdam"},
        versions=until(NEWEST),
    ),
    refusal(
        "DS190",
        "a parameter that the optimizer does not take",
        _BASIC,
        all_of(OURS, is_set(_SIGNATURE), is_set(_UNKNOWN)),
        (
            "TypeError",
            text("{}.__init__() got an unexpected keyword argument '{}'", _SHORT, _UNKNOWN),
            listed(text("optimizer.params.{}", _UNKNOWN)),
        ),
        "The parameters go to the class as they are.",
        ev(
            _ENGINE,
            "2493",
            "optimizer = adam_optimizer(model_parameters, **optimizer_parameters, ",
            "optimizer/unknown-param",
        ),
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params.momentum": 0.9},
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params.lr": 1e-4},
    ),
    refusal(
        "DS191",
        "FusedAdam has no AMSGrad",
        _BASIC,
        all_of(OURS, eq(_class_of_name(), "deepspeed.FusedAdam"), truthy(item(PARAMS, "amsgrad"))),
        ("RuntimeError", "FusedAdam does not support the AMSGrad variant.", ("optimizer.params.amsgrad",)),
        "The kernel knows Adam and AdamW.",
        ev(
            "ops/adam/fused_adam.py",
            "88",
            "raise RuntimeError('FusedAdam does not support the AMSGrad variant.')",
            "optimizer/amsgrad",
        ),
        {"engine.optimizer.type": "AdamW", "engine.optimizer.params.amsgrad": True},
        {"engine.optimizer.type": "AdamW"},
        hint="Leave it out, or use torch_adam: true.",
    ),
    refusal(
        "DS269",
        "the CPU Adam takes two betas",
        _BASIC,
        all_of(
            OURS,
            eq(_class_of_name(), "deepspeed.DeepSpeedCPUAdam"),
            is_a(item(PARAMS, "betas"), "list"),
            less(count(item(PARAMS, "betas")), 2),
        ),
        ("IndexError", "list index out of range", ("optimizer.params.betas",)),
        "It reads the first and the second.",
        ev(
            "ops/adam/cpu_adam.py",
            "97",
            "self.ds_opt_adam.create_adam(self.opt_id, lr, betas[0], betas[1], eps, weight_decay,",
            "optimizer/offload-betas-one",
        ),
        {
            "engine.optimizer": {"type": "AdamW", "params": {"betas": [0.9]}},
            "engine.zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}},
        },
        {"engine.optimizer": {"type": "AdamW", "params": {"betas": [0.9]}}},
        hint="Write [0.9, 0.999].",
    ),
    refusal(
        "DS268",
        "the CPU Adam takes numbers only",
        _BASIC,
        all_of(OURS, eq(_class_of_name(), "deepspeed.DeepSpeedCPUAdam"), truthy(_WORDS)),
        ("TypeError", "create_adam(): incompatible function arguments.…", ("optimizer.params",)),
        'It is made in C++ with these values; nobody fills an "auto" here.',
        ev(
            "ops/adam/cpu_adam.py",
            "97",
            "self.ds_opt_adam.create_adam(self.opt_id, lr, betas[0], betas[1], eps, weight_decay,",
            "optimizer/offload-lr-auto",
        ),
        {
            "engine.optimizer": {"type": "AdamW", "params": {"lr": "auto"}},
            "engine.zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}},
        },
        {"engine.optimizer": {"type": "AdamW", "params": {"lr": "auto"}}},
        hint="Write numbers.",
    ),
    refusal(
        "DS192",
        "torch's optimizers take no negative learning rate",
        _BASIC,
        all_of(OURS, starts_with(_class_of_name(), "torch."), is_a(LR, "number"), less(LR, 0)),
        ("ValueError", text("Invalid learning rate: {}", LR), ("optimizer.params.lr",)),
        "torch checks; DeepSpeed's FusedAdam does not.",
        ev(
            _ENGINE,
            "2549",
            "optimizer = torch_optimizer(model_parameters, **optimizer_parameters)",
            "wrapper/sgd-lr-negative",
        ),
        {"engine.optimizer.type": "SGD", "engine.optimizer.params.lr": -0.1},
        {"engine.optimizer.type": "SGD", "engine.optimizer.params.lr": 0.1},
    ),
    refusal(
        "DS271",
        "torch's optimizers take a number as learning rate",
        _BASIC,
        all_of(OURS, starts_with(_class_of_name(), "torch."), is_set(_LR_TROUBLE)),
        ("TypeError", item(_LR_TROUBLE, "message"), ("optimizer.params.lr",)),
        'torch compares it with 0; nobody fills an "auto" here. DeepSpeed\'s FusedAdam takes anything.',
        ev(
            _ENGINE,
            "2549",
            "optimizer = torch_optimizer(model_parameters, **optimizer_parameters)",
            "optimizer/sgd-lr-auto",
        ),
        {"engine.optimizer.type": "SGD", "engine.optimizer.params.lr": "auto"},
        {"engine.optimizer.type": "SGD", "engine.optimizer.params.lr": 0.1},
        hint="Write a number.",
    ),
    refusal(
        "DS261",
        "torch's Muon takes matrices only",
        _BASIC,
        all_of(OURS, eq(_class_of_name(), "torch.Muon")),
        (
            "ValueError",
            "Muon only supports 2D parameters whereas we found a parameter with size: …",
            ("optimizer.type",),
        ),
        "Before 0.17 DeepSpeed had no Muon of its own, and handed all parameters to torch's.",
        ev(
            _ENGINE,
            "1429",
            "optimizer = torch_optimizer(model_parameters, **optimizer_parameters)",
            "optimizer/muon",
            "0.16.2",
        ),
        {"engine.optimizer.type": "Muon"},
        {"engine.optimizer.type": "SGD"},
        hint="Use a newer DeepSpeed, or another optimizer.",
    ),
)
