"""A spec rendered inside a program: what the two builders of arguments share."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any, TypeAlias

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import InputError, Severity
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaves
from dsbridge.spec.load import Loaded, load_document, load_file, load_mapping

Spec: TypeAlias = "Loaded | Mapping[str, Any] | str | PathLike[str]"
_LOG = logging.getLogger("dsbridge.hooks")


class KeywordWarning(UserWarning):
    """A keyword contradicts the spec; the keyword wins."""


def loaded_from(spec: Spec, sets: tuple[str, ...] = ()) -> Loaded:
    """Read a spec, with changes as of `--set`.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(spec, Loaded):
        return load_document(spec.document, sets) if sets else spec
    return load_mapping(spec, sets) if isinstance(spec, Mapping) else load_file(fspath(spec), sets)


def with_ranks(loaded: Loaded) -> Loaded:
    """The spec with the number of ranks that launchers export, where it does not say any."""
    if any(path in leaves(loaded.spec) for path in ("cluster.gpus_per_node", "cluster.nodes")):
        return loaded
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    return loaded_from(loaded, (f"cluster.gpus_per_node={local}", f"cluster.nodes={world // local}"))


def rendered(loaded: Loaded, target: str) -> Artifacts:
    """What `dsbridge render` writes. What that would warn of goes to the log `dsbridge.hooks`, level INFO.

    Raises:
        InputError: the target refuses the spec.
    """
    artifacts = render(loaded, target)
    if artifacts.refused:
        raise InputError(artifacts.diagnostics)
    if first_rank():
        for found in artifacts.diagnostics:
            if found.severity is Severity.WARNING:
                _LOG.info("%s", found.to_text())
    return artifacts


def merged(name: str, ours: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The spec's arguments and the keywords over them, with a warning for each that says otherwise."""
    for key, value in given.items():
        if key in ours and ours[key] != value and first_rank():
            text = f"{key}={value!r} wins over {name}, which comes to {key}={ours[key]!r}"
            warnings.warn(text, KeywordWarning, stacklevel=4)
    return {**ours, **given}


def first_rank() -> bool:
    """Also where no process group is: as launchers export it."""
    return os.environ.get("RANK", "0") == "0"
