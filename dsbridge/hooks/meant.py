"""What the run is meant to be: the wishes of a spec, or a framework's file and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, NamedTuple, TypeAlias

from dsbridge.against import Drift, facts_of, from_prediction, from_spec
from dsbridge.explaining import Explanation
from dsbridge.inputs import place_text
from dsbridge.prediction import is_spec, predict
from dsbridge.reading import Files
from dsbridge.spec.load import Loaded, load_file, load_mapping

Given: TypeAlias = "Loaded | Mapping[str, Any] | str | PathLike[str] | Sequence[str]"


class Meant(NamedTuple):
    """name: how it is called in what is told. compare: the differences of an observed call from it.

    The second argument of `compare` is the prediction for the run's own command, if there is one.
    """

    name: str
    compare: Callable[[Mapping[str, Any], Explanation | None], list[Drift]]


def meant(given: Given, target: str = "", facts: Mapping[str, Any] | None = None) -> Meant:
    """Read a spec, or framework files (a path, or several).

    target: the framework that reads the files. With a spec: compare with all that the spec comes to as
    rendered for it, not with the spec's own wishes alone. facts: about the run, for a prediction.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(given, Loaded):
        return _spec(given, "")
    if isinstance(given, Mapping):
        return _spec(load_mapping(given), "the spec")
    single = isinstance(given, str | PathLike)
    names = [fspath(given)] if isinstance(given, str | PathLike) else [fspath(name) for name in given]
    if single and not target and is_spec(Files(), names[0]):
        return _spec(load_file(names[0]), names[0])
    told = dict(facts or {})
    predict(names, (), target, told)  # what cannot be read is said now, not after an hour of loading
    spec = single and is_spec(Files(), names[0])

    def compare(seen: Mapping[str, Any], own: Explanation | None) -> list[Drift]:
        found = predict(names, (), target, {**facts_of(seen), **told}, seen.get("versions") or {})
        drift = from_prediction(found, seen, own)
        # the files that a spec is rendered to exist nowhere
        return [entry._replace(asked=f"as {names[0]} is rendered") for entry in drift] if spec else drift

    return Meant(", ".join(names), compare)


def _spec(loaded: Loaded, name: str) -> Meant:
    document = loaded.document
    name = name or document.file

    def place(path: str) -> str:
        return place_text(document.at(tuple(path.split(".")))) if document.values else name

    def compare(seen: Mapping[str, Any], own: Explanation | None) -> list[Drift]:
        return from_spec(loaded.spec, seen, own, place)

    return Meant(name, compare)
