"""What a model keeps for its backward pass, and what is alive at once: bytes, seen on tiny models on CPU.

python -m conformance.planner.activations --env hf                # every case again, compared
python -m conformance.planner.activations --env hf --write        # and stored

Kept: every storage that autograd saves, once, without parameters and buffers (`saved_tensors_hooks`), by the
layer that was running. Alive: every storage that an operator made and nobody has dropped, without what
becomes a parameter's gradient, at the end of the forward pass and at most.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BATCH, SEQUENCE = 2, 32
PACKAGES = ("torch", "transformers", "peft", "deepspeed")
METHODS = ("full", "frozen", "lora-bf16", "lora-fp32")
# every architecture of the planner's table that is built from rotary attention and a (gated) MLP, and GPT's
DENSE = (
    *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "glm", "glm4"),
    *("internlm3", "olmo", "olmo2", "exaone4", "granite", "cohere", "smollm3", "seed_oss", "ernie4_5"),
    *("starcoder2", "gpt2", "gpt_neox", "opt", "stablelm", "nemotron", "hunyuan_v1_dense", "ministral3"),
    *("bloom", "falcon", "olmo3", "cohere2", "arcee", "helium"),
)
SPARSE = (
    *("mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "olmoe", "glm4_moe", "dots1"),
    *("phimoe", "gpt_oss", "minimax_m2", "granitemoe", "qwen3_next", "ernie4_5_moe"),
)
# measured in every way; the others in full and frozen
CLOSELY = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox")
CLOSELY_SPARSE = ("mixtral", "qwen3_moe", "deepseek_v2")


def cases() -> Iterator[dict[str, Any]]:
    """Every case: a model, how it is trained, whether it is checkpointed, and which attention it has."""
    for model in (*DENSE, *SPARSE):
        close = model in (*CLOSELY, *CLOSELY_SPARSE)
        for method in METHODS if close else ("full", "frozen"):
            yield {"model": model, "method": method}
        if close:
            yield {"model": model, "method": "full", "attention": "eager"}
            yield {"model": model, "method": "lora-bf16", "checkpointing": True}
            yield {"model": model, "method": "full", "checkpointing": True}
            yield {"model": model, "method": "full", "checkpointing": True, "every": 2}
            yield {"model": model, "method": "lora-bf16", "dropout": True}
            yield {"model": model, "method": "lora-bf16", "dropout": True, "checkpointing": True}
    for stage in range(4):
        yield {"model": "llama", "method": "lora-fp32", "engine": stage}
    # stage 3 replaces torch's linear: a frozen one keeps its input too
    for stage in (2, 3):
        yield {"model": "llama", "method": "lora-some-bf16", "engine": stage}
    yield {"model": "llama", "method": "lora-some-bf16", "engine": 3, "init": True}
    for model in ("llama", "qwen3"):
        yield {"model": model, "method": "full", "ulysses": 2}
        yield {"model": model, "method": "full", "tp": 2}
        # the caller lets go of the logits before it goes back, as transformers' Trainer does
        yield {"model": model, "method": "full", "dropped": True}
    for model in ("llama", "qwen3", "gpt2"):
        yield {"model": model, "method": "lora-some-bf16"}
        yield {"model": model, "method": "last-layer"}
        yield {"model": model, "method": "full", "float32": True}
        yield {"model": model, "method": "full", "masked": True}
        yield {"model": model, "method": "full", "checkpointing": True, "reentrant": True}


def config_of(case: dict[str, Any]) -> dict[str, Any]:
    """The model's tiny config: heads of a width that the flash kernel of the CPU takes."""
    from conformance.shapes.cases import TINY

    name = next(name for name in TINY if name.split()[0] == case["model"])
    config = dict(TINY[name])
    if "v_head_dim" in config:  # another width of values goes to a kernel that keeps the scores
        config["v_head_dim"] = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    return config


