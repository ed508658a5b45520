"""TrainingArguments: what is filled in and refused before any DeepSpeed config is looked at."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    Evidence,
    OverrideRule,
    Range,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    fact,
    first_set,
    get,
    is_a,
    less,
    merged,
    missing,
    mod,
    no,
    one_of,
    table,
    text,
    to_int,
    truthy,
    upper,
)
from dsbridge_trainer.rules._make import ARGUMENTS_FILE, FIVE, NEW, OLD, ev, refusal, since, until, write

AMPERE = "4.52.0"  # the message has had other words since
_CHECK = "arguments.check"

DEFAULTS: tuple[OverrideRule, ...] = (
    write(
        "TR104", "the defaults of TrainingArguments", "arguments.defaults",
        missing(get("args.complete_")), "args", merged(table("trainer.defaults"), first_set(get("args"), {})),
        "What nobody gives has the default of the installed version, the batch of 8 included.",
        ev(ARGUMENTS_FILE, "777",
            'per_device_train_batch_size: int = field(default=8, metadata={"help": "The '
            'batch size per device for training."})', "batch/defaults"),
        {"args": {}}, {"args.complete_": True},
    ),
)  # fmt: skip


def _enum(
    code: str, field: str, name: str, case: str, line: tuple[str, str], bad: str, good: str,
    versions: tuple[Any, ...] = (), version: str = "5.23.0",
) -> OverrideRule:  # fmt: skip
    """A text that must be one of an enum's values."""
    value = get(f"args.{field}")
    options = table(f"trainer.{name}")
    return refusal(
        code, f"`{field}` has no such value", _CHECK,
        all_of(is_a(value, "str"), no(one_of(value, options))),
        ("ValueError", text("{} is not a valid {}, please select one of {}", value, name, options),
         (f"args.{field}",)),
        f"The text is looked up in {name}.",
        ev(ARGUMENTS_FILE, line[0], line[1], case, version),
        {f"args.{field}": bad}, {f"args.{field}": good},
        hint="Write one of the values that the message names.",
        versions=versions,
    )  # fmt: skip


def _named(enum: str, value: Any) -> Any:
    """`IntervalStrategy.STEPS`, as Python shows a member of an enum."""
    return text("{}.{}", enum, upper(value))


_EVAL, _SAVE = get("args.eval_strategy"), get("args.save_strategy")
_EVERY_EVAL = choose(truthy(get("args.eval_steps")), get("args.eval_steps"), get("args.logging_steps"))
_LOGGING = get("args.logging_steps")
_BEST = truthy(get("args.load_best_model_at_end"))
_BF16 = any_of(truthy(get("args.bf16")), truthy(get("args.bf16_full_eval")))
_NO_GPU_BF16 = all_of(_BF16, no(truthy(get("args.use_cpu"))), no(fact("bf16_supported")))
_BEST_FIELDS = ("args.load_best_model_at_end", "args.eval_strategy", "args.save_strategy")
_OPTIM_LINE = ("1563", "self.optim = OptimizerNames(self.optim)")
_BF16_TEXT = (
    "Your setup doesn't support bf16/gpu. You need to assign use_cpu if you want to train the model on CPU."
    " You need Ampere+ GPU with cuda>=11.0."
)
_BEST_NEW = (
    "--load_best_model_at_end requires the save and eval strategy to match, except when "
    '--save_strategy="best", '
    "but found\n- Evaluation strategy: {}\n- Save strategy: {}"
)

