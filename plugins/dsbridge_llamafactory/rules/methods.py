"""get_train_args: what LLaMA-Factory refuses of methods, models and packages, in its order; the stage."""

from __future__ import annotations

from dsbridge.rulebook import OverrideRule, any_of, differs, fact, no, one_of
from dsbridge_llamafactory.rules._make import DISTRIBUTED, STAGE_3, arg, ev, is_, on, refusal, since, until
from dsbridge_llamafactory.rules.checks import CHECKS, DATA, FILE, LAUNCHED, STAGES, Z2, Z3, check

METHODS = (
    check(
        "LF153",
        "a device map in training",
        (on("do_train"), is_("quantization_device_map", "auto")),
        "Cannot use device map for quantized models in training.",
        ("lf.quantization_device_map",),
        "Each rank holds its own copy.",
        "Remove quantization_device_map.",
        "method/quantized-map",
        {"lf.do_train": True, "lf.quantization_device_map": "auto"},
        {"lf.quantization_device_map": "auto"},
    ),
    check(
        "LF154",
        "PiSSA under ZeRO-3",
        (on("pissa_init"), STAGE_3),
        "Please use scripts/pissa_init.py to initialize PiSSA in DeepSpeed ZeRO-3.",
        ("lf.pissa_init", "ds.zero_optimization.stage"),
        "PiSSA decomposes whole weights, which no rank has.",
        "Use stage 2, or scripts/pissa_init.py.",
        "method/pissa-stage-3",
        {"lf.pissa_init": True, **Z3},
        {"lf.pissa_init": True, **Z2},
    ),
    check(
        "LF155",
        "pure_bf16 without bf16",
        (on("pure_bf16"), no(fact("bf16_supported"))),
        "This device does not support `pure_bf16`.",
        ("lf.pure_bf16",),
        "The GPU has no bf16.",
        "Use fp16: true.",
        "gpu/no-bf16-pure",
        {"lf.pure_bf16": True, "fact.bf16_supported": False},
        {"lf.pure_bf16": True, "fact.bf16_supported": True},
    ),
    check(
        "LF156",
        "pure_bf16 under ZeRO-3",
        (on("pure_bf16"), STAGE_3),
        "`pure_bf16` is incompatible with DeepSpeed ZeRO-3.",
        ("lf.pure_bf16", "ds.zero_optimization.stage"),
        "ZeRO-3 keeps its own fp32 copy.",
        "Use bf16: true.",
        "precision/pure-bf16-stage-3",
        {"lf.pure_bf16": True, **Z3},
        {"lf.pure_bf16": True, **Z2},
    ),
    *(
        check(
            code,
            f"layer-wise {title}",
            (DISTRIBUTED, on(f"use_{name}"), on(f"{name}_layerwise")),
            f"Distributed training does not support layer-wise {title}.",
            (f"lf.{name}_layerwise",),
            "Each layer's gradient is used up before the ranks average it.",
            f"Remove {name}_layerwise.",
            f"method/{name}-layerwise",
            {"run.distributed": True, f"lf.use_{name}": True, f"lf.{name}_layerwise": True},
            {"run.distributed": True, f"lf.use_{name}": True},
        )
        for code, name, title in (("LF157", "galore", "GaLore"), ("LF158", "apollo", "APOLLO"))
    ),
    check(
        "LF159",
        "ratio-wise BAdam on several ranks",
        (DISTRIBUTED, on("use_badam"), is_("badam_mode", "ratio")),
        "Radio-based BAdam does not yet support distributed training, use layer-wise BAdam.",
        ("lf.badam_mode",),
        "Ranks would choose different weights.",
        "Write badam_mode: layer.",
        "method/badam-ratio",
        {"run.distributed": True, "lf.use_badam": True, "lf.badam_mode": "ratio"},
        {"run.distributed": True, "lf.use_badam": True},
    ),
    check(
        "LF160",
        "BAdam below ZeRO-3",
        (DISTRIBUTED, on("use_badam"), is_("badam_mode", "layer"), no(STAGE_3)),
        "Layer-wise BAdam only supports DeepSpeed ZeRO-3 training.",
        ("lf.use_badam", "ds.zero_optimization.stage"),
        "Stages 0 to 2 keep states for every weight.",
        "Use ds_z3_config.json.",
        "method/badam",
        {"run.distributed": True, "lf.use_badam": True, **Z2},
        {"run.distributed": True, "lf.use_badam": True, **Z3},
    ),
    check(
        "LF161",
        "GaLore or APOLLO with DeepSpeed",
        (differs(arg("deepspeed"), None), any_of(on("use_galore"), on("use_apollo"))),
        "GaLore and APOLLO are incompatible with DeepSpeed yet.",
        ("lf.deepspeed", "lf.use_galore", "lf.use_apollo"),
        "They project whole gradients, which ZeRO divides.",
        "Remove deepspeed, or the optimizer.",
        "method/galore",
        {"lf.deepspeed": "ds.json", "lf.use_galore": True},
        {"lf.use_galore": True},
    ),
    check(
        "LF162",
        "FP8 and quantization",
        (on("fp8"), differs(arg("quantization_bit"), None)),
        "FP8 training is not compatible with quantization. Please disable one of them.",
        ("lf.fp8", "lf.quantization_bit"),
        "Quantized weights are not computed in FP8.",
        "Keep one of them.",
        "method/quantized-fp8",
        {"lf.fp8": True, "lf.quantization_bit": 4},
        {"lf.fp8": True},
        versions=since("0.9.4"),
    ),
    check(
        "LF163",
        "an inference engine in training",
        (no(is_("infer_backend", "huggingface")),),
        "vLLM/SGLang backend is only available for API, CLI and Web.",
        ("lf.infer_backend",),
        "Training runs in Transformers.",
        "Remove infer_backend.",
        "method/vllm",
        {"lf.infer_backend": "vllm"},
        {"lf.infer_backend": "huggingface"},
    ),
    *(
        check(
            code,
            f"{title} under ZeRO-3",
            (on(name), STAGE_3),
            f"{title} is incompatible with DeepSpeed ZeRO-3.",
            (f"lf.{name}", "ds.zero_optimization.stage"),
            "It replaces the modules whose weights ZeRO-3 gathers.",
            f"Use stage 2, or remove {name}.",
            recorded,
            {f"lf.{name}": True, **Z3},
            {f"lf.{name}": True, **Z2},
            versions=versions,
        )
        for code, name, title, recorded, versions in (
            ("LF164", "use_unsloth", "Unsloth", "method/unsloth-stage-3", ()),
            ("LF165", "use_kt", "KTransformers", "method/kt-stage-3", since("0.9.4")),
        )
    ),
)

