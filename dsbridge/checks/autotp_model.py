"""AutoTP and what it meets: the model's heads and family, LoRA, the ranks, the batch."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.deepspeed.autotp import does, refuses_family, table
from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.model import HEADS, KV_HEADS, config, count
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import SIZE, degree, number, place

SHARED = Code("CK415", "autotp-heads", Severity.ERROR, "AutoTP cannot share the model's heads evenly.")
FAMILY = Code("CK416", "autotp-family", Severity.ERROR, "AutoTP refuses models of this family.")
ADAPTED = Code("CK417", "autotp-lora", Severity.WARNING, "AutoTP does not know LoRA's layers.")
REPORTED = Code("CK418", "autotp-batch", Severity.INFO, "DeepSpeed reports a larger batch than is trained.")
RANKS = Code("CK419", "autotp-ranks", Severity.ERROR, "autotp_size does not divide the number of ranks.")
NODES = Code("CK420", "autotp-nodes", Severity.WARNING, "A tensor-parallel group reaches across nodes.")


def _heads(subject: Subject) -> Iterator[Diagnostic]:
    size = degree(subject)
    if size < 2 or not does("reads_block", subject.version):
        return
    heads, shared = count(subject, HEADS), count(subject, KV_HEADS)
    if heads is None and shared is None:
        if not config(subject):
            yield SHARED(
                f"autotp_size {size} must divide the model's key-value heads; its config is not known",
                hint="Say it with --model PATH, the model's folder or config.json.",
                key=SIZE,
                at=place(subject),
                severity=Severity.INFO,
            )
        return
    wrong = [(n, name) for n, name in ((heads, "attention"), (shared, "key-value")) if n and n % size]
    if not wrong:
        return
    names = " and ".join(f"{n} {name} heads" for n, name in dict(wrong).items())
    least = min(n for n in (heads, shared) if n)
    fits = ", ".join(str(n) for n in range(2, least + 1) if all(not h % n for h in (heads, shared) if h))
    even = does("splits_evenly", subject.version)
    then = (
        f"DeepSpeed {subject.version} cuts the projections into {size} equal parts, through the middle of a "
        "head, and the first forward stops at the shapes"
        if even
        else f"DeepSpeed {subject.version} gives some ranks more heads than others, and ranks beyond the "
        "key-value heads none: it works, and attention does not get faster"
    )
    yield SHARED(
        f"autotp_size {size} does not divide {names}: {then}",
        hint=f"The model takes {fits}." if fits else "The model takes no tensor parallelism by heads.",
        key=SIZE,
        at=place(subject),
        severity=Severity.ERROR if even else Severity.WARNING,
    )


def _family(subject: Subject) -> Iterator[Diagnostic]:
    size, family = degree(subject), config(subject).get("model_type")
    if size < 2 or not isinstance(family, str) or not refuses_family(family, subject.version):
        return
    known = ", ".join(table()["refused_families"])
    yield FAMILY(
        f"autotp_size {size} with a model of type {family}: AutoTP stops with `AutoTP not supported for "
        "model. Please provide policy.`",
        hint=f"Take autotp_size out. AutoTP refuses {known}.",
        key=SIZE,
        at=place(subject),
    )


def _lora(subject: Subject) -> Iterator[Diagnostic]:
    size, method = degree(subject), subject.spec.get("finetuning.method")
    if size < 2 or method not in ("lora", "qlora"):
        return
    yield ADAPTED(
        f"autotp_size {size} with {method}: AutoTP splits linear layers by name and knows nothing of the "
        "layers that PEFT puts in their place; users report wrong shapes in the first forward",
        hint='Train all weights with AutoTP, or LoRA with ZeRO-3 and without "tensor_parallel".',
        key="finetuning.method",
        at=subject.spec_at("finetuning.method") or place(subject),
    )


def _batch(subject: Subject) -> Iterator[Diagnostic]:
    size = degree(subject)
    if size < 2 or subject.explanation is None:
        return
    batch = subject.explanation.batch
    true, reported = batch["global"], batch["reported_by_deepspeed"]
    if true is None or reported is None or true == reported:
        return
    yield REPORTED(
        f"autotp_size {size}: each optimizer step trains {true} samples, its train_batch_size says "
        f"{reported}, because it counts all ranks and {size} of them share their samples",
        hint=f'Keep "train_batch_size": "auto" or leave it out; reckon learning rate and steps with {true}.',
        key="train_batch_size",
        at=subject.at("ds.train_batch_size") or place(subject),
    )


def _ranks(subject: Subject) -> Iterator[Diagnostic]:
    size, world = degree(subject), number(subject.fact("world_size"))
    if size < 2 or world is None or world % size == 0 or world < size:
        return  # fewer ranks than autotp_size: DS185 and ACC213 tell
    below, above = world // size * size, -(-world // size) * size
    yield RANKS(
        f"autotp_size {size} does not divide {world} ranks: the groups have {below} places, and the ranks "
        "beyond stop with IndexError",
        hint=f"Start {below} or {above} ranks, or choose a size that divides {world}.",
        at=place(subject),
    )


def _nodes(subject: Subject) -> Iterator[Diagnostic]:
    size = degree(subject)
    world, local = number(subject.fact("world_size")), number(subject.fact("local_world_size"))
    if size < 2 or not world or not local or world <= local or local % size == 0:
        return
    yield NODES(
        f"autotp_size {size} with {local} ranks on a node: some groups reach across nodes, and every layer "
        "waits for the network twice in forward and twice in backward",
        hint=f"Choose a size that divides {local}.",
        at=place(subject),
    )


_DS = """{"train_micro_batch_size_per_gpu": 1, "tensor_parallel": {"autotp_size": %s},
 "zero_optimization": {"stage": 2, "gather_16bit_weights_on_model_save": true}}"""
_RUN = "train.py --output_dir o --deepspeed ds.json --per_device_train_batch_size 1"
_FOUR, _QWEN = f"torchrun --nproc_per_node 4 {_RUN}", {"num_attention_heads": 16, "num_key_value_heads": 2}
_YAML = """model_name_or_path: m
stage: sft
do_train: true
finetuning_type: %s
dataset: d
template: qwen
output_dir: o
deepspeed: ds.json
per_device_train_batch_size: 1
"""
_TWO_NODES = f"torchrun --nnodes 2 --nproc_per_node 4 --node_rank 0 --master_addr a {_RUN}"
_CHUNK = "_partition = torch.chunk(param, self.tp_world_size, dim=0)[self.tp_index]"
CHECKS = (
    Check(
        code=SHARED,
        run=_heads,
        why="Before 0.19.6 the run stops in the first forward; since then some ranks wait for others.",
        hint="Choose a size that divides num_key_value_heads. By source only: no run on GPUs is recorded.",
        fires=Example({"ds.json": _DS % 4}, _FOUR, facts={"model": _QWEN}, versions={"deepspeed": "0.18.4"}),
        holds=Example({"ds.json": _DS % 2}, _FOUR, facts={"model": _QWEN}, versions={"deepspeed": "0.18.4"}),
        evidence=(Evidence("deepspeed", "0.18.4", "module_inject/layers.py", "512", _CHUNK, ""),),
        pains=(26,),
    ),
    Check(
        code=FAMILY,
        run=_family,
        why="DeepSpeed asserts that the family is not on its list, after the model is loaded.",
        hint="Train the family with ZeRO alone.",
        fires=Example({"ds.json": _DS % 2}, _FOUR, facts={"model": {"model_type": "gpt2", "n_head": 12}}),
        holds=Example({"ds.json": _DS % 2}, _FOUR, facts={"model": {"model_type": "llama"} | _QWEN}),
        evidence=(
            in_deepspeed(
                "module_inject/auto_tp.py",
                "293",
                "unsupported = ['deberta', 'flaubert', 'fsmt', 'gpt2', 'led', 'longformer', 'xlm', 'xlnet']",
            ),
        ),
        pains=(26,),
    ),
    Check(
        code=ADAPTED,
        run=_lora,
        why="No line of DeepSpeed's module_inject, 0.16.4 to 0.19.8, names PEFT; users report crashes.",
        hint="Use one of the two.",
        fires=Example(
            {"ds.json": _DS % 2, "y.yaml": _YAML % "lora"},
            "FORCE_TORCHRUN=1 NPROC_PER_NODE=4 llamafactory-cli train y.yaml",
        ),
        holds=Example(
            {"ds.json": _DS % 2, "y.yaml": _YAML % "full"},
            "FORCE_TORCHRUN=1 NPROC_PER_NODE=4 llamafactory-cli train y.yaml",
        ),
        pains=(7,),
    ),
    Check(
        code=REPORTED,
        run=_batch,
        why="Learning rate and number of steps are reckoned with a batch that is not the true one.",
        hint="Count data-parallel ranks: ranks divided by autotp_size.",
        fires=Example({"ds.json": _DS % 2}, _FOUR),
        holds=Example({"ds.json": _DS % 1}, _FOUR),
        pains=(11,),
    ),
    Check(
        code=RANKS,
        run=_ranks,
        why="DeepSpeed makes a mesh of whole groups; a rank that is in none of them stops.",
        hint="The number of ranks must be a multiple of autotp_size.",
        fires=Example({"ds.json": _DS % 3}, _FOUR),
        holds=Example({"ds.json": _DS % 4}, _FOUR),
        evidence=(
            Evidence(
                "deepspeed",
                "0.18.4",
                "utils/groups.py",
                "95",
                "data_parallel_size = dist.get_world_size() // tensor_model_parallel_size",
                "",
            ),
        ),
        pains=(26,),
    ),
    Check(
        code=NODES,
        run=_nodes,
        why="Tensor parallelism sends activations several times a layer; between nodes that is slow.",
        hint="Keep a tensor-parallel group inside one node.",
        fires=Example({"ds.json": _DS % 8}, _TWO_NODES),
        holds=Example({"ds.json": _DS % 4}, _TWO_NODES),
    ),
)