CHECKS: tuple[OverrideRule, ...] = (
    _enum("TR105", "eval_strategy", "IntervalStrategy", "argument/eval-unknown",
          ("1558", "self.eval_strategy = IntervalStrategy(self.eval_strategy)"), "step", "no"),
    _enum("TR106", "save_strategy", "SaveStrategy", "argument/save-bad",
          ("1560", "self.save_strategy = SaveStrategy(self.save_strategy)"), "sometimes", "steps"),
    _enum("TR107", "lr_scheduler_type", "SchedulerType", "schedule/hf-unknown",
          ("1562", "self.lr_scheduler_type = SchedulerType(self.lr_scheduler_type)"), "cosin", "linear"),
    _enum("TR108", "optim", "OptimizerNames",
        "optim/optim-unknown", _OPTIM_LINE, "adamw", "adamw_torch", since(FIVE)),
    refusal(
        "TR109", "`torch_empty_cache_steps` is not a positive integer", _CHECK,
        all_of(is_a(get("args.torch_empty_cache_steps"), "int", "float"),
               less(get("args.torch_empty_cache_steps"), 1)),
        ("ValueError",
         text("`torch_empty_cache_steps` must be an integer bigger than 0, got {}.",
              get("args.torch_empty_cache_steps")),
         ("args.torch_empty_cache_steps",)),
        "TrainingArguments checks it.",
        ev(ARGUMENTS_FILE, "1728",
            'f"`torch_empty_cache_steps` must be an integer bigger than 0, got '
            '{self.torch_empty_cache_steps}."', "argument/cache-zero"),
        {"args.torch_empty_cache_steps": 0}, {"args.torch_empty_cache_steps": 4},
        hint="Leave it out, or write a positive integer.",
    ),
    refusal(
        "TR110", "`logging_steps` is 0", _CHECK,
        all_of(eq(get("args.logging_strategy"), "steps"), eq(_LOGGING, 0)),
        ("ValueError", text("logging strategy {} requires non-zero --logging_steps",
                            _named("IntervalStrategy", get("args.logging_strategy"))),
         ("args.logging_steps",)),
        "Logging by steps needs a number of steps.",
        ev(ARGUMENTS_FILE, "1733",
            'raise ValueError(f"logging strategy {self.logging_strategy} requires '
            'non-zero --logging_steps")', "argument/logging-zero"),
        {"args.logging_strategy": "steps", "args.logging_steps": 0},
        {"args.logging_strategy": "steps", "args.logging_steps": 10},
        hint='Write `logging_strategy: "no"`, or a positive number.',
    ),
    refusal(
        "TR111", "`logging_steps` is a fraction above 1", _CHECK,
        all_of(eq(get("args.logging_strategy"), "steps"), is_a(_LOGGING, "float"), less(1, _LOGGING),
               differs(_LOGGING, to_int(_LOGGING))),
        ("ValueError", text("--logging_steps must be an integer if bigger than 1: {}", _LOGGING),
         ("args.logging_steps",)),
        "A fraction is a share of all steps, and a share is below 1.",
        ev(ARGUMENTS_FILE, "1737",
            'raise ValueError(f"--logging_steps must be an integer if bigger '
            'than 1: {self.logging_steps}")', "argument/logging-fraction"),
        {"args.logging_strategy": "steps", "args.logging_steps": 10.5},
        {"args.logging_strategy": "steps", "args.logging_steps": 10},
        hint="Write an integer.",
    ),
    refusal(
        "TR112", "saving and evaluating do not match", _CHECK,
        all_of(_BEST, differs(_SAVE, "best"), differs(_EVAL, _SAVE)),
        ("ValueError", text(_BEST_NEW, _named("IntervalStrategy", _EVAL), _named("SaveStrategy", _SAVE)),
         _BEST_FIELDS),
        "The best model can only be told where each saved one was evaluated.",
        ev(ARGUMENTS_FILE, "1753",
            'f"strategy: {self.eval_strategy}\\n- Save strategy: '
            '{self.save_strategy}"', "argument/best-mismatch"),
        {"args.load_best_model_at_end": True, "args.eval_strategy": "no", "args.save_strategy": "steps"},
        {"args.load_best_model_at_end": True, "args.eval_strategy": "steps", "args.save_strategy": "steps"},
        hint="Give eval_strategy the same value as save_strategy.",
        versions=since(FIVE),
    ),
    refusal(
        "TR113", "saving and evaluating do not match (transformers 4)", _CHECK,
        all_of(_BEST, differs(_SAVE, "best"), differs(_EVAL, _SAVE)),
        ("ValueError",
         text(_BEST_NEW.replace(', except when --save_strategy="best"', ""),
              _named("IntervalStrategy", _EVAL), _named("SaveStrategy", _SAVE)),
         _BEST_FIELDS),
        "The best model can only be told where each saved one was evaluated.",
        ev(ARGUMENTS_FILE, "1650",
            'f"strategy: {self.eval_strategy}\\n- Save strategy: '
            '{self.save_strategy}"', "argument/best-mismatch", OLD),
        {"args.load_best_model_at_end": True, "args.eval_strategy": "no", "args.save_strategy": "steps"},
        {"args.load_best_model_at_end": True, "args.eval_strategy": "steps", "args.save_strategy": "steps"},
        hint="Give eval_strategy the same value as save_strategy.",
        versions=until(FIVE),
    ),
    refusal(
        "TR114", "models are not saved where they are evaluated", _CHECK,
        all_of(_BEST, eq(_EVAL, "steps"), eq(_SAVE, "steps"),
               no(any_of(less(get("args.save_steps"), 1), less(_EVERY_EVAL, 1))),
               differs(mod(get("args.save_steps"), _EVERY_EVAL), 0)),
        ("ValueError",
         text(
             "--load_best_model_at_end requires the saving steps to be a round multiple of the evaluation "
             "steps, "
              "but found {}, which is not a round multiple of {}.", get("args.save_steps"), _EVERY_EVAL),
         ("args.save_steps", "args.eval_steps")),
        "The best model can only be told where each saved one was evaluated.",
        ev(ARGUMENTS_FILE, "1773",
            'f"steps, but found {self.save_steps}, which is not a round multiple '
            'of {self.eval_steps}."', "argument/best-uneven"),
        {"args": {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps",
                  "save_steps": 10, "eval_steps": 7}},
        {"args": {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps",
                  "save_steps": 14, "eval_steps": 7}},
        hint="Make save_steps a multiple of eval_steps.",
    ),
    refusal(
        "TR115", "the GPU has no bf16", _CHECK, _NO_GPU_BF16,
        ("ValueError", _BF16_TEXT, ("args.bf16", "args.bf16_full_eval")),
        "TrainingArguments asks the GPU before anything is loaded.",
        ev(ARGUMENTS_FILE, "1778",
            "if not self.use_cpu and not is_torch_bf16_gpu_available() and not "
            "is_torch_xla_available():", "gpu/no-bf16"),
        {"args.bf16": True, "fact.bf16_supported": False}, {"args.bf16": True, "fact.bf16_supported": True},
        hint="Use fp16 on this GPU.",
        versions=since(FIVE),
    ),
    refusal(
        "TR116", "the GPU has no bf16 (transformers 4)", _CHECK, _NO_GPU_BF16,
        ("ValueError",
         "Your setup doesn't support bf16/gpu. You need torch>=1.10, using Ampere GPU with cuda>=11.0",
         ("args.bf16", "args.bf16_full_eval")),
        "TrainingArguments asks the GPU before anything is loaded.",
        ev(ARGUMENTS_FILE, "1705",
            "if torch.cuda.is_available() and not is_torch_bf16_gpu_available():", "gpu/no-bf16", OLD),
        {"args.bf16": True, "fact.bf16_supported": False}, {"args.bf16": True, "fact.bf16_supported": True},
        hint="Use fp16 on this GPU.",
        versions=until(AMPERE),
    ),
    refusal(
        "TR129", "the GPU has no bf16 (transformers 4.52 to 4.57)", _CHECK, _NO_GPU_BF16,
        ("ValueError", "Your setup doesn't support bf16/gpu. You need Ampere+ GPU with cuda>=11.0",
         ("args.bf16", "args.bf16_full_eval")),
        "TrainingArguments asks the GPU before anything is loaded.",
        (Evidence("transformers", "4.52.4", ARGUMENTS_FILE, "1690",
            'error_message += " You need Ampere+ GPU with cuda>=11.0"', "llamafactory/seed14-000"),),
        {"args.bf16": True, "fact.bf16_supported": False}, {"args.bf16": True, "fact.bf16_supported": True},
        hint="Use fp16 on this GPU.",
        versions=(Range("transformers", since=AMPERE, until=FIVE),),
    ),
    refusal(
        "TR117", "fp16 and bf16 at once", _CHECK,
        all_of(truthy(get("args.fp16")), truthy(get("args.bf16"))),
        ("ValueError", "At most one of fp16 and bf16 can be True, but not both", ("args.fp16", "args.bf16")),
        "A run has one precision.",
        ev(ARGUMENTS_FILE, "1785",
            'raise ValueError("At most one of fp16 and bf16 can be True, but '
            'not both")', "precision/both-arguments"),
        {"args.fp16": True, "args.bf16": True}, {"args.fp16": True, "args.bf16": False},
        hint="Keep one of them.",
    ),
    refusal(
        "TR118", "fp16 and bf16 evaluation at once", _CHECK,
        all_of(truthy(get("args.fp16_full_eval")), truthy(get("args.bf16_full_eval"))),
        ("ValueError", "At most one of fp16 and bf16 can be True for full eval, but not both",
         ("args.fp16_full_eval", "args.bf16_full_eval")),
        "Evaluation has one precision.",
        ev(ARGUMENTS_FILE, "1788",
            'raise ValueError("At most one of fp16 and bf16 can be True for '
            'full eval, but not both")', "precision/both-full-eval"),
        {"args.fp16_full_eval": True, "args.bf16_full_eval": True}, {"args.fp16_full_eval": True},
        hint="Keep one of them.",
    ),
    refusal(
        "TR119", "a plateau needs an evaluation", _CHECK,
        all_of(eq(get("args.lr_scheduler_type"), "reduce_lr_on_plateau"), eq(_EVAL, "no")),
        ("ValueError", "lr_scheduler_type reduce_lr_on_plateau requires an eval strategy",
         ("args.lr_scheduler_type", "args.eval_strategy")),
        "The schedule follows the evaluated loss.",
        ev(ARGUMENTS_FILE, "1792",
            'raise ValueError("lr_scheduler_type reduce_lr_on_plateau requires an '
            'eval strategy")', "schedule/hf-plateau"),
        {"args.lr_scheduler_type": "reduce_lr_on_plateau", "args.eval_strategy": "no"},
        {"args.lr_scheduler_type": "linear", "args.eval_strategy": "no"},
        hint="Set eval_strategy, or choose another schedule.",
    ),
    _enum("TR120", "optim", "OptimizerNames", "optim/optim-unknown", ("1727",
        "self.optim = OptimizerNames(self.optim)"),
          "adamw", "adamw_torch", until(FIVE), OLD),
    refusal(
        "TR121", "negative warm-up", _CHECK,
        less(get("args.warmup_steps"), 0),
        ("ValueError", text(
            "Got warmup_steps = {}, Expected value warmup_steps >= 0", get("args.warmup_steps")),
         ("args.warmup_steps",)),
        "Steps are counted from zero.",
        ev(ARGUMENTS_FILE, "1801",
            'raise ValueError(f"Got warmup_steps = {self.warmup_steps}, '
            'Expected value warmup_steps >= 0")', "schedule/negative-warmup"),
        {"args.warmup_steps": -1}, {"args.warmup_steps": 0},
        hint="Write 0 or more.",
        versions=since(NEW),
    ),
    refusal(
        "TR128", "negative warm-up (transformers 5 before 5.23)", _CHECK,
        less(get("args.warmup_steps"), 0),
        ("ValueError", "warmup_steps must be an integer or a float", ("args.warmup_steps",)),
        "Steps are counted from zero.",
        (Evidence("transformers", "5.6.0", ARGUMENTS_FILE, "1757",
            'raise ValueError("warmup_steps must be an integer or '
            'a float")', "llamafactory/number/warmup-negative"),),
        {"args.warmup_steps": -1}, {"args.warmup_steps": 0},
        hint="Write 0 or more.",
        versions=(Range("transformers", since=FIVE, until=NEW),),
    ),
    refusal(
        "TR122", "warm-up steps that are no integer (transformers 4)", _CHECK,
        any_of(no(is_a(get("args.warmup_steps"), "int")), less(get("args.warmup_steps"), 0)),
        ("ValueError", "warmup_steps must be of type int and must be 0 or a positive integer.",
         ("args.warmup_steps",)),
        "A share of the steps is warmup_ratio there.",
        ev(ARGUMENTS_FILE, "1867",
            'raise ValueError("warmup_steps must be of type int and must '
            'be 0 or a positive integer.")', "schedule/warmup-fraction", OLD),
        {"args.warmup_steps": 0.1}, {"args.warmup_steps": 5},
        hint="Write warmup_ratio for a share.",
        versions=until(FIVE),
    ),
    refusal(
        "TR123", "prefetching without workers", _CHECK,
        all_of(eq(get("args.dataloader_num_workers"), 0), no(is_a(get(
            "args.dataloader_prefetch_factor"), "null"))),
        ("ValueError",
         "--dataloader_prefetch_factor can only be set when data is loaded in a different process, i.e. when "
         "--dataloader_num_workers > 0.",
         ("args.dataloader_prefetch_factor",)),
        "Only worker processes prefetch.",
        ev(ARGUMENTS_FILE, "1805",
            '"--dataloader_prefetch_factor can only be set when data is loaded in a '
            'different process, i.e."', "argument/prefetch"),
        {"args.dataloader_num_workers": 0, "args.dataloader_prefetch_factor": 2},
        {"args.dataloader_num_workers": 0, "args.dataloader_prefetch_factor": None},
        hint="Set dataloader_num_workers.",
        versions=since(FIVE),
    ),
)  # fmt: skip

