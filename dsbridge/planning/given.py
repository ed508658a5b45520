"""The user's own files or command as a question to plan, and the layout that they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.explaining import explain_input
from dsbridge.inputs import Input, read_input
from dsbridge.parsing import parse_input
from dsbridge.planner.candidate import NONE, NOWHERE, Candidate, Knobs, every
from dsbridge.planner.catalogue import find
from dsbridge.planner.job import EAGER, FLASH, FUSED_LOSS
from dsbridge.planning.question import ASSUMED, Question
from dsbridge.planning.specs import ZERO_KEYS
from dsbridge.plugins import registry
from dsbridge.prediction import is_spec
from dsbridge.reading import Files
from dsbridge.spec.leaves import leaves, plain
from dsbridge.spec.load import load_file
from dsbridge.trained import said
from dsbridge.trees import lookup
from dsbridge.values import AUTO, UNSET

NO_LAYOUT = Code("PN003", "no-layout-given", Severity.INFO, "The input leaves its own layout open.")
OTHER_TRAINING = Code("PN004", "other-training", Severity.WARNING, "plan counts plain training of one model.")
CODES = (NO_LAYOUT, OTHER_TRAINING)

Values = Mapping[str, Any]
# keys of LLaMA-Factory and the Trainer that put Liger's loss in place of the model's
_FUSED = ("enable_liger_kernel", "use_liger_kernel")
# where the Trainer reads that not every layer is checkpointed
_SPACING = ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
# who lets go of the logits before the loss goes back: transformers' Trainer (recorded) and what is built on
# it; xtuner: compute_loss of xtuner/model/sft.py
_LETS_GO = ("trainer", "llamafactory", "xtuner")


class _Batch(NamedTuple):
    """What an input says of its batch; micro_asked, checkpointing: what options say where it is silent.
    spacing: each of how many layers is checkpointed, if any is."""

    micro: Any
    accumulation: Any
    whole: Any
    micro_asked: int | None
    checkpointing: str | None
    spacing: int = 1


class Own(NamedTuple):
    """What files say: the question, their layout (None where they leave it open), whose files they are."""

    question: Question
    candidate: Candidate | None
    diagnostics: tuple[Diagnostic, ...] = ()
    framework: str = ""


def own(
    files: Files,
    given: Sequence[str],
    command: Sequence[str] = (),
    *,
    target: str = "",
    facts: Values | None = None,
    versions: Mapping[str, str] | None = None,
    micro: int | None = None,
    whole: int | None = None,
    checkpointing: str | None = None,
) -> Own:
    """Read the input. facts: as for explain; `model` holds the keys of a config.json. micro, whole,
    checkpointing: the micro and the global batch, and the kind of checkpointing, where the input says none.

    Raises:
        InputError: it cannot be read.
    """
    if len(given) == 1 and is_spec(files, given[0]):
        spec = load_file(files.folder / given[0]).spec
        values = {path: plain(value) for path, value in leaves(spec).items() if value is not AUTO}
        question = _question(values)._replace(
            loss=_loss(spec.frameworks), reentrant=_reentrant(spec.frameworks)
        )
        question = question._replace(model=config_of(files, question.model) or question.model)
        batch = _Batch(*_spec_batch(values), whole, micro, checkpointing, _spacing(spec.frameworks))
        return _plain(_layout(question, values, _spec_zero(values), batch), spec.frameworks)
    facts = dict(facts or {})
    found = read_input(registry(), files, given, command, target, facts, versions)
    parsed = parse_input(found)
    values = said(parsed, everything=True)
    theirs = parsed.loaded.spec.frameworks
    question = _question(values)._replace(loss=_loss(theirs), reentrant=_reentrant(theirs))
    config = facts.get("model") or config_of(files, question.model)
    if config and "model" not in facts:
        # what a framework fills from the model's sizes
        found = read_input(registry(), files, given, command, target, {**facts, "model": config}, versions)
    held = False if found.framework.name in _LETS_GO else None
    question = question._replace(model=config or question.model, held=held)
    spacing = _spacing(theirs)
    known = _of_run(question, values, found, _Batch(None, None, whole, micro, checkpointing, spacing))
    return _plain(known, theirs)._replace(framework=found.framework.name)


def config_of(files: Files, model: str | Mapping[str, Any] | None) -> Values | None:
    """The keys of a model's config.json: given, beside the user's files, or of the catalogue."""
    if model is None or isinstance(model, Mapping):
        return model
    beside = f"{model.rstrip('/')}/config.json"
    if files.has(beside) and isinstance(config := files.json(beside).value, Mapping):
        return config
    entry = find(model)
    return entry[1].config if entry else None


def _of_run(question: Question, values: Values, found: Input, asked: _Batch) -> Own:
    explained = explain_input(found, registry())
    world = explained.facts.get("world_size")
    local = explained.facts.get("local_world_size")
    question = question._replace(
        gpus=world if isinstance(world, int) else question.gpus,
        nodes=world // local if isinstance(world, int) and isinstance(local, int) else question.nodes,
        deepspeed=explained.versions.get("deepspeed"),
        transformers=explained.versions.get("transformers"),
    )
    question = question._replace(global_batch=_whole_batch(question, values))
    if explained.outcome == "refused" and found.framework.name == "deepspeed":
        # a bare config, which a framework still fills: what it says itself
        bare = asked._replace(micro=_spec_batch(values)[0], accumulation=_spec_batch(values)[1])
        return _layout(question, values, _spec_zero(values), bare)
    if explained.outcome == "refused" or not isinstance(explained.config, Mapping):
        why = "DeepSpeed is not used" if explained.outcome != "refused" else "it would be refused"
        note = NO_LAYOUT(f"the input's own layout is not weighed: {why}", hint="dsbridge explain tells more.")
        return Own(question, None, (note,))
    config = explained.config
    zero = lookup(config, "zero_optimization")
    degrees = {
        "parallelism.tp": lookup(config, "tensor_parallel.autotp_size"),
        "parallelism.ulysses": lookup(config, "sequence_parallel_size"),
    }
    known = {path: value for path, value in degrees.items() if isinstance(value, int)}
    formats: dict[str, Any] = {
        "accumulate": lookup(config, "data_types.grad_accum_dtype"),
        "dtype": next((d for d in ("bf16", "fp16") if lookup(config, f"{d}.enabled") is True), "fp32"),
        "low_master": lookup(config, "bf16.bf16_master_weights_and_grads"),
        "low_states": lookup(config, "bf16.bf16_optimizer_states"),
    }
    told: dict[str, Any] = {k: v for k, v in formats.items() if isinstance(v, str | bool)}
    question = question._replace(**told)
    zero = {"stage": 0, **(zero if isinstance(zero, Mapping) else {})}
    whole = explained.batch.get("global")
    batch = asked._replace(
        micro=explained.batch.get("micro_per_gpu"),
        accumulation=explained.batch.get("accumulation"),
        whole=whole if isinstance(whole, int) else asked.whole,
    )
    return _layout(question, {**values, **known}, zero, batch)


def _whole_batch(question: Question, values: Values) -> int | None:
    """Sequences of an optimizer step, where the files say enough."""
    micro, accumulation = values.get("batch.micro_per_gpu"), values.get("batch.accumulation", 1)
    if not (question.gpus and isinstance(micro, int) and isinstance(accumulation, int)):
        whole = values.get("batch.global")
        return whole if isinstance(whole, int) else None
    parallel = values.get("parallelism.tp", 1) * values.get("parallelism.ulysses", 1)
    return int(micro * accumulation * max(1, question.gpus // parallel))


def _spec_zero(values: Values) -> dict[str, Any]:
    """The spec's zero part in DeepSpeed's shape, whose names it shares."""
    zero: dict[str, Any] = {}
    for path, value in values.items():
        if path.startswith("zero."):
            at, names = zero, path.split(".")[1:]
            for name in names[:-1]:
                at = at.setdefault(name, {})
            at[names[-1]] = value
    return zero


def _spec_batch(values: Values) -> tuple[Any, Any]:
    return values.get("batch.micro_per_gpu"), values.get("batch.accumulation")


def _layout(question: Question, values: Values, zero: Values, batch: _Batch) -> Own:
    """The layout, with the numbers of its batch; what is missing is assumed, or told."""
    tp, ulysses = values.get("parallelism.tp", 1), values.get("parallelism.ulysses", 1)
    if not question.gpus:
        message = "the input's own layout is not weighed: it does not say the number of GPUs"
        return Own(question, None, (NO_LAYOUT(message, hint="Say --gpus."),))
    replicas = max(1, question.gpus // (tp * ulysses))
    micro, accumulation = (n if isinstance(n, int) and n > 0 else None for n in batch[:2])
    whole = batch.whole if isinstance(batch.whole, int) else values.get("batch.global")
    if isinstance(whole, int):
        micro = micro or (whole // replicas // accumulation if accumulation else None)
    told: tuple[Diagnostic, ...] = ()
    if not micro:
        micro = batch.micro_asked or 1
        if batch.micro_asked is None:
            message = f"a micro batch of {micro} is assumed for the input's own layout"
            told = (ASSUMED(message, hint="Say --micro-batch."),)
    if isinstance(whole, int) and not accumulation:
        accumulation = max(1, whole // replicas // micro)
    accumulation = accumulation or 1
    question = question._replace(global_batch=micro * accumulation * replicas)
    stage = zero.get("stage")
    if not isinstance(stage, int):
        fsdp = any(path.startswith("fsdp.") for path in values)
        why = "it shards with FSDP" if fsdp else "it has no ZeRO stage"
        note = NO_LAYOUT(f"the input's own layout is not weighed: {why}", hint="plan weighs ZeRO's.")
        return Own(question, None, (note,))
    kept = values.get("training.gradient_checkpointing")
    if not isinstance(kept, bool) and batch.checkpointing is None:
        message = "no activation checkpointing is assumed for the input's own layout"
        told += (ASSUMED(message, hint="Say --checkpointing."),)
    unsaid = batch.checkpointing or NONE
    candidate = Candidate(
        stage=stage,
        micro=micro,
        accumulation=accumulation,
        tp=tp,
        ulysses=ulysses,
        offload_optimizer=_device(zero, "offload_optimizer"),
        offload_param=_device(zero, "offload_param"),
        checkpointing=every(batch.spacing if kept else 0) if isinstance(kept, bool) else unsaid,
        knobs=_knobs(zero),
    )
    return Own(question, candidate, told)


def _device(zero: Values, name: str) -> str:
    block = zero.get(name)
    device = block.get("device") if isinstance(block, Mapping) else None
    return device if isinstance(device, str) and device != "none" else NOWHERE


def _knobs(zero: Values) -> Knobs:
    usual, found = Knobs(), dict[str, Any]()
    for knob, key in ZERO_KEYS.items():
        value = zero.get(key, UNSET)
        if isinstance(value, bool | int | float):
            found[knob] = value if isinstance(value, bool) else int(value)
    if zero.get("use_multi_rank_bucket_allreduce") is False:
        found["per_owner"] = True
    return usual._replace(**found)


def _question(values: Values) -> Question:
    get = values.get
    model, targets = get("model.name_or_path"), get("finetuning.target_modules")
    nodes, per_node = get("cluster.nodes"), get("cluster.gpus_per_node")
    attention = get("model.attention")
    return Question(
        model=str(model) if model else None,
        name=str(model) if model else None,
        gpus=per_node * (nodes or 1) if per_node else None,
        nodes=nodes,
        gpu=get("cluster.gpu"),
        intra=get("cluster.interconnect.intra"),
        inter=get("cluster.interconnect.inter"),
        method=get("finetuning.method"),
        rank=get("finetuning.rank"),
        targets=tuple(targets) if isinstance(targets, list | tuple) else targets,
        dora=get("finetuning.use_dora"),
        dropout=get("finetuning.dropout"),
        layers=get("finetuning.trainable_layers"),
        bits=get("finetuning.quantization_bits"),
        kind=get("finetuning.quantization_type"),
        double=get("finetuning.double_quantization"),
        sequence=get("training.sequence_length"),
        dtype=get("precision.dtype"),
        accumulate=get("precision.grad_accumulation_dtype"),
        attention=None if attention is None else EAGER if attention == "eager" else FLASH,
    )


def _loss(frameworks: Any) -> str | None:
    """Liger's loss, where a framework's own keys ask for it."""
    own = frameworks.values() if isinstance(frameworks, Mapping) else ()
    fused = any(keys.get(name) is True for keys in own if isinstance(keys, Mapping) for name in _FUSED)
    return FUSED_LOSS if fused else None


def _spacing(frameworks: Any) -> int:
    """Each of how many layers the Trainer checkpoints, where its keys say so."""
    found = (lookup(frameworks, f"trainer.{name}.every_n_layers") for name in _SPACING)
    return next((n for n in found if isinstance(n, int) and n > 0), 1)


def _reentrant(frameworks: Any) -> bool | None:
    """Whether checkpointing is of the reentrant kind, where keys of the Trainer or LLaMA-Factory say so."""
    paths = (*(f"trainer.{name}.use_reentrant" for name in _SPACING), "llamafactory.use_reentrant_gc")
    if lookup(frameworks, "llamafactory.dialect") == "v1":
        return False  # v1/core/base_trainer.py:90 of LLaMA-Factory 0.9.5
    found = (lookup(frameworks, path) for path in paths)
    return next((value for value in found if isinstance(value, bool)), None)


def _plain(found: Own, frameworks: Any) -> Own:
    """The layout is not weighed where more than the model is held, or sequences come in pairs."""
    kind = _other_training(frameworks)
    if not kind:
        return found
    message = f"{kind} may hold more than plan counts (another model, two answers a prompt): plain training"
    told = OTHER_TRAINING(message, hint="Take the numbers as a lower bound.")
    return found._replace(candidate=None, diagnostics=(told,))


def _other_training(frameworks: Any) -> str:
    """What is trained in place of the next token, by LLaMA-Factory's stage or TRL's class; "" if nothing."""
    own = frameworks if isinstance(frameworks, Mapping) else {}
    stage = own.get("llamafactory", {}).get("stage", "sft")
    if stage not in ("pt", "sft"):
        return f"stage: {stage}"
    config = str(own.get("trainer", {}).get("class", ""))
    plain_ones = ("", "TrainingArguments", "Seq2SeqTrainingArguments", "SFTConfig")
    return "" if config in plain_ones else config