def build(case: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model of a case, trained as it says."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    told = config_of(case)
    config = AutoConfig.for_model(**told)
    config.use_cache = False
    for name in ("attention_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout"):
        setattr(config, name, 0.0)  # training at scale has none; a mask of each would be kept
    config.dropout = config.activation_dropout = config.residual_dropout = config.embedding_dropout = 0.0
    dtype = torch.float32 if case.get("float32") else torch.bfloat16
    dtype = torch.float16 if case.get("liger") else dtype  # what Triton's interpreter can do
    how = {"attn_implementation": case.get("attention", "sdpa"), "torch_dtype": dtype}
    model = AutoModelForCausalLM.from_config(config, **how).to(dtype)
    if case.get("liger"):
        from conformance.planner import liger

        liger.apply(model)
    model = tuned(model, case["method"], 0.1 if case.get("dropout") else 0.0)
    if case.get("checkpointing"):
        model.enable_input_require_grads()
        spacing = {"every_n_layers": case["every"]} if "every" in case else {}
        model.gradient_checkpointing_enable({"use_reentrant": bool(case.get("reentrant"))}, **spacing)
    model.train()
    return model, told


def tuned(model: Any, method: str, dropout: float = 0.0) -> Any:
    """Which weights are trained; dropout: in front of adapters."""
    import torch

    if method == "full":
        return model
    if method == "frozen":  # only gradients of activations pass, as above an adapter
        model.requires_grad_(False)
        model.enable_input_require_grads()
        return model
    if method == "last-layer":
        model.requires_grad_(False)
        layers(model)[-1].requires_grad_(True)
        return model
    from peft import LoraConfig, get_peft_model

    names = {
        n.rpartition(".")[2] for n, m in layers(model)[-1].named_modules() if linear(m) and "expert" not in n
    }
    some = {"q_proj", "v_proj", "c_attn"} & names
    targets = sorted(some if "some" in method else names - {"gate", "router", "gate_up_proj_blocks"})
    wrapped = get_peft_model(
        model, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM", lora_dropout=dropout)
    )
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.float32 if "fp32" in method else torch.bfloat16)
    return wrapped


def linear(module: Any) -> bool:
    """Whether it is a map that LoRA takes."""
    return type(module).__name__ in ("Linear", "Conv1D")


def layers(model: Any) -> Any:
    """The repeated layers."""
    import torch

    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return max(lists, key=lambda one: sum(p.numel() for p in one.parameters()))


class Kept:
    """Storages that autograd saves, by the layer running."""

    def __init__(self, model: Any) -> None:
        self.known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
        self.bytes: dict[str, int] = {}
        self.parameters: set[Any] = set()  # shape and dtype of parameters that ZeRO-3 gathers
        self.shapes: dict[str, list[str]] = {}
        self.held: list[Any] = []
        self.where = "before"

    def pack(self, tensor: Any) -> Any:
        """Count a storage that was not seen before."""
        storage = tensor.untyped_storage()
        of_weight = (tuple(tensor.shape), tensor.dtype) in self.parameters
        of_weight = of_weight or (tuple(tensor.shape[::-1]), tensor.dtype) in self.parameters
        if storage.data_ptr() not in self.known and not of_weight:
            self.known.add(storage.data_ptr())
            self.held.append(storage)  # else a dropped branch's address could be another's later
            self.bytes[self.where] = self.bytes.get(self.where, 0) + storage.nbytes()
            told = f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)} {storage.nbytes()}"
            self.shapes.setdefault(self.where, []).append(told)
        return tensor

    def watch(self, model: Any) -> None:
        """Tell when a layer starts, and when all are through."""
        for index, layer in enumerate(layers(model)):
            layer.register_forward_pre_hook(self._to(f"layer {index}"))
            layer.register_forward_hook(self._to("after"))

    def _to(self, where: str) -> Any:
        def hook(*_: Any) -> None:
            self.where = where

        return hook


