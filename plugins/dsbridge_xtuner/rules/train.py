"""FlexibleRunner.train(): the loop, the model, the optimizer, and deepspeed.initialize."""

from __future__ import annotations

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    all_of,
    at_most,
    block,
    choose,
    eq,
    fact,
    first,
    first_set,
    floor_div,
    get,
    has,
    is_a,
    is_set,
    item,
    keys,
    last_word,
    less,
    missing,
    mul,
    no,
    same,
    table,
    text,
    truthy,
    without,
)
from dsbridge_xtuner.moments import ZERO_3
from dsbridge_xtuner.rules._make import USED, ev, refusal, write
from dsbridge_xtuner.rules.check import SEQUENCE
from dsbridge_xtuner.rules.runner import absent

_LOOP = all_of(USED, eq(get("cfg.train_cfg.type.class"), "xtuner.TrainLoop"))
_RUNS = {
    "ds": {},
    "cfg.train_cfg.type": {"name": "xtuner.engine.runner.TrainLoop", "class": "xtuner.TrainLoop"},
}
_BATCH = get("cfg.train_dataloader.batch_size")
_WHOLE = all_of(is_a(_BATCH, "int"), choose(is_a(_BATCH, "number"), no(at_most(_BATCH, 0)), False))
NO_GROUP = all_of(USED, eq(first_set(get("run.launcher"), "none"), "none"))
_EARLY: dict[str, object] = {"ds.zero_optimization.stage": 3, "strategy.kind": "xtuner"}
_LONELY = all_of(USED, eq(first_set(get("run.launcher"), "none"), "none"), no(truthy(get("run.ranks"))))
_OPTIMIZER = get("cfg.optim_wrapper.optimizer")
_TYPE = get("cfg.optim_wrapper.optimizer.type")
_NAMES = table("xtuner.optimizers")
_CLASS = choose(is_a(_TYPE, "str"), item(_NAMES, _TYPE), get("cfg.optim_wrapper.optimizer.type.class"))
_TAKES = item(table("xtuner.takes"), _CLASS)
_STRANGE = without(without(keys(_OPTIMIZER), ["type", "params"]), _TAKES)
_ADAM = {"name": "torch.optim.AdamW", "class": "torch.AdamW"}


