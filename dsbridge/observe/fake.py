"""One process that is rank 0 of any world, on a machine whose GPUs can do what the case says."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def fake_process_group() -> None:
    """Whoever starts a process group gets torch's own fake one, of the size that was asked for."""
    import os

    import torch.distributed as dist
    import torch.distributed.distributed_c10d as c10d
    from torch.testing._internal.distributed.fake_pg import FakeStore

    real = c10d.init_process_group

    def init_process_group(backend: Any = None, *args: Any, **kwargs: Any) -> None:
        rank = kwargs.get("rank", -1)
        world = kwargs.get("world_size", -1)
        rank = int(os.environ.get("RANK", "0")) if rank is None or rank < 0 else rank
        world = int(os.environ.get("WORLD_SIZE", "1")) if world is None or world < 0 else world
        real(backend="fake", store=FakeStore(), rank=rank, world_size=world)

    for module in (dist, c10d):
        module.init_process_group = init_process_group
    new = c10d.new_group

    def new_group(ranks: Any = None, timeout: Any = None, backend: Any = None, **kwargs: Any) -> Any:
        return new(ranks, timeout, None, **kwargs)  # also who asks for gloo gets the fake one

    for module in (dist, c10d):
        module.new_group = new_group
    # gloo has it, the fake backend does not; both only wait
    for module in (dist, c10d):
        module.monitored_barrier = lambda *a, **k: None


def replace_everywhere(name: str, value: Any) -> None:
    """Frameworks import such questions by name, so every module that holds one gets the new answer."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and name in vars(module):
            setattr(module, name, value)


def abilities(gpu: dict[str, bool], gpus: int) -> None:
    """Answer what frameworks ask about the GPUs."""
    import torch

    bf16, fp16 = bool(gpu["bf16"]), bool(gpu["fp16"])
    replace_everywhere("is_torch_bf16_gpu_available", lambda *a, **k: bf16)
    torch.cpu.is_bf16_supported = lambda *a, **k: bf16
    torch.cuda.set_device = lambda *a, **k: None
    accelerator = sys.modules.get("deepspeed.accelerator")
    if accelerator is not None:
        kind = type(accelerator.get_accelerator())
        kind.is_bf16_supported = lambda self: bf16
        kind.is_fp16_supported = lambda self: fp16
        kind.device_count = lambda self: gpus
    misc = sys.modules.get("llamafactory.extras.misc")
    if misc is not None:
        vars(misc)["_is_bf16_available"] = bf16
        gpus_of_arguments(gpus)
    dispatch = sys.modules.get("xtuner.model.modules.dispatch")
    if dispatch is not None and "flash_attn" in gpu:
        # flash_attn installs beside a GPU only; XTuner's check of its flags is all that may ask for it
        dispatch.SUPPORT_FLASH2 = gpu["flash_attn"]  # type: ignore[attr-defined]
    replace_everywhere("get_device_count", lambda *a, **k: gpus)
    arguments = sys.modules.get("transformers.training_args")
    if arguments is not None:
        arguments.is_torch_cuda_available = lambda: True  # type: ignore[attr-defined]
        torch.cuda.is_available = cuda_for_arguments(torch.cuda.is_available)


def cuda_for_arguments(real: Any) -> Any:
    """TrainingArguments of transformers 4 asks for CUDA before it asks whether the GPU has bf16."""

    def is_available() -> bool:
        asker = sys._getframe(1).f_code
        mine = asker.co_name == "__post_init__" and asker.co_filename.endswith("training_args.py")
        return mine or bool(real())

    return is_available


def gpus_of_arguments(gpus: int) -> None:
    """LLaMA-Factory asks TrainingArguments whether one process would have to drive several GPUs."""
    import os

    from transformers import TrainingArguments

    TrainingArguments.n_gpu = property(lambda self: 1 if "LOCAL_RANK" in os.environ else gpus)