_QUANTIZED = differs(arg("quantization_bit"), None)
MODEL = (
    check(
        "LF166",
        "an adapter without LoRA",
        (differs(arg("adapter_name_or_path"), None), no(is_("finetuning_type", "lora"))),
        "Adapter is only valid for the LoRA method.",
        ("lf.adapter_name_or_path", "lf.finetuning_type"),
        "The adapter's matrices would not be trained.",
        "Write finetuning_type: lora.",
        "method/adapter-full",
        {"lf.adapter_name_or_path": "a", "lf.finetuning_type": "full"},
        {"lf.adapter_name_or_path": "a"},
    ),
    check(
        "LF167",
        "full training of quantized weights",
        (_QUANTIZED, no(one_of(arg("finetuning_type"), ["lora", "oft"]))),
        "Quantization is only compatible with the LoRA or OFT method.",
        ("lf.quantization_bit", "lf.finetuning_type"),
        "Quantized weights cannot be trained.",
        "Write finetuning_type: lora.",
        "method/quantized-full",
        {"lf.quantization_bit": 4, "lf.finetuning_type": "full"},
        {"lf.quantization_bit": 4},
        versions=since("0.9.4"),
    ),
    check(
        "LF168",
        "full training of quantized weights (before 0.9.4)",
        (_QUANTIZED, no(is_("finetuning_type", "lora"))),
        "Quantization is only compatible with the LoRA method.",
        ("lf.quantization_bit", "lf.finetuning_type"),
        "Quantized weights cannot be trained.",
        "Write finetuning_type: lora.",
        "method/quantized-full",
        {"lf.quantization_bit": 4, "lf.finetuning_type": "full"},
        {"lf.quantization_bit": 4},
        versions=until("0.9.4"),
        older=True,
    ),
    check(
        "LF169",
        "PiSSA of quantized weights",
        (_QUANTIZED, on("pissa_init")),
        "Please use scripts/pissa_init.py to initialize PiSSA for a quantized model.",
        ("lf.pissa_init", "lf.quantization_bit"),
        "PiSSA decomposes the weights before they are quantized.",
        "Run scripts/pissa_init.py first.",
        "method/quantized-pissa",
        {"lf.quantization_bit": 4, "lf.pissa_init": True},
        {"lf.pissa_init": True},
    ),
    check(
        "LF170",
        "a larger vocabulary of quantized weights",
        (_QUANTIZED, on("resize_vocab")),
        "Cannot resize embedding layers of a quantized model.",
        ("lf.resize_vocab", "lf.quantization_bit"),
        "The embedding's rows cannot be added to.",
        "Remove resize_vocab.",
        "method/quantized-vocabulary",
        {"lf.quantization_bit": 4, "lf.resize_vocab": True},
        {"lf.resize_vocab": True},
    ),
)


