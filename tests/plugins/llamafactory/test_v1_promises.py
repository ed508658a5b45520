"""The promises of every target, kept in V1's dialect: nothing dropped in silence, nothing untrue written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from dsbridge.explaining import explain
from dsbridge.faithful import unmet
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.leaves import NOT_FOR_FRAMEWORKS, leaf_paths
from dsbridge.spec.load import Loaded, load_mapping
from dsbridge.testing import check_promises, loaded_specs
from tests.meta.test_promises import PASSED_THROUGH, seen, two_values, with_value

OWN = {"llamafactory": {"dialect": "v1", "train_dataset": "rows.json"}}
FACTS = {"hidden_size": 64, "num_training_steps": 100, "gpus": 8}
PATHS = [path for path in leaf_paths() if path not in NOT_FOR_FRAMEWORKS and path not in PASSED_THROUGH]


def in_v1(path: str, value: Any) -> Loaded:
    return load_mapping({**with_value(path, value), "frameworks": OWN})


@pytest.mark.parametrize("path", PATHS)
def test_no_value_is_dropped_without_a_word(path: str) -> None:
    one, two = (render(in_v1(path, value), "llamafactory") for value in two_values(path))
    if one.refused and two.refused:
        named = {(finding.key or "").split(".")[0] for finding in one.diagnostics}
        assert path.split(".")[0] in named
    else:
        assert seen(one) != seen(two), f"V1 drops {path} in silence"


def test_any_valid_spec_is_rendered_or_refused_and_means_what_it_says() -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=150, deadline=None)
    @given(loaded=loaded_specs(OWN))
    def check(loaded: Loaded) -> None:
        artifacts = check_promises(loaded, "llamafactory")
        outcomes["refused" if artifacts.refused else "rendered"] += 1
        # DeepSpeed refuses legacy_stage1 by the stage, and what `stage: auto` becomes rendering does not know
        if not artifacts.refused and loaded.spec.zero.legacy_stage1 is not True:
            files = Files(Path(), dict(artifacts.files))
            found = explain(files, command=launch_words(artifacts), target="llamafactory", facts=FACTS)
            broken = unmet(loaded.spec, artifacts, found)
            assert not broken, "\n".join(map(str, broken))

    check()
    assert outcomes["rendered"] >= 10, outcomes
