"""The story of every field: what was asked, what holds, where it was written, and each step in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dsbridge.inputs import Input
from dsbridge.provenance import Source
from dsbridge.resolve import Outcome
from dsbridge.rules import Phase, Step
from dsbridge.trees import flat, lookup
from dsbridge.values import UNSET, Unknown

# Nobody asked and no framework acted: DeepSpeed's default. For people a group of its own; in JSON, whose
# words are fixed, it is `filled`.
DEFAULT = "default"


class Story(NamedTuple):
    """One field. `path` is DeepSpeed's key; `status` one of the contract's words, or DEFAULT."""

    path: str
    value: Any
    requested: Any
    source: Source | None
    status: str
    steps: tuple[Step, ...]


# What the live engine says, by the config's own path.
ENGINE = {
    "train_batch_size": "train_batch_size",
    "train_micro_batch_size_per_gpu": "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "gradient_clipping",
    "zero_optimization.stage": "zero_stage",
    "fp16.enabled": "fp16",
    "bf16.enabled": "bf16",
}


def engine_values(outcome: Outcome) -> dict[str, Any]:
    """What the built engine says of itself, as far as the run gets there."""
    made = outcome.trees.get("made") or {}
    return {path: made[name] for path, name in ENGINE.items() if name in made}


def stories(found: Input, outcome: Outcome, trees: Mapping[str, Any]) -> Iterator[Story]:
    """Every field of the user's config and of the effective one, in the order they first appear.

    trees: as they were before the first rule.
    """
    asked = flat(trees.get("ds") or {})
    final = outcome.trees.get("ds") if outcome.config is None else outcome.config
    reached = flat(final) if isinstance(final, Mapping) else {}
    steps = _by_field(outcome)
    engine = outcome.trees.get("engine") or {}
    built = engine_values(outcome)
    at_fault = set(outcome.refused.fields) if outcome.refused else set()
    for path in dict.fromkeys([*asked, *reached, *steps]):
        own = tuple(steps.get(path, ()))
        value = built.get(path, lookup(engine, path) if engine else reached.get(path, UNSET))
        noted = any(step.rule.asked is not None for step in own)
        if not path or (path not in asked and path not in reached and value is UNSET and not noted):
            continue
        if isinstance(value, dict) and value:
            continue  # a block in the place of a scalar: its leaves tell
        whence = _whence(own, outcome, found.reading.sources, trees)
        elsewhere = lookup(trees, whence) if whence else UNSET
        requested = asked.get(path, UNSET)
        status = _status(requested, elsewhere, value, own)
        if path in at_fault or f"ds.{path}" in at_fault:
            status = "refused"
        source = found.reading.sources.get(whence or f"ds.{path}")
        yield Story(path, value, _wish(requested, elsewhere, own), source, status, own)


def _by_field(outcome: Outcome) -> dict[str, list[Step]]:
    """The steps of each field; one that wrote a block belongs to each of its leaves."""
    steps: dict[str, list[Step]] = {}
    for path, made in outcome.steps.items():
        root, _, rest = path.partition(".")
        if root in ("ds", "engine"):
            for step in made:
                _spread(rest, step, steps)
    for note in outcome.notes:
        steps.setdefault(str(note.rule.writes).partition(".")[2], []).append(note)
    return steps


def _spread(path: str, step: Step, steps: dict[str, list[Step]]) -> None:
    if not isinstance(step.after, dict) or not step.after:
        steps.setdefault(path, []).append(step)
        return
    for leaf, value in flat(step.after).items():
        before = lookup(step.before, leaf) if isinstance(step.before, Mapping) else UNSET
        here = f"{path}.{leaf}" if path else leaf
        part = step._replace(before=before, after=value, origin=step.origins.get(leaf, ""))
        if before is UNSET or before != value:
            steps.setdefault(here, []).append(part)


def _whence(
    steps: Sequence[Step], outcome: Outcome, sources: Mapping[str, Source], trees: Mapping[str, Any]
) -> str:
    """The place in the user's input that the value was last taken from, through other trees if need be."""
    for step in reversed(steps):
        path = str(step.origin)
        for _ in range(len(outcome.steps)):
            if not path or (path in sources and lookup(trees, path) is not UNSET):
                break
            path = _before(path, outcome)
        if path in sources:
            return path
    return ""


def _before(path: str, outcome: Outcome) -> str:
    """Where the value at a path was itself taken from: by a step of its own, or of a block around it."""
    made = outcome.steps.get(path)
    if made:
        return str(made[-1].origin)
    block, _, leaf = path.rpartition(".")
    while block:
        for step in reversed(outcome.steps.get(block, ())):
            if leaf in step.origins:
                return str(step.origins[leaf])
        block, _, name = block.rpartition(".")
        leaf = f"{name}.{leaf}"
    return ""


def _wish(requested: Any, elsewhere: Any, steps: Sequence[Step]) -> Any:
    """What was asked in the config, or elsewhere for it."""
    if requested is not UNSET:
        return requested
    noted = next((step.before for step in steps if step.rule.asked is not None), UNSET)
    return noted if noted is not UNSET else elsewhere


def _status(requested: Any, elsewhere: Any, value: Any, steps: Sequence[Step]) -> str:
    """kept, filled, overwritten, ignored, forced or unresolved."""
    if isinstance(value, Unknown):
        return "unresolved"
    if any(step.rule.asked is not None and step.after is UNSET for step in steps):
        return "ignored"
    if requested is UNSET:
        if elsewhere is not UNSET:
            return "kept" if _said(elsewhere) == _said(value) else "filled"
        return "filled" if any(step.before == "auto" for step in steps) else "forced"
    if requested == value and type(requested) is type(value):
        return "unresolved" if requested == "auto" else "kept"
    if requested == "auto":
        return "ignored" if steps and steps[-1].phase is Phase.ENGINE else "filled"
    return "ignored" if value is UNSET else "overwritten"


def _said(value: Any) -> str:
    """As text: an environment variable holds the same number in quotes."""
    return str(value).lower()
