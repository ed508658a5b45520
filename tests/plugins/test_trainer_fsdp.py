"""`fsdp` and `fsdp_config` of TrainingArguments, in every way that Transformers reads them.

What the real TrainingArguments make of them is recorded by conformance/fsdp_arguments.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conformance.fsdp_arguments import SCRIPT
from dsbridge.diagnostics import InputError
from dsbridge.migrating import Migration, migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaves
from tests.conftest import ROOT

RECORDED = {path.stem: json.loads(path.read_text()) for path in (ROOT / "tests/recorded/fsdp").glob("*.json")}
ROWS = [(env, name) for env, found in RECORDED.items() for name in found["cases"]]
NEW = {"transformers": "5.23.0"}
OLD = {"transformers": "4.51.3"}


def parsed(args: dict[str, Any], versions: dict[str, str] = NEW, **texts: Any) -> Parsed:
    env = args.get("env", {})
    own = {"output_dir": "o", **{name: value for name, value in args.items() if name != "env"}}
    files = {"args.json": json.dumps(own), **{f"{k}.json": json.dumps(v) for k, v in texts.items()}}
    words = (*(f"{name}={value}" for name, value in env.items()), "torchrun", "args.json")
    return parse(Files(Path(), files), command=words, source="trainer", versions=versions)


def fsdp(found: Parsed) -> dict[str, Any]:
    rows = leaves(found.loaded.spec).items()
    return {path.removeprefix("fsdp."): value for path, value in rows if path.startswith("fsdp.")}


def moved(args: dict[str, Any], to: str, **more: Any) -> Migration:
    files = Files(Path(), {"args.json": json.dumps({"output_dir": "o", "bf16": True, **args})})
    return migrate(files, ["args.json"], target=to, versions=NEW, sets=("cluster.gpus_per_node=4",), **more)


def effective(plugin: dict[str, Any]) -> dict[str, Any]:
    """FSDP 1 has a strategy, and then looks at nothing else: accelerate 1.15.0 accelerator.py:1947."""
    one = plugin.get("fsdp_version") == 1
    return {name: value for name, value in plugin.items() if not (one and name == "reshard_after_forward")}


@pytest.mark.parametrize(("env", "name"), ROWS)
def test_the_real_plugin_is_the_same_before_and_behind_dsbridge(env: str, name: str) -> None:
    case = RECORDED[env]["cases"][name]
    assert effective(case["rendered_plugin"]) == effective(case["plugin"])
    assert effective(case["yaml_plugin"]) == effective(case["plugin"])


@pytest.mark.parametrize(("env", "name"), ROWS)
def test_what_was_recorded_is_what_is_rendered(env: str, name: str) -> None:
    case, versions = RECORDED[env]["cases"][name], RECORDED[env]["versions"]
    found = parsed(case["args"], versions, fsdp=RECORDED[env]["file"])
    again = json.loads(render(found.loaded, "trainer").files["training_args.json"])
    assert {key: again[key] for key in again if key.startswith("fsdp")} == case["rendered"]


LAUNCHED = [(env, name) for env, found in RECORDED.items() for name in found.get("launched", {})]


@pytest.mark.parametrize(("env", "name"), LAUNCHED)
def test_the_launchers_yaml_around_a_script_is_the_same_real_plugin_as_the_rendered_arguments(
    env: str, name: str
) -> None:
    case = RECORDED[env]["launched"][name]
    if "refused" in case:
        assert (env, case["refused"], case["section"]["fsdp_version"]) == ("hf-old", "TR028", 2)
        return
    before, after = effective(case["plugin"]), effective(case["rendered_plugin"])
    if case["told"]:  # Transformers 4 has no argument for it
        assert (env, case["told"]) == ("hf-old", ["TR022"])
        del before["state_dict_type"], after["state_dict_type"]
    if "error" not in before:  # accelerate 1.6.0 stops at its own default of min_num_params
        assert before == after
    assert ("error" in before) is ((env, name) == ("hf-old", "size"))


@pytest.mark.parametrize(("env", "name"), LAUNCHED)
def test_what_was_recorded_under_the_launcher_is_what_is_rendered(env: str, name: str) -> None:
    case, versions = RECORDED[env]["launched"][name], RECORDED[env]["versions"]
    top = {"distributed_type": "FSDP", "num_machines": 1, "num_processes": 2, "fsdp_config": case["section"]}
    texts = {"a.yaml": json.dumps(top), "train.py": SCRIPT}
    command = ["accelerate", "launch", "--config_file", "a.yaml", "train.py"]
    if "refused" in case:
        with pytest.raises(InputError):
            parse(Files(Path(), texts), command=command, source="trainer", versions=versions)
        return
    found = parse(Files(Path(), texts), command=command, source="trainer", versions=versions)
    again = json.loads(render(found.loaded, "trainer").files["training_args.json"])
    assert {key: again[key] for key in again if key.startswith("fsdp")} == case["rendered"]


def test_the_words_and_the_config_become_the_specs() -> None:
    config = {"fsdp_transformer_layer_cls_to_wrap": ["L"], "backward_prefetch": "backward_pre", "version": 1}
    found = parsed({"fsdp": "full_shard auto_wrap offload", "fsdp_config": config})
    assert fsdp(found) == {
        "version": 1,
        "sharding": "full_shard",
        "offload_params": True,
        "transformer_layer_cls": ("L",),
        "backward_prefetch": "backward_pre",
    }
    assert "frameworks" not in found.loaded.document.value


def test_a_named_file_is_read_in_place_of_the_words() -> None:
    found = parsed(
        {"fsdp": "full_shard auto_wrap", "fsdp_config": "f.json"}, OLD, f={"fsdp_min_num_params": 9}
    )
    assert fsdp(found) == {"version": 1, "sharding": "full_shard", "auto_wrap": "size", "min_num_params": 9}
    assert found.loaded.document.value["frameworks"]["trainer"] == {"fsdp": "full_shard auto_wrap"}


def test_a_prefix_in_a_mapping_is_dead_before_transformers_5() -> None:
    config = {"fsdp_transformer_layer_cls_to_wrap": ["L"]}
    found = parsed({"fsdp": "full_shard auto_wrap", "fsdp_config": config}, OLD)
    assert "transformer_layer_cls" not in fsdp(found)
    assert fsdp(parsed({"fsdp": "full_shard auto_wrap", "fsdp_config": config}))["transformer_layer_cls"] == (
        "L",
    )


def test_the_arguments_of_transformers_4_are_read() -> None:
    args = {"fsdp": "full_shard auto_wrap", "fsdp_transformer_layer_cls_to_wrap": "L"}
    assert fsdp(parsed(args, OLD))["transformer_layer_cls"] == ("L",)


def test_a_key_that_the_spec_lacks_stays_beside_the_others() -> None:
    found = parsed({"fsdp": True, "fsdp_config": {"version": 1, "limit_all_gathers": True}})
    assert found.loaded.document.value["frameworks"]["trainer"] == {
        "fsdp_config": {"limit_all_gathers": True}
    }
    again = json.loads(render(found.loaded, "trainer").files["training_args.json"])
    assert again["fsdp_config"] == {"version": 1, "limit_all_gathers": True}


def test_a_strategy_that_transformers_5_loses_is_told() -> None:
    args = {"fsdp": "shard_grad_op auto_wrap", "fsdp_config": {"version": 1}}
    found = parsed(args)
    assert fsdp(found)["sharding"] == "full_shard"
    assert [d.code for d in found.diagnostics] == ["TR029"]
    assert parsed(args, OLD).diagnostics[0].code == "PA003"  # `version` is what that one does not read
    named = parsed({**args, "env": {"FSDP_SHARDING_STRATEGY": "2"}})
    assert fsdp(named)["sharding"] == "shard_grad_op"
    assert not named.diagnostics
    assert render(named.loaded, "trainer").launch.env["FSDP_SHARDING_STRATEGY"] == "SHARD_GRAD_OP"


@pytest.mark.parametrize(
    ("args", "versions"),
    [
        ({"fsdp": ""}, NEW),
        ({"fsdp": False, "fsdp_config": {"version": 2}}, NEW),
        ({"fsdp_config": {"version": 2}}, NEW),
        ({"fsdp": "sharded"}, NEW),  # Transformers stops at each of these
        ({"fsdp": "offload"}, OLD),
        ({"fsdp": "full_shard shard_grad_op"}, OLD),
        ({"fsdp": "hybrid_shard", "fsdp_config": {"version": 2}}, NEW),
        (
            {
                "fsdp": "full_shard",
                "fsdp_config": {"min_num_params": 1, "transformer_layer_cls_to_wrap": "L"},
            },
            OLD,
        ),
        ({"fsdp": True, "fsdp_config": {"version": 3}}, NEW),
        ({"fsdp": True, "fsdp_config": {"xla": True}}, NEW),  # another program
        ({"fsdp": True, "fsdp_config": [1]}, NEW),
        ({"fsdp": 7}, NEW),
    ],
)
def test_what_is_no_fsdp_or_stops_is_kept_word_for_word(
    args: dict[str, Any], versions: dict[str, str]
) -> None:
    found = parsed(args, versions)
    assert fsdp(found) == {}
    assert found.loaded.document.value["frameworks"]["trainer"] == args


def test_a_config_that_is_not_there_stops_a_migration() -> None:
    args = {"fsdp": "full_shard", "fsdp_config": "gone.json"}
    assert [d.code for d in parsed(args).diagnostics] == ["PA007"]
    with pytest.raises(InputError, match=r"gone\.json"):
        moved(args, "accelerate")


def test_to_zero_and_to_accelerate() -> None:
    args = {"fsdp": "full_shard auto_wrap", "fsdp_config": {"transformer_layer_cls_to_wrap": "L"}}
    zero = (
        moved(args, "deepspeed", sets_batch=True) if False else moved(args, "llamafactory", sharding="zero")
    )
    assert zero.parsed.framework == "trainer"
    assert any(d.code == "MG001" for d in zero.diagnostics)
    found = moved(args, "trainer", sharding="zero")
    assert json.loads(found.artifacts.files["ds_config.json"])["zero_optimization"]["stage"] == 3
    assert "fsdp" not in json.loads(found.artifacts.files["training_args.json"])
    text = moved(args, "accelerate").artifacts.files["accelerate_config.yaml"]
    section = yaml.safe_load(text)["fsdp_config"]
    # the Trainer's defaults, where Accelerate's are others
    assert section["fsdp_auto_wrap_policy"] == "TRANSFORMER_BASED_WRAP"
    assert section["fsdp_cpu_ram_efficient_loading"] is False
    assert section["fsdp_version"] == 2


def test_no_switch_no_default() -> None:
    text = moved({"fsdp": ""}, "accelerate").artifacts.files["accelerate_config.yaml"]
    assert "fsdp" not in text


KEYS = ("version", "fsdp_version", "min_num_params", "backward_prefetch", "use_orig_params", "cpu_offload",
        "reshard_after_forward", "auto_wrap_policy", "transformer_layer_cls_to_wrap", "xla", "x")  # fmt: skip
VALUES = st.one_of(st.booleans(), st.integers(0, 3), st.none(), st.just(["L"]), st.text(max_size=4),
                   st.sampled_from(["true", "full_shard", "SIZE_BASED_WRAP", "backward_pre"]))  # fmt: skip


@given(
    st.one_of(VALUES, st.lists(VALUES, max_size=2), st.just("full_shard auto_wrap")),
    st.one_of(VALUES, st.dictionaries(st.sampled_from(KEYS), VALUES)),
    st.sampled_from(["4.51.3", "5.6.0", "5.23.0"]),
)
def test_nothing_is_lost_whatever_is_written(switch: Any, config: Any, version: str) -> None:
    args = {"fsdp": switch, "fsdp_config": config}
    found = parsed(args, {"transformers": version})
    names = {key[-1] for key in found.kept} | {key[-1] for c in found.claims.values() for key in c.keys}
    names |= {entry.key.rpartition(".")[2] for entry in found.unclaimed} | {key[-1] for key in found.consumed}
    wanted = set(config) if isinstance(config, dict) and config else {"fsdp_config"}
    assert wanted <= names
