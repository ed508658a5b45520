"""What a GPU has and a CPU lacks, and nothing else.

Each patch is one small function with the reason in its docstring. A patch notes its name when it
has really been used, and the names end up in the recording and in the runner's output.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

SEEN: set[str] = set()  # the patches that were used


def applied(name: str) -> None:
    """Note that a patch was used; in the file that CONFORMANCE_RECORD names, if it does."""
    record = os.environ.get("CONFORMANCE_RECORD")
    if name not in SEEN and record:
        with Path(record + ".patches").open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    SEEN.add(name)


def launched() -> bool:
    """True in a training process, false in the launcher that starts it."""
    return int(os.environ.get("LOCAL_RANK", "-1")) >= 0


def fsdp_wanted() -> bool:
    """What `accelerate launch` exports for an FSDP config."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def bf16_query(module: ModuleType) -> None:
    """`is_torch_bf16_gpu_available` is false without a GPU, and TrainingArguments then refuses bf16
    although the CPU computes it. Answer as a GPU that has bf16 does."""

    def is_torch_bf16_gpu_available() -> bool:
        applied("bf16_query")
        return True

    module.is_torch_bf16_gpu_available = is_torch_bf16_gpu_available  # type: ignore[attr-defined]


def accelerate_backend(module: ModuleType) -> None:
    """Without a GPU Accelerate finds no backend (1.15: and sets num_processes 1 under torchrun),
    and it takes FSDP for GPUs only. Answer as on a machine with GPUs, but with gloo and the CPU.
    """
    state, kinds = module.PartialState, module.DistributedType
    real_backend, real_device = state._prepare_backend, state.set_device

    @functools.wraps(real_backend)
    def prepare(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        backend, kind = real_backend(self, *args, **kwargs)
        if not launched() or (backend is not None and not fsdp_wanted()):
            return backend, kind
        applied("accelerate_backend")
        return "gloo", kinds.MULTI_GPU

    @functools.wraps(real_device)
    def set_device(self: Any) -> None:
        if self.device is None and (self.backend, self.distributed_type) == ("gloo", kinds.MULTI_GPU):
            import torch

            self.device = torch.device("cpu")
        real_device(self)

    state._prepare_backend, state.set_device = prepare, set_device


def fsdp_current_device(module: ModuleType) -> None:
    """FSDP 1 asks which GPU is current, to make room there for parameters it is about to receive.

    With none it refuses ("There are currently no available devices found"). Answer the CPU.
    """
    plugin = module.FullyShardedDataParallelPlugin
    real = plugin.__post_init__

    @functools.wraps(real)
    def post_init(self: Any) -> None:
        import torch

        query, current = module.is_cuda_available, torch.cuda.current_device
        # Only while this runs: elsewhere the same two questions deserve the true answer.
        module.is_cuda_available = lambda: True  # type: ignore[attr-defined]
        torch.cuda.current_device = lambda: "cpu"
        try:
            real(self)
        finally:
            module.is_cuda_available = query  # type: ignore[attr-defined]
            torch.cuda.current_device = current
        if self.sync_module_states:
            applied("fsdp_current_device")

    plugin.__post_init__ = post_init


def fsdp_sync_on_cpu(module: ModuleType) -> None:
    """FSDP 1 broadcasts rank 0's weights with NCCL, so it refuses parameters that are on the CPU.

    gloo broadcasts those just as well.
    """

    def check(states: Any) -> None:
        applied("fsdp_sync_on_cpu")

    module._check_module_states_for_sync_module_states = check  # type: ignore[attr-defined]


def cuda_set_device(module: ModuleType) -> None:
    """mmengine calls `torch.cuda.set_device` for every launcher, whatever the backend."""

    def set_device(device: Any) -> None:
        applied("cuda_set_device")

    module.set_device = set_device  # type: ignore[attr-defined]


def cpu_bf16_query(module: ModuleType) -> None:
    """XTuner asks its device's module for `is_bf16_supported`, and `torch.cpu` has no such function.

    Answer as a GPU that has bf16 does.
    """

    def is_bf16_supported() -> bool:
        applied("cpu_bf16_query")
        return True

    module.is_bf16_supported = is_bf16_supported  # type: ignore[attr-defined]


def bnb_backend_query(module: ModuleType) -> None:
    """transformers 4.48 takes 4-bit on a CPU only with Intel's extension, which newer bitsandbytes
    does not need: its own CPU kernels quantize and train."""
    real = getattr(module, "validate_bnb_backend_availability", None)
    if real is None:  # other versions ask bitsandbytes alone
        return

    def validate(raise_exception: bool = False) -> bool:
        applied("bnb_backend_query")
        return True

    functools.update_wrapper(validate, real)
    module.validate_bnb_backend_availability = validate  # type: ignore[attr-defined]


HOOKS: dict[str, Callable[[ModuleType], None]] = {
    "accelerate.state": accelerate_backend,
    "accelerate.utils.dataclasses": fsdp_current_device,
    "torch.distributed.fsdp._init_utils": fsdp_sync_on_cpu,
    "torch.cpu": cpu_bf16_query,
    "torch.cuda": cuda_set_device,
    "transformers.integrations.bitsandbytes": bnb_backend_query,
    "transformers.utils.import_utils": bf16_query,
}
