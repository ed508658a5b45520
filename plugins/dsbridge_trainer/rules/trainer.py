"""Trainer.__init__ and train(): what is refused, how many steps there are, whose optimizer and scheduler."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    OverrideRule,
    add,
    all_of,
    any_of,
    at_most,
    block,
    ceil,
    choose,
    differs,
    div,
    eq,
    fact,
    first_set,
    floor_div,
    get,
    greatest,
    is_a,
    is_auto,
    is_set,
    item,
    less,
    missing,
    mod,
    mul,
    no,
    one_of,
    quietly,
    same,
    table,
    text,
    truthy,
    upper,
)
from dsbridge_trainer.rules._make import FIVE, OLD, TRAINER_FILE, ev, refusal, since, until, write
from dsbridge_trainer.rules.config import GIVEN

_USED = truthy(get("deepspeed.used"))
_WAY = get("script.model.way")
_STAGE = get("ds.zero_optimization.stage")
_THREE = all_of(eq(_STAGE, 3), no(same(_STAGE, True)))
_TP = first_set(get("ds.tensor_parallel.autotp_size"), 1)
_LOADED = all_of(_USED, _THREE, no(truthy(get("script.model.first"))), eq(_WAY, "from_pretrained"))
_LOADING = all_of(
    _USED, _THREE, no(truthy(get("script.model.first"))), one_of(_WAY, ("from_pretrained", "from_config"))
)
_MODEL = {"deepspeed.used": True, "script.model.way": "from_pretrained"}

PRECISION_LATER: tuple[OverrideRule, ...] = (
    write(
        "TR170", "the precision of an own config is set later", "precision.wait",
        GIVEN, "deepspeed.used", False,
        "A config of TrainingArguments gets its precision when the Trainer makes its Accelerator, after the model "
        "is loaded; a config of `accelerate launch` gets it at once.",
        ev("training_args.py", "1720", "self.deepspeed_plugin.set_mixed_precision(self.mixed_precision)", "pair/008"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
    write(
        "TR171", "DeepSpeed is used after all", "precision.go",
        GIVEN, "deepspeed.used", True,
        "Only the precision waits.",
        ev("training_args.py", "1715", "self.deepspeed_plugin = DeepSpeedPlugin(hf_ds_config=self.hf_deepspeed_config)", "batch/auto"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
)  # fmt: skip

LOAD: tuple[OverrideRule, ...] = (
    refusal(
        "TR172", "device_map under ZeRO-3", "model.load",
        all_of(_LOADED, truthy(get("script.model.device_map"))),
        ("ValueError", text("DeepSpeed Zero-3 is not compatible with …passing a `device_map`."),
         ("ds.zero_optimization.stage", "script.model.device_map")),
        "Under ZeRO-3 the weights are split over the ranks while they are loaded.",
        ev("integrations/accelerate.py", "137", 'raise ValueError("DeepSpeed Zero-3 is not compatible with passing a `device_map`.")', "model/device-map"),
        {**_MODEL, "ds.zero_optimization.stage": 3, "script.model.device_map": True},
        {**_MODEL, "ds.zero_optimization.stage": 2, "script.model.device_map": True},
        "Remove device_map.",
    ),
    refusal(
        "TR206", "ZeRO-3 without a launcher", "model.split",
        all_of(_LOADING, no(truthy(get("script.model.init"))), missing(get("env.RANK")), no(fact("mpi4py_installed"))),
        ("ModuleNotFoundError", "No module named 'mpi4py'", ("env.RANK",)),
        "zero.Init needs the process group; without a launcher's RANK in the environment, DeepSpeed asks MPI.",
        (Evidence("deepspeed", "0.19.8", "comm/comm.py", "917", "from mpi4py import MPI", "trainer/run/python-three"),),
        {**_MODEL, "ds.zero_optimization.stage": 3, "fact.mpi4py_installed": False},
        {**_MODEL, "ds.zero_optimization.stage": 3, "env.RANK": "0"},
        "Start it with torchrun or deepspeed.",
    ),
    refusal(
        "TR200", "AutoTP under ZeRO-3", "model.load",
        all_of(_LOADED, GIVEN, is_a(_TP, "int"), less(1, _TP)),
        ("NotImplementedError",
         "Weight conversions (e.g., MoE expert fusion) with DeepSpeed Tensor Parallelism are not yet implemented but "
         "support is coming soon. Please disable tensor_parallel in your DeepSpeed config or convert your checkpoint "
         "to the expected format first.",
         ("ds.tensor_parallel.autotp_size", "ds.zero_optimization.stage")),
        "Weights that are converted while they are loaded are not split by tensor rank.",
        ev("integrations/deepspeed.py", "357", '"Weight conversions (e.g., MoE expert fusion) with DeepSpeed Tensor Parallelism "', "other/tp-three"),
        {**_MODEL, "args.deepspeed": "ds.json", "ds.zero_optimization.stage": 3, "ds.tensor_parallel.autotp_size": 2},
        {**_MODEL, "args.deepspeed": "ds.json", "ds.zero_optimization.stage": 1, "ds.tensor_parallel.autotp_size": 2},
        "Use ZeRO-1 with tensor parallelism.",
        since(FIVE),
    ),
)  # fmt: skip

_EVAL = get("args.eval_strategy")
_NO_EVAL_DATA = all_of(differs(_EVAL, "no"), no(truthy(get("script.eval_dataset"))))
_EVAL_TEXT = text(
    "You have set `args.eval_strategy` to {} but you didn't pass an `eval_dataset` to `Trainer`. Either set "
    "`args.eval_strategy` to `no` or pass an `eval_dataset`. ",
    text("IntervalStrategy.{}", upper(_EVAL)),
)
_EVAL_QUOTE = 'f"You have set `args.eval_strategy` to {args.eval_strategy} but you didn\'t pass an `eval_dataset` to `Trainer`. Either set `args.eval_strategy` to `no` or pass an `eval_dataset`. "'
_KWARGS = get("args.accelerator_config.gradient_accumulation_kwargs.num_steps")
_NO_LENGTH = (
    "The train_dataset does not implement __len__, so the number of training steps cannot be inferred; max_steps has "
    "to be specified. The total number of steps must be known in advance to bound the training loop and to configure "
    "the learning rate scheduler."
)
_NO_LENGTH_FOUR = (
    "The train_dataset does not implement __len__, max_steps has to be specified. The number of steps needs to be "
    "known in advance for the learning rate scheduler."
)

EARLY: tuple[OverrideRule, ...] = (
    refusal(
        "TR173", "evaluation without data (transformers 4)", "init.early", _NO_EVAL_DATA,
        ("ValueError", _EVAL_TEXT, ("args.eval_strategy",)),
        "The Trainer would have nothing to evaluate.",
        ev(TRAINER_FILE, "446", _EVAL_QUOTE, "argument/eval-without-data", OLD),
        {"args.eval_strategy": "steps"}, {"args.eval_strategy": "no"},
        "Pass eval_dataset, or write eval_strategy=\"no\".", until(FIVE),
    ),
    refusal(
        "TR174", "two numbers of accumulation steps", "init.accelerator",
        all_of(is_set(_KWARGS), less(1, get("args.gradient_accumulation_steps"))),
        ("ValueError",
         "The `AcceleratorConfig`'s `num_steps` is set but `gradient_accumulation_steps` is greater than 1 in the "
         "passed `TrainingArguments`If using the passed `AcceleratorConfig` is desired, do not set the "
         "`TrainingArguments` `gradient_accumulation_steps`.",
         ("args.gradient_accumulation_steps", "args.accelerator_config")),
        "The Trainer does not guess which is meant.",
        ev(TRAINER_FILE, "818", '"The `AcceleratorConfig`\'s `num_steps` is set but `gradient_accumulation_steps` is greater than 1 in the passed `TrainingArguments`"', "argument/accelerator-steps"),
        {"args.accelerator_config.gradient_accumulation_kwargs.num_steps": 4, "args.gradient_accumulation_steps": 2},
        {"args.accelerator_config.gradient_accumulation_kwargs.num_steps": 4, "args.gradient_accumulation_steps": 1},
        "Keep gradient_accumulation_steps.",
    ),
    write(
        "TR175", "accumulation steps of accelerator_config", "init.accelerator",
        is_set(_KWARGS), "args.gradient_accumulation_steps", _KWARGS,
        "They take the argument's place, too late for the DeepSpeed config but in time to count steps.",
        ev(TRAINER_FILE, "822", 'self.args.gradient_accumulation_steps = grad_acc_kwargs["num_steps"]', "argument/accelerator-steps-one"),
        {"args.accelerator_config.gradient_accumulation_kwargs.num_steps": 4},
        {"args.accelerator_config": None},
    ),
    write(
        "TR176", "the Trainer accumulates itself", "init.accelerator",
        _USED, "accelerator.accumulation_plugin", True,
        "Its Accelerator is told one step, so `accelerate launch`'s number reaches it by the DeepSpeed config only.",
        ev(TRAINER_FILE, "825", 'grad_acc_kwargs["num_steps"] = 1', "launch/steps-auto"),
        {"deepspeed.used": True}, {"deepspeed.used": False},
        since(FIVE),
    ),
)  # fmt: skip

CHECKS: tuple[OverrideRule, ...] = (
    refusal(
        "TR177", "only the model is saved, and the best is to be loaded", "init.model",
        all_of(_USED, truthy(get("args.save_only_model")), truthy(get("args.load_best_model_at_end"))),
        ("ValueError", "DeepSpeed can't be used with `save_only_model` along with `load_best_model_at_end`.",
         ("args.save_only_model", "args.load_best_model_at_end")),
        "The engine cannot load a checkpoint without optimizer states.",
        ev(TRAINER_FILE, "896", 'raise ValueError(f"{wrapper} can\'t be used with `save_only_model` along with `load_best_model_at_end`.")', "argument/best-only-model"),
        {"deepspeed.used": True, "args.save_only_model": True, "args.load_best_model_at_end": True},
        {"deepspeed.used": True, "args.save_only_model": True, "args.load_best_model_at_end": False},
        "Remove one of the two.",
    ),
    refusal(
        "TR178", "auto_find_batch_size under ZeRO-3", "init.model",
        all_of(_USED, truthy(get("args.auto_find_batch_size")), _THREE),
        ("ValueError",
         "`auto_find_batch_size` isn't supported yet with DeepSpeed Zero-3. Please consider using Zero-2, Zero-1, or "
         "FSDP",
         ("args.auto_find_batch_size", "ds.zero_optimization.stage")),
        "A model whose weights are split cannot be wrapped again.",
        ev(TRAINER_FILE, "905", '"`auto_find_batch_size` isn\'t supported yet with DeepSpeed Zero-3. Please consider using Zero-2, Zero-1, or FSDP"', "argument/find-batch-3"),
        {"deepspeed.used": True, "args.auto_find_batch_size": True, "ds.zero_optimization.stage": 3},
        {"deepspeed.used": True, "args.auto_find_batch_size": True, "ds.zero_optimization.stage": 2},
        "Choose the batch size yourself.",
    ),
    refusal(
        "TR179", "a Trainer without a model", "init.model",
        eq(_WAY, "none"),
        ("RuntimeError", "`Trainer` requires either a `model` or `model_init` argument", ("script.model",)),
        "There is nothing to train.",
        ev(TRAINER_FILE, "442", 'raise RuntimeError("`Trainer` requires either a `model` or `model_init` argument")', "model/none"),
        {"script.model.way": "none"}, {"script.model.way": "own"},
        "Pass model=.",
    ),
    refusal(
        "TR181", "FSDP and DeepSpeed at once", "init.check",
        all_of(_USED, truthy(get("args.fsdp"))),
        ("ValueError", "Using --fsdp xxx together with --deepspeed is not possible, deactivate one of those flags.",
         ("args.fsdp", "args.deepspeed")),
        "Both split the model's weights.",
        ev(TRAINER_FILE, "475", '"Using --fsdp xxx together with --deepspeed is not possible, deactivate one of those flags."', "argument/fsdp"),
        {"deepspeed.used": True, "args.fsdp": "full_shard"}, {"deepspeed.used": True, "args.fsdp": None},
        "Keep one of them.",
    ),
    refusal(
        "TR182", "evaluation without data", "init.check", _NO_EVAL_DATA,
        ("ValueError", _EVAL_TEXT, ("args.eval_strategy",)),
        "The Trainer would have nothing to evaluate.",
        ev(TRAINER_FILE, "684", _EVAL_QUOTE, "argument/eval-without-data"),
        {"args.eval_strategy": "steps"}, {"args.eval_strategy": "no"},
        "Pass eval_dataset, or write eval_strategy=\"no\".", since(FIVE),
    ),
    refusal(
        "TR183", "a stream without max_steps", "init.check",
        all_of(truthy(get("script.data.stream")), at_most(get("args.max_steps"), 0)),
        ("ValueError", choose(table("trainer.new"), _NO_LENGTH, _NO_LENGTH_FOUR), ("args.max_steps",)),
        "Nobody knows how long it is.",
        ev(TRAINER_FILE, "730", '"The train_dataset does not implement __len__, so the number of training steps cannot be inferred; "', "data/stream"),
        {"script.data.stream": True, "args.max_steps": -1}, {"script.data.stream": True, "args.max_steps": 10},
        "Write max_steps.",
    ),
)  # fmt: skip

_B, _ROWS, _EPOCHS = get("args.per_device_train_batch_size"), get("script.data.length"), get("args.num_train_epochs")
_G, _MAX = get("args.gradient_accumulation_steps"), get("args.max_steps")
_DROP = truthy(get("args.dataloader_drop_last"))
_RANKS = choose(truthy(get("args.accelerator_config.split_batches")), 1, div(fact("world_size"), _TP))
_BATCHES = choose(_DROP, floor_div(_ROWS, _B), ceil(div(_ROWS, _B)))
_OWN = choose(_DROP, floor_div(_BATCHES, _RANKS), ceil(div(_BATCHES, _RANKS)))
_PER_EPOCH = greatest(1, add(floor_div(get("run.length"), _G), choose(eq(mod(get("run.length"), _G), 0), 0, table("trainer.partial"))))

TRAIN: tuple[OverrideRule, ...] = (
    write(
        "TR184", "a script that never trains", "train.data",
        no(truthy(get("script.trains"))), "ds", UNSET,
        "Only train() gives the config to DeepSpeed.",
        ev(TRAINER_FILE, "1450", "def train(", "way/no-train"),
        {"script.trains": False, "ds": {}}, {"script.trains": True},
    ),
    write(
        "TR185", "nothing is prepared where nobody trains", "train.data",
        no(truthy(get("script.trains"))), "deepspeed.used", False,
        "Only train() gives the config to DeepSpeed.",
        ev(TRAINER_FILE, "1450", "def train(", "way/no-train"),
        {"script.trains": False}, {"script.trains": True},
    ),
    refusal(
        "TR186", "training without data", "train.data",
        all_of(truthy(get("script.trains")), same(get("script.data.given"), False)),
        ("ValueError", "Trainer: training requires a train_dataset.", ("script.data",)),
        "train() makes a loader of it.",
        ev(TRAINER_FILE, "926", 'raise ValueError("Trainer: training requires a train_dataset.")', "data/none"),
        {"script.trains": True, "script.data.given": False}, {"script.trains": True, "script.data.given": True},
        "Pass train_dataset=.",
    ),
    refusal(
        "TR187", "a batch of nothing", "train.data",
        all_of(truthy(get("script.trains")), is_a(_B, "int"), less(_B, 1), no(truthy(get("script.data.stream")))),
        ("ValueError", text("batch_size should be a positive integer value, but got batch_size={}", _B),
         ("args.per_device_train_batch_size",)),
        "torch's DataLoader checks it.",
        ev(TRAINER_FILE, "1051", "dataloader = self.accelerator.prepare(DataLoader(dataset, **dataloader_params))", "argument/batch-zero"),
        {"script.trains": True, "args.per_device_train_batch_size": 0},
        {"script.trains": True, "args.per_device_train_batch_size": 1},
        "Write a positive number.",
    ),
    refusal(
        "TR189", "accumulation over no steps", "train.length",
        all_of(_USED, eq(_G, 0)),
        ("ZeroDivisionError", text("integer …modulo by zero"), ("args.gradient_accumulation_steps",)),
        "The steps of an epoch are divided by it.",
        ev(TRAINER_FILE, "2515", "len_dataloader // args.gradient_accumulation_steps", "argument/steps-zero"),
        {"deepspeed.used": True, "args.gradient_accumulation_steps": 0},
        {"deepspeed.used": True, "args.gradient_accumulation_steps": 1},
        "Write 1 or more.",
    ),
    write(
        "TR190", "batches of one rank", "train.length",
        all_of(_USED, is_set(_ROWS)), "run.length", _OWN,
        "Rows by micro batch, shared by the data-parallel ranks, each padded to the same number.",
        ev(TRAINER_FILE, "2504", "len_dataloader = len(dataloader) if has_length(dataloader) else None", "data/67"),
        {"deepspeed.used": True, "script.data.length": 64}, {"deepspeed.used": True, "script.data": {}},
    ),
    write(
        "TR191", "optimizer steps", "train.steps",
        _USED, "run.steps",
        choose(less(_MAX, 0),
               choose(is_set(get("run.length")), ceil(mul(_EPOCHS, _PER_EPOCH)), fact("num_training_steps")), _MAX),
        "max_steps, or epochs times steps an epoch; transformers 5 counts a last, smaller step, 4 does not.",
        ev(TRAINER_FILE, "2521", "max_steps = math.ceil(args.num_train_epochs * num_update_steps_per_epoch)", "data/67"),
        {"deepspeed.used": True}, {"deepspeed.used": False},
    ),
)  # fmt: skip

_BNB = one_of(get("args.optim"), table("trainer.bitsandbytes"))
_BLOCK = is_set(get("ds.optimizer"))
_LR = get("args.learning_rate")
_CLASS = first_set(get("own.optimizer.class"), item(table("trainer.optimizers"), get("args.optim")))
_SCHEDULES = {"reduce_lr_on_plateau": "torch.ReduceLROnPlateau", "greedy": "transformers.GreedyLR"}

_TEXT_SIZED = all_of(
    _USED, is_set(get("model.text_config.hidden_size")), missing(get("model.hidden_size")),
    missing(get("model.hidden_sizes")),
)  # fmt: skip
_LEFT = tuple(f"ds.zero_optimization.{n}" for n in ("stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"))
OPTIMIZER: tuple[OverrideRule, ...] = (
    refusal(
        "TR207", "buckets of ZeRO-3 that nobody fills below it", "train.optimizer",
        all_of(_TEXT_SIZED, any_of(*(is_auto(get(path)) for path in _LEFT))),
        ("ValueError",
         "Can find neither `model.config.hidden_size` nor `model.config.hidden_sizes`, therefore it's not possible to "
         "automatically fill out the following `auto` entries in the DeepSpeed config file: …", _LEFT),
        "The Trainer looks into text_config but fills them under ZeRO-3 only; Accelerate does not look there.",
        (Evidence("accelerate", "1.15.0", "accelerator.py", "2317", '"Can find neither `model.config.hidden_size` nor `model.config.hidden_sizes`, " + reasoning', "trainer/model/text-config-two"),),
        {"deepspeed.used": True, "model.text_config.hidden_size": 32, _LEFT[0]: "auto"},
        {"deepspeed.used": True, "model.hidden_size": 32, _LEFT[0]: "auto"},
        "Remove the two keys: they are ZeRO-3's.",
    ),
    refusal(
        "TR192", "bitsandbytes is not installed", "train.optimizer",
        all_of(_USED, no(_BLOCK), _BNB, no(fact("bitsandbytes_installed"))),
        ("ImportError",
         "You need to install `bitsandbytes` in order to use bitsandbytes optimizers: `pip install -U bitsandbytes`",
         ("args.optim",)),
        "Its optimizers are in a package of their own.",
        ev("trainer_optimizer.py", "250", '"You need to install `bitsandbytes` in order to use bitsandbytes optimizers: `pip install -U bitsandbytes`"', "optim/optim-bnb"),
        {"deepspeed.used": True, "args.optim": "adamw_bnb_8bit", "fact.bitsandbytes_installed": False},
        {"deepspeed.used": True, "args.optim": "adamw_torch"},
        "pip install bitsandbytes, or choose another optimizer.",
        since(FIVE),
    ),
    refusal(
        "TR201", "bitsandbytes is not installed (transformers 4)", "train.optimizer",
        all_of(_USED, no(_BLOCK), _BNB, no(fact("bitsandbytes_installed"))),
        ("ValueError", "Trainer tried to instantiate bnb optimizer but `bitsandbytes` is not installed!",
         ("args.optim",)),
        "Its optimizers are in a package of their own.",
        ev(TRAINER_FILE, "1527", 'raise ValueError("Trainer tried to instantiate bnb optimizer but `bitsandbytes` is not installed!")', "optim/optim-bnb", OLD),
        {"deepspeed.used": True, "args.optim": "adamw_bnb_8bit", "fact.bitsandbytes_installed": False},
        {"deepspeed.used": True, "args.optim": "adamw_torch"},
        "pip install bitsandbytes, or choose another optimizer.",
        until(FIVE),
    ),
    refusal(
        "TR193", "a learning rate that is text", "train.optimizer",
        all_of(_USED, no(_BLOCK), is_a(quietly(_LR), "str"), no(eq(get("args.optim"), "adafactor"))),
        ("TypeError", "'<=' not supported between instances of 'float' and 'str'", ("args.learning_rate",)),
        "YAML 1.1 takes 1e-4 for text, and nobody converts it.",
        ev(TRAINER_FILE, "1326", "self.optimizer = optimizer_cls(optimizer_grouped_parameters, **optimizer_kwargs)", "yaml/lr-text"),
        {"deepspeed.used": True, "args.learning_rate": "1e-4"}, {"deepspeed.used": True, "args.learning_rate": 1e-4},
        "Write 1.0e-4 or 0.0001.",
    ),
    write(
        "TR194", "DeepSpeed's own optimizer", "train.optimizer",
        all_of(_USED, _BLOCK), "prepared.optimizer", {"dummy": True, "class": "DummyOptim"},
        "With an optimizer block, args.optim and its parameter groups are not used.",
        ev("integrations/deepspeed.py", "577", "optimizer = DummyOptim(params=model_parameters)", "optim/argument-unused"),
        {"deepspeed.used": True, "ds.optimizer": {}}, {"deepspeed.used": True},
    ),
    write(
        "TR195", "the optimizer of args.optim", "train.optimizer",
        all_of(_USED, no(_BLOCK)), "prepared.optimizer", block({"class": _CLASS, "dummy": False}),
        "Without an optimizer block the Trainer builds what `optim` says.",
        ev("integrations/deepspeed.py", "587", "optimizer = trainer.create_optimizer()", "optim/adafactor"),
        {"deepspeed.used": True, "args.optim": "sgd"}, {"deepspeed.used": True, "ds.optimizer": {}},
    ),
    write(
        "TR197", "the Trainer's scheduler on DeepSpeed's optimizer", "train.optimizer",
        all_of(_USED, missing(get("ds.scheduler")), _BLOCK), "prepared.scheduler",
        block({"dummy": True, "callable": True,
               "made": first_set(item(_SCHEDULES, get("args.lr_scheduler_type")), "torch.LambdaLR")}),
        "DeepSpeed calls the Trainer back when its optimizer stands.",
        ev("integrations/deepspeed.py", "608", "lr_scheduler = DummyScheduler(optimizer, lr_scheduler_callable=_lr_scheduler_callable)", "schedule/hf-linear-block"),
        {"deepspeed.used": True, "ds.optimizer": {}}, {"deepspeed.used": True},
    ),
)  # fmt: skip

_CALLED = truthy(get("prepared.scheduler.callable"))
_TYPE, _EXTRA = get("args.lr_scheduler_type"), get("args.lr_scheduler_kwargs")
_MICS = get("ds.zero_optimization.mics_shard_size")
ENGINE: tuple[OverrideRule, ...] = (
    refusal(
        "TR202", "MiCS and a model that zero.Init has split", "engine.sharded",
        all_of(_LOADING, is_a(_MICS, "int"), less(0, _MICS)),
        ("AssertionError", "Sharded parameters don't have the MiCS_CommGroups attached. …",
         ("ds.zero_optimization.mics_shard_size",)),
        "transformers loads the model under zero.Init, and MiCS wants its own MiCS_Init.",
        (Evidence("deepspeed", "0.16.9", "runtime/zero/mics.py", "411",
                  "Sharded parameters don't have the MiCS_CommGroups attached.", "trainer/zero/mics"),),
        {**_MODEL, "ds.zero_optimization.stage": 3, "ds.zero_optimization.mics_shard_size": 2},
        {**_MODEL, "ds.zero_optimization.stage": 3},
        "Remove mics_shard_size; zero_hpz_partition_size is ZeRO++'s like of it.",
    ),
    refusal(
        "TR198", "a schedule with a least rate that is not given", "engine.scheduler",
        all_of(_CALLED, eq(_TYPE, "cosine_with_min_lr"), missing(get("args.lr_scheduler_kwargs.min_lr")),
               missing(get("args.lr_scheduler_kwargs.min_lr_rate"))),
        ("ValueError", "One of min_lr or min_lr_rate should be set through the `lr_scheduler_kwargs`",
         ("args.lr_scheduler_kwargs",)),
        "The schedule ends there.",
        ev("optimization.py", "377", 'raise ValueError("One of min_lr or min_lr_rate should be set through the `lr_scheduler_kwargs`")', "schedule/hf-min-lr-none"),
        {"prepared.scheduler.callable": True, "args.lr_scheduler_type": "cosine_with_min_lr"},
        {"prepared.scheduler.callable": True, "args.lr_scheduler_type": "cosine"},
        "Write lr_scheduler_kwargs={\"min_lr_rate\": 0.1}.",
    ),
    refusal(
        "TR199", "a learning rate that is text, and a schedule", "engine.scheduler",
        all_of(_CALLED, is_a(quietly(get("ds.optimizer.params.lr")), "str")),
        ("TypeError", "can't multiply sequence by non-int of type 'float'",
         ("ds.optimizer.params.lr", "args.learning_rate")),
        "YAML 1.1 takes 1e-4 for text, and nobody converts it.",
        ev(TRAINER_FILE, "1367", "self.lr_scheduler = get_scheduler(", "argument/lr-text-block"),
        {"prepared.scheduler.callable": True, "ds.optimizer.params.lr": "1e-4"},
        {"prepared.scheduler.callable": True, "ds.optimizer.params.lr": 1e-4},
        "Write 1.0e-4 or 0.0001.",
    ),
)  # fmt: skip


def notes() -> tuple[Any, ...]:
    """Used by the table of rules alone."""
    return (_EXTRA,)
