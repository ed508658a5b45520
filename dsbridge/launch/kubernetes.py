"""Objects of Kubeflow: a ConfigMap with the files, and a TrainJob or the older PyTorchJob.

The words go into `command` as a list, so no shell reads them. Kubernetes itself replaces `$(NAME)` in them
and turns `$$` into `$` (k8s.io/kubernetes third_party/forked/golang/expansion), so each `$` is doubled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.formats.yaml_text import to_yaml
from dsbridge.framework import Launch, RenderRequest
from dsbridge.launch.outer import Node, Outer
from dsbridge.launch.script import Joined, Variable, Word
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import dims
from dsbridge.spec.launching import Kubernetes
from dsbridge.values import UNSET

NO_IMAGE = Code("LN010", "no-image", Severity.ERROR, "A PyTorchJob needs an image.")
BAD_NAME = Code("LN011", "kubernetes-name", Severity.ERROR, "Kubernetes does not take the name.")
NO_GPUS = Code("LN012", "gpus-unknown", Severity.WARNING, "The pods ask for no GPUs.")
RESERVED = Code("LN013", "reserved-variable", Severity.ERROR, "Kubeflow sets this variable itself.")
UNSET_THERE = Code("LN014", "unset-in-pod", Severity.ERROR, "The pods need a variable that nobody sets.")
CODES = (NO_IMAGE, BAD_NAME, NO_GPUS, RESERVED, UNSET_THERE)
CONFIG_MAP = "configmap.yaml"
SAYS = frozenset({f"launch.kubernetes.{name}" for name in Kubernetes.__declared__} | {"launch.kind"})
_TRAINJOB_ONLY = frozenset({"launch.kubernetes.runtime", "launch.kubernetes.trainer"})
_ROOT = "/workspace"
# RFC 1123 labels, as the API server demands of names that become host names
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# what both operators set in a container: Trainer 2.3.0 pkg/constants/constants.go:190-203 and 300, Training
# Operator 1.9.0 pkg/controller.v1/pytorch/envvar.go:34-38, master.go:15-20
_KUBEFLOW = ("PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")


def objects(request: RenderRequest, node: Node) -> Outer:
    """The objects, and `kubectl apply` for them."""
    spec = request.spec
    asked = spec.launch.kubernetes
    old = asked.api == "pytorchjob"
    name = "pytorchjob.yaml" if old else "trainjob.yaml"
    mounts, volumes = _volumes(spec, node)
    job = (_pytorchjob if old else _trainjob)(spec, node, mounts, volumes)
    text = f"# {request.header()}\n" + "".join(f"# {note}\n" for note in node.notes) + to_yaml(job)
    files = {name: text}
    if asked.claim is UNSET:
        files = {CONFIG_MAP: f"# {request.header()}\n" + to_yaml(_config_map(spec, node)), **files}
    env = {key: str(word) for key, word in node.env.items()}
    launch = Launch(env, tuple(str(word) for word in node.argv), text)
    words = "kubectl apply " + " ".join(f"-f {file}" for file in files)
    operator = "Kubeflow's Training Operator" if old else "Kubeflow Trainer"
    told = f"`launch.kind: kubernetes`: {name} is for {operator}"
    says = SAYS - _TRAINJOB_ONLY if old else SAYS
    return Outer(launch, files, says, told, f"Create it with: {words}", tuple(_wrong(spec, node, old)))


def escaped(word: Word) -> str:
    """A word as Kubernetes reads it back: a variable by `$(NAME)`, every other `$` doubled."""
    if isinstance(word, Joined):
        return "".join(escaped(part) for part in word.parts)
    if isinstance(word, Variable):
        return f"$({word.name})" if word.name in _KUBEFLOW else word.default.replace("$", "$$")
    return word.replace("$", "$$")


def _name(spec: ParallelSpec) -> str:
    return str(spec.launch.kubernetes.name or "dsbridge")


def _folder(spec: ParallelSpec) -> str:
    return str(spec.launch.kubernetes.folder or _ROOT)


def _wrong(spec: ParallelSpec, node: Node, old: bool) -> list[Diagnostic]:
    found = []
    if old and spec.launch.kubernetes.image is UNSET:
        message = "a PyTorchJob has no runtime that brings an image"
        hint = "Write `launch.kubernetes.image: registry/name:tag`."
        found.append(NO_IMAGE(message, hint=hint, key="launch.kubernetes"))
    if not _LABEL.fullmatch(_name(spec)):
        message = f"`launch.kubernetes.name: {_name(spec)}` is no name of an object"
        hint = "Take small letters, digits and dashes, 63 at most."
        found.append(BAD_NAME(message, hint=hint, key="launch.kubernetes.name"))
    for name in [name for name in node.env if name in _KUBEFLOW]:
        message = f"`launch.env.{name}`: Kubeflow sets it, and refuses a job that does"
        found.append(RESERVED(message, hint="Remove it.", key="launch.env"))
    for word in [*node.argv, *node.env.values()]:
        if isinstance(word, Variable) and word.required and word.name not in _KUBEFLOW:
            message = f"the launch asks for {word.name}, which no pod has: {word.required}"
            found.append(UNSET_THERE(message, hint="Give `cluster.gpus_per_node`.", key="cluster"))
    if dims(spec).local_world_size is None:
        message = "the number of GPUs of a node is not given: the pods ask for none"
        found.append(NO_GPUS(message, hint="Give `cluster.gpus_per_node`.", key="cluster"))
    return found


def _meta(spec: ParallelSpec) -> dict[str, Any]:
    space = spec.launch.kubernetes.namespace
    return {"name": _name(spec), **({} if space is UNSET else {"namespace": str(space)})}


def _config_map(spec: ParallelSpec, node: Node) -> dict[str, Any]:
    """Names of a ConfigMap are letters, digits, dots, dashes and underscores: the n-th file is `n`."""
    data = {f"file-{index}": text for index, text in enumerate(node.files.values())}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(spec), "data": data}


def _volumes(spec: ParallelSpec, node: Node) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A claim mounted at the folder, or each file of the ConfigMap at its own place in the image's folder."""
    claim, folder = spec.launch.kubernetes.claim, _folder(spec)
    if claim is not UNSET:
        volume = {"name": "files", "persistentVolumeClaim": {"claimName": str(claim)}}
        return [{"name": "files", "mountPath": folder}], [volume]
    mounts = [
        {"name": "files", "mountPath": f"{folder.rstrip('/')}/{file}", "subPath": f"file-{index}"}
        for index, file in enumerate(node.files)
    ]
    return mounts, [{"name": "files", "configMap": {"name": _name(spec)}}]


