"""What a live engine got, beside what was meant: the wishes of a spec, or a prediction field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.deepspeed.config import asks_for_deepspeed
from dsbridge.deepspeed.whole import whole
from dsbridge.explaining import Explanation, strict
from dsbridge.faithful import equal, wanted
from dsbridge.inputs import place_text
from dsbridge.reading import COMMAND
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import batch_numbers, dims
from dsbridge.spec.leaves import leaves, plain
from dsbridge.stories import ENGINE
from dsbridge.trees import flat
from dsbridge.values import AUTO, UNSET
from dsbridge.verification import compare

# Where a live engine answers for a key by another method than those of ENGINE.
_ASKED = {**ENGINE, "tensor_parallel.autotp_size": "autotp_size"}
_KEYS = {f"engine.{said}": path for path, said in _ASKED.items()}
# Who set a value that nothing in the user's files comes to; and one where those cannot be read.
RUNNING = "the program as it ran"
UNREAD = "somebody: what the run was started with cannot be read"
# What a spec says of an optimizer that DeepSpeed builds.
_PARAMS = ("lr", "betas", "eps", "weight_decay")


class Drift(NamedTuple):
    """One field that is not as meant.

    path: DeepSpeed's key, or `outcome`, `error.type`, `engine.NAME`, as `verify` names them. asked: where the
    expected value was asked for. set_by: who set the one that was found.
    """

    path: str
    expected: Any
    found: Any
    asked: str = ""
    set_by: str = ""

    def __str__(self) -> str:
        asked = f" ({self.asked})" if self.asked else ""
        by = f", set by {self.set_by}" if self.set_by else ""
        return f"`{self.path}`: expected {self.expected!r}{asked}, found {self.found!r}{by}"

    def to_json(self) -> dict[str, Any]:
        """As strict JSON; null for what is absent."""
        return {name: strict(value) for name, value in self._asdict().items()}


def facts_of(seen: Mapping[str, Any]) -> dict[str, Any]:
    """What an observed call settles, as facts for a prediction: ranks, and the config of the live model."""
    facts: dict[str, Any] = {}
    if isinstance(seen.get("world_size"), int):
        facts["world_size"] = seen["world_size"]
    model = seen.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("config"), Mapping):
        facts["model"] = dict(model["config"])
    return facts


def from_prediction(
    found: Explanation, seen: Mapping[str, Any], own: Explanation | None = None
) -> list[Drift]:
    """Every difference from what was predicted. own: the prediction for the run's own command."""
    drift = []
    for row in compare(found, seen):
        path = row["path"]
        story = next((entry for entry in found.fields if entry.path == path), None)
        asked = _place(story.source, found) if story else ""
        key = _KEYS.get(path, path)  # what the engine says of a key was set where the key was
        by = set_by(key, row["observed"], own, seen) if key in _leaves(seen) else ""
        drift.append(Drift(path, row["predicted"], row["observed"], asked, by))
    return drift


def from_spec(
    spec: ParallelSpec,
    seen: Mapping[str, Any],
    own: Explanation | None = None,
    name: str | Callable[[str], str] = "the spec",
) -> list[Drift]:
    """Every wish of the spec that does not hold; what it has no opinion of is not compared.

    name: how the spec is called in what is told, or what tells the place of one of its fields.
    """
    place = name if callable(name) else lambda _: name
    if seen.get("config") is None and not seen.get("engine"):
        if not (seen.get("error") or asks_for_deepspeed(spec)):
            return []  # FSDP, or plain data parallel: without DeepSpeed is as meant
        return [Drift("outcome", "deepspeed.initialize is called", _outcome(seen), place("zero"))]
    sharded = next((path for path in leaves(spec) if path.startswith("fsdp.")), "")
    if sharded:
        return [Drift("outcome", "FSDP", "deepspeed.initialize is called", place(sharded))]
    drift = [Drift("outcome", "an engine", _outcome(seen), place("zero"))] if seen.get("error") else []
    values = live_values(seen)
    for path, key, value in _wishes(spec, seen):
        effective = values.get(key, UNSET)
        if not equal(value, effective):
            by = set_by(key, effective, own, seen)
            drift.append(Drift(key, value, strict(effective), f"`{path}` of {place(path)}", by))
    return drift


def live_values(seen: Mapping[str, Any]) -> dict[str, Any]:
    """DeepSpeed's keys to what holds: defaults, then the config, then what the engine says of itself."""
    version = (seen.get("versions") or {}).get("deepspeed", "")
    blocks = {path: value for path, value in _leaves(seen).items() if path.startswith("optimizer.")}
    values = {**whole(seen.get("config"), version).values, **blocks}
    engine = seen.get("engine") or {}
    return values | {path: engine[said] for path, said in _ASKED.items() if engine.get(said) is not None}


def _wishes(spec: ParallelSpec, seen: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Path of the spec, DeepSpeed's key, and the value asked for."""
    for path, (key, value) in wanted(spec).items():
        yield path, key, value
    if spec.precision.dtype == "fp16":
        yield "precision.dtype", "fp16.enabled", True
    if spec.optimizer.owner == "deepspeed":
        said = leaves(spec)
        for name in (name for name in _PARAMS if said.get(f"optimizer.{name}", AUTO) is not AUTO):
            yield f"optimizer.{name}", f"optimizer.params.{name}", plain(said[f"optimizer.{name}"])
    for key, value in flat(dict(spec.deepspeed)).items() if spec.deepspeed else ():
        yield f"deepspeed.{key}", key, value
    wish, layout, world = batch_numbers(spec).global_, dims(spec), seen.get("world_size")
    # under tp and Ulysses DeepSpeed counts ranks that share samples as if they did not
    if wish is not None and isinstance(world, int) and layout.tp * layout.ulysses == 1:
        yield "batch.global", "train_batch_size", wish


def set_by(path: str, value: Any, own: Explanation | None, seen: Mapping[str, Any]) -> str:
    """Who set the value that was found: a place of the user's, a framework's rule, or nobody foreseen."""
    story = next((entry for entry in own.fields if entry.path == path), None) if own else None
    if story is None or not equal(value, story.value):
        absent = value is UNSET or path not in _leaves(seen)
        return "nobody: DeepSpeed's default" if absent else _while_running(seen) if own else UNREAD
    steps = [f"{step.rule.title} ({step.rule.code})" for step in story.steps]
    place = _place(story.source, own)
    return ": ".join(part for part in (place, "; ".join(steps)) if part)


def _while_running(seen: Mapping[str, Any]) -> str:
    at = seen.get("at")
    return RUNNING + (f", before deepspeed.initialize at {at}" if at else "")


def _leaves(seen: Mapping[str, Any]) -> dict[str, Any]:
    config = seen.get("config")
    return flat(config) if isinstance(config, Mapping) else {}


def _place(source: Any, found: Explanation | None) -> str:
    if source is None or found is None:
        return ""
    if source.file != COMMAND:
        return place_text(source)
    # the word itself: its number counts words that nobody typed, where the command was put together
    setup = found.input.setup
    environ = [f"{name}={value}" for name, value in setup.given_environ.items()]
    before = len(setup.whole) - len(setup.words.items)
    at = len(environ) + before + (source.column or 0) - setup.words.first
    words = [*environ, *setup.whole]
    if not 0 <= at < len(words):
        return "the command"
    flag = words[at].startswith("--") and "=" not in words[at]
    return f"`{' '.join(words[at : at + 1 + flag])}` of the command"


def _outcome(seen: Mapping[str, Any]) -> str:
    error = seen.get("error")
    if error:
        return f"{error['type']}: {error['message']}"
    return "deepspeed.initialize is never called"
