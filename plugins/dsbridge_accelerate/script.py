"""What raw Accelerate takes from the user's own script: one finding a group, with the lines to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from dsbridge.sdk import (
    AUTO,
    UNSET,
    Diagnostic,
    ParallelSpec,
    RenderRequest,
    batch_numbers,
    dims,
    ds_scheduler_alone,
)
from dsbridge_accelerate.codes import IN_SCRIPT
from dsbridge_accelerate.optimizer import optimizer_lines, scheduler_lines
from dsbridge_accelerate.section import under

Config: TypeAlias = Mapping[str, Any] | None
Lines = Callable[[RenderRequest, Mapping[str, Any], bool], list[str]]


def script_findings(
    request: RenderRequest, config: Config, by_file: bool
) -> tuple[set[str], list[Diagnostic]]:
    """The paths that are the script's, and what to write for them.

    `config` is DeepSpeed's, if it runs; `by_file`: Accelerate reads it from a file.
    """
    claimed: set[str] = set()
    found: list[Diagnostic] = []
    groups = [*_GROUPS]
    if config is None:
        groups.append(("gradient_clipping", ("gradient_clipping",), _clipping))
    for title, prefixes, lines in groups:
        paths = [p for p in request.values if p in under(request.values, *prefixes)]
        claimed |= set(paths)
        found += _finding(title, paths, lines(request, {p: request.values[p] for p in paths}, by_file))
    for title, paths, lines_ in (
        ("optimizer", sorted(under(request.values, "optimizer.")), optimizer_lines(request.spec, config)),
        ("scheduler", sorted(under(request.values, "scheduler.")), scheduler_lines(request.spec, config)),
    ):
        claimed |= set(paths)
        found += _finding(title, paths, lines_)
    if not (config and "scheduler" in config):
        found += ds_scheduler_alone(request.spec, "a schedule in the script")
    return claimed, found


def _finding(title: str, paths: list[str], lines: list[str]) -> list[Diagnostic]:
    if not lines:
        return []
    message = f"{title}: Accelerate takes it from your script, which must say"
    return [IN_SCRIPT(message, hint="\n    ".join(lines), key=paths[0] if paths else None)]


def call(function: str, *first: str, **arguments: Any) -> str:
    """A Python call; arguments that are UNSET or AUTO are left to the function's own default."""
    words = [*first, *(f"{k}={_python(v)}" for k, v in arguments.items() if v not in (UNSET, AUTO))]
    return f"{function}({', '.join(words)})"


