"""Loading the model and Trainer.__init__: what is refused, and when the precision is set."""

from __future__ import annotations

from dsbridge.rulebook import (
    Evidence,
    OverrideRule,
    all_of,
    at_most,
    choose,
    differs,
    eq,
    fact,
    first_set,
    get,
    is_a,
    is_set,
    less,
    missing,
    no,
    one_of,
    same,
    table,
    text,
    truthy,
    upper,
)
from dsbridge_trainer.rules._make import FIVE, OLD, TRAINER_FILE, ev, refusal, since, until, write
from dsbridge_trainer.rules.config import GIVEN

USED = truthy(get("deepspeed.used"))
WAY = get("script.model.way")
STAGE = get("ds.zero_optimization.stage")
THREE = all_of(eq(STAGE, 3), no(same(STAGE, True)))
TP = first_set(get("ds.tensor_parallel.autotp_size"), 1)
LOADED = all_of(USED, THREE, no(truthy(get("script.model.first"))), eq(WAY, "from_pretrained"))
LOADING = all_of(
    USED, THREE, no(truthy(get("script.model.first"))), one_of(WAY, ("from_pretrained", "from_config"))
)
MODEL = {"deepspeed.used": True, "script.model.way": "from_pretrained"}

PRECISION_LATER: tuple[OverrideRule, ...] = (
    write(
        "TR170", "the precision of an own config is set later", "precision.wait",
        GIVEN, "deepspeed.used", False,
        "A config of TrainingArguments gets its precision when the Trainer makes its Accelerator, after the "
        "model "
        "is loaded; a config of `accelerate launch` gets it at once.",
        ev("training_args.py", "1720",
            "self.deepspeed_plugin.set_mixed_precision(self.mixed_precision)", "pair/008"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
    write(
        "TR171", "DeepSpeed is used after all", "precision.go",
        GIVEN, "deepspeed.used", True,
        "Only the precision waits.",
        ev("training_args.py", "1715",
            "self.deepspeed_plugin = DeepSpeedPlugin(hf_ds_config=self.hf_deepspeed_config)", "batch/auto"),
        {"args.deepspeed": "ds.json"}, {"args.deepspeed": None},
    ),
)  # fmt: skip

LOAD: tuple[OverrideRule, ...] = (
    refusal(
        "TR172", "device_map under ZeRO-3", "model.load",
        all_of(LOADED, truthy(get("script.model.device_map"))),
        ("ValueError", text("DeepSpeed Zero-3 is not compatible with …passing a `device_map`."),
         ("ds.zero_optimization.stage", "script.model.device_map")),
        "Under ZeRO-3 the weights are split over the ranks while they are loaded.",
        ev("integrations/accelerate.py", "137",
            'raise ValueError("DeepSpeed Zero-3 is not compatible with passing a '
            '`device_map`.")', "model/device-map"),
        {**MODEL, "ds.zero_optimization.stage": 3, "script.model.device_map": True},
        {**MODEL, "ds.zero_optimization.stage": 2, "script.model.device_map": True},
        hint="Remove device_map.",
    ),
    refusal(
        "TR206", "ZeRO-3 without a launcher", "model.split",
        all_of(LOADING, no(truthy(get(
            "script.model.init"))), missing(get("env.RANK")), no(fact("mpi4py_installed"))),
        ("ModuleNotFoundError", "No module named 'mpi4py'", ("env.RANK",)),
        "zero.Init needs the process group; without a launcher's RANK in the environment, DeepSpeed asks "
        "MPI.",
        (Evidence("deepspeed", "0.19.8", "comm/comm.py", "917", "from mpi4py import MPI",
            "trainer/run/python-three"),),
        {**MODEL, "ds.zero_optimization.stage": 3, "fact.mpi4py_installed": False},
        {**MODEL, "ds.zero_optimization.stage": 3, "env.RANK": "0"},
        hint="Start it with torchrun or deepspeed.",
    ),
    refusal(
        "TR200", "AutoTP under ZeRO-3", "model.split",
        all_of(LOADED, GIVEN, is_a(TP, "int"), less(1, TP)),
        ("NotImplementedError",
         "Weight conversions (e.g., MoE expert fusion) with DeepSpeed Tensor Parallelism are not yet "
         "implemented but "
         "support is coming soon. Please disable tensor_parallel in your DeepSpeed config or convert your "
         "checkpoint "
         "to the expected format first.",
         ("ds.tensor_parallel.autotp_size", "ds.zero_optimization.stage")),
        "Weights that are converted while they are loaded are not split by tensor rank.",
        ev("integrations/deepspeed.py", "357",
            '"Weight conversions (e.g., MoE expert fusion) with DeepSpeed Tensor '
            'Parallelism "', "other/tp-three"),
        {**MODEL, "args.deepspeed": "ds.json", "ds.zero_optimization.stage": 3,
            "ds.tensor_parallel.autotp_size": 2},
        {**MODEL, "args.deepspeed": "ds.json", "ds.zero_optimization.stage": 1,
            "ds.tensor_parallel.autotp_size": 2},
        hint="Use ZeRO-1 with tensor parallelism.",
        versions=since(FIVE),
    ),
)  # fmt: skip

_EVAL = get("args.eval_strategy")
_NO_EVAL_DATA = all_of(differs(_EVAL, "no"), no(truthy(get("script.eval_dataset"))))
_EVAL_TEXT = text(
    "You have set `args.eval_strategy` to {} but you didn't pass an `eval_dataset` to `Trainer`. Either set "
    "`args.eval_strategy` to `no` or pass an `eval_dataset`. ",
    text("IntervalStrategy.{}", upper(_EVAL)),
)
_EVAL_QUOTE = (
    "f\"You have set `args.eval_strategy` to {args.eval_strategy} but you didn't pass an `eval_dataset` to "
    '`Trainer`. Either set `args.eval_strategy` to `no` or pass an `eval_dataset`. "'
)
_KEY = "args.accelerator_config.gradient_accumulation_kwargs.num_steps"
_KWARGS = get(_KEY)
_NO_LENGTH = (
    "The train_dataset does not implement __len__, so the number of training steps cannot be inferred; "
    "max_steps has "
    "to be specified. The total number of steps must be known in advance to bound the training loop and to "
    "configure "
    "the learning rate scheduler."
)
_NO_LENGTH_FOUR = (
    "The train_dataset does not implement __len__, max_steps has to be specified. The number of steps needs "
    "to be "
    "known in advance for the learning rate scheduler."
)

EARLY: tuple[OverrideRule, ...] = (
    refusal(
        "TR173", "evaluation without data (transformers 4)", "init.early", _NO_EVAL_DATA,
        ("ValueError", _EVAL_TEXT, ("args.eval_strategy",)),
        "The Trainer would have nothing to evaluate.",
        ev(TRAINER_FILE, "446", _EVAL_QUOTE, "argument/eval-without-data", OLD),
        {"args.eval_strategy": "steps"}, {"args.eval_strategy": "no"},
        hint="Pass eval_dataset, or write eval_strategy=\"no\".", versions=until(FIVE),
    ),
    refusal(
        "TR208", "Trainer(tokenizer=...)", "init.early",
        truthy(get("script.tokenizer")),
        ("TypeError", text("…Trainer.__init__() got an unexpected keyword argument 'tokenizer'"),
         ("script.tokenizer",)),
        "transformers 5 has taken the old name out.",
        ev(TRAINER_FILE, "386", "processing_class: PreTrainedTokenizerBase", "model/tokenizer"),
        {"script.tokenizer": True}, {"script.tokenizer": False},
        hint="Write processing_class=.", versions=since(FIVE),
    ),
    refusal(
        "TR174", "two numbers of accumulation steps", "init.accelerator",
        all_of(is_set(_KWARGS), less(1, get("args.gradient_accumulation_steps"))),
        ("ValueError",
         "The `AcceleratorConfig`'s `num_steps` is set but `gradient_accumulation_steps` is greater than 1 "
         "in the "
         "passed `TrainingArguments`If using the passed `AcceleratorConfig` is desired, do not set the "
         "`TrainingArguments` `gradient_accumulation_steps`.",
         ("args.gradient_accumulation_steps", "args.accelerator_config")),
        "The Trainer does not guess which is meant.",
        ev(TRAINER_FILE, "818",
            '"The `AcceleratorConfig`\'s `num_steps` is set but '
            '`gradient_accumulation_steps` is greater than 1 in the '
            'passed `TrainingArguments`"', "argument/accelerator-steps"),
        {_KEY: 4, "args.gradient_accumulation_steps": 2},
        {_KEY: 4, "args.gradient_accumulation_steps": 1},
        hint="Keep gradient_accumulation_steps.",
    ),
    write(
        "TR175", "accumulation steps of accelerator_config", "init.accelerator",
        is_set(_KWARGS), "args.gradient_accumulation_steps", _KWARGS,
        "They take the argument's place, too late for the DeepSpeed config but in time to count steps.",
        ev(TRAINER_FILE, "822",
            'self.args.gradient_accumulation_steps = '
            'grad_acc_kwargs["num_steps"]', "argument/accelerator-steps-one"),
        {_KEY: 4},
        {"args.accelerator_config": None},
    ),
    write(
        "TR176", "the Trainer accumulates itself", "init.accelerator",
        USED, "accelerator.accumulation_plugin", True,
        "Its Accelerator is told one step, so `accelerate launch`'s number reaches it by the DeepSpeed "
        "config only.",
        ev(TRAINER_FILE, "825", 'grad_acc_kwargs["num_steps"] = 1', "launch/steps-auto"),
        {"deepspeed.used": True}, {"deepspeed.used": False},
        versions=since(FIVE),
    ),
)  # fmt: skip

CHECKS: tuple[OverrideRule, ...] = (
    refusal(
        "TR177", "only the model is saved, and the best is to be loaded", "init.model",
        all_of(USED, truthy(get("args.save_only_model")), truthy(get("args.load_best_model_at_end"))),
        ("ValueError", "DeepSpeed can't be used with `save_only_model` along with `load_best_model_at_end`.",
         ("args.save_only_model", "args.load_best_model_at_end")),
        "The engine cannot load a checkpoint without optimizer states.",
        ev(TRAINER_FILE, "896",
            'raise ValueError(f"{wrapper} can\'t be used with '
            '`save_only_model` along with `load_best_model_at_end`.")', "argument/best-only-model"),
        {"deepspeed.used": True, "args.save_only_model": True, "args.load_best_model_at_end": True},
        {"deepspeed.used": True, "args.save_only_model": True, "args.load_best_model_at_end": False},
        hint="Remove one of the two.",
    ),
    refusal(
        "TR178", "auto_find_batch_size under ZeRO-3", "init.model",
        all_of(USED, truthy(get("args.auto_find_batch_size")), THREE),
        ("ValueError",
         "`auto_find_batch_size` isn't supported yet with DeepSpeed Zero-3. Please consider using Zero-2, "
         "Zero-1, or "
         "FSDP",
         ("args.auto_find_batch_size", "ds.zero_optimization.stage")),
        "A model whose weights are split cannot be wrapped again.",
        ev(TRAINER_FILE, "905",
            '"`auto_find_batch_size` isn\'t supported yet with DeepSpeed Zero-3. '
            'Please consider using Zero-2, Zero-1, or FSDP"', "argument/find-batch-3"),
        {"deepspeed.used": True, "args.auto_find_batch_size": True, "ds.zero_optimization.stage": 3},
        {"deepspeed.used": True, "args.auto_find_batch_size": True, "ds.zero_optimization.stage": 2},
        hint="Choose the batch size yourself.",
    ),
    refusal(
        "TR179", "a Trainer without a model", "init.model",
        eq(WAY, "none"),
        ("RuntimeError", "`Trainer` requires either a `model` or `model_init` argument", ("script.model",)),
        "There is nothing to train.",
        ev(TRAINER_FILE, "442",
            'raise RuntimeError("`Trainer` requires either a `model` or `model_init` '
            'argument")', "model/none"),
        {"script.model.way": "none"}, {"script.model.way": "own"},
        hint="Pass model=.",
    ),
    refusal(
        "TR181", "FSDP and DeepSpeed at once", "init.check",
        all_of(USED, truthy(get("args.fsdp"))),
        ("ValueError",
            "Using --fsdp xxx together with --deepspeed is not possible, deactivate one of those flags.",
         ("args.fsdp", "args.deepspeed")),
        "Both split the model's weights.",
        ev(TRAINER_FILE, "475",
            '"Using --fsdp xxx together with --deepspeed is not possible, deactivate one '
            'of those flags."', "argument/fsdp"),
        {"deepspeed.used": True, "args.fsdp": "full_shard"}, {"deepspeed.used": True, "args.fsdp": None},
        hint="Keep one of them.",
    ),
    refusal(
        "TR182", "evaluation without data", "init.check", _NO_EVAL_DATA,
        ("ValueError", _EVAL_TEXT, ("args.eval_strategy",)),
        "The Trainer would have nothing to evaluate.",
        ev(TRAINER_FILE, "684", _EVAL_QUOTE, "argument/eval-without-data"),
        {"args.eval_strategy": "steps"}, {"args.eval_strategy": "no"},
        hint="Pass eval_dataset, or write eval_strategy=\"no\".", versions=since(FIVE),
    ),
    refusal(
        "TR183", "a stream without max_steps", "init.check",
        all_of(truthy(get("script.data.stream")), at_most(get("args.max_steps"), 0)),
        ("ValueError", choose(table("trainer.new"), _NO_LENGTH, _NO_LENGTH_FOUR), ("args.max_steps",)),
        "Nobody knows how long it is.",
        ev(TRAINER_FILE, "730",
            '"The train_dataset does not implement __len__, so the number of training steps '
            'cannot be inferred; "', "data/stream"),
        {"script.data.stream": True, "args.max_steps": -1},
        {"script.data.stream": True, "args.max_steps": 10},
        hint="Write max_steps.",
    ),
)  # fmt: skip
