"""The YAML of `accelerate launch`: where it stops before anything is exported."""

from __future__ import annotations

from typing import Any

from dsbridge.rulebook import (
    OverrideRule,
    all_of,
    any_of,
    as_repr,
    count,
    eq,
    get,
    is_a,
    is_set,
    item,
    less,
    missing,
    no,
    one_of,
    table,
    text,
    truthy,
    without,
)
from dsbridge_accelerate.rules._make import (
    LAUNCH,
    LAUNCHED,
    PARALLELISM_SINCE,
    YAML,
    ev,
    refusal,
    since,
)

_L = {"launch.used": True}
_KEYS = get("launch.keys")
_SAGEMAKER = all_of(
    is_set(get("yaml.compute_environment")), no(eq(get("yaml.compute_environment"), "LOCAL_MACHINE"))
)
_HAS_FILE = all_of(LAUNCHED, is_set(get("launch.config_file")))
_MODES = ("multi_gpu", "tpu", "tpu_use_cluster", "use_deepspeed", "use_fsdp", "use_megatron_lm")
_FILE_FIELDS = ("launch.config_file",)


def _strange(kind: str) -> Any:
    return without(_KEYS, item(table("accelerate.launch"), kind))


def _unknown_keys(code: str, kind: str, when: Any, recorded: str, holds: dict[str, Any]) -> OverrideRule:
    return refusal(
        code,
        "the YAML of accelerate launch takes known keys only",
        "launch.file",
        all_of(_HAS_FILE, when, less(0, count(_strange(kind)))),
        (
            "ValueError",
            text(
                "The config file at {} had unknown keys ({}), please try upgrading your `accelerate` version "
                "or fix (and potentially remove) these keys from your config file.",
                get("launch.config_file"),
                as_repr(_strange(kind)),
            ),
            _FILE_FIELDS,
        ),
        "Every key of the YAML's top must be a field of the version's own config class.",
        ev(YAML, "154",
           "extra_keys = sorted(set(config_dict.keys()) - set(cls.__dataclass_fields__.keys()))",
           recorded),
        {**_L, "launch.config_file": "acc.yaml", "yaml.distributed_type": "DEEPSPEED",
         "yaml.compute_environment": "AWS" if kind == "sagemaker" else "LOCAL_MACHINE",
         "launch.keys": ["foo"]},
        {**_L, "launch.config_file": "acc.yaml", "launch.keys": ["use_cpu"], **holds},
        hint="Settings of DeepSpeed belong below `deepspeed_config:`.",
    )  # fmt: skip


FILE = (
    refusal(
        "ACC105",
        "the YAML of accelerate launch cannot be read",
        "launch.file",
        all_of(_HAS_FILE, is_set(get("launch.file_problem"))),
        (get("launch.file_problem.type"), get("launch.file_problem.message"), _FILE_FIELDS),
        "--config_file names a file that must be there and hold one mapping.",
        ev(YAML, "44-51", 'f"The passed configuration file `{config_file}` does not exist. "',
           "alone/missing-yaml"),
        {**_L, "launch.config_file": "x", "launch.file_problem": {"type": "FileNotFoundError",
         "message": "…"}},
        {**_L, "launch.config_file": "x"},
        hint="Check the path after --config_file, and the YAML's indentation.",
    ),
    refusal(
        "ACC106",
        "the YAML of accelerate launch needs distributed_type",
        "launch.file",
        all_of(_HAS_FILE, missing(get("yaml.distributed_type"))),
        ("ValueError", "A `distributed_type` must be specified in the config file.", _FILE_FIELDS),
        "Nothing else says whether DeepSpeed is meant.",
        ev(YAML, "110", 'raise ValueError("A `distributed_type` must be specified in the config file.")',
           "top/type-gone"),
        {**_L, "launch.config_file": "x"},
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "DEEPSPEED"},
        hint="Write `distributed_type: DEEPSPEED`.",
    ),
    _unknown_keys("ACC107", "cluster", no(_SAGEMAKER), "top/unknown-key",
                  {"yaml.distributed_type": "DEEPSPEED"}),
    _unknown_keys("ACC108", "sagemaker", _SAGEMAKER, "top/environment-wrong",
                  {"yaml.distributed_type": "NO", "yaml.compute_environment": "AMAZON_SAGEMAKER"}),
    refusal(
        "ACC109",
        "distributed_type is one of a list",
        "launch.file",
        all_of(_HAS_FILE, is_a(get("yaml.distributed_type"), "str"), no(_SAGEMAKER),
               no(one_of(get("yaml.distributed_type"), item(table("accelerate.launch"), "types")))),
        ("ValueError", text("{} is not a valid DistributedType", as_repr(get("yaml.distributed_type"))),
         ("yaml.distributed_type",)),
        "The names are written in capitals.",
        ev(YAML, "173", "self.distributed_type = DistributedType(self.distributed_type)", "top/type-lower"),
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "deepspeed"},
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "DEEPSPEED"},
        hint="Write `distributed_type: DEEPSPEED`.",
    ),
    refusal(
        "ACC114",
        "the YAML is one of SageMaker's",
        "launch.file",
        all_of(_HAS_FILE, _SAGEMAKER, no(any_of(*(truthy(get(f"flags.{name}")) for name in _MODES)))),
        ("AttributeError", "'SageMakerConfig' object has no attribute 'parallelism_config'",
         ("yaml.compute_environment",)),
        "The launcher asks every file for a field that those of SageMaker do not have.",
        ev(LAUNCH, "1248", "args.use_parallelism_config = defaults.parallelism_config != {}",
           "top/sagemaker"),
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "NO",
         "yaml.compute_environment": "AMAZON_SAGEMAKER"},
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "NO",
         "yaml.compute_environment": "LOCAL_MACHINE"},
        versions=since(PARALLELISM_SINCE),
        hint="Accelerate before 1.10 hands such a file to SageMaker; dsbridge does not follow it there.",
    ),
    refusal(
        "ACC110",
        "the YAML does not say how many processes",
        "launch.validate",
        all_of(_HAS_FILE, eq(get("launch.num_processes"), -1)),
        ("ValueError", "You need to manually pass in `--num_processes` using this config yaml.",
         ("yaml.num_processes",)),
        "Beside a YAML the GPUs are not counted.",
        ev(LAUNCH, "1305", "if args.num_processes == -1:", "top/no-processes"),
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "DEEPSPEED", "launch.num_processes": -1},
        {**_L, "launch.config_file": "x", "yaml.distributed_type": "DEEPSPEED", "launch.num_processes": 2},
        hint="Write `num_processes:` in the YAML, or pass --num_processes.",
    ),
)  # fmt: skip