def _needs(code: str, name: str, package: str, requirement: str, recorded: str) -> OverrideRule:
    """A package that an argument asks for: whether it is installed is a fact of the machine."""
    installed = fact(f"has_{package.replace('-', '_')}")
    return refusal(
        code,
        f"{package} is not installed",
        CHECKS,
        (on(name), no(installed)),
        f"No package metadata was found for The '{requirement}' distribution was not found and is required …",
        (f"lf.{name}",),
        f"{name} needs the package {package}.",
        f"pip install {package}",
        ev(FILE, f'check_version("{requirement}", mandatory=True)', recorded),
        {f"lf.{name}": True, f"fact.has_{package.replace('-', '_')}": False},
        {f"lf.{name}": True, f"fact.has_{package.replace('-', '_')}": True},
        kind="PackageNotFoundError",
    )


PACKAGES = (
    _needs("LF175", "use_unsloth", "unsloth", "unsloth", "method/unsloth"),
    _needs("LF176", "enable_liger_kernel", "liger-kernel", "liger-kernel", "method/liger"),
    _needs("LF177", "use_badam", "badam", "badam>=1.2.1", "method/badam-stage-3"),
    _needs("LF178", "use_adam_mini", "adam-mini", "adam-mini", "method/adam-mini"),
    _needs("LF179", "predict_with_generate", "jieba", "jieba", "data/generate-with-split"),
)
TASK = (
    refusal(
        "LF185",
        "unknown stage",
        "lf.task",
        (no(one_of(arg("stage"), ["pt", "sft", "rm", "ppo", "dpo", "kto"])),),
        "Unknown task: …",
        ("lf.stage",),
        "There are pt, sft, rm, ppo, dpo and kto.",
        "Write one of them.",
        ev(
            "train/tuner.py",
            'raise ValueError(f"Unknown task: {finetuning_args.stage}.")',
            "method/unknown-stage",
        ),
        {"lf.stage": "grpo"},
        {"lf.stage": "sft"},
    ),
)
PARSER = (*STAGES, *LAUNCHED, *DATA, *METHODS, *MODEL, *PACKAGES)
