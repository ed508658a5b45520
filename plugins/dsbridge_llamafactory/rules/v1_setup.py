"""V1 before there is an engine: its arguments, ranks, data, and what its plugins are called."""

from __future__ import annotations

from dsbridge.rulebook import (
    OverrideRule,
    all_of,
    any_of,
    choose,
    differs,
    eq,
    fact,
    first_set,
    floor_div,
    get,
    is_a,
    is_set,
    less,
    missing,
    mod,
    mul,
    no,
    one_of,
    table,
    text,
    truthy,
    without,
)
from dsbridge_llamafactory.rules._make import DISTRIBUTED
from dsbridge_llamafactory.rules.v1_make import arg, ev, stops, writes

_WORLD = fact("world_size")
_HF = '_("Some keys are not used by the HfArgumentParser'
_PLUGIN = 'raise ValueError(f"Method {method_name} of plugin {self.name} is not registered.")'
_TWO = {"run.distributed": True, "fact.world_size": 2}

COMMAND = (
    stops(
        "LF300",
        "V1 has no DPO yet",
        "command",
        (eq(get("v1.command"), "dpo"),),
        ("NotImplementedError", "DPO trainer is not implemented yet.", ("v1.command",)),
        "0.9.5 knows the word, and has no trainer for it.",
        "Use LLaMA-Factory without USE_V1 (stage: dpo).",
        ev("launcher.py", 'raise NotImplementedError("DPO trainer is not implemented yet.")', "start/dpo"),
        {"v1.command": "dpo"},
        {"v1.command": "sft"},
    ),
)

_PROBLEM = get("v1.problem")
_UNUSED = first_set(get("input.unused"), [])
_KEYS = without(first_set(get("input.keys"), []), table("lf.v1.names"))
_DYNAMIC = eq(arg("batching_strategy"), "dynamic_batching")
ARGUMENTS = (
    stops(
        "LF301",
        "attention has three words in V1",
        "arguments",
        (no(one_of(arg("flash_attn"), ["eager", "sdpa", "flash_attention_2"])),),
        ("ValueError", text("Unsupported `flash_attn`: {}. Supported values are: "
                            "['eager', 'sdpa', 'flash_attention_2'].", arg("flash_attn")),
         ("lf.flash_attn",)),
        "V1 takes Transformers' words; fa2 and auto are those of the older dialect.",
        "Write eager, sdpa or flash_attention_2.",
        ev("config/model_args.py", 'f"Unsupported `flash_attn`: {self.flash_attn}. Supported values are: '
           '{supported_flash_attn}."', "yaml/attention-unknown"),
        {"v1.flash_attn": "fa2"},
        {"v1.flash_attn": "sdpa"},
    ),
    stops(
        "LF302",
        "a plugin's settings are a mapping",
        "arguments",
        (is_set(_PROBLEM),),
        (get("v1.problem.type"), get("v1.problem.message"), ("v1.problem",)),
        "dist_config, peft_config and the like are mappings, or JSON text of one.",
        "Write `dist_config: {name: deepspeed, config_file: ds.json}`.",
        ev("config/arg_utils.py", "config = _convert_str_dict(config)", "yaml/dist-text"),
        {"v1.problem": {"type": "AttributeError", "message": "'str' object has no attribute 'items'"}},
        {"v1.dist_config": {"name": "deepspeed"}},
    ),
    stops(
        "LF303",
        "a plugin's settings need a name",
        "arguments",
        (is_set(get("v1.nameless")),),
        ("ValueError", "Plugin configuration must have a 'name' field.", ("v1.nameless",)),
        "The name says which plugin the rest is for.",
        "Write `name:` first: deepspeed or fsdp2, lora or freeze, ...",
        ev("config/arg_utils.py", "raise ValueError(\"Plugin configuration must have a 'name' field.\")",
           "yaml/no-name"),
        {"v1.nameless": "dist_config"},
        {"v1.dist_config": {"name": "deepspeed"}},
    ),
    stops(
        "LF304",
        "batches by tokens need a number of steps",
        "arguments",
        (_DYNAMIC, no(less(0, first_set(get("v1.max_steps"), 0)))),
        ("ValueError", "`dynamic_batching` requires `max_steps` because it is step-driven.",
         ("lf.batching_strategy", "lf.max_steps")),
        "How many batches the rows give is not known before.",
        "Write max_steps.",
        ev("config/training_args.py",
           'raise ValueError("`dynamic_batching` requires `max_steps` because it is step-driven.")',
           "yaml/dynamic-no-steps"),
        {"v1.batching_strategy": "dynamic_batching"},
        {"v1.batching_strategy": "dynamic_batching", "v1.max_steps": 3},
    ),
    stops(
        "LF305",
        "batches by tokens have no epochs to save at",
        "arguments",
        (_DYNAMIC, is_set(get("v1.save_epochs"))),
        ("ValueError", "`save_epochs` is not supported with `dynamic_batching`; use `save_steps` instead.",
         ("lf.batching_strategy", "lf.save_epochs")),
        "An epoch's length is not known.",
        "Write save_steps.",
        ev("config/training_args.py", 'raise ValueError("`save_epochs` is not supported with '
           '`dynamic_batching`; use `save_steps` instead.")', "yaml/dynamic-epochs"),
        {"v1.batching_strategy": "dynamic_batching", "v1.save_epochs": 1.0},
        {"v1.batching_strategy": "normal", "v1.save_epochs": 1.0},
    ),
    stops(
        "LF306",
        "keys that V1 does not have",
        "arguments",
        (is_set(without(_KEYS, [])), no(eq(_KEYS, [])), eq(get("input.kind"), "yaml"),
         no(truthy(get("input.extra_allowed")))),
        ("ValueError", text("Some keys are not used by the HfArgumentParser: {}", _KEYS), ("input.keys",)),
        "V1 has its own keys: micro_batch_size, not per_device_train_batch_size. cp_size belongs into "
        "dist_config.",
        "Remove them, or set ALLOW_EXTRA_KEYS=1 to have them ignored.",
        ev("config/arg_parser.py", "parser.parse_dict(args, allow_extra_keys=allow_extra_keys)",
           "yaml/unknown-key"),
        {"input.kind": "yaml", "input.keys": ["stage"]},
        {"input.kind": "yaml", "input.keys": ["model"]},
    ),
    stops(
        "LF307",
        "words that V1 does not have",
        "arguments",
        (no(eq(_UNUSED, [])), no(truthy(get("input.extra_allowed")))),
        ("ValueError", text("Some specified arguments are not used by the HfArgumentParser: {}", _UNUSED),
         ("input.unused",)),
        "V1 has its own arguments.",
        "Remove them, or set ALLOW_EXTRA_KEYS=1 to have them ignored.",
        ev("config/arg_parser.py",
           'raise ValueError(f"Some specified arguments are not used by the HfArgumentParser: '
           '{unknown_args}")', "start/flags-unknown"),
        {"input.unused": ["--stage", "sft"]},
        {"input.unused": []},
    ),
)  # fmt: skip


