"""The pieces of XTuner's cases: a config in XTuner's own style, DeepSpeed files, the command."""

from __future__ import annotations

import json
from typing import Any

from conformance.oracle.case import Case

GONE = object()  # a key or line that is left out
ROWS = json.dumps([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8)
HF_ROWS = json.dumps([{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]}] * 64)

IMPORTS = (
    "import torch",
    "from datasets import load_dataset",
    "from mmengine.optim import AmpOptimWrapper",
    "from torch.optim import AdamW",
    "from transformers import AutoModelForCausalLM",
    "from xtuner.dataset.collate_fns import default_collate_fn",
    "from xtuner.engine.runner import TrainLoop",
    "from xtuner.model import SupervisedFinetune",
)
MODEL = (
    'type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path="model", '
    "torch_dtype=torch.bfloat16"
)
LOADER = {
    "batch_size": "2",
    "num_workers": "0",
    "dataset": 'dict(type=load_dataset, path="json", data_files="train.json", split="train")',
    "collate_fn": "dict(type=default_collate_fn)",
}
WRAPPER = {
    "type": "AmpOptimWrapper",
    "optimizer": "dict(type=AdamW, lr=2e-4)",
    "clip_grad": "dict(max_norm=0.5)",
    "accumulative_counts": "4",
}
REST = {
    "model": f"dict(type=SupervisedFinetune, llm=dict({MODEL}))",
    "train_cfg": "dict(type=TrainLoop, max_epochs=1)",
    "env_cfg": 'dict(dist_cfg=dict(backend="nccl"))',
}
TRAINING = {
    "output_dir": '"out"',
    "per_device_train_batch_size": "2",
    "gradient_accumulation_steps": "4",
    "learning_rate": "2e-4",
    "report_to": '"none"',
}
# As XTuner's own five files, and what users write instead.
AUTO: dict[str, Any] = {
    "gradient_accumulation_steps": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
    "zero_optimization": {"stage": 2, "overlap_comm": True},
    "fp16": {"enabled": "auto", "initial_scale_power": 16},
    "bf16": {"enabled": "auto"},
}
BUILT_IN = ("zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")


def _lines(name: str, fields: dict[str, str]) -> str:
    inner = "".join(f"    {key}={value},\n" for key, value in fields.items())
    return f"{name} = dict(\n{inner})\n"


def _joined(base: dict[str, str], changes: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in {**base, **changes}.items() if value is not GONE}


def config(
    loader: dict[str, Any] | None = None,
    wrapper: dict[str, Any] | None = None,
    rest: dict[str, Any] | None = None,
    *,
    imports: tuple[str, ...] = (),
    head: str = "",
    tail: str = "",
) -> str:
    """The text of a config: a few pieces of the usual one changed, GONE leaves one out."""
    parts = ["\n".join((*IMPORTS, *imports)), "\n"]
    parts.append(head and f"\n{head}\n")
    changes = rest or {}
    others = _joined(REST, changes)
    if "train_dataloader" not in changes:
        parts.append(_lines("train_dataloader", _joined(LOADER, loader or {})))
    if "optim_wrapper" not in changes:
        parts.append(_lines("optim_wrapper", _joined(WRAPPER, wrapper or {})))
    parts += [f"{name} = {value}\n" for name, value in others.items()]
    parts.append(tail and f"{tail}\n")
    return "".join(parts)


def hf_config(training: dict[str, Any] | None = None, rest: dict[str, Any] | None = None) -> str:
    """A config with framework="huggingface": the Trainer does the rest."""
    imports = (
        "from datasets import load_dataset",
        "from transformers import AutoModelForCausalLM, Trainer, TrainingArguments",
    )
    others = {
        "framework": '"huggingface"',
        "trainer": "Trainer",
        "model": ('dict(type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path="model")'),
        "train_dataset": 'dict(type=load_dataset, path="json", data_files="train.json", split="train")',
        **(rest or {}),
    }
    fields = {"type": "TrainingArguments", **_joined(TRAINING, training or {})}
    text = "\n".join(imports) + "\n" + _lines("training_args", fields)
    return text + "".join(f"{name} = {value}\n" for name, value in others.items() if value is not GONE)


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A DeepSpeed config with other values at dotted paths; GONE removes."""
    result: dict[str, Any] = json.loads(json.dumps(base))
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = result
        for part in parents:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        if value is GONE:
            node.pop(last, None)
        else:
            node[last] = value
    return result


def command(*more: str, deepspeed: str = "ds.json") -> list[str]:
    """`xtuner train cfg.py --deepspeed ds.json ...`."""
    return ["xtuner", "train", "cfg.py", *(["--deepspeed", deepspeed] if deepspeed else []), *more]


def case(
    name: str,
    text: str | None = None,
    ds: Any = AUTO,
    words: list[str] | None = None,
    *,
    world: int = 2,
    files: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    **more: Any,
) -> Case:
    """A case: config, DeepSpeed file (GONE: none; a text is taken as it is), command."""
    text = config() if text is None else text
    mine = {"cfg.py": text, "train.json": HF_ROWS if '"huggingface"' in text else ROWS}
    environ = {"NPROC_PER_NODE": str(world)} if environ is None else environ
    if world == 1 and "RANK" not in environ:  # nobody gives it a rank, and DeepSpeed asks MPI
        more["facts"] = {**more.get("facts", {}), "mpi4py_installed": False}
    if ds is not GONE:
        mine["ds.json"] = ds if isinstance(ds, str) else json.dumps(ds)
    return {
        "id": f"xtuner/{name}",
        "framework": "xtuner",
        "files": {**mine, **(files or {})},
        "command": command() if words is None else words,
        "environ": environ,
        "world_size": world,
        **more,
    }
