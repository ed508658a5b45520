"""The diff pass: do two inputs train the same, and what does each difference mean?

Compared is what DeepSpeed makes of each config (defaults, older names, "auto"), the true batch, optimizer
and learning-rate curve, whether the framework trains at all, and what is trained (`trained.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from dsbridge.bounds import OUTSIDE
from dsbridge.deepspeed.meanings import NOTHING, RESOURCES, RESULT, Meaning, meaning_of
from dsbridge.deepspeed.whole import whole
from dsbridge.diagnostics import Diagnostic
from dsbridge.explaining import NEEDS, NOT_VERIFIED, REFUSED, Explanation, flags, strict
from dsbridge.optimizing import optimizing, warmup
from dsbridge.sides import Read
from dsbridge.stories import engine_values
from dsbridge.trained import trained
from dsbridge.values import UNSET, Unknown

KINDS = (RESULT, RESOURCES, NOTHING)
_Z = "zero_optimization."
_OFFLOADS = ("offload_param", "offload_optimizer")
# A block that is off on both sides: nobody reads its other keys.
_SWITCHES = {
    **{
        f"{name}.enabled": (False, f"{name} is off on both sides")
        for name in ("fp16", "bf16", "torch_autocast", "hybrid_engine", "comms_logger", "flops_profiler")
    },
    **{
        f"{name}.enabled": (False, f"{name} is off")
        for name in ("tensorboard", "wandb", "csv_monitor", "comet")
    },
    **{f"{_Z}{name}.device": ("none", f"{name} is off on both sides") for name in _OFFLOADS},
    "compile.deepcompile": (False, "DeepCompile is off on both sides"),
}
_STAGE = f"{_Z}stage"
_STAGE_3 = (f"{_Z}stage3_", f"{_Z}offload_param.", f"{_Z}leaf_module.")
# Facts that are of the machine or the run: given for one side, they hold for the other.
_SHARED = frozenset({"world_size", "local_world_size", "gpus", "num_training_steps", "hidden_size"})
_CANNOT = "cannot be compared"
_BATCH = ("batch.global", "batch.data_parallel")


class Difference(NamedTuple):
    """One place where the two differ. UNSET: there is no such value on that side."""

    path: str
    a: Any
    b: Any
    meaning: Meaning

    def to_json(self) -> dict[str, Any]:
        """The shape the CLI contract fixes; null for what is absent or unknown."""
        return {"path": self.path, "a": strict(self.a), "b": strict(self.b), "meaning": str(self.meaning)}


class Diff(NamedTuple):
    """Both sides, and their differences, those that change the result first."""

    a: Explanation
    b: Explanation
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """True when both train the same in the same way."""
        return all(entry.meaning.kind == NOTHING for entry in self.differences)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Versions that were never recorded, refusals, and how to say what is not known."""
        told = dict.fromkeys((*self.a.diagnostics, *self.b.diagnostics))
        needs = {
            name
            for entry in self.differences
            if entry.meaning.reason.startswith(_CANNOT)
            for value in (entry.a, entry.b)
            if isinstance(value, Unknown)
            for name in value.needs
        }
        message = f"what depends on {_list(needs)} cannot be compared"
        asks = [NEEDS(message, hint=flags(sorted(needs)))] if needs else []
        return (*(d for d in told if d.code in (NOT_VERIFIED.code, REFUSED.code, OUTSIDE.code)), *asks)

    def to_json(self) -> dict[str, Any]:
        """The shape the CLI contract fixes."""
        return {"equal": self.equal, "differences": [entry.to_json() for entry in self.differences]}


def diff(read_a: Read, read_b: Read, *, everything: bool = False) -> Diff:
    """Compare two inputs. everything: also what is unknown on both sides, and the same in each.

    Raises:
        InputError: one of them cannot be read.
    """
    a, b = read_a({}), read_b({})
    outcomes = _outcome(a), _outcome(b)
    if outcomes[0] != outcomes[1]:
        reason = Meaning(RESULT, _stops(outcomes))
        return Diff(a, b, (Difference("outcome", outcomes[0], outcomes[1], reason),))
    if a.error:
        return Diff(a, b, ())
    views = _views(a, b)
    about = (Difference(*entry) for entry in trained(a.input, b.input))
    found = list(chain(about, _values(*views), _unsaid(*views), _versions(a, b)))
    found = _settled(found, views, read_a, read_b, everything=everything)
    order = sorted(found, key=lambda entry: KINDS.index(entry.meaning.kind))
    return Diff(a, b, tuple(order))


