"""What stops LLaMA-Factory between its checks and the model: template, data, attention, quantization."""

from __future__ import annotations

from dsbridge.rulebook import (
    all_of,
    any_of,
    differs,
    eq,
    get,
    is_set,
    no,
    one_of,
    table,
    text,
    truthy,
)
from dsbridge_llamafactory.rules._make import STAGE_3, At, arg, ev, is_, needs, refusal

TEMPLATE, ROWS, CONFIG = "lf.template", "lf.dataset", "lf.model.config"
_QUANTIZE = "model/model_utils/quantization.py"
_BITS = arg("quantization_bit")
_BNB = all_of(differs(_BITS, None), is_("quantization_method", "bnb"))
_HQQ = all_of(differs(_BITS, None), is_("quantization_method", "hqq"))
_EETQ = all_of(differs(_BITS, None), is_("quantization_method", "eetq"))
_Z3 = {"ds.zero_optimization.stage": 3}
_Z2 = {"ds.zero_optimization.stage": 2}

TEMPLATES = (
    refusal(
        "LF200",
        "unknown template",
        TEMPLATE,
        (differs(arg("template"), None), no(one_of(arg("template"), table("lf.templates")))),
        text("Template {} does not exist.", arg("template")),
        ("lf.template",),
        "Templates are registered by name in data/template.py.",
        "Write one of LLaMA-Factory's templates.",
        ev(
            "data/template.py",
            'raise ValueError(f"Template {data_args.template} does not exist.")',
            "data/unknown-template",
        ),
        {"lf.template": "qwen9"},
        {"lf.template": "qwen"},
    ),
)

# `index` is what the reader found in dataset_info.json; nothing where it has no such file.
DATASET = (
    refusal(
        "LF205",
        "the index of datasets cannot be read",
        ROWS,
        (is_set(get("index.problem")), differs(arg("dataset"), None)),
        text("Cannot open {} due to {}.", get("index.file"), get("index.problem")),
        ("lf.dataset_dir",),
        "Datasets are found by their names in dataset_info.json.",
        "Correct the file's JSON.",
        ev(
            "data/parser.py",
            'raise ValueError(f"Cannot open {config_path} due to {str(err)}.")',
            "stage/broken-index",
        ),
        {"index.problem": "Expecting value", "index.file": "data/dataset_info.json", "lf.dataset": "a"},
        {"index.file": "data/dataset_info.json", "lf.dataset": "a"},
    ),
    refusal(
        "LF206",
        "unknown dataset",
        ROWS,
        (is_set(get("index.undefined")),),
        text("Undefined dataset {} in dataset_info.json.", get("index.undefined")),
        ("lf.dataset",),
        "Datasets are found by their names in dataset_info.json.",
        "Add it to dataset_info.json.",
        ev(
            "data/parser.py",
            'raise ValueError(f"Undefined dataset {name} in {DATA_CONFIG}.")',
            "data/unknown-dataset",
        ),
        {"index.undefined": "b"},
        {"index.file": "data/dataset_info.json"},
    ),
    refusal(
        "LF207",
        "a dataset of another stage",
        ROWS,
        (
            any_of(
                all_of(one_of(arg("stage"), ["rm", "dpo"]), eq(get("index.ranking"), False)),
                all_of(no(one_of(arg("stage"), ["rm", "dpo"])), eq(get("index.ranking"), True)),
            ),
        ),
        "The dataset is not applicable in the current training stage.",
        ("lf.dataset", "lf.stage"),
        "Pairs of answers are for rm and dpo, single answers for the others.",
        "Choose a dataset of the stage's form.",
        At("data/loader.py", "stage/rm-plain-data"),
        {"index.ranking": False, "lf.stage": "rm"},
        {"index.ranking": True, "lf.stage": "rm"},
    ),
    refusal(
        "LF208",
        "no file of rows",
        ROWS,
        (is_set(get("index.absent")),),
        text("File {} not found.", get("index.absent")),
        ("lf.dataset",),
        "dataset_info.json names a file that is not in dataset_dir.",
        "Put the file there.",
        ev("data/loader.py", 'raise ValueError(f"File {local_path} not found.")', "stage/rows-gone"),
        {"index.absent": "data/b.json"},
        {"index.file": "data/dataset_info.json"},
    ),
    refusal(
        "LF209",
        "a stream of no shards",
        ROWS,
        (truthy(arg("streaming")), truthy(get("index.local")), no(truthy(arg("dataloader_num_workers")))),
        "",
        ("lf.streaming", "lf.dataloader_num_workers"),
        "A stream of a local file has as many shards as there are loader workers, and none has no rows.",
        "Write dataloader_num_workers: 4.",
        ev(
            "data/loader.py",
            "dataset = dataset.to_iterable_dataset(num_shards=training_args.dataloader_num_workers)",
            "data/streaming",
        ),
        {"lf.streaming": True, "index.local": True},
        {"lf.streaming": True, "index.local": True, "lf.dataloader_num_workers": 2},
        kind="StopIteration",
    ),
)

