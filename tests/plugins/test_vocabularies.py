"""What each framework's vocabulary says, against what its real packages were seen to do."""

from __future__ import annotations

import pytest

from dsbridge.plugins import registry
from dsbridge.vocabulary import Vocabulary

FRAMEWORKS = registry().frameworks
NEW = {"transformers": "5.23.0", "accelerate": "1.15.0", "trl": "1.16.0"}


def of(framework: str, surface: str, **versions: str) -> Vocabulary:
    ask = FRAMEWORKS[framework].vocabulary
    assert ask is not None
    found = ask(versions, surface)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["trainer", "accelerate", "llamafactory", "xtuner"])
def test_each_surface_has_names_and_a_fate(name: str) -> None:
    framework = FRAMEWORKS[name]
    assert framework.surfaces
    for surface in framework.surfaces:
        found = of(name, surface)
        assert found.arguments
        assert not found.arguments.keys() & found.others.keys()
        assert set(found.unknown.values()) <= {"refused", "ignored"}
        for (block, argument), row in (*found.arguments.items(), *found.others.items()):
            assert (row.block, row.name) == (block, argument)
            assert row.instead == "" or (block, row.instead) in found.arguments
    assert framework.vocabulary is not None
    assert framework.vocabulary({}, "no such surface") is None


@pytest.mark.parametrize(
    ("version", "until", "instead"),
    [("4.48.0", "4.51.0", "eval_strategy"), ("5.23.0", "4.51.0", "eval_strategy")],
)
def test_a_renamed_argument(version: str, until: str, instead: str) -> None:
    found = of("trainer", "TrainingArguments", transformers=version)
    row = found.find("evaluation_strategy") or found.other("evaluation_strategy")
    assert row is not None
    assert (row.until, row.instead) == (until, instead)
    assert (found.find("evaluation_strategy") is not None) is (version == "4.48.0")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("no_cuda", "use_cpu"),
        ("per_gpu_train_batch_size", "per_device_train_batch_size"),
        ("push_to_hub_token", "hub_token"),
        ("fsdp_min_num_params", "fsdp_config"),
        ("warmup_ratio", "warmup_steps"),
        ("logging_dir", ""),
        ("sharded_ddp", "fsdp"),
    ],
)
def test_arguments_that_are_gone(name: str, instead: str) -> None:
    found = of("trainer", "TrainingArguments", **NEW)
    assert found.find(name) is None
    row = found.other(name)
    assert row is not None
    assert (row.instead, bool(row.until)) == (instead, True)


def test_a_deprecated_argument_and_one_that_is_not_yet() -> None:
    old, new = (of("trainer", "flags", transformers=v) for v in ("5.6.0", "5.23.0"))
    row = new.find("gradient_checkpointing")
    assert row is not None
    assert (row.instead, "v6" in row.deprecated) == ("activation_checkpointing", True)
    before, coming = old.find("gradient_checkpointing"), old.other("activation_checkpointing")
    assert before is not None
    assert before.deprecated == ""
    assert coming is not None
    assert coming.since == "5.23.0"


def test_the_trainers_mappings() -> None:
    found = of("trainer", "TrainingArguments", **NEW)
    assert found.find("fsdp_version", "fsdp_config") == found.find("version", "fsdp_config")
    assert found.find("even_batches", "accelerator_config") is not None
    assert found.unknown == {"": "refused", "accelerator_config": "refused", "fsdp_config": "ignored"}


def test_trl_stands_on_training_arguments() -> None:
    found = of("trainer", "SFTConfig", **NEW)
    assert found.find("packing") is not None
    assert found.find("learning_rate") is not None
    beside = of("trainer", "ModelConfig", **NEW)
    assert beside.find("use_peft") is not None
    assert beside.find("learning_rate") is None


def test_accelerates_blocks() -> None:
    found = of("accelerate", "yaml", **NEW)
    assert found.find("zero_stage", "deepspeed_config") is not None
    assert found.blocks_of("zero_stage") == ["deepspeed_config"]
    assert found.find("offload_params", "fsdp_config") == found.find("fsdp_offload_params", "fsdp_config")
    assert (found.unknown[""], found.unknown["deepspeed_config"]) == ("refused", "ignored")
    gone = found.other("ipex_config")
    assert gone is not None
    assert gone.until == "1.13.0"
    renamed = found.other("fsdp_backward_prefetch_policy", "fsdp_config")
    assert renamed is not None
    assert renamed.until == "0.26.0"


def test_dynamo_keys_without_their_prefix_are_read_since_1_14() -> None:
    for version, taken in (("1.13.0", False), ("1.14.0", True)):
        found = of("accelerate", "yaml", accelerate=version)
        assert (found.find("backend", "dynamo_config") is not None) is taken
        assert found.find("dynamo_backend", "dynamo_config") is not None


def test_accelerates_flags() -> None:
    found = of("accelerate", "flags", **NEW)
    assert found.find("--zero_stage") is not None
    assert found.find("--zero-stage") is not None
    assert found.other("--use_xpu") is not None
    old = of("accelerate", "flags", accelerate="1.6.0").find("--use_xpu")
    assert old is not None
    assert "deprecated" in old.deprecated


@pytest.mark.parametrize("surface", ["yaml", "flags"])
def test_llamafactory(surface: str) -> None:
    found = of("llamafactory", surface, llamafactory="0.9.5", transformers="5.6.0")
    for name in ("finetuning_type", "template", "learning_rate", "predict_with_generate", "ray_num_workers"):
        assert found.find(name) is not None, name
    # flags of guides that no release has
    for name in ("trainer_backend", "model_max_length", "n_shot"):
        assert found.find(name) is None
    evaluation = found.other("n_shot")
    assert evaluation is not None
    assert evaluation.owner == "evaluation"
    assert found.unknown[""] == "refused"


def test_llamafactorys_own_argument_wins() -> None:
    found = of("llamafactory", "yaml", llamafactory="0.9.5", transformers="5.6.0")
    row = found.find("overwrite_output_dir")
    assert row is not None
    assert (row.package, row.deprecated) == ("llamafactory", "deprecated")
    before = of("llamafactory", "yaml", llamafactory="0.9.3", transformers="4.52.4")
    theirs = before.find("overwrite_output_dir")
    assert theirs is not None
    assert theirs.package == "transformers"


@pytest.mark.parametrize("transformers", ["4.48.3", "4.53.0", "5.2.0", "5.6.0"])
def test_llamafactorys_vocabulary_is_what_its_rule_goes_by(transformers: str) -> None:
    from dsbridge_llamafactory.layer import argument_names

    versions = {"llamafactory": "0.9.4", "transformers": transformers}
    found = of("llamafactory", "yaml", **versions)
    assert {name for block, name in found.arguments if not block} == argument_names(versions)


def test_xtuner() -> None:
    config, flags = of("xtuner", "config"), of("xtuner", "flags")
    assert config.find("train_dataloader") is not None
    assert config.unknown[""] == "ignored"
    assert flags.find("--deepspeed") is not None
    assert flags.unknown[""] == "refused"