_ENV = first_set(get("env.ACCELERATE_MIXED_PRECISION"), "no")
PRECISION: tuple[OverrideRule, ...] = (
    write(
        "TR124", "precision from fp16, bf16 or Accelerate's environment", "arguments.precision",
        missing(get("accelerator.mixed_precision")), "accelerator.mixed_precision",
        choose(truthy(get("args.fp16")), "fp16", choose(truthy(get("args.bf16")), "bf16", _ENV)),
        "The arguments win over `accelerate launch`; where they say nothing its environment does.",
        ev(ARGUMENTS_FILE, "1614",
            'self.mixed_precision = os.environ.get("ACCELERATE_MIXED_PRECISION", '
            '"no")', "precision/no-blocks"),
        {"args.bf16": True}, {"accelerator.mixed_precision": "bf16"},
    ),
)  # fmt: skip

LAST: tuple[OverrideRule, ...] = (
    refusal(
        "TR125", "prefetching without workers (transformers 4)", "arguments.last",
        all_of(eq(get("args.dataloader_num_workers"), 0), no(is_a(get(
            "args.dataloader_prefetch_factor"), "null"))),
        ("ValueError",
         "--dataloader_prefetch_factor can only be set when data is loaded in a different process, i.e. when "
         "--dataloader_num_workers > 1.",
         ("args.dataloader_prefetch_factor",)),
        "Only worker processes prefetch.",
        ev(ARGUMENTS_FILE, "2053",
            '"--dataloader_prefetch_factor can only be set when data is loaded '
            'in a different process, i.e."', "argument/prefetch", OLD),
        {"args.dataloader_num_workers": 0, "args.dataloader_prefetch_factor": 2},
        {"args.dataloader_num_workers": 0, "args.dataloader_prefetch_factor": None},
        hint="Set dataloader_num_workers.",
        versions=until(FIVE),
    ),
)  # fmt: skip
