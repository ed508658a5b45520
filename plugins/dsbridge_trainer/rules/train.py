"""train(): how many steps there are, whose optimizer and scheduler, and what the engine then asks."""

from __future__ import annotations

from dsbridge.rulebook import (
    UNSET,
    Evidence,
    OverrideRule,
    add,
    all_of,
    any_of,
    block,
    ceil,
    choose,
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
)
from dsbridge_trainer.rules._make import FIVE, OLD, TRAINER_FILE, ev, refusal, since, until, write
from dsbridge_trainer.rules.trainer import LOADING, MODEL, TP, USED

# evaluate() without train() makes an engine too, with no optimizer: who runs the Trainer says so.
_EVALUATES = truthy(get("run.evaluates"))
TRAINS = all_of(USED, no(_EVALUATES))
_B, _ROWS, _EPOCHS = (
    get("args.per_device_train_batch_size"),
    get("script.data.length"),
    get("args.num_train_epochs"),
)
_G, _MAX = get("args.gradient_accumulation_steps"), get("args.max_steps")
_DROP = truthy(get("args.dataloader_drop_last"))
_RANKS = choose(truthy(get("args.accelerator_config.split_batches")), 1, div(fact("world_size"), TP))
_BATCHES = choose(_DROP, floor_div(_ROWS, _B), ceil(div(_ROWS, _B)))
_OWN = choose(_DROP, floor_div(_BATCHES, _RANKS), ceil(div(_BATCHES, _RANKS)))
_LENGTH = get("run.length")
_REST = choose(eq(mod(_LENGTH, _G), 0), 0, table("trainer.partial"))
_PER_EPOCH = greatest(1, add(floor_div(_LENGTH, _G), _REST))

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
        ev(TRAINER_FILE, "926",
            'raise ValueError("Trainer: training requires a train_dataset.")', "data/none"),
        {"script.trains": True,
            "script.data.given": False}, {"script.trains": True, "script.data.given": True},
        hint="Pass train_dataset=.",
    ),
    refusal(
        "TR187", "a batch of nothing", "train.data",
        all_of(truthy(get("script.trains")), is_a(_B, "int"), less(_B, 1), no(truthy(get(
            "script.data.stream")))),
        ("ValueError", text("batch_size should be a positive integer value, but got batch_size={}", _B),
         ("args.per_device_train_batch_size",)),
        "torch's DataLoader checks it.",
        ev(TRAINER_FILE, "1051",
            "dataloader = self.accelerator.prepare(DataLoader(dataset, "
            "**dataloader_params))", "argument/batch-zero"),
        {"script.trains": True, "args.per_device_train_batch_size": 0},
        {"script.trains": True, "args.per_device_train_batch_size": 1},
        hint="Write a positive number.",
    ),
    refusal(
        "TR189", "accumulation over no steps", "train.length",
        all_of(TRAINS, eq(_G, 0)),
        ("ZeroDivisionError", text("integer …modulo by zero"), ("args.gradient_accumulation_steps",)),
        "The steps of an epoch are divided by it.",
        ev(TRAINER_FILE, "2515", "len_dataloader // args.gradient_accumulation_steps", "argument/steps-zero"),
        {"deepspeed.used": True, "args.gradient_accumulation_steps": 0},
        {"deepspeed.used": True, "args.gradient_accumulation_steps": 1},
        hint="Write 1 or more.",
    ),
    write(
        "TR190", "batches of one rank", "train.length",
        all_of(TRAINS, is_set(_ROWS)), "run.length", _OWN,
        "Rows by micro batch, shared by the data-parallel ranks, each padded to the same number.",
        ev(TRAINER_FILE, "2504",
            "len_dataloader = len(dataloader) if has_length(dataloader) else None", "data/67"),
        {"deepspeed.used": True, "script.data.length": 64}, {"deepspeed.used": True, "script.data": {}},
    ),
    write(
        "TR191", "optimizer steps", "train.steps",
        USED, "run.steps",
        choose(_EVALUATES, 0, choose(less(_MAX, 0),
               choose(is_set(get("run.length")), ceil(mul(_EPOCHS, _PER_EPOCH)), fact(
                   "num_training_steps")), _MAX)),
        "max_steps, or epochs times steps an epoch; from transformers 4.52 on a last, smaller step counts. "
        "None in an evaluation without training.",
        ev(TRAINER_FILE, "2521",
            "max_steps = math.ceil(args.num_train_epochs * num_update_steps_per_epoch)", "data/67"),
        {"deepspeed.used": True}, {"deepspeed.used": False},
    ),
)  # fmt: skip

