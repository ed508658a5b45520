"""The fields of a config in the spec's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dsbridge.rulebook import UNSET
from dsbridge.sdk import Claim, Fidelity
from dsbridge_xtuner.fields import FIELDS, OPTIMIZERS
from dsbridge_xtuner.parse_curve import curve
from dsbridge_xtuner.settings import LORA, QUANTISATION, QUANTISE_LLM
from dsbridge_xtuner.shape import MODEL_PATH
from dsbridge_xtuner.view import View

_BLOCK = "optim_wrapper.optimizer"
_DATA = "train_dataloader.dataset"
_COUNTS = "optim_wrapper.accumulative_counts"
# the models of XTuner that train all weights unless told: model/sft.py, dpo.py, orpo.py, reward.py
_LANGUAGE_MODELS = ("SupervisedFinetune", "DPO", "ORPO", "RewardModel")
_DTYPES = {"float16": "fp16", "bfloat16": "bf16"}
# decided below, with what stands beside them
_LATER = ("gradient_clipping", "training.sequence_length", "training.packing", "training.save_total_limit",
          "training.gradient_checkpointing")  # fmt: skip


def config_fields(view: View) -> Iterator[Claim]:
    """What the config says, field by field."""
    for say in SAYS:
        yield from say(view)


def _table(view: View) -> Iterator[Claim]:
    """The fields that one key says."""
    for row in FIELDS:
        if row.document != "cfg" or row.path in _LATER or row.fidelity is Fidelity.UNSUPPORTED:
            continue
        value = view.get(row.key)
        said = row.codec.parse(list(value) if isinstance(value, tuple) else value)
        if said is not UNSET:
            yield view.claim(row.path, said, row.key)


def _batch(view: View) -> Iterator[Claim]:
    """Configs multiply their accumulation by the sequence-parallel size themselves; what counts is the
    product: micro-steps in an optimizer step, as the spec has it."""
    if view.get("train_dataloader.batch_size") is not None:
        name = "train_dataloader.batch_size"
        yield view.claim("batch.micro_per_gpu", view.get(name), name)
    if view.get(_COUNTS) is not None:
        yield view.claim("batch.accumulation", view.get(_COUNTS), _COUNTS)
    elif view.get("optim_wrapper") is not None and not view.has(_COUNTS):
        yield Claim("batch.accumulation", 1)


def _clipping(view: View) -> Iterator[Claim]:
    """Under DeepSpeed nothing stays unclipped: xtuner 0.2.0 tools/train.py:328."""
    name = "optim_wrapper.clip_grad.max_norm"
    norm = view.number(name)
    if norm is not None and (norm > 0 or view.deepspeed):
        yield view.claim("gradient_clipping", norm, name)
    elif norm is None and view.deepspeed and view.has("optim_wrapper") and not view.has(name):
        yield Claim("gradient_clipping", 1.0)


def _optimizer(view: View) -> Iterator[Claim]:
    names = {said: name for name, said in OPTIMIZERS.items()}
    kind = names.get(view.name(f"{_BLOCK}.type"))
    if kind is None:
        return
    yield view.claim("optimizer.type", kind, f"{_BLOCK}.type")
    if kind == "adamw" and not view.has(f"{_BLOCK}.weight_decay"):
        yield Claim("optimizer.weight_decay", 0.01)  # torch's own, which is no one else's


def _dtype(view: View) -> Iterator[Claim]:
    """Without DeepSpeed the wrapper chooses; with it, tools/train.py:353 puts another in its place."""
    wrapper = view.name("optim_wrapper.type")
    if view.deepspeed or wrapper != "AmpOptimWrapper":
        return
    said = view.get("optim_wrapper.dtype")
    kind = _DTYPES.get(view.name("optim_wrapper.dtype"))
    if kind is not None:
        yield view.claim("precision.dtype", kind, "optim_wrapper.dtype", "optim_wrapper.type")
    elif said is None and not view.has("optim_wrapper.dtype"):
        yield Claim("precision.dtype", "fp16")  # torch.autocast's own on a GPU


def _model(view: View) -> Iterator[Claim]:
    block = "model" if view.trainer else "model.llm"
    for name, path in ((MODEL_PATH, "model.name_or_path"), ("trust_remote_code", "model.trust_remote_code")):
        value = view.get(f"{block}.{name}")
        if value is not None:
            yield view.claim(path, value, f"{block}.{name}")


def _finetuning(view: View) -> Iterator[Claim]:
    prefix = next((p for p in ("model.llm_lora", "model.lora", "lora") if view.get(p)), None)
    block = f"{'model' if view.trainer else 'model.llm'}.quantization_config"
    bits = _bits(view, block)
    if prefix is None:
        if not bits and view.name("model.type") in _LANGUAGE_MODELS and not _unread(view):
            yield Claim("finetuning.method", "full")
    else:
        beside = [f"{block}.type"] if bits else []
        yield view.claim("finetuning.method", "qlora" if bits else "lora", f"{prefix}.type", *beside)
        yield from _lora(view, prefix)
    if bits:
        yield view.claim("finetuning.quantization_bits", bits, *_bit_fields(view, block))
        for name, field in QUANTISATION.items():
            if view.get(f"{block}.{field}") is not None:
                yield view.claim(f"finetuning.{name}", view.get(f"{block}.{field}"), f"{block}.{field}")


def _unread(view: View) -> bool:
    """There is an adapter or quantisation that cannot be read."""
    names = ("model.lora", "model.llm_lora", "model.llm.quantization_config")
    return any(view.has(name) and view.get(name) is None for name in names)


def _lora(view: View, prefix: str) -> Iterator[Claim]:
    for name, field in LORA.items():
        if view.get(f"{prefix}.{field}") is not None:
            yield view.claim(f"finetuning.{name}", view.get(f"{prefix}.{field}"), f"{prefix}.{field}")
    targets = view.get(f"{prefix}.target_modules")
    if targets is not None:
        said = list(targets) if isinstance(targets, tuple) else targets
        yield view.claim("finetuning.target_modules", said, f"{prefix}.target_modules")
    elif not view.has(f"{prefix}.target_modules"):
        yield Claim("finetuning.target_modules", "all")  # xtuner 0.2.0 model/sft.py:172


def _bits(view: View, block: str) -> int | None:
    """Bits of the weights, where the block of bitsandbytes says so."""
    if view.get(QUANTISE_LLM) is True:
        return 4
    if view.name(f"{block}.type") != "BitsAndBytesConfig":
        return None
    four, eight = (view.get(f"{block}.load_in_{n}bit") is True for n in (4, 8))
    return 4 if four and not eight else 8 if eight and not four else None


def _bit_fields(view: View, block: str) -> list[str]:
    if view.get(QUANTISE_LLM) is True:
        return [QUANTISE_LLM]
    return [f"{block}.load_in_{n}bit" for n in (4, 8) if view.has(f"{block}.load_in_{n}bit")]


def _data(view: View) -> Iterator[Claim]:
    """Length and packing of the samples; in a list of datasets, if all have the same."""
    rows = (("max_length", "training.sequence_length"), ("pack_to_max_length", "training.packing"))
    datasets = view.get(f"{_DATA}.datasets")
    several = range(len(datasets)) if isinstance(datasets, list) else ()
    root = "train_dataset" if view.trainer else _DATA
    for name, path in rows:
        fields = [f"{root}.{name}"] if view.has(f"{root}.{name}") else []
        fields = fields or [f"{_DATA}.datasets.{index}.{name}" for index in several]
        values = [view.get(field) for field in fields]
        if values and values[0] is not None and all(value == values[0] for value in values):
            yield view.claim(path, values[0], *fields)


def _checkpointing(view: View) -> Iterator[Claim]:
    """On unless switched off: xtuner 0.2.0 model/sft.py:80."""
    name = "model.use_activation_checkpointing"
    value = view.get(name)
    if value is not None:
        yield view.claim("training.gradient_checkpointing", value, name)
    elif not view.has(name) and view.name("model.type") in _LANGUAGE_MODELS:
        yield Claim("training.gradient_checkpointing", True)


def _length(view: View) -> Iterator[Claim]:
    """mmengine's loop counts epochs, or micro-steps."""
    epochs, iters = view.get("train_cfg.max_epochs"), view.get("train_cfg.max_iters")
    if iters is None and epochs is not None and not view.has("train_cfg.max_iters"):
        yield view.claim("training.epochs", epochs, "train_cfg.max_epochs")
    elif epochs is None and iters is not None and not view.has("train_cfg.max_epochs"):
        yield from _steps(view, "train_cfg.max_iters", "training.max_steps")


