"""One input parsed, rendered back and resolved: what DeepSpeed receives before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsbridge.explaining import Explanation, engine_defaults, explain
from dsbridge.parsing import parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.trees import flat

_FACTS = {"num_training_steps": 100, "hidden_size": 4096}


def differences(folder: Path, words: list[str]) -> tuple[str, list[str]]:
    """How a command fares, and the fields that differ behind the round trip."""
    files = Files(folder)
    before = explain(files, (), words, facts=dict(_FACTS))
    parsed = parse(files, (), words, facts=dict(_FACTS))
    artifacts = render(parsed.loaded, parsed.framework)
    if artifacts.refused:
        codes = sorted({d.code for d in artifacts.diagnostics if d.severity.value == "error"})
        return f"resolve {before.outcome}, render refused: {', '.join(codes)}", []
    texts = Files(folder, artifacts.files, alone=False)
    after = explain(texts, (), launch_words(artifacts), target=parsed.framework, facts=dict(_FACTS))
    if before.outcome != "ok":
        return f"resolve refused before, {after.outcome} after", []
    if after.outcome != "ok":
        return "differs", [str(after.error)]
    a, b = _effective(before), _effective(after)
    lines = [f"{k}: {a.get(k)!r} -> {b.get(k)!r}" for k in {**a, **b} if a.get(k) != b.get(k)]
    return ("differs" if lines else "same"), lines


def _effective(found: Explanation) -> dict[str, Any]:
    """The config with its defaults."""
    if found.config is None:
        return {"config": None}
    given = flat(found.config)
    return {**given, **{key: value for key, value in engine_defaults(found).items() if key not in given}}
