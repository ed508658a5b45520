"""The strategy: its process group, what it writes into the DeepSpeed config, and transformers' look at it."""

from __future__ import annotations

from dsbridge.rulebook import (
    Expr,
    Loudness,
    OverrideRule,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    fact,
    first_set,
    get,
    is_a,
    is_set,
    missing,
    mod,
    no,
    same,
    text,
    truthy,
    type_name,
)
from dsbridge_xtuner.rules._make import CONVERTED, TRAIN, USED, ev, refusal, write
from dsbridge_xtuner.rules.check import SEQUENCE
from dsbridge_xtuner.rules.deepspeed import CLIP

_CODE = "_strategy/deepspeed.py"
_ON = {"flags.deepspeed": "ds.json", "cfg.optim_wrapper.type": "AmpOptimWrapper", "ds": {}}
_STEPS = get("cfg.optim_wrapper.accumulative_counts")
_NORM = get("cfg.optim_wrapper.clip_grad.max_norm")
_BATCH = get("cfg.train_dataloader.batch_size")
_HAS_NORM = all_of(truthy(CLIP), is_set(_NORM), no(is_a(_NORM, "null")))
_ZERO = get("ds.zero_optimization")
_STAGE = get("ds.zero_optimization.stage")
_TOLD = all_of(USED, same(get("strategy.kind"), "xtuner"))
_SHARDED = all_of(_TOLD, any_of(eq(_STAGE, 2), eq(_STAGE, 3)))
_TELLS = {"ds.zero_optimization.stage": 2, "strategy.kind": "xtuner"}


def _given(value: Expr) -> Expr:
    return all_of(is_set(value), no(is_a(value, "null")))


def _not_launched(
    code: str, launcher: str, has: str, variable: str, recorded: str, quote: str
) -> OverrideRule:
    return refusal(
        code,
        f"--launcher {launcher} without {variable}",
        "strategy.setup",
        all_of(USED, eq(get("run.launcher"), launcher), no(truthy(get(f"run.{has}")))),
        ("KeyError", f"'{variable}'", ("flags.launcher",)),
        f"mmengine reads {variable}, which nobody has set for this process.",
        ev("mmengine", "dist/utils.py", "0", quote, recorded),
        {"ds": {}, "run.launcher": launcher},
        {"ds": {}, "run.launcher": launcher, f"run.{has}": True},
        hint="Start it with `NPROC_PER_NODE=N xtuner train`, torchrun or srun.",
    )


