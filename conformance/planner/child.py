"""One rank of one case: a real engine, a few steps, and what it held and moved."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from conformance.planner import models, quantised, walking
from conformance.planner.spy import Spy

STEPS = 3
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def config(case: dict[str, Any]) -> dict[str, Any]:
    """The DeepSpeed config of a case."""
    zero = {"stage": case["stage"], "reduce_bucket_size": case.get("bucket", 1000), **case.get("zero", {})}
    ds: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": case["g"],
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
    if case["dtype"] != "fp32":
        ds[case["dtype"]] = {"enabled": True}
    if case["dtype"] == "fp16":
        ds["fp16"]["initial_scale_power"] = 4
    for key, value in case.get("ds", {}).items():
        ds[key] = {**ds[key], **value} if isinstance(ds.get(key), dict) else value
    return ds


class Rank:
    """The engine of a case, and the looks taken at it."""

    def __init__(self, case: dict[str, Any]) -> None:
        import deepspeed
        from deepspeed.accelerator import get_accelerator

        self.case, self.spy, self.pinned = case, Spy(), set[int]()
        self.spy.install()
        deepspeed.init_distributed("gloo", verbose=False)
        self._watch_pinning(get_accelerator())
        self.mpu = self._ulysses(case)
        self.before = walking.alive()
        self.moments: dict[str, Any] = {}
        self.losses: list[float] = []
        self.engine, model = self._engine(deepspeed)
        self.model = model

    @staticmethod
    def _ulysses(case: dict[str, Any]) -> Any:
        if not case.get("ulysses"):
            return None
        from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF

        return UlyssesSPAttentionHF.register_with_transformers(
            model_name_or_path=models.build(case),
            core_attn_implementation="sdpa",
            sequence_parallel_size=case["ulysses"],
            micro_batch_size=1,
            seq_length=models.TOKENS,
            seq_length_is_variable=True,
        )

    def _watch_pinning(self, accelerator: Any) -> None:
        real = accelerator.pin_memory

        def pin_memory(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            result = real(tensor, *args, **kwargs)
            self.pinned.add(result.untyped_storage().data_ptr())
            return result

        accelerator.pin_memory = pin_memory

    def _engine(self, deepspeed: Any) -> tuple[Any, Any]:
        case, ds = self.case, config(self.case)
        model = models.build(case)
        self.packed = quantised.packed(model)
        self.sizes = [[p.numel(), p.requires_grad] for p in model.parameters()]
        if case.get("tp") and not hasattr(deepspeed.DeepSpeedEngine, "_apply_autotp_partitioning"):
            # before 0.19 the model is cut first; releases that cannot do it have no such function
            model = deepspeed.tp_model_init(model, tp_size=case["tp"], dtype=DTYPES[case["dtype"]])
        if case.get("tp"):
            ds["tensor_parallel"] = {"autotp_size": case["tp"]}
        if case.get("ulysses"):
            ds["sequence_parallel_size"] = case["ulysses"]
        trainable = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=1e-3, foreach=False)
        self.spy.phase = "initialize"
        extra = {"mpu": self.mpu} if self.mpu else {}
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=ds, **extra)
        self.spy.phase = ""
        del trainable, optimizer
        return engine, model

    def look(self, moment: str, *, whole: bool = True) -> None:
        """Remember what is held now; of several looks at one moment, the fullest."""
        # in the midst of a step memory that was pinned may be another tensor's by now
        pinned = set[int]() if moment == "after forward" else self.pinned
        seen = walking.look(self.engine, self.before, pinned, whole=whole)
        if moment not in self.moments or weight(seen) > weight(self.moments[moment]):
            self.moments[moment] = seen

    def _watch_step(self) -> None:
        inner = getattr(self.engine.optimizer, "optimizer", self.engine.optimizer)
        real = inner.step

        def step(*args: Any, **kwargs: Any) -> Any:
            self.look("entering the optimizer's step")
            result = real(*args, **kwargs)
            self.look("leaving the optimizer's step")
            return result

        inner.step = step

    def _watch_reducing(self) -> None:
        def before(kind: str) -> None:
            if self.spy.phase.startswith("backward") and kind in ("all_reduce", "reduce", "reduce_scatter"):
                self.look("reducing", whole=False)

        self.spy.before = before

    def run(self) -> dict[str, Any]:
        """Steps; bytes of the last, collectives of each."""
        self.look("initialized")
        moved = [self.spy.taken()]
        dtype = DTYPES[self.case["dtype"]]
        for step in range(STEPS):
            last = step == STEPS - 1
            if last:
                self._watch_step()
                self._watch_reducing()
            for micro in range(self.case["g"]):
                boundary = micro == self.case["g"] - 1
                self.spy.phase = f"forward {micro + 1}"
                loss = self._loss(dtype)
                if last and self.case.get("quantised"):
                    self.look("after forward")
                    self.losses.append(round(loss.item(), 2))
                self.spy.phase = f"backward {micro + 1}"
                self.engine.backward(loss)
                del loss
                if last:
                    self.look("after backward, boundary" if boundary else "after backward, not boundary")
                self.spy.phase = "step" if boundary else f"step {micro + 1}, not boundary"
                self.engine.step()
                self.spy.phase = ""
            moved.append(self.spy.taken())
        self.look("between steps")
        return self._answer(moved)

    def _loss(self, dtype: torch.dtype) -> torch.Tensor:
        given = models.batch(self.case, self.model, dtype)
        if not self.mpu:
            out = self.engine(**given)
            return out if isinstance(out, torch.Tensor) else out.loss
        # the whole sequence is cut; the loss is ours, as DeepSpeed's tutorial has it
        ranks, own = self.case["ulysses"], int(os.environ["RANK"]) % self.case["ulysses"]
        ids = given["input_ids"]
        places = torch.arange(ids.shape[1]).unsqueeze(0)
        cut, at = ids.chunk(ranks, dim=1)[own], places.chunk(ranks, dim=1)[own]
        logits = self.engine(input_ids=cut, position_ids=at).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), cut.flatten())

    def _answer(self, moved: list[Any]) -> dict[str, Any]:
        optimizer = self.engine.optimizer
        answer = {
            "sizes": self.sizes,
            "local_sizes": [
                [getattr(p, "ds_numel", p.numel()), p.requires_grad] for p in self.engine.module.parameters()
            ],
            "engine": type(optimizer).__name__,
            "held": self.moments,
            "moved": {"initialize": moved[0], "first": moved[1], "steady": moved[-1]},
        }
        if not self.case.get("tp"):
            del answer["local_sizes"]  # only tensor parallelism changes them
        if self.losses:
            answer |= {"losses": self.losses, "packed": self.packed}
        if moved[-1] != moved[-2]:
            answer["moved"]["before"] = moved[-2]
        return answer


def weight(seen: dict[str, Any]) -> int:
    """Elements held, over all parts."""
    return sum(
        sum(held.values()) for part, held in seen.items() if part not in ("other_tensors", "pinned_bytes")
    )


def main(case: dict[str, Any], out: Path) -> None:
    """Run the case and write what was seen."""
    torch.set_num_threads(1)
    case = json.loads(json.dumps(case).replace("<folder>", str(out)))
    rank = int(os.environ["RANK"])
    answer = Rank(case).run()
    (out / f"{rank}.part").write_text(json.dumps(answer), encoding="utf-8")
    (out / f"{rank}.part").rename(out / f"{rank}.json")