def _outcome(found: Explanation) -> str:
    if found.error:
        return f"refused: {found.error['type']}: {found.error['message']}"
    return "trains without DeepSpeed" if found.config is None else "ok"


def _stops(outcomes: tuple[str, str]) -> str:
    refused = [name for name, text in zip("AB", outcomes, strict=True) if text.startswith("refused")]
    if len(refused) == 2:
        return "both stop before training, for other reasons"
    return f"{refused[0]} stops before training" if refused else "one side trains without DeepSpeed"


def _views(a: Explanation, b: Explanation) -> tuple[_View, _View]:
    """Both sides, with their warm-up in one unit."""
    left, right = optimizing(a), optimizing(b)
    values = warmup(left, right)
    return _View(a, values[0], left.unsaid), _View(b, values[1], right.unsaid)


class _View:
    """One side's values by path."""

    def __init__(self, found: Explanation, trains: Mapping[str, Any], unsaid: frozenset[str]) -> None:
        version = found.versions.get("deepspeed", "")
        full = whole(found.engine, version)
        batch = found.result.trees.get("batch") or {}
        self.found, self.asked, self.unread, self.unsaid = found, full.asked, full.unread, unsaid
        self.values: dict[str, Any] = {
            **full.values,
            **engine_values(found.result),
            **{path: batch.get(path.partition(".")[2], UNSET) for path in _BATCH},
            **trains,
        }

    def get(self, path: str) -> Any:
        return self.values.get(path, UNSET)

    def at(self, path: str, *values: Any) -> bool:
        return self.values.get(path, values[0]) in values

    @property
    def stage(self) -> Any:
        return self.values.get(_STAGE, 0)


def _values(a: _View, b: _View) -> Iterable[Difference]:
    for path in dict.fromkeys([*a.values, *b.values]):
        left, right = a.get(path), b.get(path)
        if same(left, right) or _only_by_version(path, a, b) or _told_elsewhere(path, a, b):
            continue
        meaning = _meaning(path, a, b)
        if meaning.kind == NOTHING and _by_default(path, a, b):
            continue
        yield Difference(path, left, right, meaning)


def same(left: Any, right: Any) -> bool:
    """Equal as DeepSpeed sees it: 5e8 is 500000000, a tuple is a list, and true is no number."""
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _only_by_version(path: str, a: _View, b: _View) -> bool:
    """A key that one version does not know, at its default in the other."""
    if path.startswith(("optimizer.", "scheduler.", "batch.")):
        return False
    return any(path not in view.values and path not in other.asked for view, other in ((a, b), (b, a)))


def _by_default(path: str, a: _View, b: _View) -> bool:
    """Nobody asked for it, and the versions have other defaults."""
    return path.startswith(_Z) and path not in a.asked | b.asked


def _told_elsewhere(path: str, a: _View, b: _View) -> bool:
    """Numbers that follow from others, and those of different optimizers or different owners."""
    part, _, name = path.partition(".")
    if path == "train_batch_size":  # as good as the true one where nobody knows that
        return all(
            isinstance(view.get(path), Unknown) or same(view.get(path), view.get("batch.global"))
            for view in (a, b)
        )
    if path == "batch.global" and isinstance(a.get(path), Unknown) and a.get(path) == b.get(path):
        said = a.get("train_batch_size"), b.get("train_batch_size")
        return not any(isinstance(value, Unknown) for value in said) and not same(*said)
    if part in ("optimizer", "scheduler") and name not in ("owner", "legacy_fusion"):
        if part in a.unsaid | b.unsaid and (name != "class" or UNSET in (a.get(path), b.get(path))):
            return True  # `_unsaid` tells it
        same_owner = a.get(f"{part}.owner") == b.get(f"{part}.owner")
        if name not in ("type", "class") and not same(a.get(f"{part}.type"), b.get(f"{part}.type")):
            return True
        return part == "scheduler" and name.startswith(("params.", "entries")) and not same_owner
    return False


def _meaning(path: str, a: _View, b: _View) -> Meaning:
    row = meaning_of(path)
    views = (a, b)
    if path == "train_batch_size" and same(a.get("batch.global"), b.get("batch.global")):
        return Meaning(NOTHING, "only DeepSpeed's own count, which takes ranks that share samples for others")
    if path == "optimizer.class" and not same(a.get("optimizer.type"), b.get("optimizer.type")):
        return meaning_of("optimizer.type")
    if path in a.unread | b.unread and all(path in v.unread or path not in v.asked for v in views):
        versions = sorted({view.found.versions.get("deepspeed", "") for view in views})
        return Meaning(NOTHING, f"DeepSpeed {' and '.join(versions)} does not read it")
    for switch, (off, why) in _SWITCHES.items():
        block = switch.rpartition(".")[0]
        if path.startswith(f"{block}.") and path != switch and all(view.at(switch, off) for view in views):
            return Meaning(NOTHING, why)
    if path.startswith("aio.") and all(
        view.at(f"{_Z}{name}.device", "none", "cpu") for view in views for name in _OFFLOADS
    ):
        return Meaning(NOTHING, "neither side has anything on NVMe")
    if path.startswith(_STAGE_3) and all(isinstance(v.stage, int) and v.stage < 3 for v in views):
        return Meaning(NOTHING, "only ZeRO stage 3 reads it, and both sides have a lower stage")
    return row


