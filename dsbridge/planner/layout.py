"""What decides what a rank holds and moves, and what of it depends on DeepSpeed's release."""

from __future__ import annotations

from typing import NamedTuple

Release = tuple[int, int, int]
NEWEST: Release = (0, 19, 8)
# The first release with each behaviour: found in the sources, and seen in runs of the releases on both sides
# (`tests/recorded/planner/measured/`, releases.jsonl where they are neighbours).
# stage 0 in bf16 is no longer BF16_Optimizer: `DDP_BFLOAT16`, runtime/engine.py
WHOLE_BF16: Release = (0, 17, 6)
# `DDP_BFLOAT16 = "bf16"` was the name of BF16_Optimizer's case as well
TELLS_BF16_APART: Release = (0, 18, 5)
PADS_AT_BOUNDARY: Release = (0, 17, 6)  # `all_grad_tensors`, runtime/zero/stage_1_and_2.py
COPY_ON_HOST: Release = (0, 17, 0)  # `param_buffer_of_bit16_for_cpu_offload_groups`, same file
LOW_MASTER: Release = (0, 18, 3)  # `bf16_master_weights_and_grads`; older releases read past the key
COMPACT_FP32: Release = (0, 19, 8)  # `_build_compact_grad_partition_buffer`, runtime/zero/stage_1_and_2.py
CLEARS_AFTER_STEP: Release = (0, 18, 6)  # before, stage 0 keeps its 16-bit gradients
STAGE1_OFF_HOST: Release = (0, 19, 0)  # before, stage 1 sums on the host; 0.18.7 to 0.18.9 did not run
RELEASES_FIRST: Release = (0, 19, 3)  # stage 3 lets go of the first module at once
STAGE1_CLEARS: Release = (0, 16, 5)  # `clear_lp_grads(set_to_none=True)`, runtime/bf16_optimizer.py
CHECKPOINTED_GO: Release = (0, 16, 8)  # before, checkpointed layers all stay gathered
# `ds_recompute_parameters`, runtime/zero/partitioned_param_coordinator.py
RECOMPUTE_OWNED: Release = (0, 19, 3)
AUTOTP: Release = (0, 16, 4)  # `autotp_size`, runtime/tensor_parallel/config.py
ULYSSES: Release = (0, 17, 0)  # `UlyssesSPAttentionHF`, runtime/sequence_parallel/ulysses_sp.py
CUTS_HEAD: Release = (0, 19, 6)  # AutoTP splits the head and a tied embedding


class Layout(NamedTuple):
    """What decides what a rank holds; `trainable` and `frozen` are elements of each parameter, in order.

    `communicated` is the dtype that gradients travel in, if not the model's. `first` has the parameters of
    the first
    module that gets gradients though its input does not (the embedding, or what stands behind frozen
    ones): the
    releases before 0.19 keep it gathered from the backward pass to the step. `packed` are the 4-bit
    weights, all
    frozen, in elements of the dtype that they are stored in (`storage`, bitsandbytes' `quant_storage`).
    """

    stage: int
    ranks: int
    trainable: tuple[int, ...]
    frozen: tuple[int, ...] = ()
    dtype: str = "bfloat16"
    accumulation: int = 1
    accumulate: str = ""
    master: str = "float32"
    states: str = "float32"
    bucket: int = 500_000_000
    overlap: bool = False
    contiguous: bool = True
    persistence: int = 100_000
    sub_group: int = 1_000_000_000
    round_robin: bool = False
    offload_optimizer: bool = False
    communicated: str = ""
    first: tuple[int, ...] = ()
    deepspeed: Release = NEWEST
    packed: tuple[int, ...] = ()
    storage: str = ""

    @property
    def accumulates(self) -> str:
        """The dtype that gradients are summed in: `data_types.grad_accum_dtype`, else the model's."""
        return self.accumulate or self.dtype

    @property
    def masters(self) -> str:
        """The dtype of master weights, where this release can choose."""
        return self.master if self.deepspeed >= LOW_MASTER else "float32"

    @property
    def moments(self) -> str:
        """The dtype of optimizer states, where this release can choose."""
        return self.states if self.deepspeed >= LOW_MASTER else "float32"

    @property
    def unsharded(self) -> bool:
        """Nothing is split among ranks: stage 0, and from 0.17.6 to 0.18.4 also ZeRO-1 that sums in fp32.

        There `BFLOAT16` and `DDP_BFLOAT16` are the same string, so `_configure_optimizer` takes the branch
        of plain
        data parallelism (runtime/engine.py).
        """
        if self.stage == 0:
            return self.dtype != "bfloat16" or self.deepspeed >= WHOLE_BF16
        return self.asks_full_fp32 and WHOLE_BF16 <= self.deepspeed < TELLS_BF16_APART

    @property
    def kept_in_full(self) -> bool:
        """BF16_Optimizer, which never shards gradients: stage 1 that sums in fp32, and old releases' stage
        0."""
        return (self.asks_full_fp32 or self.stage == 0) and not self.unsharded

    @property
    def asks_full_fp32(self) -> bool:
        """ZeRO-1 in bf16 with fp32 sums and no offload (`_do_optimizer_sanity_check`, runtime/engine.py)."""
        sums = self.dtype == "bfloat16" and self.accumulates == "float32"
        return self.stage == 1 and sums and not self.offload_optimizer

    @property
    def compact(self) -> bool:
        """Stages 1 and 2 keep fp32 sums of their own part alone."""
        return self.accumulates == "float32" != self.dtype and self.deepspeed >= COMPACT_FP32
