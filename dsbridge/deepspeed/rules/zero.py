"""DeepSpeedEngine: what the ZeRO optimizers themselves refuse."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import MASTER_SINCE, param, since, until
from dsbridge.deepspeed.rules.check import BF16_READ, FP16_ON, FP16_READ, STAGE, ZERO_READ
from dsbridge.deepspeed.rules.optimizer import DEVICE, HAS_OPTIMIZER, MADE_CLASS
from dsbridge.deepspeed.rules.wrapper import BF16_WRAPPER, NORM_FIELD, NORM_OFF, engine_row
from dsbridge.rulebook import (
    Expr,
    OverrideRule,
    all_of,
    any_of,
    at_most,
    choose,
    differs,
    eq,
    get,
    is_a,
    item,
    less,
    mod,
    no,
    one_of,
    text,
    truthy,
)

_ENGINE, _ZERO_1_2, _ZERO_3 = "runtime/engine.py", "runtime/zero/stage_1_and_2.py", "runtime/zero/stage3.py"
_STAGE_1_2 = all_of(less(0, STAGE), at_most(STAGE, 2), no(BF16_WRAPPER))
_STAGE_3 = all_of(eq(STAGE, 3), HAS_OPTIMIZER)
_MASTER = any_of(
    truthy(item(BF16_READ, "bf16_master_weights_and_grads")),
    truthy(item(FP16_READ, "fp16_master_weights_and_grads")),
)
_NAMES = choose(eq(STAGE, 2), "ZeRO-2", choose(eq(STAGE, 1), "ZeRO-1", "ZeRO-3"))
_SCATTERS = all_of(
    truthy(item(ZERO_READ, "reduce_scatter")), any_of(all_of(_STAGE_1_2, eq(STAGE, 2)), _STAGE_3)
)
_OFFLOADS = one_of(DEVICE, ["cpu", "nvme"])
_CLIP = get("made.gradient_clipping")
_PREDIVIDE = param("gradient_predivide_factor", 1.0)
_AVERAGES = differs(param("gradient_allreduce_op", "mean"), "sum")
_OLD_STAGE_1 = (
    "The deprecated version of ZeRO Stage 1 is not supported in deepspeed >= 0.5.9. Please downgrade to a "
    "version less than 0.5.9 if you need to use this deprecated version of ZeRO."
)
_TAIL = "is not yet supported with {} with reduce scatter enabled"


def _norm(code: str, when: Expr, message: str, recorded: str, fires: dict[str, Any]) -> OverrideRule:
    return engine_row(
        code,
        message.partition("=false ")[2],
        all_of(_STAGE_1_2, HAS_OPTIMIZER, NORM_OFF, when),
        ("ValueError", message, (NORM_FIELD,)),
        "Whoever clips or offloads needs the gradient norm.",
        (_ZERO_1_2, "212-218", message, recorded),
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2, **fires},
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
    )


WRAP = (
    engine_row(
        "DS199",
        "the old ZeRO-1",
        all_of(any_of(_STAGE_1_2, eq(STAGE, 3)), truthy(item(ZERO_READ, "legacy_stage1"))),
        ("Exception", _OLD_STAGE_1, ("zero_optimization.legacy_stage1",)),
        "It is gone.",
        (
            _ENGINE,
            "2652",
            "The deprecated version of ZeRO Stage 1 is not supported in deepspeed",
            "wrapper/legacy-stage-1",
        ),
        {"engine.zero_optimization": {"stage": 1, "legacy_stage1": True}},
        {"engine.zero_optimization.stage": 1},
    ),
    engine_row(
        "DS200",
        "ZeRO without an optimizer",
        all_of(_STAGE_1_2, no(HAS_OPTIMIZER)),
        (
            "AssertionError",
            text("zero stage {} requires an optimizer", STAGE),
            ("optimizer", "zero_optimization.stage"),
        ),
        "Stages 1 and 2 partition the states of an optimizer. Stage 3 runs without one.",
        (_ENGINE, "2659", '"zero stage {} requires an optimizer".format(zero_stage)', "optimizer/missing"),
        {"engine.zero_optimization.stage": 2},
        {"engine.zero_optimization.stage": 2, "engine.optimizer.type": "AdamW"},
        hint="Write an optimizer block, or give deepspeed.initialize an optimizer.",
    ),
    _norm(
        "DS201",
        less(0, choose(is_a(_CLIP, "number"), _CLIP, 0)),
        "zero_optimization.compute_grad_norm=false requires gradient_clipping=0",
        "wrapper/grad-norm-off",
        {"engine.zero_optimization.compute_grad_norm": False, "made.gradient_clipping": 1.0},
    ),
    _norm(
        "DS202",
        _OFFLOADS,
        "zero_optimization.compute_grad_norm=false does not support optimizer offload",
        "wrapper/grad-norm-off-offload",
        {
            "engine.zero_optimization.compute_grad_norm": False,
            "engine.zero_optimization.offload_optimizer.device": "cpu",
            "made.gradient_clipping": 0,
        },
    ),
    engine_row(
        "DS203",
        "16-bit master weights without offload",
        all_of(
            _STAGE_1_2,
            HAS_OPTIMIZER,
            _MASTER,
            no(all_of(_OFFLOADS, eq(MADE_CLASS, "deepspeed.DeepSpeedCPUAdam"))),
        ),
        (
            "AssertionError",
            text(
                "Master weights feature requires {} Offload with DeepSpeedCPUAdam. Current ZeRO-Offload:{} "
                "optimizer type <class '…'>.",
                _NAMES,
                choose(_OFFLOADS, "True", "False"),
            ),
            ("fp16.fp16_master_weights_and_grads", "bf16.bf16_master_weights_and_grads"),
        ),
        "Only DeepSpeed's CPU Adam updates 16-bit weights.",
        (
            _ZERO_1_2,
            "333",
            'f"Master weights feature requires {self.zero_stage_string} Offload',
            "precision/fp16-master",
        ),
        {
            "engine.optimizer.type": "AdamW",
            "engine.zero_optimization.stage": 2,
            "engine.bf16.bf16_master_weights_and_grads": True,
        },
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
        versions=since(MASTER_SINCE),
        hint="Offload the optimizer to the CPU.",
    ),
    engine_row(
        "DS260",
        "fp16 master weights without offload",
        all_of(
            _STAGE_1_2,
            HAS_OPTIMIZER,
            truthy(FP16_ON),
            truthy(item(FP16_READ, "fp16_master_weights_and_grads")),
            no(all_of(_OFFLOADS, eq(MADE_CLASS, "deepspeed.DeepSpeedCPUAdam"))),
        ),
        (
            "AssertionError",
            text(
                "fp16_master_and_gradients requires optimizer to support keeping fp16 master and gradients "
                "while keeping the optimizer states in fp32.Currently only supported using ZeRO-Offload with "
                "DeepSpeedCPUAdam. But current setting is ZeRO-Offload:{} and optimizer type <class '…'>."
                "Either disable fp16_master_weights_and_gradients or enable {} Offload with "
                "DeepSpeedCPUAdam.",
                choose(_OFFLOADS, "True", "False"),
                _NAMES,
            ),
            ("fp16.fp16_master_weights_and_grads",),
        ),
        "Only DeepSpeed's CPU Adam updates 16-bit weights.",
        (
            _ZERO_1_2,
            "237",
            "fp16_master_and_gradients requires optimizer to support",
            "precision/fp16-master",
        ),
        {
            "engine.optimizer.type": "AdamW",
            "engine.zero_optimization.stage": 2,
            "engine.fp16": {"enabled": True, "fp16_master_weights_and_grads": True},
        },
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
        versions=until(MASTER_SINCE),
        version="0.16.2",
        hint="Offload the optimizer to the CPU.",
    ),
    engine_row(
        "DS204",
        "gradient_predivide_factor with reduce scatter",
        all_of(_SCATTERS, _AVERAGES, differs(_PREDIVIDE, 1.0)),
        (
            "AssertionError",
            text(f"gradient_predivide_factor != 1.0 {_TAIL}", _NAMES),
            ("gradient_predivide_factor",),
        ),
        "Reduce scatter divides in one place.",
        (_ZERO_1_2, "350", "gradient_predivide_factor != 1.0 is not yet supported with", "scalar/prescale"),
        {
            "engine.optimizer.type": "AdamW",
            "engine.zero_optimization.stage": 2,
            "engine.gradient_predivide_factor": 2.0,
        },
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
        hint="Leave it out, or write zero_optimization.reduce_scatter: false.",
    ),
    engine_row(
        "DS205",
        "prescale_gradients with reduce scatter",
        all_of(_SCATTERS, _AVERAGES, truthy(param("prescale_gradients", False))),
        ("AssertionError", text(f"pre-scale gradients {_TAIL}", _NAMES), ("prescale_gradients",)),
        "Reduce scatter divides in one place.",
        (_ZERO_1_2, "351", "pre-scale gradients is not yet supported with", "wrapper/prescale"),
        {
            "engine.optimizer.type": "AdamW",
            "engine.zero_optimization.stage": 2,
            "engine.prescale_gradients": True,
        },
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
        hint="Leave it out, or write zero_optimization.reduce_scatter: false.",
    ),
    engine_row(
        "DS206",
        "an odd allgather_bucket_size",
        all_of(_STAGE_1_2, HAS_OPTIMIZER, eq(mod(item(ZERO_READ, "allgather_bucket_size"), 2), 1)),
        (
            "AssertionError",
            "allgather_bucket_size must be a multiple of nccl_start_alignment_factor, 2",
            ("zero_optimization.allgather_bucket_size",),
        ),
        "Buffers start at multiples of four bytes.",
        (
            _ZERO_1_2,
            "391",
            "allgather_bucket_size must be a multiple of nccl_start_alignment_factor",
            "wrapper/allgather-odd",
        ),
        {
            "engine.optimizer.type": "AdamW",
            "engine.zero_optimization": {"stage": 2, "allgather_bucket_size": 3},
        },
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 2},
    ),
    engine_row(
        "DS207",
        "parameters on NVMe without a path",
        all_of(
            eq(STAGE, 3),
            eq(item(item(ZERO_READ, "offload_param"), "device"), "nvme"),
            is_a(item(item(ZERO_READ, "offload_param"), "nvme_path"), "null"),
        ),
        (
            "AssertionError",
            '"nvme_path" in DeepSpeed Config cannot be None if remote device is OffloadDeviceEnum.nvme',
            ("zero_optimization.offload_param.nvme_path",),
        ),
        "DeepSpeed swaps to files.",
        (
            "runtime/zero/partition_parameters.py",
            "1230",
            '"nvme_path" in DeepSpeed Config cannot be None',
            "offload/nvme-no-path",
        ),
        {"engine.zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}},
        {"engine.zero_optimization": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/nvme"}}},
        hint="Write zero_optimization.offload_param.nvme_path.",
    ),
    engine_row(
        "DS208",
        "optimizer states on NVMe without a path",
        all_of(
            _STAGE_3,
            eq(DEVICE, "nvme"),
            is_a(item(item(ZERO_READ, "offload_optimizer"), "nvme_path"), "null"),
        ),
        (
            "TypeError",
            "expected str, bytes or os.PathLike object, not NoneType",
            ("zero_optimization.offload_optimizer.nvme_path",),
        ),
        "DeepSpeed swaps to files.",
        (_ZERO_3, "840", "nvme_swap_folder = os.path.join(", "wrapper/nvme-optimizer-no-path"),
        {
            "engine.optimizer.type": "AdamW",
            "engine.zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}},
        },
        {"engine.optimizer.type": "AdamW", "engine.zero_optimization.stage": 3},
        hint="Write zero_optimization.offload_optimizer.nvme_path.",
    ),
)