def _sizes(first: str, second: str) -> tuple[str, str]:
    return f"v1.dist_config.{first}", f"v1.dist_config.{second}"


_REPLICATE, _SHARD = (get(path) for path in _sizes("mp_replicate_size", "mp_shard_size"))
_DP, _CP = (get(path) for path in _sizes("dp_size", "cp_size"))
_ONE_REPLICA, _ONE_CP = first_set(_REPLICATE, 1), first_set(_CP, 1)
_MESH = 'must equal to world_size, "'


def _mesh(code: str, names: tuple[str, str], rest: object, given: object, recorded: str) -> OverrideRule:
    first, second = names
    left, right = (_ONE_REPLICA, _SHARD) if first == "mp_replicate_size" else (_DP, _ONE_CP)
    path = f"v1.dist_config.{'mp_shard_size' if first == 'mp_replicate_size' else 'dp_size'}"
    return stops(
        code,
        f"{first} x {second} are the ranks",
        "ranks",
        (truthy(DISTRIBUTED), is_set(given), no(is_a(given, "null")), differs(mul(left, right), _WORLD)),
        ("ValueError",
         text(f"{first} * {second} must equal to world_size, got {{}} * {{}} != {{}}.", left, right, _WORLD),
         (path,)),
        "Both meshes hold all ranks; what is left out follows from the rest.",
        "Leave it out, or write the number that fits.",
        ev("accelerator/interface.py", f'f"{first} * {second} must equal to world_size, "', recorded),
        {**_TWO, path: 4},
        {**_TWO, path: 2},
    )  # fmt: skip