_BNB = one_of(get("args.optim"), table("trainer.bitsandbytes"))
_BLOCK = is_set(get("ds.optimizer"))
# the Trainer makes the optimizer: neither DeepSpeed nor who runs the Trainer does
_MADE = all_of(TRAINS, no(_BLOCK), missing(get("own.optimizer")))
_LR = get("args.learning_rate")
_CLASS = first_set(get("own.optimizer.class"), item(table("trainer.optimizers"), get("args.optim")))
_SCHEDULES = {"reduce_lr_on_plateau": "torch.ReduceLROnPlateau", "greedy": "transformers.GreedyLR"}

_TEXT_SIZED = all_of(
    USED, is_set(get("model.text_config.hidden_size")), missing(get("model.hidden_size")),
    missing(get("model.hidden_sizes")),
)  # fmt: skip
_LEFT = tuple(
    f"ds.zero_optimization.{n}" for n in ("stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
)
OPTIMIZER: tuple[OverrideRule, ...] = (
    refusal(
        "TR207", "buckets of ZeRO-3 that nobody fills below it", "train.optimizer",
        all_of(_TEXT_SIZED, any_of(*(is_auto(get(path)) for path in _LEFT))),
        ("ValueError",
         "Can find neither `model.config.hidden_size` nor `model.config.hidden_sizes`, therefore it's not "
         "possible to "
         "automatically fill out the following `auto` entries in the DeepSpeed config file: …", _LEFT),
        "The Trainer looks into text_config but fills them under ZeRO-3 only; Accelerate does not look "
        "there.",
        (Evidence("accelerate", "1.15.0", "accelerator.py", "2318",
            '"Can find neither `model.config.hidden_size` nor '
            '`model.config.hidden_sizes`, " + reasoning', "trainer/model/text-config-two"),),
        {"deepspeed.used": True, "model.text_config.hidden_size": 32, _LEFT[0]: "auto"},
        {"deepspeed.used": True, "model.hidden_size": 32, _LEFT[0]: "auto"},
        hint="Remove the two keys: they are ZeRO-3's.",
    ),
    refusal(
        "TR192", "bitsandbytes is not installed", "train.optimizer",
        all_of(_MADE, _BNB, no(fact("bitsandbytes_installed"))),
        ("ImportError",
         "You need to install `bitsandbytes` in order to use bitsandbytes optimizers: `pip install -U "
         "bitsandbytes`",
         ("args.optim",)),
        "Its optimizers are in a package of their own.",
        ev("trainer_optimizer.py", "250",
            '"You need to install `bitsandbytes` in order to use bitsandbytes '
            'optimizers: `pip install -U bitsandbytes`"', "optim/optim-bnb"),
        {"deepspeed.used": True, "args.optim": "adamw_bnb_8bit", "fact.bitsandbytes_installed": False},
        {"deepspeed.used": True, "args.optim": "adamw_torch"},
        hint="pip install bitsandbytes, or choose another optimizer.",
        versions=since(FIVE),
    ),
    refusal(
        "TR201", "bitsandbytes is not installed (transformers 4)", "train.optimizer",
        all_of(_MADE, _BNB, no(fact("bitsandbytes_installed"))),
        ("ValueError", "Trainer tried to instantiate bnb optimizer but `bitsandbytes` is not installed!",
         ("args.optim",)),
        "Its optimizers are in a package of their own.",
        ev(TRAINER_FILE, "1527",
            'raise ValueError("Trainer tried to instantiate bnb optimizer but '
            '`bitsandbytes` is not installed!")', "optim/optim-bnb", OLD),
        {"deepspeed.used": True, "args.optim": "adamw_bnb_8bit", "fact.bitsandbytes_installed": False},
        {"deepspeed.used": True, "args.optim": "adamw_torch"},
        hint="pip install bitsandbytes, or choose another optimizer.",
        versions=until(FIVE),
    ),
    refusal(
        "TR193", "a learning rate that is text", "train.optimizer",
        all_of(_MADE, is_a(quietly(_LR), "str"), no(one_of(get("args.optim"), ["adafactor", "sgd"]))),
        ("TypeError", "'<=' not supported between instances of 'float' and 'str'", ("args.learning_rate",)),
        "YAML 1.1 takes 1e-4 for text, and nobody converts it.",
        ev(TRAINER_FILE, "1326",
            "self.optimizer = optimizer_cls(optimizer_grouped_parameters, "
            "**optimizer_kwargs)", "yaml/lr-text"),
        {"deepspeed.used": True,
            "args.learning_rate": "1e-4"}, {"deepspeed.used": True, "args.learning_rate": 1e-4},
        hint="Write 1.0e-4 or 0.0001.",
    ),
    refusal(
        "TR209", "a learning rate that is text, for SGD", "train.optimizer",
        all_of(_MADE, is_a(quietly(_LR), "str"), eq(get("args.optim"), "sgd")),
        ("TypeError", "'<' not supported between instances of 'str' and 'float'", ("args.learning_rate",)),
        "YAML 1.1 takes 1e-4 for text, and nobody converts it.",
        (Evidence("transformers", "4.52.4", TRAINER_FILE, "1246",
            "self.optimizer = optimizer_cls(optimizer_grouped_parameters, **optimizer_kwargs)",
            "llamafactory/seed14-017"),),
        {"deepspeed.used": True, "args.learning_rate": "1e-4", "args.optim": "sgd"},
        {"deepspeed.used": True, "args.learning_rate": "1e-4", "args.optim": "adamw_torch"},
        hint="Write 1.0e-4 or 0.0001.",
    ),
    write(
        "TR194", "DeepSpeed's own optimizer", "train.optimizer",
        all_of(TRAINS, _BLOCK), "prepared.optimizer", {"dummy": True, "class": "DummyOptim"},
        "With an optimizer block, args.optim and its parameter groups are not used.",
        ev("integrations/deepspeed.py", "577",
            "optimizer = DummyOptim(params=model_parameters)", "optim/argument-unused"),
        {"deepspeed.used": True, "ds.optimizer": {}}, {"deepspeed.used": True},
    ),
    write(
        "TR195", "the optimizer of args.optim", "train.optimizer",
        all_of(TRAINS, no(_BLOCK)), "prepared.optimizer", block({"class": _CLASS, "dummy": False}),
        "Without an optimizer block the Trainer builds what `optim` says.",
        ev("integrations/deepspeed.py", "587", "optimizer = trainer.create_optimizer()", "optim/adafactor"),
        {"deepspeed.used": True, "args.optim": "sgd"}, {"deepspeed.used": True, "ds.optimizer": {}},
    ),
    write(
        "TR197", "the Trainer's scheduler on DeepSpeed's optimizer", "train.optimizer",
        all_of(TRAINS, missing(get("ds.scheduler")), _BLOCK), "prepared.scheduler",
        block({"dummy": True, "callable": True,
               "made": first_set(item(_SCHEDULES, get("args.lr_scheduler_type")), "torch.LambdaLR")}),
        "DeepSpeed calls the Trainer back when its optimizer stands.",
        ev("integrations/deepspeed.py", "608",
            "lr_scheduler = DummyScheduler(optimizer, "
            "lr_scheduler_callable=_lr_scheduler_callable)", "schedule/hf-linear-block"),
        {"deepspeed.used": True, "ds.optimizer": {}}, {"deepspeed.used": True},
    ),
)  # fmt: skip

_CALLED = truthy(get("prepared.scheduler.callable"))
_TYPE = get("args.lr_scheduler_type")
_MICS = get("ds.zero_optimization.mics_shard_size")
ENGINE: tuple[OverrideRule, ...] = (
    refusal(
        "TR202", "MiCS and a model that zero.Init has split", "engine.sharded",
        all_of(LOADING, is_a(_MICS, "int"), less(0, _MICS)),
        ("AssertionError", "Sharded parameters don't have the MiCS_CommGroups attached. …",
         ("ds.zero_optimization.mics_shard_size",)),
        "transformers loads the model under zero.Init, and MiCS wants its own MiCS_Init.",
        (Evidence("deepspeed", "0.16.9", "runtime/zero/mics.py", "411",
                  "Sharded parameters don't have the MiCS_CommGroups attached.", "trainer/zero/mics"),),
        {**MODEL, "ds.zero_optimization.stage": 3, "ds.zero_optimization.mics_shard_size": 2},
        {**MODEL, "ds.zero_optimization.stage": 3},
        hint="Remove mics_shard_size; zero_hpz_partition_size is ZeRO++'s like of it.",
    ),
    refusal(
        "TR198", "a schedule with a least rate that is not given", "engine.scheduler",
        all_of(_CALLED, eq(_TYPE, "cosine_with_min_lr"), missing(get("args.lr_scheduler_kwargs.min_lr")),
               missing(get("args.lr_scheduler_kwargs.min_lr_rate"))),
        ("ValueError", "One of min_lr or min_lr_rate should be set through the `lr_scheduler_kwargs`",
         ("args.lr_scheduler_kwargs",)),
        "The schedule ends there.",
        ev("optimization.py", "377",
            'raise ValueError("One of min_lr or min_lr_rate should be set '
            'through the `lr_scheduler_kwargs`")', "schedule/hf-min-lr-none"),
        {"prepared.scheduler.callable": True, "args.lr_scheduler_type": "cosine_with_min_lr"},
        {"prepared.scheduler.callable": True, "args.lr_scheduler_type": "cosine"},
        hint="Write lr_scheduler_kwargs={\"min_lr_rate\": 0.1}.",
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
        hint="Write 1.0e-4 or 0.0001.",
    ),
)  # fmt: skip
