"""The spec: what it takes, what stays unset, and the way back to a mapping."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from dsbridge.diagnostics import InputError
from dsbridge.formats.yaml import read_yaml
from dsbridge.spec import ParallelSpec
from dsbridge.spec.build import KNOWN_ELSEWHERE
from dsbridge.spec.leaves import leaf_paths, leaves, to_mapping, value_at
from dsbridge.spec.load import Loaded, load_document, load_file, load_mapping
from dsbridge.spec.setting import Section, declared_fields
from dsbridge.testing import kind_of, loaded_specs
from dsbridge.values import AUTO, UNSET

SKETCH = """
version: 1
model: {name_or_path: Qwen/Qwen2.5-7B-Instruct}
finetuning: {method: lora, rank: 16, alpha: 32, target_modules: [q_proj, v_proj], quantization_bits: 4}
cluster: {nodes: 1, gpus_per_node: 8, gpu: h100-80gb, interconnect: {intra: nvlink4, inter: ib-ndr}}
parallelism: {tp: 2, ulysses: 1, ep: 1}
zero: {stage: 1, offload_optimizer: {device: cpu, pin_memory: true}, reduce_bucket_size: 5e8}
batch: {micro_per_gpu: 4, accumulation: 4}
precision: {dtype: bf16, communication_dtype: fp32, grad_accumulation_dtype: fp32}
gradient_clipping: 1.0
optimizer: {type: adamw, lr: 1e-4, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1, owner: framework}
scheduler: {type: cosine, warmup_ratio: 0.03, owner: deepspeed}
training: {epochs: 3, max_steps: -1, sequence_length: 4096, gradient_checkpointing: true, seed: 42}
checkpoint: {universal: false, gather_16bit_weights: true, save_on_each_node: false}
launch: {kind: torchrun, master_addr: node0, master_port: 29500}
deepspeed: {}
frameworks: {llamafactory: {dataset: a, template: b}, xtuner: {}}
"""


def load_text(text: str) -> Loaded:
    return load_document(read_yaml(text))


def test_the_sketch_of_the_design_loads() -> None:
    spec = load_text(SKETCH).spec
    assert spec.optimizer.lr == 1e-4
    assert spec.zero.reduce_bucket_size == 500_000_000
    assert isinstance(spec.zero.reduce_bucket_size, int)
    assert spec.finetuning.target_modules == ("q_proj", "v_proj")
    assert spec.zero.allgather_bucket_size is UNSET


def test_unset_auto_and_values_are_kept_apart() -> None:
    spec = load_text("version: 1\nzero: {stage: auto, overlap_comm: false, sub_group_size: 0}\n").spec
    assert spec.zero.stage is AUTO
    assert spec.zero.overlap_comm is False
    assert spec.zero.sub_group_size == 0
    assert spec.zero.reduce_scatter is UNSET
    assert leaves(spec) == {
        "version": 1,
        "zero.stage": AUTO,
        "zero.overlap_comm": False,
        "zero.sub_group_size": 0,
    }
    assert copy.deepcopy(spec) == spec == pickle.loads(pickle.dumps(spec))


def test_null_is_not_given() -> None:
    assert load_text("version: 1\nzero:\nbatch: {micro_per_gpu: null}\n").spec == ParallelSpec(version=1)


def test_a_spec_is_frozen() -> None:
    spec = load_text(SKETCH).spec
    with pytest.raises(AttributeError, match=r"frozen: ParallelSpec.version"):
        spec.version = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"frozen: LeafModule.names"):
        del spec.zero.leaf_module.names
    with pytest.raises(TypeError, match="has no field zeros"):
        ParallelSpec(zeros=1)  # type: ignore[call-arg]
    assert repr(load_text("aio: {queue_depth: 8}").spec.aio) == "Aio(queue_depth=8)"


@given(loaded_specs())
def test_the_mapping_loads_back(loaded: Loaded) -> None:
    assert load_mapping(to_mapping(loaded.spec)).spec == loaded.spec


def test_sets_change_add_and_remove() -> None:
    document = read_yaml("version: 1\nzero: {stage: 2, overlap_comm: true}\n")
    sets = ["zero.stage=3", "zero.overlap_comm=", "batch.micro_per_gpu=2", "optimizer.betas=[0.9, 0.95]"]
    spec = load_document(document, sets).spec
    assert to_mapping(spec) == {
        "version": 1,
        "zero": {"stage": 3},
        "batch": {"micro_per_gpu": 2},
        "optimizer": {"betas": [0.9, 0.95]},
    }
    assert document.value == {"version": 1, "zero": {"stage": 2, "overlap_comm": True}}, "input unchanged"


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("\ufeff" + SKETCH, encoding="utf-8")
    assert load_file(path).spec == load_text(SKETCH).spec


def parts(of: type[Any]) -> list[type[Any]]:
    inner = [f.of for f in declared_fields(of).values() if isinstance(f, Section)]
    return [of, *(p for i in inner for p in parts(i))]


@pytest.mark.parametrize("part", parts(ParallelSpec), ids=lambda p: p.__name__)
def test_every_field_is_documented(part: type[Any]) -> None:
    assert part.__doc__
    for key, declared in declared_fields(part).items():
        if isinstance(declared, Section):
            assert declared.doc.endswith("."), key
        else:
            known = declared
            assert known.doc.endswith((".", ";", "1.")), f"{key}: {known.doc}"
            assert not known.deepspeed or known.source, f"{key} names a DeepSpeed key without its source"


def test_words_from_elsewhere_lead_to_fields_that_exist() -> None:
    known = set(leaf_paths()) | {"zero", "frameworks.<framework>.dataset", "frameworks.llamafactory.template"}
    assert {target.partition(":")[0] for target in KNOWN_ELSEWHERE.values()} <= known


@pytest.mark.parametrize("path", list(leaf_paths()))
def test_every_path_can_be_read(path: str) -> None:
    assert value_at(ParallelSpec(), path) is UNSET
    assert kind_of(path).json_schema()


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(InputError) as error:
        load_text("version: 3\nzeros: {}\nzero: {stage: 9}\nbatch: [1]\n")
    assert {d.key for d in error.value.diagnostics} == {"version", "zeros", "zero.stage", "batch"}
    assert all(d.line for d in error.value.diagnostics)
