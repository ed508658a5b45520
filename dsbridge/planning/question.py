"""What a plan is asked about, as far as somebody said it; and the job that makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.planner.building import from_config
from dsbridge.planner.cluster import Cluster
from dsbridge.planner.errors import PlanError
from dsbridge.planner.hardware import cluster
from dsbridge.planner.job import FLASH, HF_LOSS, Job
from dsbridge.planner.layout import NEWEST
from dsbridge.planner.loading import model_shape
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.tuning import ALL, ALL_LINEAR, Freeze, Lora
from dsbridge.rules import numbers

NO_ANSWER = Code("PN001", "no-plan", Severity.ERROR, "What is asked cannot be planned.")
ASSUMED = Code("PN002", "plan-assumes", Severity.INFO, "Nobody said it, so plan takes a usual value.")
EVERY_NTH = Code("PN005", "checkpoints-some", Severity.INFO, "Not every layer is checkpointed.")
CODES = (NO_ANSWER, ASSUMED, EVERY_NTH)

SEQUENCE, PER_GPU, PER_NODE = 2048, 4, 8
# sizes that decide how many weights there are
_WEIGHS = ("num_", "n_", "hidden_size", "intermediate_size", "vocab_size", "head_dim", "tie_word_embeddings")
METHODS = ("full", "freeze", "lora", "qlora")
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


class Question(NamedTuple):
    """None: nobody said. model: a name, a path, or the keys of a config.json. gpus: in all. sequence in
    tokens, global_batch in sequences, host_memory in bytes of a node. targets: as in tuning.Lora. held:
    whether who calls the model holds the logits while the loss goes back. reentrant: the kind of
    checkpointing."""

    model: str | Mapping[str, Any] | None = None
    name: str | None = None
    gpus: int | None = None
    nodes: int | None = None
    gpu: str | None = None
    intra: str | None = None
    inter: str | None = None
    adapters: int | None = None
    host_memory: int | None = None
    method: str | None = None
    rank: int | None = None
    targets: tuple[str, ...] | str | None = None
    dora: bool | None = None
    dropout: float | None = None
    layers: int | None = None
    bits: int | None = None
    kind: str | None = None
    double: bool | None = None
    sequence: int | None = None
    global_batch: int | None = None
    dtype: str | None = None
    accumulate: str | None = None
    low_master: bool | None = None
    low_states: bool | None = None
    attention: str | None = None
    loss: str | None = None
    held: bool | None = None
    reentrant: bool | None = None
    deepspeed: str | None = None
    transformers: str | None = None
    peft: str | None = None


def over(first: Question, second: Question) -> Question:
    """The first, and what only the second says."""
    return second._replace(**{k: v for k, v in first._asdict().items() if v is not None})


def shape_of(question: Question) -> ModelShape:
    """The model.

    Raises:
        PlanError: none is named, or it cannot be counted.
    """
    if question.model is None:
        raise PlanError("no model is named", "give --model, a config.json or a name such as Qwen/Qwen2.5-7B")
    if isinstance(question.model, Mapping):
        return from_config(question.model, question.name or "", question.transformers)
    return model_shape(question.model, question.transformers)


def cluster_of(question: Question) -> Cluster:
    """The machines.

    Raises:
        PlanError: GPU or number are not said, or make no sense.
    """
    if question.gpu is None:
        raise PlanError("no GPU is named", "give --gpu, such as h100-80gb")
    nodes, per_node = nodes_of(question)
    return cluster(
        nodes,
        per_node,
        question.gpu,
        intra=question.intra,
        inter=question.inter,
        adapters=question.adapters,
        host_memory=question.host_memory,
    )


def nodes_of(question: Question) -> tuple[int, int]:
    """Nodes, and GPUs of each.

    Raises:
        PlanError: nobody says, or they make no sense.
    """
    gpus = question.gpus
    if gpus is None:
        raise PlanError("nobody says how many GPUs there are", "give --gpus, the number in all")
    nodes = question.nodes if question.nodes is not None else max(1, -(-gpus // PER_NODE))
    if gpus < 1 or nodes < 1:
        raise PlanError(f"{gpus} GPUs in {nodes} nodes train nothing", "give 1 or more of both")
    if gpus % nodes:
        raise PlanError(
            f"{gpus} GPUs do not divide into {nodes} nodes", "give --nodes, of which all are alike"
        )
    return nodes, gpus // nodes


def method_of(question: Question) -> tuple[Lora | Freeze | None, str]:
    """How it is trained, and the scheme that its base is quantised by ("" for none).

    Raises:
        PlanError: a method nobody knows.
    """
    name = question.method or "full"
    if name not in METHODS:
        raise PlanError(f"{name!r} is no way of training", f"give one of {', '.join(METHODS)}")
    bits = question.bits or (4 if name == "qlora" else None)
    scheme = ""
    if bits:
        kind = question.kind or "nf4"
        scheme = "int8" if bits == 8 else kind if question.double is not False else f"{kind}-single"
    if name == "full":
        if scheme:
            raise PlanError("a quantised model is not trained whole", "plan with --method qlora")
        return None, ""
    if name == "freeze":
        return Freeze(layers=question.layers if question.layers is not None else 2), scheme
    targets = question.targets if question.targets is not None else ALL_LINEAR
    if isinstance(targets, str) and targets not in (ALL, ALL_LINEAR):
        targets = tuple(word.strip() for word in targets.split(",") if word.strip())
    rank = question.rank if question.rank is not None else 8
    if rank < 1:
        raise PlanError(f"LoRA's rank is {rank}", "give a whole number above 0, such as 8")
    lora = Lora(rank=rank, targets=targets, dora=bool(question.dora), dropout=question.dropout or 0.0)
    return (replace(lora, peft=question.peft) if question.peft else lora), scheme


def job_of(question: Question) -> tuple[Job, tuple[Diagnostic, ...]]:
    """The job, and what was assumed for it.

    Raises:
        PlanError: something is missing or makes no sense.
    """
    shape, machines = shape_of(question), cluster_of(question)
    method, scheme = method_of(question)
    world = machines.world
    dtype = question.dtype or ("bf16" if machines.gpu.bf16 else "fp16")
    if dtype not in _DTYPES:
        raise PlanError(f"{dtype!r} is no number format", f"give one of {', '.join(_DTYPES)}")
    job = Job(
        shape,
        machines,
        sequence=question.sequence if question.sequence is not None else SEQUENCE,
        global_batch=question.global_batch if question.global_batch is not None else PER_GPU * world,
        method=method,
        scheme=scheme,
        dtype=_DTYPES[dtype],
        accumulate=_DTYPES.get(question.accumulate or "", ""),
        master="bfloat16" if question.low_master else "float32",
        states="bfloat16" if question.low_states else "float32",
        attention=question.attention or FLASH,
        loss=question.loss or HF_LOSS,
        logits_held=question.held,
        deepspeed=_release(question.deepspeed),
    )
    return job, tuple(_assumed(question, job))


def _assumed(question: Question, job: Job) -> Iterator[Diagnostic]:
    if question.sequence is None:
        yield ASSUMED(f"sequences of {job.sequence} tokens are assumed", hint="Say --sequence-length.")
    if question.global_batch is None:
        message = f"a global batch of {job.global_batch} sequences is assumed, {PER_GPU} a GPU"
        yield ASSUMED(message, hint="Say --global-batch.")
    if question.method is None:
        yield ASSUMED("all weights are trained", hint="Say --method lora or qlora where that is not so.")
    if question.host_memory is None:
        message = "whether the host's memory is large enough is not judged"
        yield ASSUMED(message, hint="Say --host-memory, in GiB of a node.")
    for size in job.shape.assumed:
        if not size.startswith(_WEIGHS) and not (
            size.startswith("max_position") and job.shape.positions == "learned"
        ):
            continue  # no weight depends on it
        yield ASSUMED(f"the model's config does not say {size}; transformers' default is taken")


def _release(text: str | None) -> tuple[int, int, int]:
    if text is None:
        return NEWEST
    major, minor, patch = (*numbers(text), 0, 0, 0)[:3]
    return major, minor, patch


def refused(error: PlanError) -> InputError:
    """The error as the command line tells it."""
    hint = error.hint[:1].upper() + error.hint[1:]
    return InputError([NO_ANSWER(error.problem, hint=hint if hint.endswith((".", "?")) else f"{hint}.")])
