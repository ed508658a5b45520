"""ZeRO++: groups that do not fit the ranks, groups that gain nothing, and parts below stage 3."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, said, stage, whole

DIVIDES = Code("CK330", "hpz-does-not-divide", Severity.ERROR, "The ranks do not divide into groups of hpZ.")
POINTLESS = Code(
    "CK331", "hpz-of-all-ranks", Severity.INFO, "One hpZ group of all ranks costs memory for nothing."
)
GRADIENTS = Code(
    "CK332", "quantized-gradients-below-zero3", Severity.WARNING, "Quantized gradients are ZeRO-3's alone."
)
AS_FP16 = Code(
    "CK333", "quantized-weights-bf16", Severity.ERROR, "Quantized weights in bf16 are read as fp16."
)
_CONVERTS = "0.19.6"  # the first DeepSpeed that hands its quantizer fp16, and takes back the dtype it gave
_HPZ = f"{ZERO}.zero_hpz_partition_size"


def _group(subject: Subject) -> tuple[int, int] | None:
    """The size of a group, and the ranks."""
    size, world = whole(subject.effective(_HPZ)), whole(subject.fact("world_size"))
    if stage(subject) != 3 or size is None or size < 2 or not world:
        return None
    return size, world


def _divides(subject: Subject) -> Iterator[Diagnostic]:
    found, at = _group(subject), said(subject, _HPZ)
    if found is None or at is None or found[1] % min(found) == 0:
        return
    size, world = found
    fit = ", ".join(str(n) for n in range(1, world + 1) if world % n == 0)
    yield DIVIDES(
        f"zero_hpz_partition_size {size} does not divide the {world} ranks: DeepSpeed stops with "
        f"AssertionError: {world} is not divisible by {size}",
        hint=f"Write the GPUs of one node; {world} ranks take {fit}.",
        key=at.key,
        at=at.at,
    )


def _pointless(subject: Subject) -> Iterator[Diagnostic]:
    found, at = _group(subject), said(subject, _HPZ)
    if found is None or at is None or found[0] < found[1]:
        return
    size, world = found
    yield POINTLESS(
        f"zero_hpz_partition_size {size} puts all {world} ranks into one group: each keeps a second copy of "
        "its share of the weights, and no gather stays nearer than before",
        hint="Leave it out on one node; on several write the GPUs of one node.",
        key=at.key,
        at=at.at,
    )


def _gradients(subject: Subject) -> Iterator[Diagnostic]:
    at, found = stage(subject), said(subject, f"{ZERO}.zero_quantized_gradients")
    if at is None or at == 3 or found is None or found.value is not True:
        return
    yield GRADIENTS(
        f"zero_quantized_gradients makes its process groups and ZeRO stage {at} never uses them: gradients "
        "travel in full",
        hint="Set stage 3, or remove the key.",
        key=found.key,
        at=found.at,
    )


def _as_fp16(subject: Subject) -> Iterator[Diagnostic]:
    found = said(subject, f"{ZERO}.zero_quantized_weights")
    if stage(subject) != 3 or found is None or found.value is not True:
        return
    if subject.effective("bf16.enabled") is not True or numbers(subject.version) >= numbers(_CONVERTS):
        return
    yield AS_FP16(
        f"zero_quantized_weights with bf16: the quantizer of DeepSpeed {subject.version} takes the bits of "
        "every weight for fp16, so the gathered weights are wrong, and come back as fp16",
        hint=f"Take DeepSpeed {_CONVERTS} or newer, train in fp16, or remove the key.",
        key=found.key,
        at=found.at,
        severity=Severity.WARNING if subject.is_guess("deepspeed") else None,
    )


_DS = """{"zero_optimization": {"stage": %d, %s, "stage3_gather_16bit_weights_on_model_save": true},
 "bf16": {"enabled": "auto"}, "train_micro_batch_size_per_gpu": "auto"}"""
_SIX = "torchrun --nnodes 3 --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true"
_WEIGHTS = """{"zero_optimization": {"stage": 3, "zero_quantized_weights": true}, "bf16": {"enabled": %s},
 "fp16": {"enabled": %s}, "train_micro_batch_size_per_gpu": 1}"""
_OLD = {"deepspeed": "0.18.4"}
_SIZE = '"zero_hpz_partition_size": %d'

CHECKS = (
    Check(
        code=DIVIDES,
        run=_divides,
        why="The job stops when the first weight is split.",
        hint="A group is the GPUs of one node, so that gathers of the backward pass stay in it.",
        fires=Example({"ds.json": _DS % (3, _SIZE % 4)}, _SIX),
        holds=Example({"ds.json": _DS % (3, _SIZE % 2)}, _SIX),
        evidence=(
            in_deepspeed(
                "utils/groups.py", "944-945", "_ensure_divisibility(world_size, zero_param_parallel_size_)"
            ),
        ),
        pains=(36,),
    ),
    Check(
        code=POINTLESS,
        run=_pointless,
        why="By the source: the secondary group has the ranks of the primary one, so the copy gains nothing.",
        hint="hpZ is for several nodes.",
        fires=Example({"ds.json": _DS % (3, _SIZE % 6)}, _SIX),
        holds=Example({"ds.json": _DS % (3, _SIZE % 2)}, _SIX),
        evidence=(
            in_deepspeed("utils/groups.py", "944", "zero_param_parallel_size_ = min(group_size, world_size)"),
        ),
        pains=(36,),
    ),
    Check(
        code=GRADIENTS,
        run=_gradients,
        why="By the source of all four versions: only stage 3 is given the groups.",
        hint="qgZ belongs to stage 3.",
        fires=Example({"ds.json": _DS % (2, '"zero_quantized_gradients": true')}),
        holds=Example({"ds.json": _DS % (3, '"zero_quantized_gradients": true')}),
        evidence=(
            in_deepspeed("runtime/engine.py", "2769", "all2all_process_group=self.local_all_to_all_group,"),
        ),
        pains=(36,),
    ),
    Check(
        code=AS_FP16,
        run=_as_fp16,
        why="By the sources of 0.16.2 to 0.19.8 and DeepSpeed's own account (pull request 8215): "
        "the kernel casts whatever it is given to fp16. Not run here, it takes a GPU.",
        hint="Before 0.19.6 quantized weights are for fp16.",
        fires=Example({"ds.json": _WEIGHTS % ("true", "false")}, versions=_OLD),
        holds=Example({"ds.json": _WEIGHTS % ("false", "true")}, versions=_OLD),
        evidence=(
            Evidence(
                "deepspeed",
                "0.18.4",
                "ops/csrc/quantization/pt_binding.cpp",
                "96",
                "(__half*)input_vals.data_ptr(),",
                "",
            ),
            in_deepspeed(
                "runtime/zero/partition_parameters.py",
                "891",
                "parameter would be reinterpreted bit-for-bit and silently corrupted.",
            ),
        ),
        pains=(36,),
    ),
)