CONFIGURED = (
    refusal(
        "LF215",
        "unknown attention",
        CONFIG,
        (no(one_of(arg("flash_attn"), ["auto", "disabled", "sdpa", "fa2"])),),
        text("Unknown attention type: {}", arg("flash_attn")),
        ("lf.flash_attn",),
        "There are auto, disabled, sdpa and fa2.",
        "Write flash_attn: auto.",
        ev(
            "model/model_utils/attention.py",
            'raise NotImplementedError(f"Unknown attention type: {model_args.flash_attn}")',
            "method/unknown-attention",
        ),
        {"lf.flash_attn": "fa4"},
        {"lf.flash_attn": "fa2"},
        kind="NotImplementedError",
    ),
    refusal(
        "LF220",
        "bits that bitsandbytes does not have",
        CONFIG,
        (_BNB, no(one_of(_BITS, [4, 8]))),
        "Bitsandbytes only accepts 4-bit or 8-bit quantization.",
        ("lf.quantization_bit",),
        "bitsandbytes has kernels for 4 and 8 bits.",
        "Write quantization_bit: 4.",
        At(_QUANTIZE, "method/quantized-3"),
        {"lf.quantization_bit": 3},
        {"lf.quantization_bit": 4},
    ),
    refusal(
        "LF221",
        "8-bit weights under ZeRO-3",
        CONFIG,
        (_BNB, STAGE_3, no(eq(_BITS, 4))),
        "Only 4-bit quantized model can use fsdp+qlora or auto device map.",
        ("lf.quantization_bit", "ds.zero_optimization.stage"),
        "ZeRO-3 divides 4-bit weights only.",
        "Write quantization_bit: 4, or use stage 2.",
        At(_QUANTIZE, "method/quantized-8-stage-3"),
        {"lf.quantization_bit": 8, **_Z3},
        {"lf.quantization_bit": 8, **_Z2},
    ),
    refusal(
        "LF222",
        "bits that HQQ does not have",
        CONFIG,
        (_HQQ, no(one_of(_BITS, [8, 6, 5, 4, 3, 2, 1]))),
        "HQQ only accepts 1/2/3/4/5/6/8-bit quantization.",
        ("lf.quantization_bit",),
        "HQQ packs no 7 bits.",
        "Write quantization_bit: 4.",
        At(_QUANTIZE, "method/quantized-hqq-7"),
        {"lf.quantization_bit": 7, "lf.quantization_method": "hqq"},
        {"lf.quantization_bit": 4, "lf.quantization_method": "hqq"},
    ),
    refusal(
        "LF223",
        "HQQ under ZeRO-3",
        CONFIG,
        (_HQQ, STAGE_3),
        "HQQ quantization is incompatible with DeepSpeed ZeRO-3 or FSDP.",
        ("lf.quantization_method", "ds.zero_optimization.stage"),
        "ZeRO-3 cannot divide HQQ's weights.",
        "Use stage 2, or bitsandbytes.",
        At(_QUANTIZE, "method/quantized-hqq-stage-3"),
        {"lf.quantization_bit": 4, "lf.quantization_method": "hqq", **_Z3},
        {"lf.quantization_bit": 4, "lf.quantization_method": "hqq", **_Z2},
    ),
    refusal(
        "LF224",
        "bits that EETQ does not have",
        CONFIG,
        (_EETQ, no(eq(_BITS, 8))),
        "EETQ only accepts 8-bit quantization.",
        ("lf.quantization_bit",),
        "EETQ has 8-bit kernels only.",
        "Write quantization_bit: 8.",
        At(_QUANTIZE, "method/quantized-eetq-4"),
        {"lf.quantization_bit": 4, "lf.quantization_method": "eetq"},
        {"lf.quantization_bit": 8, "lf.quantization_method": "eetq"},
    ),
    refusal(
        "LF225",
        "EETQ under ZeRO-3",
        CONFIG,
        (_EETQ, STAGE_3),
        "EETQ quantization is incompatible with DeepSpeed ZeRO-3 or FSDP.",
        ("lf.quantization_method", "ds.zero_optimization.stage"),
        "ZeRO-3 cannot divide EETQ's weights.",
        "Use stage 2, or bitsandbytes.",
        At(_QUANTIZE, "method/quantized-eetq-stage-3"),
        {"lf.quantization_bit": 8, "lf.quantization_method": "eetq", **_Z3},
        {"lf.quantization_bit": 8, "lf.quantization_method": "eetq", **_Z2},
    ),
    *(
        needs(
            code,
            CONFIG,
            when,
            method,
            method,
            {"lf.quantization_bit": 8, "lf.quantization_method": method},
            ev(_QUANTIZE, f'check_version("{method}", mandatory=True)', f"method/quantized-{method}"),
        )
        for code, when, method in (("LF226", _HQQ, "hqq"), ("LF227", _EETQ, "eetq"))
    ),
)
