"""XTuner's configs: each table is {name: (config text, changes of the DeepSpeed file, facts)}."""

from __future__ import annotations

from typing import Any

from conformance.oracle.cases._xtuner_files import GONE, config, hf_config

Row = tuple[Any, ...]
_LLM = 'type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path="model"'
QUANTIZED = (
    f"dict(type=SupervisedFinetune, llm=dict({_LLM}, torch_dtype=torch.float16, quantization_config=dict("
    "type=BitsAndBytesConfig, load_in_4bit=True, bnb_4bit_compute_dtype=torch.float16)))"
)
LORA = (
    f"dict(type=SupervisedFinetune, llm=dict({_LLM}), lora=dict(type=LoraConfig, r=8, lora_alpha=16, "
    'target_modules=["q_proj"], bias="none", task_type="CAUSAL_LM"))'
)

SETTINGS: dict[str, Row] = {
    "plain": (config(),),
    "batch-1": (config({"batch_size": "1"}),),
    "batch-missing": (config({"batch_size": GONE}),),
    "batch-sampler": (config({"batch_size": GONE, "batch_sampler": "dict(batch_size=4)"}),),
    "batch-missing-no-file": (config({"batch_size": GONE}), GONE),
    "accumulation-16": (config(None, {"accumulative_counts": "16"}),),
    "accumulation-missing": (config(None, {"accumulative_counts": GONE}),),
    "accumulation-missing-file-8": (
        config(None, {"accumulative_counts": GONE}),
        {"gradient_accumulation_steps": 8},
    ),
    "accumulation-none": (config(None, {"accumulative_counts": "None"}),),
    "accumulation-zero": (config(None, {"accumulative_counts": "0"}),),
    "accumulation-float": (config(None, {"accumulative_counts": "2.0"}),),
    "clip-missing": (config(None, {"clip_grad": GONE}),),
    "clip-missing-file": (config(None, {"clip_grad": GONE}), {"gradient_clipping": 0.3}),
    "clip-missing-file-zero": (config(None, {"clip_grad": GONE}), {"gradient_clipping": 0.0}),
    "clip-none": (config(None, {"clip_grad": "None"}),),
    "clip-empty": (config(None, {"clip_grad": "dict()"}),),
    "clip-zero": (config(None, {"clip_grad": "dict(max_norm=0)"}),),
    "clip-norm-none": (config(None, {"clip_grad": "dict(max_norm=None)"}),),
    "clip-value": (config(None, {"clip_grad": 'dict(type="value", clip_value=0.2)'}),),
    "clip-number": (config(None, {"clip_grad": "1.0"}),),
    "clip-int": (config(None, {"clip_grad": "dict(max_norm=1, error_if_nonfinite=False)"}),),
    "amp-float16": (config(None, {"loss_scale": '"dynamic"', "dtype": '"float16"'}),),
    "plain-wrapper": (
        config(None, {"type": "OptimWrapper"}, imports=("from mmengine.optim import OptimWrapper",)),
    ),
    "wrapper-deepspeed": (config(None, {"type": '"DeepSpeedOptimWrapper"'}),),
    "wrapper-no-type": (config(None, {"type": GONE}),),
    "wrapper-missing": (config(rest={"optim_wrapper": GONE}),),
    "wrapper-no-optimizer": (config(None, {"optimizer": GONE}),),
    "loader-missing": (config(rest={"train_dataloader": GONE}),),
    "train-cfg-missing": (config(rest={"train_cfg": GONE}),),
    "train-cfg-iters": (config(rest={"train_cfg": "dict(type=TrainLoop, max_iters=10)"}),),
    "train-cfg-none": (config(rest={"train_cfg": "dict(type=TrainLoop)"}),),
    "train-cfg-both": (config(rest={"train_cfg": "dict(type=TrainLoop, max_iters=10, max_epochs=1)"}),),
    "env-cfg-missing": (config(rest={"env_cfg": GONE}),),
    "env-cfg-missing-no-global": (config(rest={"env_cfg": GONE}), {"zero_optimization": 1}),
    "model-missing": (config(rest={"model": GONE}),),
    "scheduler-mmengine": (
        config(
            rest={"param_scheduler": "[dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=True, end=1)]"},
            imports=("from mmengine.optim import CosineAnnealingLR",),
        ),
        {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}},
    ),
    "tuple-betas": (
        config(None, {"optimizer": "dict(type=AdamW, lr=lr, betas=(0.9, 0.95))"}, head="lr = 1e-4"),
    ),
    "own-strategy": (
        config(
            None,
            {"type": '"DeepSpeedOptimWrapper"', "clip_grad": GONE, "accumulative_counts": GONE},
            rest={
                "runner_type": '"FlexibleRunner"',
                "strategy": (
                    'dict(type="DeepSpeedStrategy", fp16=dict(enabled=False), bf16=dict(enabled=True), '
                    "gradient_clipping=0.7, gradient_accumulation_steps=2, "
                    "zero_optimization=dict(stage=2, overlap_comm=True))"
                ),
            },
        ),
        GONE,
    ),
    "own-strategy-xtuner": (
        config(
            None,
            {"type": '"DeepSpeedOptimWrapper"', "clip_grad": GONE, "accumulative_counts": GONE},
            rest={
                "runner_type": '"FlexibleRunner"',
                "strategy": (
                    "dict(type=DeepSpeedStrategy, config=dict(zero_optimization=3, bf16=dict(enabled=True)))"
                ),
            },
            imports=("from xtuner.engine import DeepSpeedStrategy",),
        ),
        GONE,
    ),
    "own-strategy-stage-3": (
        config(
            None,
            {"type": '"DeepSpeedOptimWrapper"', "clip_grad": GONE, "accumulative_counts": GONE},
            rest={
                "runner_type": '"FlexibleRunner"',
                "strategy": (
                    'dict(type="DeepSpeedStrategy", zero_optimization=dict(stage=3, bad=1), '
                    "bf16=dict(enabled=True))"
                ),
            },
        ),
        GONE,
    ),
    "own-strategy-beside": (
        config(
            None,
            rest={"strategy": 'dict(type="DeepSpeedStrategy", zero_optimization=dict(stage=3))'},
        ),
    ),
    "own-strategy-no-runner": (
        config(
            None,
            {"type": '"DeepSpeedOptimWrapper"'},
            rest={"strategy": 'dict(type="DeepSpeedStrategy", zero_optimization=dict(stage=3))'},
        ),
    ),
    "quantized": (
        config(rest={"model": QUANTIZED}, imports=("from transformers import BitsAndBytesConfig",)),
    ),
    "quantized-stage-3": (
        config(rest={"model": QUANTIZED}, imports=("from transformers import BitsAndBytesConfig",)),
        {"zero_optimization.stage": 3, "train_batch_size": 32},
    ),
    "lora": (
        config(rest={"model": LORA}, imports=("from peft import LoraConfig",)),
        {"zero_optimization.stage": 3},
    ),
    "own-strategy-file": (
        config(
            None,
            {"type": '"DeepSpeedOptimWrapper"', "clip_grad": GONE, "accumulative_counts": GONE},
            rest={
                "runner_type": '"FlexibleRunner"',
                "strategy": 'dict(type="DeepSpeedStrategy", config="ds.json", steps_per_print=5)',
            },
        ),
        {
            "fp16": GONE,
            "bf16.enabled": True,
            "gradient_accumulation_steps": GONE,
            "gradient_clipping": 0.2,
            "train_micro_batch_size_per_gpu": 8,
        },
    ),
}
OPTIMIZERS: dict[str, Row] = {}
for _name, _import, _text in (
    ("adam", "from torch.optim import Adam", "dict(type=Adam, lr=1e-4)"),
    ("adagrad", "from torch.optim import Adagrad", "dict(type=Adagrad, lr=1e-4)"),
    ("sgd", "from torch.optim import SGD", "dict(type=SGD, lr=1e-4)"),
    ("adafactor", "from transformers import Adafactor", "dict(type=Adafactor, lr=1e-4, relative_step=False)"),
    ("dotted", "import torch", "dict(type=torch.optim.AdamW, lr=1e-4)"),
    ("text", "import torch", 'dict(type="AdamW", lr=1e-4)'),
    ("text-sgd", "import torch", 'dict(type="SGD", lr=1e-4, momentum=0.9)'),
    ("text-unknown", "import torch", 'dict(type="AdamWW", lr=1e-4)'),
    ("no-type", "import torch", "dict(lr=1e-4)"),
    ("alias", "from torch.optim import AdamW as Optimizer", "dict(type=Optimizer, lr=1e-4)"),
    ("wrong-word", "import torch", "dict(type=AdamW, lr=1e-4, momentum=0.9)"),
):
    _one = config(None, {"optimizer": _text}, imports=(_import,))
    OPTIMIZERS[_name] = (_one,)
    if _name in ("sgd", "adafactor", "adam", "text-sgd"):
        OPTIMIZERS[f"{_name}-not-allowed"] = (_one, {"zero_allow_untested_optimizer": GONE})
        OPTIMIZERS[f"{_name}-stage-0"] = (
            _one,
            {"zero_allow_untested_optimizer": GONE, "zero_optimization.stage": 0},
        )