def _command(spec: ParallelSpec, node: Node) -> list[str]:
    """`env` sets folder and variables: it sees what the operator adds behind the container's own."""
    own = [f"{name}={escaped(word)}" for name, word in node.env.items() if not isinstance(word, str)]
    return ["env", f"--chdir={escaped(_folder(spec))}", *own, *map(escaped, node.argv)]


def _env(node: Node) -> list[dict[str, str]]:
    plain = {name: word for name, word in node.env.items() if isinstance(word, str)}
    return [{"name": name, "value": escaped(word)} for name, word in plain.items()]


def _resources(spec: ParallelSpec) -> dict[str, Any]:
    gpus = dims(spec).local_world_size
    name = str(spec.launch.kubernetes.gpu_resource or "nvidia.com/gpu")
    return {} if gpus is None else {"limits": {name: gpus}, "requests": {name: gpus}}


def _trainjob(spec: ParallelSpec, node: Node, mounts: list[Any], volumes: list[Any]) -> dict[str, Any]:
    asked, layout = spec.launch.kubernetes, dims(spec)
    gpus, resources = layout.local_world_size, _resources(spec)
    trainer = {
        **({} if asked.image is UNSET else {"image": str(asked.image)}),
        "numNodes": layout.nodes,
        **({} if gpus is None else {"numProcPerNode": gpus}),
        "command": _command(spec, node),
        **({"env": env} if (env := _env(node)) else {}),
        **({"resourcesPerNode": resources} if resources else {}),
    }
    body = {"runtimeRef": {"name": str(asked.runtime or "torch-distributed")}, "trainer": trainer}
    release = str(asked.trainer or "2.3")
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": _meta(spec),
        "spec": {**body, **_PATCHES[release](mounts, volumes)},
    }


def _patch_20(mounts: list[Any], volumes: list[Any]) -> dict[str, Any]:
    containers = [{"name": "node", "volumeMounts": mounts}]
    part = {"targetJobs": [{"name": "node"}], "volumes": volumes, "containers": containers}
    return {"podSpecOverrides": [part]}


def _patch_21(mounts: list[Any], volumes: list[Any]) -> dict[str, Any]:
    spec = {"volumes": volumes, "containers": [{"name": "node", "volumeMounts": mounts}]}
    return {"podTemplateOverrides": [{"targetJobs": [{"name": "node"}], "spec": spec}]}


def _patch_22(mounts: list[Any], volumes: list[Any]) -> dict[str, Any]:
    pods = {"spec": {"volumes": volumes, "containers": [{"name": "node", "volumeMounts": mounts}]}}
    jobs = [{"name": "node", "template": {"spec": {"template": pods}}}]
    runtime = {"template": {"spec": {"replicatedJobs": jobs}}}
    return {"runtimePatches": [{"manager": "dsbridge.dev/launch", "trainingRuntimeSpec": runtime}]}


# How a TrainJob adds to its runtime's pods, by release of Kubeflow Trainer: its CRD says so
# (manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml of v2.0.0, v2.1.0, v2.2.0 and v2.3.0).
_PATCHES: Mapping[str, Any] = {"2.0": _patch_20, "2.1": _patch_21, "2.2": _patch_22, "2.3": _patch_22}


def _pytorchjob(spec: ParallelSpec, node: Node, mounts: list[Any], volumes: list[Any]) -> dict[str, Any]:
    """The container is called pytorch (Training Operator 1.9.0 apis/kubeflow.org/v1/pytorch_types.go)."""
    layout, resources = dims(spec), _resources(spec)
    container = {
        "name": "pytorch",
        "image": str(spec.launch.kubernetes.image or ""),
        "command": _command(spec, node),
        **({"env": env} if (env := _env(node)) else {}),
        **({"resources": resources} if resources else {}),
        "volumeMounts": mounts,
    }
    template = {"spec": {"containers": [container], "volumes": volumes}}

    def replicas(count: int) -> dict[str, Any]:
        return {"replicas": count, "restartPolicy": "OnFailure", "template": template}

    workers = {"Worker": replicas(layout.nodes - 1)} if layout.nodes > 1 else {}
    gpus = layout.local_world_size
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": _meta(spec),
        "spec": {
            **({} if gpus is None else {"nprocPerNode": str(gpus)}),
            "pytorchReplicaSpecs": {"Master": replicas(1), **workers},
        },
    }