def _offload(code: str, name: str, recorded: str) -> OverrideRule:
    value = get(f"ds.zero_optimization.{name}")
    path = f"zero_optimization.{name}"
    return refusal(
        code,
        f"`{path}` is no mapping",
        "strategy.transformers",
        all_of(_SHARDED, _given(value), no(is_a(value, "dict"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(value)), (f"ds.{path}",)),
        "transformers asks where ZeRO-2 and ZeRO-3 offload to.",
        ev("accelerate", "utils/deepspeed.py", "0", "return config.get(ds_key, default)", recorded),
        {**_TELLS, f"ds.{path}": True},
        {**_TELLS, f"ds.{path}": {}},
        hint=f'Write "{name}": {{"device": "cpu"}}.',
    )


_SETUP = (
    _not_launched("XT150", "pytorch", "rank", "RANK", "start/one-pytorch", "rank = int(os.environ['RANK'])"),
    _not_launched(
        "XT151",
        "slurm",
        "slurm",
        "SLURM_PROCID",
        "start/slurm-outside",
        "proc_id = int(os.environ['SLURM_PROCID'])",
    ),
    _not_launched(
        "XT152",
        "mpi",
        "mpi",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "start/mpi-outside",
        "local_rank = int(os.environ['OMPI_COMM_WORLD_LOCAL_RANK'])",
    ),
    refusal(
        "XT153",
        "the ranks cannot be divided into sequence groups",
        "strategy.setup",
        all_of(
            _TOLD,
            differs(SEQUENCE, 1),
            differs(first_set(get("run.launcher"), "none"), "none"),
            differs(mod(fact("world_size"), SEQUENCE), 0),
        ),
        (
            "RuntimeError",
            text(
                "world_size ({}) is not divisible by sequence_parallel_size {}", fact("world_size"), SEQUENCE
            ),
            ("cfg.sequence_parallel_size",),
        ),
        "Every sequence group has sequence_parallel_size ranks.",
        ev(
            "xtuner",
            "parallel/sequence/setup_distributed.py",
            "0",
            'f"world_size ({world_size}) is not divisible by "',
            "sequence/3-of-4",
        ),
        {**_TELLS, "cfg.sequence_parallel_size": 3, "run.launcher": "pytorch", "fact.world_size": 4},
        {**_TELLS, "cfg.sequence_parallel_size": 2, "run.launcher": "pytorch", "fact.world_size": 4},
        hint="Choose a size that divides the number of GPUs.",
    ),
)
_WRITES = (
    write(
        "XT154",
        "the accumulation steps are the config's, or 1",
        "strategy.write",
        all_of(USED, CONVERTED, no(is_a(_STEPS, "null"))),
        "ds.gradient_accumulation_steps",
        first_set(_STEPS, 1),
        "Without accumulative_counts XTuner writes 1; a number in the DeepSpeed file never counts.",
        ev(
            "xtuner",
            TRAIN,
            "0",
            'mm_grad_accum = cfg.optim_wrapper.get("accumulative_counts", 1)',
            "config/accumulation-missing-file-8",
        ),
        {**_ON, "cfg.optim_wrapper.accumulative_counts": 4},
        {**_ON, "cfg.optim_wrapper.accumulative_counts": None},
        loudness=Loudness.LOGGED,
        hint="Write optim_wrapper.accumulative_counts.",
    ),
    write(
        "XT156",
        "accumulation steps that nobody gives are 1",
        "strategy.default",
        all_of(USED, missing(get("ds.gradient_accumulation_steps"))),
        "ds.gradient_accumulation_steps",
        1,
        "A strategy without gradient_accumulation_steps takes 1 where its config has none.",
        ev(
            "mmengine",
            _CODE,
            "0",
            "self.config.setdefault('gradient_accumulation_steps', 1)",
            "config/own-strategy-file",
        ),
        {"ds": {}},
        {"ds.gradient_accumulation_steps": 2},
    ),
    write(
        "XT157",
        "the clipping is the config's, or 1.0",
        "strategy.write",
        all_of(USED, CONVERTED),
        "ds.gradient_clipping",
        choose(_HAS_NORM, _NORM, 1.0),
        "XTuner writes clip_grad.max_norm, and 1.0 where there is none, over what the DeepSpeed file says.",
        ev("xtuner", TRAIN, "0", "mm_max_norm = 1.0", "config/clip-missing-file"),
        _ON,
        {"ds": {}},
        loudness=Loudness.LOGGED,
        hint="Write optim_wrapper.clip_grad=dict(max_norm=...); max_norm=0 turns clipping off.",
    ),
    write(
        "XT158",
        "the micro batch is the loader's",
        "strategy.write",
        all_of(USED, _given(_BATCH)),
        "ds.train_micro_batch_size_per_gpu",
        _BATCH,
        "Whatever the DeepSpeed file says, train_dataloader.batch_size wins.",
        ev(
            "mmengine",
            "runner/_flexible_runner.py",
            "0",
            "strategy['train_micro_batch_size_per_gpu'] = \\",
            "batch/micro-number",
        ),
        {"ds": {}, "cfg.train_dataloader.batch_size": 2},
        {"ds": {}},
        loudness=Loudness.LOGGED,
        hint="Write train_dataloader.batch_size.",
    ),
    write(
        "XT159",
        "DeepSpeed's own log is silenced",
        "strategy.write",
        USED,
        "ds.steps_per_print",
        choose(
            all_of(no(CONVERTED), is_set(get("own.arguments.steps_per_print"))),
            get("own.arguments.steps_per_print"),
            10000000000000,
        ),
        "mmengine logs itself.",
        ev("mmengine", _CODE, "0", "self.config['steps_per_print'] = steps_per_print", "batch/print"),
        {"ds": {}},
        {"flags.config": "cfg.py"},
    ),
)
_TRANSFORMERS = (
    refusal(
        "XT160",
        "`zero_optimization` is no mapping",
        "strategy.transformers",
        all_of(_TOLD, _given(_ZERO), no(is_a(_ZERO, "dict"))),
        (
            "AttributeError",
            text("'{}' object has no attribute 'get'", type_name(_ZERO)),
            ("ds.zero_optimization",),
        ),
        "transformers asks for the stage.",
        ev(
            "accelerate", "utils/deepspeed.py", "0", "return config.get(ds_key, default)", "zero/block-number"
        ),
        {"ds.zero_optimization": 2, "strategy.kind": "xtuner"},
        _TELLS,
        hint='Write "zero_optimization": {"stage": 2}.',
    ),
    _offload("XT161", "offload_optimizer", "zero/offload-is-true"),
    _offload("XT162", "offload_param", "zero/offload-param-text"),
    refusal(
        "XT163",
        "an offload device is no text",
        "strategy.transformers",
        all_of(_SHARDED, is_a(get("ds.zero_optimization.offload_optimizer.device"), "list", "dict")),
        (
            "TypeError",
            text("unhashable type: '{}'", type_name(get("ds.zero_optimization.offload_optimizer.device"))),
            ("ds.zero_optimization.offload_optimizer.device",),
        ),
        "transformers collects the devices in a set.",
        ev("accelerate", "utils/deepspeed.py", "0", "offload_devices = set(", "zero/offload-device-list"),
        {**_TELLS, "ds.zero_optimization.offload_optimizer.device": ["cpu"]},
        {**_TELLS, "ds.zero_optimization.offload_optimizer.device": "cpu"},
        hint='Write "device": "cpu".',
    ),
)
STRATEGY = (*_SETUP, *_WRITES, *_TRANSFORMERS)