SEQUENCE: dict[str, Row] = {
    "2-of-4": (config(head="sequence_parallel_size = 2"), {}, {"flash_attn": True}, 4),
    "2-of-4-stage-3": (
        config(head="sequence_parallel_size = 2"),
        {"zero_optimization.stage": 3},
        {"flash_attn": True},
        4,
    ),
    "3-of-4": (config(head="sequence_parallel_size = 3"), {}, {"flash_attn": True}, 4),
    "no-flash": (config(head="sequence_parallel_size = 2"), {}, {"flash_attn": False}, 4),
    "1": (config(head="sequence_parallel_size = 1"), {}, {}, 4),
    "no-deepspeed": (config(head="sequence_parallel_size = 2"), GONE, {"flash_attn": True}, 4),
    "no-deepspeed-no-flash": (config(head="sequence_parallel_size = 2"), GONE, {"flash_attn": False}, 4),
    "global-all": (
        config(head="sequence_parallel_size = 2"),
        {"train_batch_size": 32},
        {"flash_attn": True},
        4,
    ),
    "global-true": (
        config(head="sequence_parallel_size = 2"),
        {"train_batch_size": 16},
        {"flash_attn": True},
        4,
    ),
    "sdpa": (
        config(
            rest={
                "model": (
                    "dict(type=SupervisedFinetune, llm=dict(type=AutoModelForCausalLM.from_pretrained, "
                    'pretrained_model_name_or_path="model", attn_implementation="sdpa"))'
                )
            },
            head="sequence_parallel_size = 2",
        ),
        {},
        {"flash_attn": True},
        4,
    ),
    "varlen": (config({"batch_size": "1"}, head="use_varlen_attn = True"), {}, {"flash_attn": True}, 2),
    "varlen-no-flash": (
        config({"batch_size": "1"}, head="use_varlen_attn = True"),
        {},
        {"flash_attn": False},
        2,
    ),
    "varlen-batch-2": (config(head="use_varlen_attn = True"), {}, {}, 2),
    "varlen-batch-missing": (config({"batch_size": GONE}, head="use_varlen_attn = True"), {}, {}, 2),
    "varlen-sdpa": (
        config(
            {"batch_size": "1"},
            rest={
                "model": (
                    "dict(type=SupervisedFinetune, llm=dict(type=AutoModelForCausalLM.from_pretrained, "
                    'pretrained_model_name_or_path="model", attn_implementation="sdpa"))'
                )
            },
            head="use_varlen_attn = True",
        ),
        {},
        {"flash_attn": True},
        2,
    ),
    "varlen-off": (config(head="use_varlen_attn = False"), {}, {}, 2),
}
# What no syntax tree tells; what a reader has to follow.
UNREAD: dict[str, Row] = {
    "batch-max": (config({"batch_size": "max(2, 3)"}), {}, {"cfg.train_dataloader.batch_size": 3}),
    "norm-round": (
        config(None, {"clip_grad": "dict(max_norm=round(0.456, 2))"}),
        {},
        {"cfg.optim_wrapper.clip_grad.max_norm": 0.46},
    ),
    "accumulation-len": (
        config(None, {"accumulative_counts": "len([1, 2, 3])"}),
        {},
        {"cfg.optim_wrapper.accumulative_counts": 3},
    ),
    "batch-loop": (
        config({"batch_size": "batch"}, head="batch = 1\nfor _ in range(3):\n    batch = batch * 2"),
        {},
        {"cfg.train_dataloader.batch_size": 8},
    ),
}
FOLLOWED: dict[str, Row] = {
    "variables": (
        config(
            {"batch_size": "batch_size"},
            {"clip_grad": "dict(max_norm=max_norm)", "accumulative_counts": "accumulative_counts"},
            head="batch_size = 1\nglobal_batch = 64\naccumulative_counts = global_batch // (batch_size * 2)\n"
            "max_norm = 1",
        ),
    ),
    "item": (config(tail='optim_wrapper["accumulative_counts"] = 8'),),
    "update": (config(tail="train_dataloader.update(dict(batch_size=3))"),),
    "branch": (config({"batch_size": "4 if small else 8"}, head="small = True"),),
    "if": (config({"batch_size": "size"}, head="big = False\nif big:\n    size = 8\nelse:\n    size = 4"),),
    "literal-dict": (
        config(rest={"optim_wrapper": '{"type": AmpOptimWrapper, "optimizer": dict(type=AdamW, lr=1e-4)}'}),
    ),
    "unpacked": (
        config(
            rest={"optim_wrapper": "dict(accumulative_counts=2, **common)"},
            head="common = dict(type=AmpOptimWrapper, optimizer=dict(type=AdamW, lr=1e-4))",
        ),
    ),
    "dict-of-dict": (
        config(
            rest={"optim_wrapper": "dict(common, accumulative_counts=2)"},
            head="common = dict(type=AmpOptimWrapper, optimizer=dict(type=AdamW, lr=1e-4))",
        ),
    ),
    "environ": (config({"batch_size": "int(os.environ['NPROC_PER_NODE'])"}, imports=("import os",)),),
    "environ-get": (config({"batch_size": 'int(os.environ.get("BATCH", "2"))'}, imports=("import os",)),),
    "call-imported": (config(head="size = math.ceil(2.5)", imports=("import math",)),),
    "text-f": (config(tail='model["llm"]["pretrained_model_name_or_path"] = f"mo{\'del\'}"'),),
    "sum": (config({"batch_size": "1 + 2 * 3"}, {"accumulative_counts": "2**3"}),),
}
HF: dict[str, Row] = {
    "plain": (hf_config(),),
    "stage-3": (hf_config(), {"zero_optimization.stage": 3}),
    "numbers-agree": (
        hf_config(),
        {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 4, "gradient_clipping": 1.0},
    ),
    "accumulation-differs": (hf_config(), {"gradient_accumulation_steps": 8}),
    "micro-differs": (hf_config(), {"train_micro_batch_size_per_gpu": 8, "train_batch_size": "auto"}),
    "clip-differs": (hf_config({"max_grad_norm": "0.5"}), {"gradient_clipping": 1.0}),
    "bf16": (hf_config({"bf16": "True"}),),
    "bf16-stage-3": (hf_config({"bf16": "True"}), {"zero_optimization.stage": 3}),
    "global-auto": (hf_config({"bf16": "True"}), {"train_batch_size": "auto"}),
    "no-arguments": (hf_config(rest={"training_args": "None"}),),
    "in-config": (hf_config({"deepspeed": '"ds.json"'}),),
    "block-missing": (hf_config(), {"zero_optimization": GONE}),
    "optimizer-auto": (
        hf_config({"weight_decay": "0.1"}),
        {"optimizer": {"type": "AdamW", "params": {"lr": "auto", "weight_decay": "auto"}}},
    ),
}
