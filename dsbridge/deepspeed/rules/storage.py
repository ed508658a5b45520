"""DeepSpeedConfig: checkpoints, data types, files, and the strict blocks that are read last."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import (
    COMPILE_SINCE,
    NEWEST,
    REMOVED_SINCE,
    TP_SINCE,
    block_rule,
    ev,
    no_attribute,
    param,
    refusal,
    since,
    until,
)
from dsbridge.rulebook import (
    UNSET,
    all_of,
    any_of,
    as_repr,
    block,
    choose,
    eq,
    get,
    is_a,
    is_set,
    listed,
    missing,
    no,
    one_of,
    text,
    truthy,
    type_name,
    upper,
)

_HERE = "config.parameters"
_GET = "return param_dict.get(param_name, param_default_value)"
_TAG = param("checkpoint.tag_validation", "WARN")
_STAGE = param("checkpoint.parallel_write.pipeline_stage", False)
_KEEP = param("data_types.keep_in_fp32_modules", "auto")
_MODES = ["WARN", "IGNORE", "FAIL"]
_COMPRESSED = (
    *("weight_quantization", "activation_quantization", "sparse_pruning"),
    *("row_pruning", "head_pruning", "channel_pruning"),
)


def _ungrouped() -> Any:
    """The first method of compression that is switched off and has no groups."""
    found: Any = UNSET
    for name in reversed(_COMPRESSED):
        path = f"engine.compression_training.{name}"
        off = no(truthy(get(f"{path}.shared_parameters.enabled")))
        bare = all_of(is_a(get(path), "dict"), missing(get(f"{path}.different_groups")), off)
        found = choose(bare, name, found)
    return found


_UNGROUPED = _ungrouped()
COMPRESSION = (
    refusal(
        "DS276",
        "a method of compression needs its groups, switched off too",
        _HERE,
        is_set(_UNGROUPED),
        ("KeyError", "'different_groups'", listed(text("compression_training.{}", _UNGROUPED))),
        "The groups are read before anybody looks whether the method is on.",
        ev(
            "compression/config.py",
            "325",
            "sub_param_dict = param_dict[DIFFERENT_GROUPS]",
            "removed/compression-no-groups",
            "0.16.9",
        ),
        {"engine.compression_training.row_pruning.shared_parameters.enabled": False},
        {"engine.compression_training.row_pruning.different_groups": {}},
        versions=until(REMOVED_SINCE),
        hint="Remove the block, or give it `different_groups: {}`.",
    ),
)


STRICT = (
    block_rule(
        "DS141",
        "compile",
        param("compile", block({})),
        is_set(get("engine.compile")),
        ev(
            "runtime/config.py",
            "584",
            "self.compile_config = CompileConfig(**param_dict.get('compile', {}))",
            "block/compile-unknown",
        ),
        {"engine.compile": {"enabled": True}},
        {"engine.compile": {"deepcompile": False}},
        since(COMPILE_SINCE),
    ),
    refusal(
        "DS142",
        "timers must be a mapping",
        _HERE,
        is_a(get("engine.timers"), "null"),
        ("TypeError", "argument of type 'NoneType' is not iterable", ("timers",)),
        "DeepSpeed looks for a key in `timers`.",
        ev(
            "utils/config.py",
            "28",
            "if param_dict and TIMERS in param_dict and TIMERS_THROUGHPUT in param_dict[TIMERS]:",
            "kind/timers-null",
        ),
        {"engine.timers": None},
        {"engine.timers": {}},
    ),
    block_rule(
        "DS143",
        "timers.throughput",
        get("engine.timers.throughput"),
        is_set(get("engine.timers.throughput")),
        ev(
            "utils/config.py",
            "32",
            "return DeepSpeedThroughputTimerConfig(**timers_config_dict)",
            "block/timers",
        ),
        {"engine.timers.throughput": {"foo": 1}},
        {"engine.timers.throughput": {"enabled": True}},
    ),
    block_rule(
        "DS144",
        "tensor_parallel",
        get("engine.tensor_parallel"),
        is_set(get("engine.tensor_parallel")),
        ev(
            "runtime/tensor_parallel/config.py",
            "151",
            "return TPTrainingConfig(**ds_config['tensor_parallel'])",
            "tp/wrong-form",
        ),
        {"engine.tensor_parallel": {"enabled": True, "tp_size": 2}},
        {"engine.tensor_parallel": {"autotp_size": 2}},
        since(TP_SINCE),
    ),
)


CHECKPOINT = (
    no_attribute(
        "DS133",
        "checkpoint",
        "get",
        _HERE,
        ev(
            "runtime/config.py",
            "388",
            "tag_validation_mode = checkpoint_params.get(CHECKPOINT_TAG_VALIDATION",
            "block/checkpoint-null",
        ),
    ),
    refusal(
        "DS134",
        "checkpoint.tag_validation must be text",
        _HERE,
        no(is_a(_TAG, "str")),
        (
            "AttributeError",
            text("'{}' object has no attribute 'upper'", type_name(_TAG)),
            ("checkpoint.tag_validation",),
        ),
        "The mode is put in upper case before it is looked at.",
        ev(
            "runtime/config.py", "389", "tag_validation_mode = tag_validation_mode.upper()", "kind/tag-number"
        ),
        {"engine.checkpoint.tag_validation": 1},
        {"engine.checkpoint.tag_validation": "Warn"},
    ),
    refusal(
        "DS135",
        "checkpoint.tag_validation is warn, ignore or fail",
        _HERE,
        all_of(is_a(_TAG, "str"), no(one_of(upper(_TAG), _MODES))),
        (
            "DeepSpeedConfigError",
            text(
                f"Checkpoint config contains invalid tag_validation value of {{}}, expecting one of {_MODES}",
                upper(_TAG),
            ),
            ("checkpoint.tag_validation",),
        ),
        "DeepSpeed knows three modes.",
        ev(
            "runtime/config.py",
            "394",
            '"Checkpoint config contains invalid tag_validation "',
            "block/checkpoint-wrong",
        ),
        {"engine.checkpoint.tag_validation": "never"},
        {"engine.checkpoint.tag_validation": "Ignore"},
    ),
    no_attribute(
        "DS136",
        "data_types",
        "get",
        _HERE,
        ev(
            "runtime/config.py",
            "556",
            "self.grad_accum_dtype = data_types_params.get(GRAD_ACCUM_DTYPE, GRAD_ACCUM_DTYPE_DEFAULT)",
            "block/data-types-null",
        ),
    ),
    refusal(
        "DS137",
        "data_types.keep_in_fp32_modules is auto or a list of names",
        _HERE,
        no(any_of(eq(_KEEP, "auto"), is_a(_KEEP, "list"))),
        (
            "DeepSpeedConfigError",
            text(
                'data_types.keep_in_fp32_modules must be "auto" or a list of name patterns, got {}',
                as_repr(_KEEP),
            ),
            ("data_types.keep_in_fp32_modules",),
        ),
        "One name alone must be a list too.",
        ev(
            "runtime/config.py",
            "566",
            'raise DeepSpeedConfigError(f"data_types.{KEEP_IN_FP32_MODULES} must be',
            "block/keep-fp32-wrong",
        ),
        {"engine.data_types.keep_in_fp32_modules": "norm"},
        {"engine.data_types.keep_in_fp32_modules": ["norm"]},
        versions=since(NEWEST),
    ),
    no_attribute(
        "DS138",
        "checkpoint.parallel_write",
        "get",
        _HERE,
        ev(
            "runtime/config.py",
            "400",
            "par_write_pipeline = par_write_params.get(CHECKPOINT_PARALLEL_WRITE_PIPELINE_STAGE,",
            "kind/parallel-write-null",
        ),
    ),
    refusal(
        "DS139",
        "checkpoint.parallel_write.pipeline_stage is true or false",
        _HERE,
        no(one_of(_STAGE, [True, False])),
        (
            "DeepSpeedConfigError",
            text(
                "checkpoint::parallel_write::pipeline_stage value of '{}' is invalid, "
                "expecting: true or false",
                _STAGE,
            ),
            ("checkpoint.parallel_write.pipeline_stage",),
        ),
        'Nobody fills an "auto" here.',
        ev(
            "runtime/config.py",
            "405",
            'raise DeepSpeedConfigError("checkpoint::parallel_write::pipeline_stage "',
            "block/checkpoint-auto",
        ),
        {"engine.checkpoint.parallel_write.pipeline_stage": "auto"},
        {"engine.checkpoint.parallel_write.pipeline_stage": True},
    ),
    no_attribute(
        "DS140",
        "aio",
        "get",
        _HERE,
        ev("runtime/config_utils.py", "194", _GET, "kind/aio-word"),
        extra=no(is_a(get("engine.aio"), "null")),
    ),
    *STRICT,
)