RANKS = (
    _mesh("LF308", ("mp_replicate_size", "mp_shard_size"), _REPLICATE, _SHARD, "yaml/mp-wrong"),
    _mesh("LF309", ("dp_size", "cp_size"), _CP, _DP, "yaml/dp-wrong"),
    writes(
        "LF310",
        "data parallelism is what context parallelism leaves",
        "ranks",
        is_set(get("v1.command")),
        "v1.data_parallel",
        choose(truthy(DISTRIBUTED), first_set(_DP, floor_div(_WORLD, _ONE_CP)), 1),
        "dp_size, else ranks divided by cp_size; ranks of one sequence share their samples.",
        ev("accelerator/interface.py", "self.dp_size = helper.get_world_size() // self.cp_size",
           "start/four"),
        {"v1.command": "sft", **_TWO},
        _TWO,
    ),
)  # fmt: skip
DATA = (
    stops(
        "LF311",
        "no dataset in V1",
        "data",
        (missing(get("v1.train_dataset")),),
        ("AttributeError", "'NoneType' object has no attribute 'endswith'", ("lf.train_dataset",)),
        "The name is looked at before it is known that there is one.",
        "Write train_dataset: a file, a dataset's name, or a YAML of datasets.",
        ev("core/data_engine.py", 'if self.path.endswith(".yaml") and os.path.isfile(self.path):',
           "yaml/no-data"),
        {"v1.command": "sft"},
        {"v1.train_dataset": "rows.json"},
    ),
)  # fmt: skip


def named(code: str, config: str, moment: str, what: str, recorded: str, words: str) -> OverrideRule:
    """A plugin that is not there; the message names none of those that are."""
    name = get(f"v1.{config}.name")
    return stops(
        code,
        f"{config} names no plugin of V1",
        moment,
        (is_set(name), no(one_of(name, table(f"lf.v1.{config}")))),
        ("ValueError", text("Method __call__ of plugin {} is not registered.", name), (f"lf.{config}.name",)),
        f"V1 0.9.5 has {words} for {what}.",
        f"Write {words}." if words != "none" else f"Remove {config}: V1 makes its own.",
        ev("utils/plugin.py", _PLUGIN, recorded),
        {f"v1.{config}.name": "other"},
        {"v1.command": "sft"},
    )


_BITS = get("v1.quant_config.quantization_bit")
_QUANT = get("v1.quant_config.name")
INIT = (
    named("LF312", "init_config", "init", "where weights are loaded", "yaml/init-unknown",
           "init_on_meta, init_on_rank0 or init_on_default"),
    named("LF313", "quant_config", "init", "quantization", "yaml/quant-unknown", "auto or bnb"),
    stops(
        "LF314",
        "quantization takes 4 or 8 bits",
        "init",
        (eq(_QUANT, "auto"), is_set(_BITS), no(one_of(_BITS, [8, 4]))),
        ("ValueError", text("Unsupported quantization bit: {} for auto quantization.", _BITS),
         ("lf.quant_config.quantization_bit",)),
        "bitsandbytes has both, and V1 knows no other quantizer.",
        "Write 4 or 8.",
        ev("plugins/model_plugins/quantization.py",
           'raise ValueError(f"Unsupported quantization bit: {quantization_bit} for auto quantization.")',
           "yaml/quant-2"),
        {"v1.quant_config": {"name": "auto", "quantization_bit": 2}},
        {"v1.quant_config": {"name": "auto", "quantization_bit": 4}},
    ),
)  # fmt: skip
_LORA = eq(get("v1.peft_config.name"), "lora")
MODEL = (
    stops(
        "LF315",
        "LoRA on a model without weights",
        "model",
        (_LORA, eq(get("v1.init_config.name"), "init_on_meta")),
        ("ValueError", "Currently lora stage does not support loading model by meta.",
         ("lf.init_config.name", "lf.peft_config.name")),
        "On the meta device there are no weights to put an adapter on.",
        "Write init_on_rank0 or init_on_default.",
        ev("core/model_engine.py",
           'raise ValueError("Currently lora stage does not support loading model by meta.")',
           "yaml/lora-on-meta"),
        {"v1.peft_config.name": "lora", "v1.init_config.name": "init_on_meta"},
        {"v1.peft_config.name": "lora", "v1.init_config.name": "init_on_rank0"},
    ),
    named("LF316", "peft_config", "model", "adapters", "yaml/peft-unknown", "lora or freeze"),
    named("LF317", "kernel_config", "model", "kernels", "yaml/kernel-unknown", "auto or liger_kernel"),
)  # fmt: skip