def _python(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _model(request: RenderRequest, values: Mapping[str, Any], by_file: bool) -> list[str]:
    model = request.spec.model
    given = [model.name_or_path, model.trust_remote_code, model.attention]
    if all(v is UNSET for v in given):
        return []
    name = "..." if model.name_or_path is UNSET else repr(model.name_or_path)
    return [
        "model = "
        + call(
            "AutoModelForCausalLM.from_pretrained",
            name,
            trust_remote_code=model.trust_remote_code,
            attn_implementation=model.attention,
        )
    ]


def _finetuning(request: RenderRequest, values: Mapping[str, Any], by_file: bool) -> list[str]:
    tuning = request.spec.finetuning
    lines = []
    if tuning.method == "qlora" or _any(values, "quantization_bits", "quantization_type", "double_quant"):
        bits = 4 if tuning.quantization_bits is UNSET else tuning.quantization_bits
        quantization = call(
            "transformers.BitsAndBytesConfig",
            f"load_in_{bits}bit=True",
            bnb_4bit_quant_type=tuning.quantization_type,
            bnb_4bit_use_double_quant=tuning.double_quantization,
        )
        lines.append(f"from_pretrained(..., quantization_config={quantization})")
    lora = ("rank", "alpha", "dropout", "target_modules", "use_")
    if tuning.method in ("lora", "qlora") or _any(values, *lora):
        lines.append(f"model = peft.get_peft_model(model, {_lora(request.spec)})")
    if tuning.method == "freeze" or _any(values, "trainable_"):
        layers = "" if tuning.trainable_layers is UNSET else f" of {tuning.trainable_layers} layers"
        parts = "" if tuning.trainable_modules is UNSET else f" ({tuning.trainable_modules})"
        lines.append(f"requires_grad_(False) for all parameters but those{layers}{parts}")
    return lines


def _any(values: Mapping[str, Any], *names: str) -> bool:
    return bool(under(values, *(f"finetuning.{name}" for name in names)))


def _lora(spec: ParallelSpec) -> str:
    tuning = spec.finetuning
    modules = "all-linear" if tuning.target_modules == "all" else tuning.target_modules
    return call(
        "peft.LoraConfig",
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=modules,
        use_rslora=tuning.use_rslora,
        use_dora=tuning.use_dora,
        task_type="CAUSAL_LM",
    )


def _batch(request: RenderRequest, values: Mapping[str, Any], by_file: bool) -> list[str]:
    numbers, evaluation = batch_numbers(request.spec), request.spec.batch.eval_micro_per_gpu
    lines = []
    if numbers.micro is not None:
        lines.append(f"loader = DataLoader(dataset, batch_size={numbers.micro})")
    elif numbers.global_ is not None:
        ranks = dims(request.spec).data_parallel
        lines.append(
            f"loader = DataLoader(dataset, batch_size=...), so that batch_size x accumulation x {ranks} "
            f"data-parallel ranks = {numbers.global_}"
        )
    if numbers.accumulation not in (None, 1):
        lines += _accumulation(numbers.accumulation, by_file)
    if isinstance(evaluation, int):
        line = f"eval_loader = DataLoader(eval_dataset, batch_size={evaluation})"
        if numbers.micro is not None and evaluation < numbers.micro:
            # accelerator.py:2190: the smallest batch size of one `prepare` becomes the micro batch
            line += ", prepared in a later accelerator.prepare(eval_loader) of its own"
        lines.append(line)
    return lines


def _accumulation(steps: int, by_file: bool) -> list[str]:
    lines = [f"with accelerator.accumulate(model): ...  # each of the {steps} micro-steps"]
    if by_file:
        # Accelerator does not see the file's number before `prepare`, and in 1.6 never
        lines.insert(0, f"accelerator = Accelerator(gradient_accumulation_steps={steps})")
    return lines


_TRAINING = {
    "epochs": "for epoch in range({!r}): ...",
    "max_steps": "stop after {!r} optimizer steps",
    "sequence_length": "tokenizer(text, truncation=True, max_length={!r})",
    "save_steps": "accelerator.save_state(...) every {!r} optimizer steps",
    "save_total_limit": "ProjectConfiguration(automatic_checkpoint_naming=True, total_limit={!r})",
    "logging_steps": "log every {!r} optimizer steps",
    "eval_steps": "evaluate every {!r} optimizer steps",
    "dataloader_num_workers": "DataLoader(..., num_workers={!r})",
    "seed": "accelerate.utils.set_seed({!r})",
    "output_dir": "Accelerator(project_dir={!r})",
}
_SWITCHES = {
    "gradient_checkpointing": ("model.gradient_checkpointing_enable()", ""),
    "packing": ("pack several texts into each sample", "do not pack texts"),
}


def _training(request: RenderRequest, values: Mapping[str, Any], by_file: bool) -> list[str]:
    lines = []
    for path, value in values.items():
        name = path.removeprefix("training.")
        if name == "max_steps" and value <= 0:
            continue
        line = _SWITCHES[name][not value] if name in _SWITCHES else _TRAINING[name].format(value)
        lines += [line] if line else []
    return lines


def _clipping(request: RenderRequest, values: Mapping[str, Any], by_file: bool) -> list[str]:
    clip = request.spec.gradient_clipping
    if clip in (UNSET, AUTO, 0):
        return []  # nobody clips then
    norm = f"accelerator.clip_grad_norm_(model.parameters(), {clip})"
    return [f"if accelerator.sync_gradients: {norm}"]


_GROUPS: list[tuple[str, tuple[str, ...], Lines]] = [
    ("model", ("model.",), _model),
    ("finetuning", ("finetuning.",), _finetuning),
    ("batch", ("batch.",), _batch),
    ("training", ("training.",), _training),
]