def _saving(view: View) -> Iterator[Claim]:
    saved = "default_hooks.checkpoint"
    if view.get(f"{saved}.by_epoch") is False:
        yield from _steps(view, f"{saved}.interval", "training.save_steps", f"{saved}.by_epoch")
    yield from _steps(view, "default_hooks.logger.interval", "training.logging_steps")
    kept = view.number(f"{saved}.max_keep_ckpts")
    if kept is not None and kept >= 1:  # -1: all of them
        yield view.claim("training.save_total_limit", kept, f"{saved}.max_keep_ckpts")


def _steps(view: View, field: str, path: str, *beside: str) -> Iterator[Claim]:
    """A number of micro-steps as optimizer steps."""
    micro, counts = view.number(field), view.number(_COUNTS)
    if not view.has(_COUNTS):
        counts = 1
    if not isinstance(micro, int) or not isinstance(counts, int) or micro < 1 or counts < 1:
        return
    steps = max(1, round(micro / counts))
    reason = ""
    if steps * counts != micro:
        reason = f"{micro} micro-steps are {micro / counts:.4g} optimizer steps"
    yield view.claim(path, steps, field, *beside)._replace(reason=reason)


def _ulysses(view: View) -> Iterator[Claim]:
    name = "sequence_parallel_size"
    if view.get(name) is not None:
        yield view.claim("parallelism.ulysses", view.get(name), name)


def _folder(view: View) -> Iterator[Claim]:
    if isinstance(view.get("work_dir"), str):
        yield view.claim("training.output_dir", view.get("work_dir"), "work_dir")


SAYS: tuple[Callable[[View], Iterator[Claim]], ...] = (
    _model,
    _finetuning,
    _ulysses,
    _batch,
    _dtype,
    _clipping,
    _optimizer,
    _table,
    curve,
    _length,
    _data,
    _checkpointing,
    _saving,
    _folder,
)
