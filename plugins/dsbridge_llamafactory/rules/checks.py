"""get_train_args: what LLaMA-Factory refuses once all arguments are there (hparams/parser.py), first half."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    OverrideRule,
    all_of,
    any_of,
    eq,
    fact,
    less,
    no,
    one_of,
    truthy,
)
from dsbridge_llamafactory.rules._make import (
    DISTRIBUTED,
    STAGE_3,
    VERSION,
    At,
    arg,
    is_,
    on,
    refusal,
    since,
    until,
)

CHECKS = "lf.checks"
FILE = "hparams/parser.py"
_SFT = is_("stage", "sft")
EVALUATES = any_of(on("do_eval"), on("do_predict"), no(is_("eval_strategy", "no")))
_NO_EVALUATION_ROWS = all_of(eq(arg("eval_dataset"), None), less(arg("val_size"), 1e-6))
Z3: dict[str, Any] = {"ds.zero_optimization.stage": 3}
Z2: dict[str, Any] = {"ds.zero_optimization.stage": 2}


def check(
    code: str,
    title: str,
    when: tuple[Any, ...],
    message: str,
    fields: tuple[str, ...],
    why: str,
    hint: str,
    recorded: str,
    fires: dict[str, Any],
    holds: dict[str, Any],
    **more: Any,
) -> OverrideRule:
    """A row of get_train_args."""
    version = "0.9.3" if more.pop("older", False) else VERSION
    place = At(FILE, recorded, version)
    return refusal(code, title, CHECKS, when, message, fields, why, hint, place, fires, holds, **more)


STAGES = (
    check(
        "LF140",
        "generation outside SFT",
        (no(_SFT), on("predict_with_generate")),
        "`predict_with_generate` cannot be set as True except SFT.",
        ("lf.predict_with_generate", "lf.stage"),
        "Only supervised fine-tuning compares generated text.",
        "Remove predict_with_generate.",
        "data/generate-pt",
        {"lf.stage": "pt", "lf.predict_with_generate": True},
        {"lf.predict_with_generate": True},
    ),
    check(
        "LF141",
        "neat packing outside SFT",
        (no(_SFT), on("neat_packing")),
        "`neat_packing` cannot be set as True except SFT.",
        ("lf.neat_packing", "lf.stage"),
        "Only supervised fine-tuning packs without letting examples see each other.",
        "Remove neat_packing.",
        "data/neat-packing-pt",
        {"lf.stage": "pt", "lf.neat_packing": True},
        {"lf.neat_packing": True},
    ),
    check(
        "LF142",
        "prediction without generation",
        (_SFT, on("do_predict"), no(on("predict_with_generate"))),
        "Please enable `predict_with_generate` to save model predictions.",
        ("lf.do_predict", "lf.predict_with_generate"),
        "Predictions are generated text.",
        "Write predict_with_generate: true.",
        "data/predict-only",
        {"lf.do_predict": True},
        {"lf.do_predict": True, "lf.predict_with_generate": True},
    ),
    check(
        "LF143",
        "the best model of a reward stage",
        (one_of(arg("stage"), ["rm", "ppo"]), on("load_best_model_at_end")),
        "RM and PPO stages do not support `load_best_model_at_end`.",
        ("lf.load_best_model_at_end", "lf.stage"),
        "The value head is not part of what is loaded.",
        "Remove load_best_model_at_end.",
        "stage/rm-best-model",
        {"lf.stage": "rm", "lf.load_best_model_at_end": True},
        {"lf.load_best_model_at_end": True},
    ),
)

LAUNCHED = (
    check(
        "LF144",
        "several GPUs in one process",
        (no(DISTRIBUTED), less(1, fact("gpus")), no(on("use_kt"))),
        "Please launch distributed training with `llamafactory-cli` or `torchrun`.",
        ("run.distributed",),
        "A plain python process would have to drive all GPUs.",
        "Start with llamafactory-cli, or torchrun --nproc_per_node.",
        "start/python-two-gpus",
        {"run.distributed": False, "fact.gpus": 2},
        {"run.distributed": False, "fact.gpus": 1},
    ),
    check(
        "LF145",
        "DeepSpeed without torchrun",
        (truthy(arg("deepspeed")), no(DISTRIBUTED)),
        "Please use `FORCE_TORCHRUN=1` to launch DeepSpeed training.",
        ("run.distributed", "lf.deepspeed"),
        "On one GPU, llamafactory-cli starts no torchrun by itself.",
        "Put FORCE_TORCHRUN=1 before the command.",
        "start/one-gpu",
        {"run.distributed": False, "lf.deepspeed": "ds.json", "fact.gpus": 1},
        {"run.distributed": True, "lf.deepspeed": "ds.json"},
    ),
)

DATA = (
    check(
        "LF146",
        "a stream without an end",
        (is_("max_steps", -1), on("streaming")),
        "Please specify `max_steps` in streaming mode.",
        ("lf.max_steps", "lf.streaming"),
        "A stream's length is not known.",
        "Write max_steps.",
        "data/streaming-no-steps",
        {"lf.streaming": True},
        {"lf.streaming": True, "lf.max_steps": 10},
    ),
    check(
        "LF147",
        "no dataset",
        (on("do_train"), eq(arg("dataset"), None)),
        "Please specify dataset for training.",
        ("lf.dataset",),
        "Training needs rows.",
        "Write dataset.",
        "data/no-dataset",
        {"lf.do_train": True},
        {"lf.do_train": True, "lf.dataset": "identity"},
    ),
    check(
        "LF148",
        "nothing to evaluate on",
        (any_of(EVALUATES, on("predict_with_generate")), _NO_EVALUATION_ROWS),
        "Please make sure eval_dataset be provided or val_size >1e-6",
        ("lf.eval_dataset", "lf.val_size"),
        "Evaluation needs rows.",
        "Write eval_dataset or val_size.",
        "data/eval-without-data",
        {"lf.eval_strategy": "steps"},
        {"lf.eval_strategy": "steps", "lf.val_size": 0.1},
        versions=since("0.9.4"),
    ),
    check(
        "LF149",
        "nothing to evaluate on (before 0.9.4)",
        (EVALUATES, _NO_EVALUATION_ROWS),
        "Please specify dataset for evaluation.",
        ("lf.eval_dataset", "lf.val_size"),
        "Evaluation needs rows.",
        "Write eval_dataset or val_size.",
        "data/eval-without-data",
        {"lf.eval_strategy": "steps"},
        {"lf.eval_strategy": "steps", "lf.val_size": 0.1},
        versions=until("0.9.4"),
        older=True,
    ),
    check(
        "LF150",
        "generation under ZeRO-3",
        (on("predict_with_generate"), STAGE_3),
        "`predict_with_generate` is incompatible with DeepSpeed ZeRO-3.",
        ("lf.predict_with_generate", "ds.zero_optimization.stage"),
        "Generating gathers every parameter for each token.",
        "Use stage 2, or remove predict_with_generate.",
        "data/generate-stage-3",
        {"lf.predict_with_generate": True, **Z3},
        {"lf.predict_with_generate": True, **Z2},
    ),
    check(
        "LF151",
        "generation on split rows (before 0.9.4)",
        (on("predict_with_generate"), eq(arg("eval_dataset"), None)),
        "Cannot use `predict_with_generate` if `eval_dataset` is None.",
        ("lf.predict_with_generate", "lf.eval_dataset"),
        "It generates for eval_dataset alone.",
        "Write eval_dataset.",
        "data/generate",
        {"lf.predict_with_generate": True},
        {"lf.predict_with_generate": True, "lf.eval_dataset": "identity"},
        versions=until("0.9.4"),
        older=True,
    ),
    check(
        "LF152",
        "generation and token accuracy",
        (on("predict_with_generate"), on("compute_accuracy")),
        "Cannot use `predict_with_generate` and `compute_accuracy` together.",
        ("lf.predict_with_generate", "lf.compute_accuracy"),
        "Accuracy is of the labels' tokens, not of generated text.",
        "Keep one of them.",
        "data/generate-and-accuracy",
        {"lf.predict_with_generate": True, "lf.compute_accuracy": True},
        {"lf.predict_with_generate": True},
    ),
)
