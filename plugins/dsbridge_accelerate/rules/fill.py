"""accelerator.prepare(): what it fills in, what is left over, and what it gives to deepspeed.initialize."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    Expr,
    OverrideRule,
    all_of,
    block,
    ceil,
    choose,
    differs,
    div,
    eq,
    fact,
    first,
    first_set,
    floor_div,
    get,
    greatest,
    here,
    inside,
    is_a,
    is_auto,
    is_set,
    leaves,
    less,
    missing,
    mul,
    no,
    one_of,
    text,
    to_int,
    truthy,
    type_name,
)
from dsbridge_accelerate.rules._make import (
    ACCELERATOR,
    CONFIG,
    PLUGIN,
    SEQUENCE_SINCE,
    USED,
    WARMUP_SINCE,
    ev,
    given,
    refusal,
    since,
    until,
    write,
)
from dsbridge_accelerate.rules.objects import (
    CALLABLE,
    DUMMY_OPTIMIZER,
    DUMMY_SCHEDULER,
    REAL_OPTIMIZER,
    SP,
)
from dsbridge_accelerate.rules.prepare import MODEL, WORLD, U

_M = {**U, "prepared.model": {}}
HIDDEN = get("prepared.hidden_size")
COLLECT = (
    write(
        "ACC233",
        "the hidden size is the model's",
        "prepare.collect",
        all_of(USED, MODEL),
        "prepared.hidden_size",
        first_set(get("model.hidden_size"), choose(is_set(get("model.hidden_sizes")),
                  greatest(get("model.hidden_sizes")), fact("hidden_size"))),
        "model.config.hidden_size, else the largest of hidden_sizes.",
        ev(ACCELERATOR, "2311-2315", "hidden_size = model.config.hidden_size", "ds/buckets"),
        {**_M, "model.hidden_size": 64},
        {**U, "model.hidden_size": 64},
    ),
)  # fmt: skip

_TOTAL_STEPS = get("prepared.scheduler.total_num_steps")
_WARMUP = first_set(get("prepared.scheduler.warmup_num_steps"), 0)
_SCHEDULED = all_of(DUMMY_SCHEDULER, no(CALLABLE))
_SPLIT = truthy(get("accelerator.split_batches"))
_ZERO = "zero_optimization"


def _filled(
    code: str,
    path: str,
    value: Any,
    why: str,
    line: tuple[str, str, str],
    extra: Expr | None = None,
    fires: dict[str, Any] | None = None,
    **more: Any,
) -> OverrideRule:
    lines, quote, recorded = line
    conditions = [USED, MODEL, is_auto(get(f"ds.{path}")), *([] if extra is None else [extra])]
    return write(
        code,
        f'"auto" at {path} is filled in by prepare()',
        "prepare.fill",
        all_of(*conditions),
        f"ds.{path}",
        value,
        why,
        ev(ACCELERATOR, lines, quote, recorded, more.pop("version", "1.15.0")),
        {**_M, f"ds.{path}": "auto", **(fires or {})},
        {**_M, f"ds.{path}": 1, **(fires or {})},
        **more,
    )


_SIZE_WHY = "From the hidden size alone, and at every ZeRO stage."
FILL = (
    _filled("ACC234", "gradient_clipping", 1.0, "Where neither flag, YAML nor plugin has a number.",
            ("2224", '"gradient_clipping": 1.0,', "yaml/clip-gone")),
    _filled("ACC235", "train_micro_batch_size_per_gpu", get("prepared.micro"), "The DataLoader's batch size.",
            ("2229", 'config_kwargs["train_micro_batch_size_per_gpu"] = batch_size_per_device', "ds/as-is"),
            fires={"prepared.micro": 4}),
    _filled("ACC236", "train_batch_size", get("prepared.total"), "Micro batch x accumulation x ranks.",
            ("2230", 'config_kwargs["train_batch_size"] = (', "ds/as-is"),
            is_set(get("prepared.total")), {"prepared.total": 8}),
    _filled("ACC237", f"{_ZERO}.reduce_bucket_size", mul(HIDDEN, HIDDEN), _SIZE_WHY,
            ("2323", '"zero_optimization.reduce_bucket_size": hidden_size * hidden_size,', "ds/buckets"),
            fires={"prepared.hidden_size": 64}),
    _filled("ACC238", f"{_ZERO}.stage3_prefetch_bucket_size", to_int(mul(0.9, HIDDEN, HIDDEN)), _SIZE_WHY,
            ("2324", '"zero_optimization.stage3_prefetch_bucket_size": int(0.9 * hidden_size * hidden_size),',
             "ds/buckets"), fires={"prepared.hidden_size": 64}),
    _filled("ACC239", f"{_ZERO}.stage3_param_persistence_threshold", mul(10, HIDDEN), _SIZE_WHY,
            ("2325", '"zero_optimization.stage3_param_persistence_threshold": 10 * hidden_size,',
             "ds/buckets"),
            fires={"prepared.hidden_size": 64}),
    _filled("ACC240", "optimizer.params.lr", first_set(get("prepared.optimizer.lr"), 0.001), "DummyOptim's.",
            ("2331", '{"optimizer.params.lr": optimizer.lr, "optimizer.params.weight_decay": '
             "optimizer.weight_decay}", "dummy/both"), DUMMY_OPTIMIZER,
                {"prepared.optimizer.dummy": True}),
    _filled("ACC241", "optimizer.params.weight_decay", first_set(get("prepared.optimizer.weight_decay"), 0),
            "DummyOptim's.", ("2331",
               '{"optimizer.params.lr": optimizer.lr, "optimizer.params.weight_decay": '
                              "optimizer.weight_decay}", "dummy/both"), DUMMY_OPTIMIZER,
            {"prepared.optimizer.dummy": True}),
    _filled("ACC242", "scheduler.params.warmup_min_lr", 0, "Always zero.",
            ("2341", '"scheduler.params.warmup_min_lr": 0,', "dummy/both"), _SCHEDULED,
            {"prepared.scheduler.dummy": True}),
    _filled("ACC243", "scheduler.params.warmup_max_lr", get("prepared.scheduler.lr"),
            "The learning rate of the optimizer that DummyScheduler was given.",
            ("2342", '"scheduler.params.warmup_max_lr": max_lr,', "dummy/both"), _SCHEDULED,
            {"prepared.scheduler.dummy": True, "prepared.scheduler.lr": 0.1}),
    _filled("ACC244", "scheduler.params.warmup_num_steps", choose(less(_WARMUP, 1), 1, _WARMUP),
            "DummyScheduler's, at least 1, because DeepSpeed refuses 0 from 0.19.6 on.",
            ("2345", '"scheduler.params.warmup_num_steps": max(1, scheduler.warmup_num_steps),',
             "dummy/both"),
            _SCHEDULED, {"prepared.scheduler.dummy": True}, versions=since(WARMUP_SINCE)),
    _filled("ACC245", "scheduler.params.warmup_num_steps", _WARMUP, "DummyScheduler's, as it is.",
            ("1990-1996", '"scheduler.params.warmup_num_steps": scheduler.warmup_num_steps,', "dummy/both"),
            _SCHEDULED, {"prepared.scheduler.dummy": True}, versions=until(WARMUP_SINCE), version="1.6.0"),
    _filled("ACC246", "scheduler.params.total_num_steps",
            choose(_SPLIT, _TOTAL_STEPS, ceil(div(_TOTAL_STEPS, WORLD))),
            "DummyScheduler's, divided by the ranks and rounded up, for each rank steps once a batch of "
            "its own.",
            ("2349-2354", "math.ceil(scheduler.total_num_steps / self.num_processes)", "dummy/decay"),
            all_of(_SCHEDULED, given("prepared.scheduler.total_num_steps")),
            {"prepared.scheduler.dummy": True, "prepared.scheduler.total_num_steps": 100,
             "fact.world_size": 2}),
)  # fmt: skip

_LEFT = first(leaves("ds", is_auto(here())))
LEFTOVER = (
    refusal(
        "ACC247",
        "an auto that nobody fills",
        "prepare.leftover",
        all_of(USED, MODEL, is_set(_LEFT)),
        ("ValueError", text(
            "`{0}` not found in kwargs. Please specify `{0}` without `auto` (set to correct value) in the "
            "DeepSpeed config file or pass it in kwargs.", inside(_LEFT)),
         ("ds",)),
        "The first such key in the order of the file is told, at any depth; a list is not looked into.",
        ev(PLUGIN, "1364-1371", 'f"`{ds_key_long}` not found in kwargs. "', "ds/other-auto"),
        {**_M, "ds.aio.block_size": "auto"},
        {**_M, "ds.aio.block_size": 1},
        hint="Write a value in its place.",
    ),
)  # fmt: skip

_MICRO, _STEPS = get("ds.train_micro_batch_size_per_gpu"), get("ds.gradient_accumulation_steps")
_DP = mul(
    first_set(get("accelerator.parallelism.dp_replicate_size"), 1),
    first_set(get("accelerator.parallelism.dp_shard_size"), 1),
)
_SEQUENCE = all_of(USED, MODEL, less(1, SP))
_CORE = first_set(get("accelerator.parallelism.sp_attn_implementation"), None)
_ATTENTION = first_set(get("prepared.model.attention"), "sdpa")
SEQUENCE = (
    write(
        "ACC248",
        "with sequence parallelism the global batch is written anew",
        "prepare.sequence",
        _SEQUENCE,
        "ds.train_batch_size",
        mul(_MICRO, _STEPS, _DP),
        "Micro batch x accumulation x dp_replicate_size x dp_shard_size, also over an explicit number.",
        ev(ACCELERATOR, "2361-2368", "* pc.data_parallel_size", "ulysses/two-of-four"),
        {**_M, "accelerator.parallelism.sp_size": 2, "ds.train_micro_batch_size_per_gpu": 4,
         "ds.gradient_accumulation_steps": 1},
        {**_M, "accelerator.parallelism.sp_size": 1},
        versions=since(SEQUENCE_SINCE),
        hint="Give ParallelismConfig dp_replicate_size or dp_shard_size: ranks / sp_size.",
    ),
    write(
        "ACC249",
        "with sequence parallelism DeepSpeed counts fewer ranks",
        "prepare.sequence",
        _SEQUENCE,
        "init.world_size",
        div(WORLD, SP),
        "The ranks of one sequence share a batch.",
        ev(ACCELERATOR, "2433", 'kwargs["mpu"] = mpu', "ulysses/two-of-four"),
        {**_M, "accelerator.parallelism.sp_size": 2, "fact.world_size": 4},
        {**_M, "accelerator.parallelism.sp_size": 1},
        versions=since(SEQUENCE_SINCE),
    ),
    write(
        "ACC266",
        "with sequence parallelism ranks share their samples",
        "prepare.sequence",
        _SEQUENCE,
        "init.data_parallel",
        floor_div(WORLD, SP),
        "The loader deals the samples of each rank out to all ranks of its group, one after the other.",
        ev(ACCELERATOR, "2442", "result[i] = UlyssesSPDataLoaderAdapter(", "ulysses/two-of-four"),
        {**_M, "accelerator.parallelism.sp_size": 2, "fact.world_size": 4},
        {**_M, "accelerator.parallelism.sp_size": 1},
        versions=since(SEQUENCE_SINCE),
        asked=get("accelerator.parallelism.sp_size"),
    ),
)  # fmt: skip

_OFFLOAD = get("ds.zero_optimization.offload_optimizer")
_DEVICE = first_set(get("ds.zero_optimization.offload_optimizer.device"), "none")
_FORCED = truthy(first_set(get("ds.zero_force_ds_cpu_optimizer"), True))
_REPLACED = all_of(differs(_DEVICE, "none"), _FORCED)
_CLASS = get("prepared.optimizer.class")
_READY = all_of(USED, MODEL, REAL_OPTIMIZER)
_LR_CLASSES = ["LRRangeTest", "OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"]


def _no_get(code: str, path: str, recorded: str) -> OverrideRule:
    value = get(f"ds.{path}")
    return refusal(
        code,
        f"{path} is no mapping",
        "prepare.initialize",
        all_of(_READY, is_set(value), no(is_a(value, "dict"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(value)), (f"ds.{path}",)),
        "Accelerate looks there for the device to offload to.",
        ev(ACCELERATOR, "2374-2376",
           'if self.deepspeed_config["zero_optimization"].get("offload_optimizer", {}).get(', recorded),
        {**_M, f"ds.{path}": None, "prepared.optimizer.class": "torch.AdamW"},
        {**_M, f"ds.{path}": {}, "prepared.optimizer.class": "torch.AdamW"},
        hint="Write a mapping, or take the key out.",
    )  # fmt: skip


INITIALIZE = (
    _no_get("ACC250", "zero_optimization", "ds/zero-null"),
    _no_get("ACC251", "zero_optimization.offload_optimizer", "ds/offload-null"),
    refusal(
        "ACC252",
        "Adagrad cannot be offloaded by Accelerate",
        "prepare.initialize",
        all_of(_READY, _REPLACED, eq(_CLASS, "torch.Adagrad")),
        ("TypeError", "DeepSpeedCPUAdagrad.__init__() got an unexpected keyword argument 'adamw_mode'",
         ("ds.zero_optimization.offload_optimizer.device", "prepared.optimizer")),
        "Accelerate passes an argument of DeepSpeedCPUAdam to DeepSpeedCPUAdagrad.",
        ev(CONFIG, "78-81", "optimizer_class = DeepSpeedCPUAdagrad", "optimizer/adagrad-offload"),
        {**_M, "ds.zero_optimization.offload_optimizer.device": "cpu",
         "prepared.optimizer.class": "torch.Adagrad"},
        {**_M, "ds.zero_optimization.offload_optimizer.device": "cpu",
         "prepared.optimizer.class": "torch.Adam"},
        hint="Use an Adam, or set zero_force_ds_cpu_optimizer to false.",
    ),
    refusal(
        "ACC253",
        "sequence parallelism wants the model's attention named",
        "prepare.initialize",
        all_of(_SEQUENCE, differs(_CORE, _ATTENTION)),
        ("ValueError", text("core_attn_implementation='{}' does not match model config "
                            "attn_implementation='{}'.…", _CORE, _ATTENTION),
         ("accelerator.parallelism.sp_attn_implementation",)),
        "DeepSpeed's Ulysses compares sp_attn_implementation with what the model was loaded with.",
        ev(ACCELERATOR, "2424-2433", "core_attn_implementation=sp_handler.sp_attn_implementation,",
           "ulysses/bare"),
        {**_M, "accelerator.parallelism.sp_size": 2},
        {**_M, "accelerator.parallelism.sp_size": 2,
         "accelerator.parallelism.sp_attn_implementation": "sdpa"},
        hint='Give sp_handler=DeepSpeedSequenceParallelConfig(sp_attn_implementation="sdpa").',
        versions=since(SEQUENCE_SINCE),
    ),
    write(
        "ACC254",
        "with offload any optimizer becomes DeepSpeedCPUAdam",
        "prepare.initialize",
        all_of(_READY, _REPLACED),
        "init.optimizer",
        block({"class": "deepspeed.DeepSpeedCPUAdam"}),
        "Even SGD, and at every stage; lr and weight_decay are kept. zero_force_ds_cpu_optimizer false keeps "
        "the script's own.",
        ev(ACCELERATOR, "2383", "optimizer = map_pytorch_optim_to_deepspeed(optimizer)",
           "optimizer/sgd-offload"),
        {**_M, "ds.zero_optimization.offload_optimizer.device": "cpu",
         "prepared.optimizer.class": "torch.SGD"},
        {**_M, "ds.zero_optimization.offload_optimizer.device": "none",
         "prepared.optimizer.class": "torch.SGD"},
    ),
    write(
        "ACC255",
        "the script's optimizer is given to DeepSpeed",
        "prepare.initialize",
        all_of(_READY, no(_REPLACED)),
        "init.optimizer",
        block({"class": _CLASS}),
        "prepare() passes it on as it is.",
        ev(ACCELERATOR, "2384", 'kwargs["optimizer"] = optimizer', "ds/as-is"),
        {**_M, "prepared.optimizer.class": "torch.SGD", "ds.zero_optimization": {}},
        {**_M, "prepared.optimizer.class": "torch.SGD",
         "ds.zero_optimization.offload_optimizer.device": "cpu"},
    ),
    write(
        "ACC256",
        "DeepSpeed's own scheduler is given to DeepSpeed",
        "prepare.initialize",
        all_of(_READY, one_of(get("prepared.scheduler.name"), _LR_CLASSES)),
        "init.scheduler",
        block({"class": get("prepared.scheduler.class")}),
        "Other schedulers stay with Accelerate, and the engine has none.",
        ev(ACCELERATOR, "2387", 'kwargs["lr_scheduler"] = scheduler', "optimizer/warmup-lr-none"),
        {**_M, "prepared.optimizer.class": "torch.AdamW", "prepared.scheduler.name": "WarmupLR"},
        {**_M, "prepared.optimizer.class": "torch.AdamW", "prepared.scheduler.name": "LambdaLR"},
    ),
    write(
        "ACC257",
        "DummyScheduler's callable is given to DeepSpeed",
        "prepare.initialize",
        all_of(USED, MODEL, DUMMY_OPTIMIZER, DUMMY_SCHEDULER, CALLABLE),
        "init.scheduler",
        block({"callable": True, "class": first_set(get("prepared.scheduler.made"),
           fact("scheduler_class"))}),
        "With DummyOptim, DeepSpeed calls it with the optimizer it has made.",
        ev(ACCELERATOR, "2371-2372", 'kwargs["lr_scheduler"] = scheduler.lr_scheduler_callable',
           "optimizer/dummy-callable-optimizer"),
        {**_M, "prepared.optimizer.dummy": True, "prepared.scheduler.dummy": True,
         "prepared.scheduler.callable": True, "prepared.scheduler.made": "torch.LambdaLR"},
        {**_M, "prepared.optimizer.class": "torch.AdamW", "prepared.scheduler.dummy": True,
         "prepared.scheduler.callable": True},
    ),
)  # fmt: skip
NO_MODEL = write(
    "ACC258",
    "without a model nobody calls deepspeed.initialize",
    "prepare.initialize",
    all_of(USED, no(MODEL)),
    "ds",
    UNSET,
    "prepare() builds the engine when the model is given to it.",
    ev(ACCELERATOR, "2289", "if model is not None:", "loader/loader-alone"),
    {**U, "ds.zero_optimization": {}},
    _M,
)
ALONE = refusal(
    "ACC259",
    "a script started by python alone",
    "initialize.begin",
    all_of(USED, MODEL, missing(get("env.RANK")), no(fact("mpi4py_installed"))),
    ("ModuleNotFoundError", "No module named 'mpi4py'", ("env.RANK",)),
    "Without a launcher's RANK in the environment, DeepSpeed asks MPI who it is.",
    (Evidence("deepspeed", "0.19.8", "comm/comm.py", "917", "from mpi4py import MPI",
              "accelerate/loader/python"),),
    {**_M, "fact.mpi4py_installed": False},
    {**_M, "env.RANK": "0", "fact.mpi4py_installed": False},
    hint="Start it with torchrun or accelerate launch.",
)  # fmt: skip
RULES: tuple[OverrideRule, ...] = (*COLLECT, *FILL, *LEFTOVER, *SEQUENCE, ALONE, *INITIALIZE, NO_MODEL)