_GLOBAL, _MICRO, _RANKS = get("v1.global_batch_size"), arg("micro_batch_size"), get("v1.data_parallel")
_STRATEGY = arg("batching_strategy")
_WHOLE = mod(_GLOBAL, mul(_RANKS, _MICRO))
_NUMBERS = all_of(is_a(_GLOBAL, "int"), is_a(_MICRO, "int"))
_BATCH = {"v1.micro_batch_size": 2, "v1.data_parallel": 2}
BATCH = (
    stops(
        "LF318",
        "packing without padding needs flash attention",
        "batch",
        (eq(_STRATEGY, "padding_free"), differs(arg("flash_attn"), "flash_attention_2")),
        ("ValueError", "`padding_free` requires `flash_attn: flash_attention_2`.",
         ("lf.batching_strategy", "lf.flash_attn")),
        "Other kernels would let packed samples see each other.",
        "Write flash_attn: flash_attention_2, or batching_strategy: normal.",
        ev("core/base_trainer.py",
           'raise ValueError("`padding_free` requires `flash_attn: flash_attention_2`.")',
           "yaml/padding-free"),
        {"v1.batching_strategy": "padding_free"},
        {"v1.batching_strategy": "padding_free", "v1.flash_attn": "flash_attention_2"},
    ),
    stops(
        "LF319",
        "the global batch is no multiple of ranks and micro batch",
        "batch",
        (_NUMBERS, differs(_WHOLE, 0)),
        ("ValueError", text("Global batch size must be divisible by DP size and micro batch size. "
                            "Got {} % ({} * {}) != 0.", _GLOBAL, _RANKS, _MICRO),
         ("lf.global_batch_size", "lf.micro_batch_size")),
        "V1 derives the accumulation from the global batch.",
        "Write a multiple of micro_batch_size x data-parallel ranks.",
        ev("core/utils/batching.py", 'f"Got {global_batch_size} % ({dp_size} * {micro_batch_size}) != 0."',
           "yaml/global-uneven"),
        {**_BATCH, "v1.global_batch_size": 6},
        {**_BATCH, "v1.global_batch_size": 8},
    ),
    stops(
        "LF320",
        "a micro batch in quotes",
        "batch",
        (is_a(_GLOBAL, "int"), is_a(_MICRO, "str")),
        ("TypeError", "unsupported operand type(s) for %: 'int' and 'str'", ("lf.micro_batch_size",)),
        "A number in quotes is text, and V1 computes with it.",
        "Write the number without quotes.",
        ev("core/utils/batching.py", "elif self.global_batch_size % (dp_size * micro_batch_size) == 0:",
           "yaml/micro-text"),
        {"v1.global_batch_size": 8, "v1.micro_batch_size": "2"},
        {**_BATCH, "v1.global_batch_size": 8},
    ),
    stops(
        "LF321",
        "batching has four ways",
        "batch",
        (differs(_STRATEGY, "normal"), no(one_of(_STRATEGY, table("lf.v1.batching_strategy")))),
        ("ValueError", text("Method get_data_provider_batch_size of plugin {} is not registered.", _STRATEGY),
         ("lf.batching_strategy",)),
        "V1 0.9.5 has normal, padding_free, dynamic_batching and dynamic_padding_free.",
        "Write one of the four.",
        ev("utils/plugin.py", _PLUGIN, "yaml/strategy-unknown"),
        {"v1.batching_strategy": "packing"},
        {"v1.batching_strategy": "dynamic_batching", "v1.max_steps": 1},
    ),
    writes(
        "LF322",
        "accumulation follows from the global batch",
        "batch",
        any_of(_NUMBERS, missing(_GLOBAL)),
        "accelerator.gradient_accumulation_steps",
        choose(missing(_GLOBAL), 1, floor_div(floor_div(_GLOBAL, _RANKS), _MICRO)),
        "Micro batches a step: global batch / data-parallel ranks / micro batch; without a global batch, 1.",
        ev("core/utils/batching.py", "self.num_micro_batch = global_batch_size // dp_size // "
           "micro_batch_size", "yaml/micro-none"),
        {**_BATCH, "v1.global_batch_size": 8},
        {**_BATCH, "v1.global_batch_size": "8"},
    ),
)  # fmt: skip
