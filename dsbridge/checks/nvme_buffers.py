"""Parameters on NVMe: buffers that the largest tensor does not fit, and what they pin of host memory."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, Said, device, gigabytes, half_bytes, said, stage, whole

SMALL = Code(
    "CK304", "nvme-buffer-too-small", Severity.ERROR, "A swap buffer is smaller than the largest tensor."
)
PINNED = Code("CK305", "nvme-buffers-pinned", Severity.INFO, "The swap buffers pin gigabytes of every rank.")

_BLOCK = f"{ZERO}.offload_param"
_SIZE, _COUNT = int(1e8), 5  # DeepSpeedZeroOffloadParamConfig's defaults


def _buffers(subject: Subject) -> tuple[int, int, Said] | None:
    """Elements of a buffer, how many there are, and what the user wrote of it."""
    at = said(subject, f"{_BLOCK}.buffer_size") or said(subject, _BLOCK) or said(subject, f"{_BLOCK}.device")
    if stage(subject) != 3 or device(subject, "offload_param") != "nvme" or at is None:
        return None
    size = subject.written(f"{_BLOCK}.buffer_size")
    count = subject.written(f"{_BLOCK}.buffer_count")
    return whole(size) or _SIZE, whole(count) or _COUNT, at


def _small(subject: Subject) -> Iterator[Diagnostic]:
    found = _buffers(subject)
    world = whole(subject.fact("world_size"))
    vocabulary, hidden = (whole(subject.fact(f"model.{name}")) for name in ("vocab_size", "hidden_size"))
    if found is None or not world or not vocabulary or not hidden:
        return
    size, _, at = found
    share = -(-vocabulary * hidden // world)
    if share <= size:
        return
    yield SMALL(
        f"buffer_size is {size:,} elements, and a rank's share of the embedding has {share:,} "
        f"({vocabulary:,} x {hidden:,} / {world} ranks): DeepSpeed stops with AssertionError: More elements "
        f"{share} than buffer size {size}",
        hint=f"Write buffer_size of at least {_rounded(share):,} in offload_param.",
        key=at.key,
        at=at.at,
    )


def _rounded(size: int) -> int:
    return -(-size // 1_000_000) * 1_000_000


def _pinned(subject: Subject) -> Iterator[Diagnostic]:
    found = _buffers(subject)
    if found is None:
        return
    size, count, at = found
    width = half_bytes(subject)
    taken = size * count * width
    if taken < 4e9:
        return
    yield PINNED(
        f"the swap buffers pin {gigabytes(taken)} of host memory for every rank (buffer_size {size:,} x "
        f"buffer_count {count} x {width} bytes), eight times that on a node of eight GPUs",
        hint="A buffer need not be larger than the largest tensor divided by the ranks.",
        key=at.key,
        at=at.at,
        severity=Severity.WARNING if taken >= 32e9 else Severity.INFO,
    )


_DS = """{"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": true,
  "offload_param": {"device": "nvme", "nvme_path": "/nvme", "buffer_size": %s}},
 "bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 1}"""
_RUN = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json --bf16 true"
_FACTS = {"model": {"vocab_size": 128256, "hidden_size": 4096, "num_attention_heads": 32}}
_FILE = "runtime/swap_tensor/partitioned_param_swapper.py"

CHECKS = (
    Check(
        code=SMALL,
        run=_small,
        why="The job stops when the first weight is swapped out.",
        hint="buffer_size must cover the largest tensor divided by the ranks: mostly the embedding.",
        fires=Example({"ds.json": _DS % "1e8"}, _RUN, facts=_FACTS),
        holds=Example({"ds.json": _DS % "3e8"}, _RUN, facts=_FACTS),
        evidence=(
            in_deepspeed(
                _FILE,
                "357",
                'assert numel <= self.elements_per_buffer, f"More elements {numel} than '
                'buffer size {self.elements_per_buffer}"',
            ),
        ),
        pains=(31,),
    ),
    Check(
        code=PINNED,
        run=_pinned,
        why="Pinned memory cannot be swapped: the node runs out of memory, and the kernel ends the job.",
        hint="Make the buffers as large as the largest share of a tensor, and few.",
        fires=Example({"ds.json": _DS % "1e9"}),
        holds=Example({"ds.json": _DS % "1e8"}),
        evidence=(
            in_deepspeed(
                _FILE,
                "124",
                "self.buffers = torch.empty(int(self.aligned_elements_per_buffer * self.param_buffer_count),",
            ),
        ),
        pains=(31,),
    ),
)
