"""What is written for Kubernetes, against Kubeflow's own schemas (tests/kubeflow)."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dsbridge.launch.kubernetes import escaped
from dsbridge.launch.script import Joined, Variable
from tests.launch.launches import GPUS, NODES, PAIRS, launched

FOLDER = Path(__file__).parent.parent / "kubeflow"
TARGETS = sorted({target for target, kind in PAIRS if kind == "kubernetes"})
RELEASES = {"2.0": "v2.0.1", "2.1": "v2.1.0", "2.2": "v2.2.1", "2.3": "v2.3.0"}


def crd(name: str) -> dict[str, Any]:
    """A schema as it was harvested."""
    found = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    assert isinstance(found, dict)
    return found


def closed(schema: Any) -> Any:
    """The same, refusing unknown fields: a structural schema drops them without a word."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    free = made.get("x-kubernetes-preserve-unknown-fields")
    if made.get("type") == "object" and "properties" in made and not free:
        made.setdefault("additionalProperties", False)
    return made


def problems(name: str, document: dict[str, Any]) -> list[str]:
    """What the API server would find in it, and unknown fields."""
    known = crd(name)
    schema = closed(known["schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # the API server's own, not the CRD's
    assert (document["apiVersion"], document["kind"]) == (known["apiVersion"], known["kind"])
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)
    ]


def job(target: str, **kubernetes: Any) -> dict[str, Any]:
    made = launched(target, "kubernetes", env={"A": "$(PET_NODE_RANK) $x"}, kubernetes=kubernetes)
    assert not made.refused, made.diagnostics
    name = "pytorchjob.yaml" if kubernetes.get("api") == "pytorchjob" else "trainjob.yaml"
    document = yaml.safe_load(made.files[name])
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_trainjob_is_what_each_release_takes(target: str, release: str) -> None:
    document = job(target, trainer=release, image="i:1", namespace="ns")
    assert problems(f"trainjob-{RELEASES[release]}", document) == []
    trainer = document["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (NODES, GPUS)


@pytest.mark.parametrize("claim", [{}, {"claim": "files"}])
@pytest.mark.parametrize("target", TARGETS)
def test_a_pytorchjob_is_what_the_operator_takes(target: str, claim: dict[str, str]) -> None:
    document = job(target, api="pytorchjob", image="i:1", **claim)
    assert problems("pytorchjob-v1.9.0", document) == []
    replicas = document["spec"]["pytorchReplicaSpecs"]
    assert sum(part["replicas"] for part in replicas.values()) == NODES


def test_a_field_of_another_release_is_found() -> None:
    """The proof can fail: what 2.3 calls runtimePatches is unknown to 2.0."""
    assert problems("trainjob-v2.0.1", job("trainer", trainer="2.3")) != []
    broken = copy.deepcopy(job("trainer", trainer="2.3"))
    broken["spec"]["trainer"]["numNodes"] = "2"
    assert problems("trainjob-v2.3.0", broken) == ["$.spec.trainer.numNodes: '2' is not of type 'integer'"]


def test_every_file_is_mounted_where_the_words_look_for_it() -> None:
    made = launched("trainer", "kubernetes")
    document = yaml.safe_load(made.files["trainjob.yaml"])
    (patch,) = document["spec"]["runtimePatches"]
    (part,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = part["template"]["spec"]["template"]["spec"]
    data = yaml.safe_load(made.files["configmap.yaml"])["data"]
    mounted = {mount["mountPath"]: data[mount["subPath"]] for mount in pod["containers"][0]["volumeMounts"]}
    own = {name: text for name, text in made.files.items() if name not in ("trainjob.yaml", "configmap.yaml")}
    assert mounted == {f"/workspace/{name}": text for name, text in own.items()}
    assert document["spec"]["trainer"]["command"][:3] == ["env", "--chdir=/workspace", "torchrun"]


def test_kubernetes_reads_every_dollar_back() -> None:
    words = job("trainer")["spec"]["trainer"]["env"]
    assert {"name": "A", "value": "$$(PET_NODE_RANK) $$x"} in words


def expanded(text: str, known: dict[str, str]) -> str:
    """k8s.io/kubernetes third_party/forked/golang/expansion/expand.go, by its own description: `$$` is a
    dollar, `$(NAME)` the variable where it is known, and anything else stays."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "$" and text[at + 1 : at + 2] == "$":
            out, at = out + "$", at + 2
        elif text[at] == "$" and text[at + 1 : at + 2] == "(" and ")" in text[at:]:
            name = text[at + 2 : text.index(")", at)]
            out, at = out + known.get(name, f"$({name})"), at + len(name) + 3
        else:
            out, at = out + text[at], at + 1
    return out


@settings(max_examples=200)
@given(text=st.text(st.sampled_from("$()aA P_\n'\"")))
def test_no_value_is_expanded(text: str) -> None:
    assert expanded(escaped(text), {"a": "no", "A": "no", "P": "no"}) == text


def test_variables_are_those_that_kubeflow_sets() -> None:
    known = {"PET_MASTER_ADDR": "host"}
    where = Joined((Variable("PET_MASTER_ADDR", required="r"), ":", Variable("MASTER_PORT", "29500")))
    assert expanded(escaped(where), known) == "host:29500"


@pytest.mark.parametrize(
    ("launch", "code"),
    [
        ({"kubernetes": {"api": "pytorchjob"}}, "LN010"),
        ({"kubernetes": {"name": "No_Name"}}, "LN011"),
        ({"env": {"PET_NNODES": "3"}}, "LN013"),
    ],
)
def test_what_kubernetes_would_refuse(launch: dict[str, Any], code: str) -> None:
    made = launched("trainer", "kubernetes", **launch)
    assert made.refused
    assert code in [d.code for d in made.diagnostics]