_TRAIN = (
    refusal(
        "XT170",
        "the loop has no length",
        "train.loop",
        all_of(_LOOP, absent("cfg.train_cfg.max_iters"), absent("cfg.train_cfg.max_epochs")),
        (
            "RuntimeError",
            "Please specify the `max_iters` or `max_epochs` in `train_cfg`.",
            ("cfg.train_cfg.max_epochs",),
        ),
        "TrainLoop takes one of the two.",
        ev(
            "xtuner",
            "engine/runner/loops.py",
            "0",
            '"Please specify the `max_iters` or " "`max_epochs` in `train_cfg`."',
            "config/train-cfg-none",
        ),
        _RUNS,
        {**_RUNS, "cfg.train_cfg.max_epochs": 1},
        hint="Write train_cfg = dict(type=TrainLoop, max_epochs=3).",
    ),
    refusal(
        "XT171",
        "the loop has two lengths",
        "train.loop",
        all_of(_LOOP, no(absent("cfg.train_cfg.max_iters")), no(absent("cfg.train_cfg.max_epochs"))),
        (
            "RuntimeError",
            "Only one of `max_iters` or `max_epochs` can exist in `train_cfg`.",
            ("cfg.train_cfg.max_iters",),
        ),
        "TrainLoop takes one of the two.",
        ev(
            "xtuner",
            "engine/runner/loops.py",
            "0",
            '"Only one of `max_iters` or `max_epochs` can "',
            "config/train-cfg-both",
        ),
        {**_RUNS, "cfg.train_cfg.max_epochs": 1, "cfg.train_cfg.max_iters": 1},
        {**_RUNS, "cfg.train_cfg.max_epochs": 1},
        hint="Leave one out.",
    ),
    refusal(
        "XT172",
        "the batch size is no positive integer",
        "train.loop",
        all_of(USED, no(absent("cfg.train_dataloader.batch_size")), no(_WHOLE)),
        (
            "ValueError",
            text("batch_size should be a positive integer value, but got batch_size={}", _BATCH),
            ("cfg.train_dataloader.batch_size",),
        ),
        "torch's BatchSampler checks it when the loader is made.",
        (
            Evidence(
                "torch",
                "2.11.0",
                "utils/data/sampler.py",
                "0",
                'f"batch_size should be a positive integer value, but got batch_size={batch_size}"',
                "xtuner/flag/options-float",
            ),
        ),
        {"ds": {}, "cfg.train_dataloader.batch_size": 2.5},
        {"ds": {}, "cfg.train_dataloader.batch_size": 2},
        hint="Write a whole number.",
    ),
)
_OPTIM = (
    write(
        "XT173",
        "zero.Init counts one rank before there is a process group",
        "train.model",
        all_of(ZERO_3, NO_GROUP),
        "init.world_size",
        1,
        "With --launcher none nobody has started a process group when the model is loaded.",
        ev("deepspeed", "runtime/config.py", "0", "self.world_size = 1", "start/torchrun-none-global"),
        _EARLY,
        {**_EARLY, "run.launcher": "pytorch"},
        hint="Add --launcher pytorch.",
    ),
    write(
        "XT179",
        "deepspeed.initialize starts the process group",
        "train.optimizer",
        all_of(ZERO_3, NO_GROUP),
        "init.world_size",
        UNSET,
        "From here on DeepSpeed counts every rank.",
        ev(
            "deepspeed",
            "__init__.py",
            "0",
            "dist.init_distributed(dist_backend=dist_backend,",
            "start/torchrun-none-stage-3",
        ),
        _EARLY,
        {**_EARLY, "run.launcher": "pytorch"},
    ),
    refusal(
        "XT174",
        "the optimizer has no type",
        "train.optimizer",
        all_of(USED, is_a(_OPTIMIZER, "dict"), missing(_TYPE)),
        ("KeyError", "'type'", ("cfg.optim_wrapper.optimizer.type",)),
        "mmengine builds the optimizer by its type.",
        ev(
            "mmengine",
            "optim/optimizer/default_constructor.py",
            "0",
            "optimizer_cls = self.optimizer_cfg['type']",
            "optimizer/no-type",
        ),
        {"ds": {}, "cfg.optim_wrapper.optimizer": {}},
        {"ds": {}, "cfg.optim_wrapper.optimizer.type": _ADAM},
        hint="Write optimizer=dict(type=AdamW, lr=2e-5).",
    ),
    refusal(
        "XT175",
        "no optimizer has that name",
        "train.optimizer",
        all_of(USED, is_a(_TYPE, "str"), no(has(_NAMES, _TYPE))),
        ("TypeError", "None is not a callable object", ("cfg.optim_wrapper.optimizer.type",)),
        "A type that is text is looked up among the registered optimizers.",
        ev(
            "mmengine",
            "optim/optimizer/default_constructor.py",
            "0",
            "iter(inspect.signature(optimizer_cls).parameters))",
            "optimizer/text-unknown",
        ),
        {"ds": {}, "cfg.optim_wrapper.optimizer.type": "AdamWW"},
        {"ds": {}, "cfg.optim_wrapper.optimizer.type": "AdamW"},
        hint="Import the class and write it without quotes.",
    ),
    refusal(
        "XT176",
        "the optimizer does not take an argument",
        "train.optimizer",
        all_of(USED, is_set(_TYPE), is_set(_TAKES), is_set(first(_STRANGE))),
        (
            "TypeError",
            text("{}.__init__() got an unexpected keyword argument '{}'", last_word(_CLASS), first(_STRANGE)),
            ("cfg.optim_wrapper.optimizer",),
        ),
        "mmengine hands everything in `optimizer` to its class.",
        ev(
            "mmengine",
            "registry/build_functions.py",
            "0",
            "obj = obj_cls(**args)  # type: ignore",
            "optimizer/wrong-word",
        ),
        {"ds": {}, "cfg.optim_wrapper.optimizer": {"type": _ADAM, "momentum": 0.9}},
        {"ds": {}, "cfg.optim_wrapper.optimizer": {"type": _ADAM, "lr": 0.1}},
        hint="Leave the argument out.",
    ),
    write(
        "XT177",
        "the optimizer is the config's",
        "train.optimizer",
        all_of(USED, is_set(_TYPE)),
        "init.optimizer",
        block({"class": _CLASS}),
        "deepspeed.initialize gets the config's optimizer; an optimizer block in the file is unused.",
        ev(
            "mmengine",
            "_strategy/deepspeed.py",
            "0",
            "optimizer=self.optim_wrapper.optimizer,",
            "optimizer/adam",
        ),
        {"ds": {}, "cfg.optim_wrapper.optimizer.type": _ADAM},
        {"cfg.optim_wrapper.optimizer.type": _ADAM},
    ),
    refusal(
        "XT178",
        "nobody gave this process a rank",
        "initialize",
        all_of(_LONELY, no(fact("mpi4py_installed"))),
        ("ModuleNotFoundError", "No module named 'mpi4py'", ("run.ranks",)),
        "Without torchrun's variables DeepSpeed asks MPI, through mpi4py.",
        ev("deepspeed", "comm/comm.py", "0", "from mpi4py import MPI", "start/one"),
        {"ds": {}, "fact.mpi4py_installed": False},
        {"ds": {}, "fact.mpi4py_installed": True},
        hint="Start it with NPROC_PER_NODE=2 or more; for one GPU set RANK=0 WORLD_SIZE=1 "
        "MASTER_ADDR=127.0.0.1 MASTER_PORT=29500.",
    ),
)
_DEGREE = choose(is_a(SEQUENCE, "number"), less(1, SEQUENCE), False)
_PARALLEL = all_of(same(get("strategy.kind"), "xtuner"), _DEGREE)
_RANKS = floor_div(fact("world_size"), SEQUENCE)
_SPLIT = {"strategy.kind": "xtuner", "cfg.sequence_parallel_size": 2, "fact.world_size": 4}
_PROOF = ev(
    "xtuner",
    "parallel/sequence/setup_distributed.py",
    "0",
    "num_sequence_parallel_groups: int = world_size // sequence_parallel_size",
    "sequence/2-of-4",
)
_MADE = (
    write(
        "XT180",
        "ranks of a sequence group share their samples",
        "made",
        _PARALLEL,
        "batch.data_parallel",
        _RANKS,
        "DeepSpeed counts every rank of a sequence group as one of its own.",
        _PROOF,
        _SPLIT,
        {**_SPLIT, "cfg.sequence_parallel_size": 1},
        asked=get("cfg.sequence_parallel_size"),
    ),
    write(
        "XT181",
        "the true batch under sequence parallel",
        "made",
        _PARALLEL,
        "batch.global",
        mul(get("made.train_micro_batch_size_per_gpu"), get("made.gradient_accumulation_steps"), _RANKS),
        "DeepSpeed's train_batch_size is larger by sequence_parallel_size than what a step really sees.",
        _PROOF,
        {**_SPLIT, "made.train_micro_batch_size_per_gpu": 2, "made.gradient_accumulation_steps": 4},
        {**_SPLIT, "cfg.sequence_parallel_size": 1},
        asked=get("cfg.sequence_parallel_size"),
    ),
)
TRAINING = (*_TRAIN, *_OPTIM, *_MADE)
