"""`accelerate launch`: what the YAML says, what the flags say, and where the launcher stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._accelerate_files import (
    AUTO,
    FROM_YAML,
    GONE,
    LAUNCH,
    NUMBERS,
    accelerate_yaml,
    case,
    changed,
    from_yaml,
    script,
    text_of,
)

PLAIN: dict[str, Any] = {
    "gradient_accumulation_steps": 1,
    "gradient_clipping": 1.0,
    "offload_optimizer_device": "none",
    "offload_param_device": "none",
    "zero3_init_flag": False,
    "zero_stage": 2,
}
# One change of deepspeed_config each.
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "steps-4": {"gradient_accumulation_steps": 4},
    "steps-auto": {"gradient_accumulation_steps": "auto"},
    "steps-float": {"gradient_accumulation_steps": 2.0},
    "steps-zero": {"gradient_accumulation_steps": 0},
    "steps-text": {"gradient_accumulation_steps": "8"},
    "steps-null": {"gradient_accumulation_steps": None},
    "steps-gone": {"gradient_accumulation_steps": GONE},
    "clip-half": {"gradient_clipping": 0.5},
    "clip-whole": {"gradient_clipping": 2},
    "clip-zero": {"gradient_clipping": 0.0},
    "clip-auto": {"gradient_clipping": "auto"},
    "clip-text": {"gradient_clipping": "none"},
    "clip-number-text": {"gradient_clipping": "1e-1"},
    "clip-gone": {"gradient_clipping": GONE},
    "clip-null": {"gradient_clipping": None},
    "stage-0": {"zero_stage": 0},
    "stage-1": {"zero_stage": 1},
    "stage-3": {"zero_stage": 3},
    "stage-3-init": {"zero_stage": 3, "zero3_init_flag": True},
    "stage-5": {"zero_stage": 5},
    "stage-text": {"zero_stage": "two"},
    "stage-float": {"zero_stage": 2.0},
    "stage-gone": {"zero_stage": GONE},
    "init-at-2": {"zero3_init_flag": True},
    "init-wrong": {"zero3_init_flag": "auto"},
    "offload-cpu": {"offload_optimizer_device": "cpu"},
    "offload-cpu-3": {"zero_stage": 3, "offload_optimizer_device": "cpu", "offload_param_device": "cpu"},
    "offload-upper": {"offload_optimizer_device": "CPU"},
    "offload-wrong": {"offload_optimizer_device": "gpu"},
    "offload-null": {"offload_optimizer_device": None, "offload_param_device": None},
    "nvme": {
        "zero_stage": 3,
        "offload_param_device": "nvme",
        "offload_param_nvme_path": "/local_nvme",
    },
    "nvme-optimizer": {"offload_optimizer_nvme_path": "/local_nvme"},
    "save-16bit": {"zero_stage": 3, "zero3_save_16bit_model": True},
    "save-16bit-2": {"zero3_save_16bit_model": True},
    "unknown": {"zero_stages": 3, "overlap_comm": True},
    "moe": {"zero_stage": 3, "deepspeed_moe_layer_cls_names": "MixtralSparseMoeBlock"},
    "moe-there": {"zero_stage": 3, "deepspeed_moe_layer_cls_names": "Qwen2DecoderLayer"},
    "empty": dict.fromkeys(PLAIN, GONE),
}
# One change of the rest of the YAML each.
TOP: dict[str, dict[str, Any]] = {
    "fp16": {"mixed_precision": "fp16"},
    "no-quoted": {"mixed_precision": "no"},
    "no-boolean": {"mixed_precision": False},
    "precision-gone": {"mixed_precision": GONE},
    "precision-upper": {"mixed_precision": "BF16"},
    "precision-wrong": {"mixed_precision": "bfloat16"},
    "precision-null": {"mixed_precision": None},
    "old-fp16-key": {"mixed_precision": GONE, "fp16": True},
    "old-fp16-off": {"mixed_precision": GONE, "fp16": False},
    "unknown-key": {"foo": 1, "bar": 2},
    "steps-at-top": {"gradient_accumulation_steps": 4},
    "no-processes": {"num_processes": GONE},
    "four": {"num_processes": 4},
    "processes-text": {"num_processes": "2"},
    "multi-gpu": {"distributed_type": "MULTI_GPU"},
    "fsdp": {"distributed_type": "FSDP", "mixed_precision": "no"},
    "type-no": {"distributed_type": "NO"},
    "type-lower": {"distributed_type": "deepspeed"},
    "type-gone": {"distributed_type": GONE},
    "environment-gone": {"compute_environment": GONE},
    "environment-wrong": {"compute_environment": "LOCAL"},
    "dynamo": {"dynamo_backend": "NO"},
    "dynamo-wrong": {"dynamo_config": {"dynamo_backend": "fast"}},
    "settings-null": {"deepspeed_config": None},
    "settings-gone": {"deepspeed_config": GONE},
    "gpu-ids": {"gpu_ids": "0,1"},
    "cpu": {"use_cpu": True},
    "debug": {"debug": True},
    "affinity-off": {"enable_cpu_affinity": False},
    "tp-config": {"tp_config": {}},
    "parallelism-config": {"parallelism_config": {}},
    "ipex": {"ipex_config": {}},
    "port": {"main_process_port": 0},
    "fp8": {"mixed_precision": "fp8"},
}
FACTS: dict[str, dict[str, Any]] = {
    "top/fp8": {"fp8_available": False},
    "environ/fp8": {"fp8_available": False},
    "yaml/moe": {"moe_layers_found": False},
    "yaml/moe-there": {"moe_layers_found": True},
}
FLAGS: dict[str, list[str]] = {
    "stage": ["--zero_stage", "3"],
    "stage-dash": ["--zero-stage=1"],
    "steps": ["--gradient_accumulation_steps", "8"],
    "clip": ["--gradient_clipping", "0.3"],
    "offload": ["--offload_optimizer_device", "cpu"],
    "offload-nvme": [
        *("--offload_param_device", "nvme", "--offload_param_nvme_path", "/nvme"),
        *("--zero_stage", "3"),
    ],
    "save-16bit": ["--zero3_save_16bit_model", "true", "--zero_stage", "3"],
    "precision": ["--mixed_precision", "fp16"],
    "processes": ["--num_processes", "4"],
    "port": ["--main_process_port", "29511"],
    "wrong-precision": ["--mixed_precision", "half"],
    "wrong-stage": ["--zero_stage", "two"],
    "unknown": ["--zero_stages", "3"],
    "multi-gpu": ["--multi_gpu"],
    "two-kinds": ["--multi_gpu", "--use_deepspeed"],
    "multi-gpu-one": ["--multi_gpu", "--num_processes", "1"],
    "parallelism": ["--use_parallelism_config"],
    "machines": ["--num_machines", "1", "--machine_rank", "0"],
    "short": ["--zero3_save", "true"],
}  # fmt: skip
# Flags alone, without any YAML.
ALONE: dict[str, list[str]] = {
    "plain": ["--use_deepspeed", "--num_processes", "2"],
    "stage-3": ["--use_deepspeed", "--num_processes", "2", "--zero_stage", "3", "--mixed_precision", "bf16"],
    "file": ["--use_deepspeed", "--num_processes", "2", "--deepspeed_config_file", "ds.json"],
    "file-and-stage": [
        *("--use_deepspeed", "--num_processes", "2", "--deepspeed_config_file", "ds.json"),
        *("--zero_stage", "3", "--gradient_clipping", "0.7", "--mixed_precision", "bf16"),
    ],
    "no-deepspeed": ["--num_processes", "2"],
    "file-no-deepspeed": ["--num_processes", "2", "--deepspeed_config_file", "ds.json"],
    "clip-zero": ["--use_deepspeed", "--num_processes", "2", "--gradient_clipping", "0"],
    "steps": ["--use_deepspeed", "--num_processes", "4", "--gradient_accumulation_steps", "4"],
    "steps-wrong": ["--use_deepspeed", "--num_processes", "2", "--gradient_accumulation_steps", "x"],
    "cpu": ["--use_deepspeed", "--cpu", "--num_processes", "2"],
    "fsdp": ["--use_deepspeed", "--use_fsdp", "--num_processes", "2"],
    "no-count": ["--use_deepspeed"],
    "missing-yaml": ["--config_file", "gone.yaml"],
}

# as Accelerate's own guide shows it
SAGEMAKER = """compute_environment: AMAZON_SAGEMAKER
distributed_type: DATA_PARALLEL
ec2_instance_type: ml.p3.16xlarge
iam_role_name: role
mixed_precision: fp16
num_machines: 1
region: us-east-1
"""


def settings() -> Iterator[Case]:
    """deepspeed_config, one change each."""
    for name, changes in SETTINGS.items():
        text = accelerate_yaml(changed(PLAIN, changes))
        yield from_yaml(f"yaml/{name}", text, facts=FACTS.get(f"yaml/{name}", {}))


def top() -> Iterator[Case]:
    """The rest of the YAML, one change each."""
    for name, changes in TOP.items():
        world = 4 if changes.get("num_processes") == 4 else 2
        text = accelerate_yaml(PLAIN, **changes)
        if "mixed_precision" in changes and changes["mixed_precision"] is False:
            text = text.replace("mixed_precision: false", "mixed_precision: no")
        yield from_yaml(f"top/{name}", text, world_size=world, facts=FACTS.get(f"top/{name}", {}))
    text = accelerate_yaml(PLAIN)
    command = (*LAUNCH, "--config_file", "acc.json", "train.py")
    plain = {"distributed_type": "DEEPSPEED", "num_processes": 2, "deepspeed_config": PLAIN}
    yield from_yaml("top/json", "", command=command, files={"acc.json": json.dumps(plain)})
    yield from_yaml("top/broken", text + "deepspeed_config: {zero_stage: 2\n")
    yield from_yaml("top/list", "- 1\n- 2\n")
    yield from_yaml("top/empty", "")
    yield from_yaml("top/sagemaker", SAGEMAKER)
    yield from_yaml("top/no-gpu-bf16", text, gpu={"bf16": False, "fp16": True})
    standard = {**PLAIN, "deepspeed_multinode_launcher": "standard"}
    yield from_yaml("top/standard", accelerate_yaml(standard, num_machines=2, num_processes=4,
                    main_process_ip="10.0.0.1", main_process_port=29501), world_size=4)  # fmt: skip


def filed() -> Iterator[Case]:
    """A YAML that names a ds_config."""
    named = {"deepspeed_config_file": "ds.json", "zero3_init_flag": False}
    bare = {"mixed_precision": GONE}
    numbers = {"ds.json": text_of(NUMBERS)}
    auto = {"ds.json": text_of(AUTO)}
    table: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
        "numbers": ({}, bare, numbers),
        "auto": ({}, bare, auto),
        "precision": ({}, {}, auto),
        "precision-no": ({}, {"mixed_precision": "no"}, auto),
        "steps": ({"gradient_accumulation_steps": 4}, bare, auto),
        "clip": ({"gradient_clipping": 1.0}, bare, auto),
        "stage": ({"zero_stage": 3}, bare, auto),
        "offload": ({"offload_optimizer_device": "none"}, bare, numbers),
        "save": ({"zero3_save_16bit_model": True}, bare, numbers),
        "allowed": ({"deepspeed_multinode_launcher": "standard"}, bare, numbers),
        "missing": ({"deepspeed_config_file": "gone.json"}, bare, {}),
        "none": ({"deepspeed_config_file": "none"}, bare, {}),
        "null": ({"deepspeed_config_file": None}, bare, {}),
    }
    for kind in ("optimizer", "param"):
        wrong = changed(NUMBERS, {f"zero_optimization.offload_{kind}": "cpu"})
        # told before the stage of the YAML is
        table[f"offload-{kind}-text"] = ({"zero_stage": 3}, bare, {"ds.json": text_of(wrong)})
    for name, (changes, rest, files_) in table.items():
        text = accelerate_yaml({**named, **changes}, **rest)
        yield from_yaml(f"file/{name}", text, files=files_)
    for name, words in {
        "flag-precision": ["--mixed_precision", "bf16"],
        "flag-stage": ["--zero_stage", "3"],
        "flag-steps": ["--gradient_accumulation_steps", "8"],
        "flag-clip": ["--gradient_clipping", "0.7"],
        "flag-precision-fp16": ["--mixed_precision", "fp16"],
    }.items():
        for kind, files_ in (("auto", auto), ("numbers", numbers)):
            command = (*LAUNCH, *words, "--config_file", "acc.yaml", "train.py")
            text = accelerate_yaml(named, **bare)
            yield from_yaml(f"file/{name}-{kind}", text, files=files_, command=command)


def flags() -> Iterator[Case]:
    """Flags beside a YAML, and flags alone."""
    for name, words in FLAGS.items():
        world = 4 if name == "processes" else 2
        command = (*LAUNCH, "--config_file", "acc.yaml", *words, "train.py")
        yield from_yaml(f"flag/{name}", accelerate_yaml(PLAIN), command=command, world_size=world)
    for name, words in ALONE.items():
        world = 4 if "4" in words[:4] else 2
        yield case(
            f"alone/{name}",
            {"train.py": script(), "ds.json": text_of(AUTO)},
            (*LAUNCH, *words, "train.py"),
            world_size=world,
        )
    yield case("alone/no-script", {"train.py": script()}, (*LAUNCH, "--use_deepspeed"))
    cpu = (*LAUNCH, "--cpu", "--num_processes", "2", "train.py")
    yield case("flag/cpu-plugin", {"train.py": script(plugin={"zero_stage": 2})}, cpu)
    module = ("python", "-m", "accelerate.commands.launch", *FROM_YAML[2:])
    yield from_yaml("flag/module", accelerate_yaml(PLAIN), command=module)


def environment() -> Iterator[Case]:
    """ACCELERATE_* by hand, under torchrun."""
    use = {"ACCELERATE_USE_DEEPSPEED": "true"}
    table: dict[str, dict[str, str]] = {
        "use": use,
        "use-upper": {"ACCELERATE_USE_DEEPSPEED": "True"},
        "use-one": {"ACCELERATE_USE_DEEPSPEED": "1"},
        "stage": {**use, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
        "stage-wrong": {**use, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3.0"},
        "steps": {**use, "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"},
        "clip": {**use, "ACCELERATE_GRADIENT_CLIPPING": "0.25"},
        "clip-wrong": {**use, "ACCELERATE_GRADIENT_CLIPPING": "big"},
        "file": {**use, "ACCELERATE_DEEPSPEED_CONFIG_FILE": "ds.json"},
        "precision": {**use, "ACCELERATE_MIXED_PRECISION": "fp16"},
        "precision-upper": {**use, "ACCELERATE_MIXED_PRECISION": "BF16"},
        "precision-wrong": {**use, "ACCELERATE_MIXED_PRECISION": "half"},
        "nvme": {
            **use,
            "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
            "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "nvme",
            "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH": "/nvme",
        },
        "save": {**use, "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "True"},
        "init-wrong": {**use, "ACCELERATE_DEEPSPEED_ZERO3_INIT": "maybe"},
        "fields": {
            **use,
            "ACCELERATE_DEEPSPEED_CONFIG_FILE": "ds.json",
            "ACCELERATE_CONFIG_DS_FIELDS": "zero_stage",
        },
        "fp8": {**use, "ACCELERATE_MIXED_PRECISION": "fp8"},
    }
    for name, environ in table.items():
        files_ = {"train.py": script(), "ds.json": text_of(AUTO)}
        facts = FACTS.get(f"environ/{name}", {})
        yield case(f"environ/{name}", files_, environ=environ, facts=facts)
    own = script(plugin={"zero_stage": 1, "gradient_clipping": 0.1, "gradient_accumulation_steps": 3})
    environ = {
        "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
        "ACCELERATE_GRADIENT_CLIPPING": "0.25",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
        "ACCELERATE_MIXED_PRECISION": "bf16",
    }
    yield case("environ/beside-plugin", {"train.py": own}, environ=environ)


def templates() -> Iterator[Case]:
    """Accelerate YAMLs of public repositories, as they are."""
    text = files("conformance.oracle.cases").joinpath("_accelerate_templates.json").read_text("utf-8")
    for name, entry in json.loads(text).items():
        given = {"ds.json": text_of(AUTO), **entry.get("files", {})}
        yield from_yaml(f"shipped/{name}", entry["yaml"], files=given, world_size=entry["world_size"])