def alive() -> Any:
    """A mode that follows storages made by operators: `events` of +bytes and -bytes."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Alive(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.events: list[tuple[int, int]] = []
            self.seen: dict[int, int] = {}
            self.count = 0

        def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            given = {
                t.untyped_storage()._cdata
                for t in tree_leaves((args, kwargs))
                if hasattr(t, "untyped_storage")
            }
            for tensor in tree_leaves(result):
                if hasattr(tensor, "untyped_storage"):
                    self.made(tensor.untyped_storage(), given)
            return result

        def made(self, storage: Any, given: set[int]) -> None:
            key = storage._cdata
            if key in self.seen or key in given:
                return
            self.count += 1
            number, size = self.count, storage.nbytes()
            self.seen[key] = number
            self.events.append((number, size))

            def gone() -> None:
                self.seen.pop(key, None)
                self.events.append((number, -size))

            weakref.finalize(storage, gone)

    return Alive()


def measured(case: dict[str, Any]) -> dict[str, Any]:
    """What one forward and one backward pass kept and had alive."""
    import torch

    if {"ulysses", "tp", "engine"} & set(case):
        from conformance.planner.split import seen

        return seen(case)
    model, told = build(case)
    ids = torch.randint(3, told["vocab_size"], (BATCH, SEQUENCE))
    given = {"input_ids": ids, "labels": ids.clone()}
    if case.get("masked"):
        mask = torch.ones_like(ids)
        mask[0, -5:] = 0
        given["attention_mask"] = mask
    kept = Kept(model)
    kept.known.update(t.untyped_storage().data_ptr() for t in given.values())
    kept.watch(model)
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda t: t):
        out = model(**given)
    if case.get("method") != "frozen":
        assert out.loss.requires_grad
    del out
    for parameter in model.parameters():
        parameter.grad = None
    live = alive_at(model, given, bool(case.get("dropped")))
    answer = {"config": told, "kept": kept.bytes, **live}
    if os.environ.get("SHAPES"):
        answer["shapes"] = kept.shapes
    return answer


def alive_at(model: Any, given: dict[str, Any], dropped: bool) -> dict[str, Any]:
    """Bytes alive at the end of the forward pass, and at most, but for gradients of parameters."""
    mode = alive()
    with mode:
        out = model(**given)
        forward = len(mode.events)
        loss = out.loss
        if dropped:
            del out
        loss.backward()
        grads = {
            mode.seen[p.grad.untyped_storage()._cdata]
            for p in model.parameters()
            if p.grad is not None and p.grad.untyped_storage()._cdata in mode.seen
        }
    total, most, at_forward = 0, 0, 0
    for index, (number, size) in enumerate(mode.events):
        if index == forward:
            at_forward = total
        if number not in grads:
            total += size
            most = max(most, total)
    return {"alive": {"forward": at_forward, "most": most}}


def title(case: dict[str, Any]) -> str:
    """The id of a case."""
    words = (k if v is True else f"{k} {v}" if isinstance(v, int) else str(v) for k, v in case.items())
    return " ".join(words)


def line(case: dict[str, Any], env: str) -> dict[str, Any]:
    """The line of a case."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    name = title(case)
    try:
        seen = measured(case)
    except (ValueError, TypeError, ImportError, RuntimeError, KeyError, AttributeError) as error:
        seen = {"error": {"type": type(error).__name__, "text": str(error).splitlines()[0][:200]}}
    return {"id": name, "case": case, "env": env, "versions": versions, **seen}


def path(env: str) -> Path:
    """Where an environment's lines are."""
    return ROOT / "tests" / "recorded" / "planner" / "activations" / f"{env}.jsonl"


def main() -> int:
    """Run the cases; compare, or write."""
    parser = argparse.ArgumentParser(description="Measure what activations take.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--case", default="", help="cases whose id contains this")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    os.environ.update({"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"})
    import torch

    torch.set_num_threads(1)
    file = path(options.env)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    recorded = {row["id"]: row for row in map(json.loads, lines)}
    differ, ran, order = 0, 0, []
    for case in cases():
        name = title(case)
        order.append(name)
        if options.case not in name:
            continue
        now = line(case, options.env)
        ran += 1
        same = recorded.get(name) == now
        differ += not same
        recorded[name] = now
        if options.write or not same:
            print(name, json.dumps({k: now[k] for k in now if k not in ("id", "case", "config")}), flush=True)
    if options.write:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(recorded[name]) + "\n" for name in order if name in recorded))
        return 0
    print(f"{ran - differ} of {ran} cases as recorded")
    return 1 if differ or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
