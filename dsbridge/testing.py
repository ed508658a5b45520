"""For plugin authors: specs to test with, and the promises every target must keep.

Needs `pip install dsbridge[test]`; nothing else in dsbridge imports this module.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import strategies as st

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import InputError
from dsbridge.plugins import Registry
from dsbridge.rendering import render
from dsbridge.spec import kinds
from dsbridge.spec.leaves import PASSED_THROUGH, kind_of, leaf_paths
from dsbridge.spec.load import Loaded, load_mapping

TEXTS = st.sampled_from(["a", "saves/run 1", "it's", "$HOME/x", "Qwen/Qwen2.5-7B", 'q"q', "größe"])


def values_of(kind: kinds.Kind) -> st.SearchStrategy[Any]:
    """Plain values that a kind accepts, edge cases included."""
    own = _values(kind)
    return own | st.just("auto") if kind.auto else own


def _values(kind: kinds.Kind) -> st.SearchStrategy[Any]:
    if isinstance(kind, kinds.Integer):
        least = kind.least if kind.least is not None else -1
        large = 5e8 if kind.most is None else min(5e8, kind.most)
        return st.integers(least, least + 8) | st.sampled_from([least, large])
    if isinstance(kind, kinds.Number):
        top = kind.most if kind.most is not None else 100.0
        return st.floats(kind.least or 0.0, top, allow_nan=False, width=32) | st.just(1e-4)
    if isinstance(kind, kinds.Boolean):
        return st.booleans()
    if isinstance(kind, kinds.Choice):
        return st.sampled_from(kind.options)
    if isinstance(kind, kinds.Text):
        return TEXTS
    if isinstance(kind, kinds.ListOf):
        most = kind.length or 3
        lists = st.lists(values_of(kind.item), min_size=kind.length or 1, max_size=most)
        return lists | st.sampled_from(kind.words) if kind.words else lists
    if isinstance(kind, kinds.Variables):
        return st.dictionaries(
            st.sampled_from(["A", "DEBUG", "_x1"]), TEXTS | st.just("two\nlines"), max_size=2
        )
    if isinstance(kind, kinds.Mapping_):
        return st.just({})
    raise TypeError(f"no strategy for {kind}")


# without these most targets refuse: a model, a number of GPUs, a batch, the length of the run
ESSENTIALS: dict[str, Any] = {
    "version": 1,
    "model": {"name_or_path": "m"},
    "cluster": {"nodes": 1, "gpus_per_node": 8},
    "batch": {"micro_per_gpu": 2, "accumulation": 2},
    "training": {"max_steps": 100},
    "optimizer": {"lr": 1e-4},
}


@st.composite
def spec_mappings(
    draw: st.DrawFn, frameworks: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Mappings in which every single value is right; together they may contradict each other.

    `frameworks` is what the target needs of its own, as {"mine": {"dataset": "d"}}.
    """
    paths = [p for p in leaf_paths() if p not in PASSED_THROUGH]
    chosen = random.Random(draw(st.integers(0, 2**32 - 1))).sample(paths, draw(st.integers(0, 20)))
    out: dict[str, Any] = {"version": 1}
    if draw(st.integers(0, 4)):
        out = copy.deepcopy(ESSENTIALS) | {"frameworks": copy.deepcopy(dict(frameworks or {}))}
    for path in sorted(chosen):
        *parents, last = path.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = draw(values_of(kind_of(path)))
    return out


@st.composite
def loaded_specs(draw: st.DrawFn, frameworks: Mapping[str, Mapping[str, Any]] | None = None) -> Loaded:
    """Valid specs: mappings from which the keys that contradict others have been taken out."""
    mapping = draw(spec_mappings(frameworks))
    while True:  # each round takes a key out, so it ends
        try:
            return load_mapping(mapping)
        except InputError as error:
            dropped = [_drop(mapping, (d.key or "").split(".")) for d in error.diagnostics]
            assert any(dropped), f"no finding names a key that is there: {error}"


def _drop(mapping: dict[str, Any], path: list[str]) -> bool:
    node: Any = mapping
    for key in path[:-1]:
        node = node.get(key, {})
    return node.pop(path[-1], None) is not None


def check_promises(loaded: Loaded, target: str, plugins: Registry | None = None) -> Artifacts:
    """What every target promises for every valid spec; AssertionError says which promise is broken.

    It renders or refuses with an error; twice gives the same; and what it writes loads back.
    """
    artifacts = render(loaded, target, plugins=plugins)
    assert artifacts == render(loaded, target, plugins=plugins), "rendering twice differs"
    assert artifacts.refused == (not artifacts.files), "refused with files, or neither"
    for name, text in artifacts.files.items():
        _loads_back(name, text)
    _strict(artifacts.to_json())
    return artifacts


def _loads_back(name: str, text: str) -> None:
    if name.endswith(".json"):
        _strict(json.loads(text))
    elif name.endswith((".yaml", ".yml")):
        assert isinstance(yaml.safe_load(text), dict), f"{name} holds no mapping"
    elif name.endswith(".py"):
        compile(text, name, "exec")
    elif name.endswith(".sh"):
        assert text.startswith("#!/usr/bin/env bash\n"), f"{name} names no shell"


def _strict(value: Any) -> None:
    json.dumps(value, allow_nan=False)
