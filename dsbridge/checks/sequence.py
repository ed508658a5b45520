"""Sequence parallelism (Ulysses): the model's heads, and the batch that is left."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.model import HEADS, KV_HEADS, config, count
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import number

HEADS_OF = Code("CK430", "sequence-heads", Severity.ERROR, "Ulysses cannot share the model's heads.")
SMALLER = Code("CK431", "sequence-batch", Severity.INFO, "Sequence parallelism makes the batch smaller.")
_PLACES = ("accelerator.parallelism.sp_size", "cfg.sequence_parallel_size")


def _size(subject: Subject) -> tuple[int, str, Source | None]:
    """Ranks that share a sequence, with key and place; 1 for none."""
    for path in _PLACES:
        size = number(subject.fact(path)) or number(subject.tree(path))
        if size and size > 1:
            return size, path.rpartition(".")[2], subject.at(path)
    size = number(subject.spec.get("parallelism.ulysses"))
    return size or 1, "parallelism.ulysses", subject.spec_at("parallelism.ulysses")


def _heads(subject: Subject) -> Iterator[Diagnostic]:
    """XTuner cuts heads further where they do not suffice (parallel/sequence/attention.py); DeepSpeed's own
    Ulysses, which Accelerate and the Trainer take, does not."""
    size, key, at = _size(subject)
    if size < 2 or subject.framework not in ("accelerate", "trainer"):
        return
    heads, shared = count(subject, HEADS), count(subject, KV_HEADS)
    if not config(subject):
        yield HEADS_OF(
            f"sequence parallelism over {size} ranks must divide the model's attention heads; its config is "
            "not known",
            hint="Say it with --model PATH, the model's folder or config.json.",
            key=key,
            at=at,
            severity=Severity.INFO,
        )
    elif heads and heads % size:
        yield HEADS_OF(
            f"sequence parallelism over {size} ranks does not divide {heads} attention heads: DeepSpeed stops"
            f" with `Attention head count {heads} is not divisible by SP size {size}`",
            hint=f"Choose a size that divides {heads}.",
            key=key,
            at=at,
        )
    elif shared and shared % size and size % shared:
        yield HEADS_OF(
            f"sequence parallelism over {size} ranks and {shared} key-value heads: neither divides the "
            "other, and DeepSpeed stops",
            hint=f"Choose a size that divides {shared}, or is a multiple of it and divides {heads}.",
            key=key,
            at=at,
        )


def _batch(subject: Subject) -> Iterator[Diagnostic]:
    """XTuner's ranks of a sequence group see the same samples."""
    size, key, at = _size(subject)
    if size < 2 or subject.framework != "xtuner" or subject.explanation is None:
        return
    batch = subject.explanation.batch
    true, reported, steps = batch["global"], batch["reported_by_deepspeed"], batch["accumulation"]
    if true is None or reported is None or true >= reported:
        return
    yield SMALLER(
        f"sequence_parallel_size {size}: each optimizer step trains {true} samples; DeepSpeed's own "
        f"train_batch_size says {reported}",
        hint=f"accumulative_counts {(steps or 1) * size} keeps the {reported} that it was without.",
        key=key,
        at=at,
    )


_SCRIPT = """from accelerate import Accelerator, ParallelismConfig
from accelerate.utils import DeepSpeedPlugin, DeepSpeedSequenceParallelConfig
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM
handler = DeepSpeedSequenceParallelConfig(sp_attn_implementation="sdpa", sp_seq_length=256)
shape = ParallelismConfig(sp_backend="deepspeed", sp_size=%s, dp_replicate_size=2, sp_handler=handler)
accelerator = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config="ds.json"), parallelism_config=shape)
model = AutoModelForCausalLM.from_pretrained("m")
optimizer, loader = AdamW(model.parameters(), lr=1e-4), DataLoader(data, batch_size=1)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_DS = '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": 1}'
_RUN, _MODEL = "torchrun --nproc_per_node 8 train.py", {"num_attention_heads": 14, "num_key_value_heads": 2}
_CONFIG = """from mmengine.optim import AmpOptimWrapper
from torch.optim import AdamW
from xtuner.model import SupervisedFinetune
model = dict(type=SupervisedFinetune, llm=dict(attn_implementation="flash_attention_2"))
sequence_parallel_size = %s
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(type=AmpOptimWrapper, optimizer=dict(type=AdamW, lr=1e-4), accumulative_counts=4)
train_cfg = dict(max_epochs=1)
"""
_XTUNER = "NPROC_PER_NODE=8 xtuner train config.py --deepspeed deepspeed_zero2"
_NOT = 'f"Attention head count {attn_head_count} is not divisible by SP size {self.world_size}"'
CHECKS = (
    Check(
        code=HEADS_OF,
        run=_heads,
        why="DeepSpeed stops when the model is registered, after it is loaded. By source only.",
        hint="The size must divide the attention heads.",
        fires=Example({"train.py": _SCRIPT % 4, "ds.json": _DS}, _RUN, facts={"model": _MODEL}),
        holds=Example({"train.py": _SCRIPT % 2, "ds.json": _DS}, _RUN, facts={"model": _MODEL}),
        evidence=(in_deepspeed("runtime/sequence_parallel/ulysses_sp.py", "148", _NOT),),
    ),
    Check(
        code=SMALLER,
        run=_batch,
        why="The learning rate was chosen for a batch that is larger by the size of a sequence group.",
        hint="XTuner's own advice: multiply accumulative_counts by sequence_parallel_size.",
        fires=Example({"config.py": _CONFIG % 4}, _XTUNER),
        holds=Example({"config.py": _CONFIG % 1}, _XTUNER),
        pains=(29,),
    ),
)