def _unsaid(a: _View, b: _View) -> Iterable[Difference]:
    """Numbers that stand in a script: nothing to say if both sides run the same one, or show none."""
    if _program(a.found) == _program(b.found):
        return
    for part, path in (("optimizer", "optimizer.params"), ("scheduler", "scheduler")):
        sides = [name for name, view in zip("AB", (a, b), strict=True) if part in view.unsaid]
        if sides:
            whose = " and ".join(sides)
            why = f"{_CANNOT}: the {part} of {whose} is said where it is not read, as in a script"
            yield Difference(path, _shown(a, part), _shown(b, part), Meaning(RESULT, why))


def _shown(view: _View, part: str) -> Any:
    if part in view.unsaid:
        return UNSET
    start = "optimizer.params." if part == "optimizer" else "scheduler."
    names = {path.removeprefix(start): value for path, value in view.values.items() if path.startswith(start)}
    return {name: value for name, value in names.items() if name != "owner"}


def _program(found: Explanation) -> Any:
    """The script with its arguments and text; None for files without one."""
    setup = found.input.setup
    words = setup.words.items
    script = next((word for word in words[:1] if word.endswith(".py")), "")
    if not script:
        return None
    return (words[1:], setup.files.text(script) if setup.files.has(script) else script)


def _versions(a: Explanation, b: Explanation) -> Iterable[Difference]:
    left, right = (side.versions.get("deepspeed") for side in (a, b))
    if left != right:
        why = "another DeepSpeed; where its defaults differ, they are told"
        yield Difference("versions.deepspeed", left, right, Meaning(NOTHING, why))


def _settled(
    found: list[Difference], views: tuple[_View, _View], read_a: Read, read_b: Read, *, everything: bool
) -> list[Difference]:
    """The differences, with what is unknown told as such.

    What both sides do not know for want of the same facts is tried with several values of these: always
    the same is no difference, always different is one.
    """
    tries: dict[frozenset[str], list[tuple[_View, _View]]] = {}
    settled = []
    for entry in found:
        unknown = [value for value in (entry.a, entry.b) if isinstance(value, Unknown)]
        needs: frozenset[str] = frozenset().union(*(value.needs for value in unknown))
        agreed: set[bool] = set()
        if len(unknown) == 2 and entry.a == entry.b and _is_shared(needs, *views):
            if needs not in tries:
                tries[needs] = _tries(needs, read_a, read_b)
            agreed = {same(x.get(entry.path), y.get(entry.path)) for x, y in tries[needs]}
        if agreed == {True}:
            why = f"depends on {_list(needs)}, on both sides in the same way"
            settled += [entry._replace(meaning=Meaning(NOTHING, why))] if everything else []
        elif not unknown or agreed == {False}:
            settled.append(entry)
        else:
            why = f"{_CANNOT}, needs {_list(needs)}: whether {entry.meaning.reason}"
            settled.append(entry._replace(meaning=Meaning(entry.meaning.kind, why)))
    return settled


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _is_shared(needs: frozenset[str], a: _View, b: _View) -> bool:
    if _program(a.found) == _program(b.found):
        return True
    return all(name in _SHARED or name.startswith("model.") for name in needs)


_GUESSES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("class", ("torch.AdamW", "deepspeed.DeepSpeedCPUAdam", "torch.SGD")),
    ("hidden_size", (4096, 5120)),
    ("steps", (1000, 300)),
    ("_supported", (True, False)),
    ("", (8, 2, 4, 1)),
)


def _tries(needs: frozenset[str], read_a: Read, read_b: Read) -> list[tuple[_View, _View]]:
    """Both sides with made-up facts, where both then train."""
    tries = []
    for number in range(4):
        facts = {}
        for name in needs:
            values = next(values for part, values in _GUESSES if part in name)
            facts[name] = values[number % len(values)]
        a, b = read_a(facts), read_b(facts)
        if (a.config is None) is (b.config is None) and not (a.error or b.error):
            tries.append(_views(a, b))
    return tries
