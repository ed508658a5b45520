"""What cannot be true of one spec at once, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import (
    BatchContradiction,
    Dims,
    batch_numbers,
    dims,
    how_many_ranks,
    nearest_global,
)
from dsbridge.spec.leaves import leaves
from dsbridge.values import AUTO, UNSET, Unset

BATCH = Code("SP010", "batch-contradiction", Severity.ERROR, "The batch numbers exclude each other.")
WORLD = Code("SP011", "world-not-divisible", Severity.ERROR, "tp x ulysses does not divide the GPUs.")
NVME_PATH = Code("SP012", "nvme-without-path", Severity.ERROR, "Offload to NVMe needs a folder on the drive.")
TWO_SHARDINGS = Code(
    "SP013", "zero-and-fsdp", Severity.ERROR, "ZeRO and FSDP shard the same things; choose one."
)
PRECISION = Code("SP014", "two-precisions", Severity.ERROR, "Settings of one number format beside another.")
OFFLOAD_PARAM = Code("SP015", "offload-param-stage", Severity.ERROR, "Only ZeRO-3 partitions parameters.")
FINETUNING = Code(
    "SP016", "finetuning-contradiction", Severity.ERROR, "Settings of another finetuning method."
)
WARMUP = Code("SP017", "two-warmups", Severity.ERROR, "Warm-up given as ratio and as steps.")
ENDS = Code("SP020", "two-ends", Severity.ERROR, "The end of the curve given as ratio and as rate.")
HEADS = Code("SP018", "heads-not-divisible", Severity.ERROR, "tp or ulysses does not divide the heads.")
NODES = Code("SP019", "node-rank", Severity.ERROR, "The node rank is outside the cluster.")
MEETING = Code("SP021", "rendezvous-contradiction", Severity.ERROR, "The nodes cannot meet so.")
CODES = (
    MEETING,
    BATCH,
    WORLD,
    NVME_PATH,
    TWO_SHARDINGS,
    PRECISION,
    OFFLOAD_PARAM,
    FINETUNING,
    WARMUP,
    HEADS,
    NODES,
    ENDS,
)


def contradictions(spec: ParallelSpec) -> list[Diagnostic]:
    """All of them; each names the key to change."""
    return [found for check in CHECKS for found in check(spec)]


def _world(spec: ParallelSpec) -> Iterator[Diagnostic]:
    layout = dims(spec)
    world, group = layout.world_size, layout.tp * layout.ulysses
    if world is not None and world % group:
        yield WORLD(
            f"tp {layout.tp} x ulysses {layout.ulysses} = {group} does not divide "
            f"{how_many_ranks(_flat(layout))}",
            hint=f"tp x ulysses must be one of {_divisors(world)}.",
            key="parallelism.tp" if layout.tp > 1 else "parallelism.ulysses",
        )


def _divisors(number: int) -> str:
    """The divisors one would use as a degree; the number may be absurd."""
    return ", ".join(str(n) for n in range(1, min(number, 512) + 1) if number % n == 0)


def _flat(layout: Dims) -> Dims:
    return layout._replace(tp=1, ulysses=1)


def _batch(spec: ParallelSpec) -> Iterator[Diagnostic]:
    if any(True for _ in _world(spec)):
        return  # no number of ranks to count with
    try:
        batch_numbers(spec)
    except BatchContradiction as error:
        nearest = nearest_global(spec, int(spec.batch.global_))  # type: ignore[arg-type]
        valid = " or ".join(str(n) for n in nearest)
        hint = f"Write `batch.global: {valid}`, or give only two of the three."
        yield BATCH(str(error), hint=hint, key="batch.global")


def _nvme(spec: ParallelSpec) -> Iterator[Diagnostic]:
    for name in ("offload_optimizer", "offload_param"):
        block = getattr(spec.zero, name)
        if block.device == "nvme" and block.nvme_path in (UNSET, AUTO):
            yield NVME_PATH(
                f"`zero.{name}.device` is nvme, but no `nvme_path` says where",
                hint=f"Add `zero.{name}.nvme_path: /local_nvme`, a folder that every node has.",
                key=f"zero.{name}.device",
            )


def _sharding(spec: ParallelSpec) -> Iterator[Diagnostic]:
    if spec.fsdp == type(spec.fsdp)():
        return
    paths = leaves(spec)
    zero = [p for p in paths if p.startswith("zero.") and p != "zero.stage"]
    if spec.zero.stage not in (UNSET, 0):
        zero.append("zero.stage")
    fsdp = [p for p in paths if p.startswith("fsdp.")]
    if zero and fsdp:
        yield TWO_SHARDINGS(
            f"`{fsdp[0]}` asks for FSDP and `{zero[-1]}` for ZeRO",
            hint="Keep `zero:` or `fsdp:`. ZeRO-3 is full_shard, ZeRO-2 is shard_grad_op.",
            key=fsdp[0],
        )
    if fsdp and spec.deepspeed:
        yield TWO_SHARDINGS(
            "`deepspeed:` has native keys, but with `fsdp:` DeepSpeed does not run",
            hint="Remove one of the two.",
            key="deepspeed",
        )


def _precision(spec: ParallelSpec) -> Iterator[Diagnostic]:
    dtype = spec.precision.dtype
    for other in ("fp16", "bf16"):
        block = getattr(spec.precision, other)
        if block != type(block)() and dtype not in (other, AUTO):
            found = [p for p in leaves(spec) if p.startswith(f"precision.{other}.")]
            has = "is not given" if dtype is UNSET else f"is {dtype}"
            yield PRECISION(
                f"`{found[0]}` is for {other} training, but `precision.dtype` {has}",
                hint=f"Write `precision.dtype: {other}`, or remove the block.",
                key=found[0],
            )
    if spec.precision.fp8_backend is not UNSET and dtype != "fp8":
        yield PRECISION(
            "`precision.fp8_backend` is given, but `precision.dtype` is not fp8",
            hint="Write `precision.dtype: fp8`, or remove the backend.",
            key="precision.fp8_backend",
        )
    native = spec.deepspeed if isinstance(spec.deepspeed, dict) else {}
    enabled = [n for n in ("fp16", "bf16") if _enabled(native.get(n))]
    for name in enabled:
        if dtype is not UNSET and dtype != name:
            yield PRECISION(
                f"`deepspeed.{name}.enabled` is true, but `precision.dtype` is {dtype}",
                hint="fp16 and bf16 exclude each other; keep `precision.dtype` alone.",
                key=f"deepspeed.{name}",
            )


def _enabled(block: object) -> bool:
    return isinstance(block, dict) and block.get("enabled") is True


def _offload_param(spec: ParallelSpec) -> Iterator[Diagnostic]:
    device, stage = spec.zero.offload_param.device, spec.zero.stage
    if device not in (UNSET, AUTO, "none") and stage not in (3, AUTO):
        has = "is not given" if stage is UNSET else f"is {stage}"
        yield OFFLOAD_PARAM(
            f"`zero.offload_param.device` is {device}, but `zero.stage` {has}",
            hint="Write `zero.stage: 3`, or offload the optimizer only.",
            key="zero.offload_param.device",
        )


def _finetuning(spec: ParallelSpec) -> Iterator[Diagnostic]:
    tuning = spec.finetuning
    lora = ("rank", "alpha", "dropout", "target_modules", "use_rslora", "use_dora")
    freeze = ("trainable_layers", "trainable_modules")
    quant = ("quantization_bits", "quantization_type", "double_quantization")
    wrong: dict[object, tuple[str, ...]] = {
        "full": lora + freeze + quant,
        "freeze": lora + quant,
        "lora": freeze,
        "qlora": freeze,
    }
    for name in wrong.get(tuning.method, ()):
        if getattr(tuning, name) is not UNSET:
            means = "qlora" if name in quant else "lora" if name in lora else "freeze"
            yield FINETUNING(
                f"`finetuning.{name}` has no meaning for method {tuning.method}",
                hint=f"Write `finetuning.method: {means}`, or remove it.",
                key=f"finetuning.{name}",
            )


def _warmup(spec: ParallelSpec) -> Iterator[Diagnostic]:
    if spec.scheduler.warmup_ratio is not UNSET and spec.scheduler.warmup_steps is not UNSET:
        yield WARMUP(
            "`scheduler.warmup_ratio` and `scheduler.warmup_steps` say the same thing twice",
            hint="Keep one; frameworks differ in which of the two wins.",
            key="scheduler.warmup_ratio",
        )
    if spec.scheduler.min_lr is not UNSET and spec.scheduler.min_lr_ratio is not UNSET:
        yield ENDS(
            "`scheduler.min_lr` and `scheduler.min_lr_ratio` say the same thing twice",
            hint="Keep one: a learning rate, or a share of the peak rate.",
            key="scheduler.min_lr_ratio",
        )


def _heads(spec: ParallelSpec) -> Iterator[Diagnostic]:
    heads = spec.model.num_attention_heads
    for name in ("tp", "ulysses"):
        degree = getattr(spec.parallelism, name) or 1
        if heads and heads % degree:
            yield HEADS(
                f"{name} {degree} does not divide the {heads} attention heads",
                hint=f"{name} must be one of {_divisors(heads)}.",
                key=f"parallelism.{name}",
            )


def _nodes(spec: ParallelSpec) -> Iterator[Diagnostic]:
    rank, nodes = spec.launch.node_rank, spec.cluster.nodes or 1
    if not isinstance(rank, Unset) and rank >= nodes:
        yield NODES(
            f"`launch.node_rank` is {rank}, but there are {nodes} nodes, counted from 0",
            hint="Leave it out; the script then reads NODE_RANK on each node.",
            key="launch.node_rank",
        )


def _meeting(spec: ParallelSpec) -> Iterator[Diagnostic]:
    """Nodes that are counted and numbered beforehand are no elastic job."""
    launch, nodes = spec.launch, spec.cluster.nodes or 1
    for name in ("rendezvous_id", "min_nodes", "max_nodes"):
        if launch.rendezvous == "static" and getattr(launch, name) is not UNSET:
            yield MEETING(
                f"`launch.rendezvous` is static, and `launch.{name}` is for nodes that number themselves",
                hint="Write `launch.rendezvous: c10d`, or remove it.",
                key=f"launch.{name}",
            )
    least, most = launch.min_nodes or nodes, launch.max_nodes or nodes
    if not least <= nodes <= most:
        key = "min_nodes" if least > nodes else "max_nodes"
        yield MEETING(
            f"`cluster.nodes` is {nodes}, which is not within {least} to {most} nodes",
            hint="Give min_nodes <= cluster.nodes <= max_nodes.",
            key=f"launch.{key}",
        )
    if launch.hosts and len(launch.hosts) != nodes:
        yield MEETING(
            f"`launch.hosts` names {len(launch.hosts)}, and there are {nodes} nodes",
            hint="Name each node once.",
            key="launch.hosts",
        )


CHECKS: tuple[Callable[[ParallelSpec], Iterator[Diagnostic]], ...] = (
    _world,
    _batch,
    _nvme,
    _sharding,
    _precision,
    _offload_param,
    _finetuning,
    _warmup,
    _heads,
    _nodes,
    _meeting,
)
