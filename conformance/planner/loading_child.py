"""One rank of a loading: what its memory was at most while the real transformers and DeepSpeed load a model.

Pages of a process are of two kinds: those that it made itself (RssAnon, and RssShmem of shared buffers), and
those of files that it has mapped (RssFile), which all ranks of a node share and the kernel takes back.
"""

from __future__ import annotations

import ctypes
import gc
import json
import threading
from pathlib import Path
from typing import Any

import torch

from conformance.planner.stepping_child import Live

M_MMAP_THRESHOLD = -3
BUCKET = 1000  # so that a buffer that nothing writes to yet is nothing
KINDS = {"own": ("RssAnon", "RssShmem"), "file": ("RssFile",)}


def resident() -> dict[str, int]:
    """Bytes of this process in memory, by kind."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    told = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
    return {kind: sum(int(told[name].split()[0]) * 1024 for name in names) for kind, names in KINDS.items()}


class Watch:
    """The most of each kind beyond what was there before, phase by phase."""

    def __init__(self) -> None:
        gc.collect()
        self.before, self.most, self.phase = resident(), dict[str, dict[str, int]](), ""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _note(self) -> None:
        now, phase = resident(), self.phase
        most = self.most.setdefault(phase, dict.fromkeys(KINDS, 0))
        for kind in KINDS:
            most[kind] = max(most[kind], now[kind] - self.before[kind])

    def _look(self) -> None:
        while not self.ended.wait(0.002):
            self._note()

    def begin(self, phase: str) -> None:
        """What is seen from now on is this phase's."""
        if not self.thread.ident:
            self.phase = phase
            self.thread.start()
        else:
            self._note()
        self.phase = phase

    def end(self) -> None:
        """Stop looking."""
        self._note()
        self.ended.set()
        self.thread.join()


def mapped() -> list[tuple[int, int]]:
    """Addresses where files of weights are mapped."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ends = (line.split(maxsplit=1)[0].split("-") for line in lines if line.endswith((".safetensors", ".bin")))
    return [(int(first, 16), int(last, 16)) for first, last in ends]


def held(model: Any) -> dict[str, int]:
    """Bytes of the model's weights, each storage once: in memory of its own, and in mapped files."""
    files, seen, found = mapped(), set[int](), dict.fromkeys(KINDS, 0)
    for weight in model.parameters():
        for tensor in (weight.data, getattr(weight, "ds_tensor", None)):
            if tensor is None or not tensor.numel() or tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            inside = any(first <= tensor.data_ptr() < last for first, last in files)
            found["file" if inside else "own"] += tensor.numel() * tensor.element_size()
    return found


def config(case: dict[str, Any]) -> dict[str, Any]:
    """The DeepSpeed config of a case."""
    return {
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": case["stage"], "reduce_bucket_size": BUCKET, **case.get("zero", {})},
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }


def load(case: dict[str, Any], folder: str, watch: Watch | None = None) -> Any:
    """The model, as a script loads it."""
    from transformers import AutoModelForCausalLM

    how = dict(case.get("how", {}))
    if case.get("four_bit"):
        from transformers import BitsAndBytesConfig

        how["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
        how["device_map"] = {"": "cpu"}
        if watch:
            apart(watch)
    dtype = getattr(torch, case.get("dtype", "bfloat16"))
    return AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype, **how)


def apart(watch: Watch) -> None:
    """What bitsandbytes' kernel for a CPU takes inside is no matter of a GPU's."""
    from bitsandbytes.nn import modules

    real = modules.Params4bit._quantize

    def quantize(self: Any, *args: Any, **kwargs: Any) -> Any:
        watch.begin("kernel")
        found = real(self, *args, **kwargs)
        watch.begin("from_pretrained")
        return found

    modules.Params4bit._quantize = quantize


class OnHost:
    """Bytes that DeepSpeed puts on the host, wherever the model lies, while it makes an engine."""

    def __init__(self, watch: Watch) -> None:
        self.copied = self.flat = 0
        self.watch = watch
        self._stages_1_and_2()
        self._stage_3()

    def _stages_1_and_2(self) -> None:
        from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer as Own

        real = Own.flatten_dense_tensors_aligned

        def flatten(own: Any, tensors: Any, *args: Any, **kwargs: Any) -> Any:
            found = real(own, tensors, *args, **kwargs)
            if kwargs.get("use_cpu_data"):
                self.copied += sum(one.cpu_data.nbytes for one in tensors)
                self.flat += found.nbytes
            return found

        Own.flatten_dense_tensors_aligned = flatten

    def _stage_3(self) -> None:
        from deepspeed.runtime.zero import parameter_offload, stage3

        # a function of the module in newer releases, of the class before
        where: Any = stage3 if hasattr(stage3, "defragment") else stage3.DeepSpeedZeroOptimizer_Stage3
        real = where.defragment

        def defragment(tensors: Any) -> Any:
            with Live() as live:
                found = real(tensors)
            self.flat += live.peak
            return found

        where.defragment = defragment if where is stage3 else staticmethod(defragment)
        split = parameter_offload.DeepSpeedZeRoOffload._convert_to_zero_parameters

        def splitting(own: Any, *args: Any, **kwargs: Any) -> Any:
            self.watch.begin("splitting")
            split(own, *args, **kwargs)
            self.watch.begin("initialize")

        parameter_offload.DeepSpeedZeRoOffload._convert_to_zero_parameters = splitting


def initialize(case: dict[str, Any], model: Any) -> Any:
    """An engine of it; plain SGD, which keeps nothing beside the weights."""
    import deepspeed

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config(case))
    return engine


def main(case: dict[str, Any], folder: Path) -> None:
    """Load a small one, so that all is imported and made once; then the one that is measured."""
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    # memory that is let go of goes back at once, so what is resident is what is held
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 16)
    deepspeed.init_distributed("gloo", verbose=False)
    if case.get("full"):  # as on a GPU without room for a second copy of what is trained
        get_accelerator().available_memory = lambda *args: 0
    zero = None
    if case.get("init"):
        from transformers.integrations import HfDeepSpeedConfig

        zero = HfDeepSpeedConfig(config(case))
    engines = "stage" in case
    small = load(case, case["folders"]["small"])
    if engines:
        initialize(case, small)
    del small
    watch = Watch()
    watch.begin("from_pretrained")
    model = load(case, case["folders"][case["files"]], watch)
    watch.begin("loaded")
    found: dict[str, Any] = {"held": held(model)}
    if engines:
        host = OnHost(watch)
        watch.begin("initialize")
        initialize(case, model)
        found["host"] = {"copied": host.copied, "flat": host.flat}
    watch.end()
    del zero
    path = folder / f"{torch.distributed.get_rank()}.json"
    path.write_text(json.dumps({**found, "most": watch.most}), encoding="utf-8")
